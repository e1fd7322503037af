"""The walk over every address of Kvitta, and the attacks of security 1-49.

``route_rights.ROUTES`` has a row for every endpoint: a new route without a row fails. A row says what a person needs to
come in; the expected status for each role follows from the table of rights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time
from werkzeug.routing import AnyConverter, BaseConverter, IntegerConverter, Rule

import db
import models
import web_access
from app import create_app
from config import Config
from db import reading, writing
from models import Audit, LoginSession
from rights import RIGHTS as RIGHTS_OF
from rights import Right
from services import users
from states import Role
from tests import builders
from tests.builders import PASSWORD
from tests.route_rights import OPEN, PUSH, ROUTES, TOKEN
from tests.web_client import Page, WebClient

WHO = (None, Role.VIEWER, Role.CLERK, Role.FINANCE, Role.ADMIN)
ORIGIN = "http://localhost"


def rules(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every rule of the url map with one method it takes."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            yield rule, method


def _value(converter: BaseConverter, number: int) -> object:
    if isinstance(converter, AnyConverter):
        return min(converter.items)
    return number if isinstance(converter, IntegerConverter) else "x"


def address(rule: Rule, number: int = 999_999) -> str:
    """A path that the rule fits; ids that do not exist."""
    values = {name: _value(converter, number) for name, converter in rule._converters.items()}
    if rule.endpoint == "static":
        values = {"filename": "app.css"}
    built = rule.build(values)
    assert built is not None
    return built[1]


def content_hash() -> str:
    """All rows of all tables but those that note who looked."""
    found = hashlib.sha256()
    with reading() as session:
        for table in models.Base.metadata.sorted_tables:
            if table.name not in {"login_session", "audit", "number_series"}:
                rows = session.execute(sa.select(table).order_by(*table.primary_key.columns)).all()
                found.update(repr((table.name, rows)).encode())
    return found.hexdigest()


def require_headers(answer: Page, which: str) -> None:
    """Security 1, 8, 9, 10."""
    policy = answer.headers["Content-Security-Policy"]
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    ):
        assert part in policy, which
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    if not which.startswith("/static/"):
        assert answer.headers["Cache-Control"] == "no-store", which


@pytest.fixture
def everyone(app: Flask) -> dict[Role | None, WebClient]:
    """A browser per role, and one that is nobody's."""
    return {role: WebClient(app) if role is None else WebClient(app).log_in(role.value) for role in WHO}


@pytest.mark.only_on("sqlite")
def test_every_route_has_its_row(app: Flask) -> None:
    """Security 36: a new route without a row fails."""
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()} - {"static"}
    assert endpoints - set(ROUTES) == set(), "give these a row in tests/route_rights.py"
    assert set(ROUTES) - endpoints == set(), "these rows have no route"
    for endpoint, wanted in ROUTES.items():
        access = web_access.DEMANDS[app.view_functions[endpoint]]
        assert access.from_klarna == (wanted is PUSH), endpoint
        assert access.by_token == (wanted is TOKEN), endpoint
        assert access.right == (wanted if isinstance(wanted, Right) else None), endpoint


@pytest.mark.only_on("sqlite")
def test_every_route_lets_in_whom_the_table_names_and_nobody_else(app: Flask, everyone) -> None:
    """Security 36: every route x anonymous, viewer, clerk, finance, admin; each answer has its headers (1, 8, 9, 10)."""
    wrong = []
    for rule, method in rules(app):
        wanted = ROUTES.get(rule.endpoint, OPEN)
        for role, client in everyone.items():
            if rule.endpoint in {"login.out", "users.password"} and role is not None:
                continue
            answer = client.post(address(rule)) if method == "POST" else client.get(address(rule), follow=False)
            to_login = answer.status == 303 and answer.headers["Location"].startswith("/login?next=")
            if wanted is TOKEN:
                fits = answer.status == 401
            elif role is None and isinstance(wanted, Right):
                fits = to_login
            elif role is not None and isinstance(wanted, Right) and wanted not in RIGHTS_OF[role]:
                fits = answer.status == 403
            else:
                fits = answer.status < 500 and answer.status != 403 and not to_login
            if not fits:
                wrong.append((rule.rule, method, str(role), answer.status))
            if role in {None, Role.ADMIN}:
                require_headers(answer, address(rule))
    assert wrong == []


@pytest.mark.only_on("sqlite")
def test_a_logged_out_fragment_is_led_to_the_login_and_never_holds_it(app: Flask, everyone) -> None:
    """Security 75."""
    for rule, method in rules(app):
        if isinstance(ROUTES.get(rule.endpoint), Right):
            client = everyone[None]
            answer = client.post(address(rule), htmx=True) if method == "POST" else client.get(address(rule), htmx=True)
            assert (answer.status, answer.body) == (204, b""), rule.rule
            assert answer.headers["HX-Redirect"].startswith("/login?next="), rule.rule


@pytest.mark.only_on("sqlite")
def test_a_strange_answer_carries_the_headers_too(app: Flask, everyone) -> None:
    """Security 1, 8, 9, 10: what is not found, not allowed or not understood."""
    for strange in (
        "/nope",
        "/%00",
        "/orders/9999999999999999999999999999999",
        "/orders/-1",
        "/orders/1e3",
        "/orders/%D9%A3",
    ):
        answer = everyone[Role.CLERK].get(strange)
        assert answer.status == 404, strange
        require_headers(answer, strange)
    require_headers(everyone[Role.ADMIN].post("/me/password"), "/me/password")


@pytest.mark.only_on("sqlite")
def test_a_post_without_a_token_does_nothing_anywhere(app: Flask) -> None:
    """Security 12: to every route of the url map; only the push is exempt."""
    with writing() as session:
        users.create(
            session,
            builders.actor(Role.ADMIN),
            login="all",
            name="All",
            roles=list(Role),
            password_hash=builders.CHEAP.hash(PASSWORD),
        )
    client = WebClient(app).log_in("all")
    before = content_hash()
    for rule, method in rules(app):
        if method == "POST":
            answer = client.post(address(rule), csrf=False)
            if ROUTES.get(rule.endpoint) is TOKEN:
                assert answer.status == 401, rule.rule
                continue
            assert (answer.status == 400) == (ROUTES.get(rule.endpoint) is not PUSH), rule.rule
            wrong = client.post(address(rule), {"csrf_token": "x"})
            assert (wrong.status == 400) == (ROUTES.get(rule.endpoint) is not PUSH), rule.rule
            if ROUTES.get(rule.endpoint) is not PUSH:
                by_htmx = client.post(address(rule), csrf=False, htmx=True)
                assert by_htmx.status == 400
                assert "<form" not in by_htmx.html
    assert content_hash() == before


@pytest.mark.only_on("sqlite")
def test_looking_changes_nothing(app: Flask) -> None:
    """Security 13: all GETs, the database's content stays."""
    with writing() as session:
        users.create(
            session,
            builders.actor(Role.ADMIN),
            login="all",
            name="All",
            roles=list(Role),
            password_hash=builders.CHEAP.hash(PASSWORD),
        )
    client = WebClient(app).log_in("all")
    before = content_hash()
    for rule, method in rules(app):
        if method == "GET":
            for number in (1, 999_999):
                assert client.get(address(rule, number), follow=False).status < 500, rule.rule
                client.get(address(rule, number), follow=False, htmx=True)
    assert content_hash() == before


@pytest.mark.only_on("sqlite")
def test_another_sessions_token_is_refused_and_the_text_is_kept(app: Flask) -> None:
    """Catalogue row 16."""
    one, other = WebClient(app).log_in("admin"), WebClient(app).log_in("clerk")
    one.get("/users/new")
    sent = {"login": "Nisse", "name": "Typed with care", "csrf_token": other.csrf(), "password": "canary"}
    answer = one.post("/users/new", sent, headers={"Accept-Language": "en"})
    assert answer.status == 400
    assert "Typed with care" in answer.html
    assert "canary" not in answer.html
    assert "Nothing has been done" in answer.html or "Inget har gjorts" in answer.html


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "kvitta"])
def test_a_foreign_host_is_not_answered(app: Flask, host: str) -> None:
    """Security 49, catalogue row 24."""
    for path in ("/login", "/health", "/static/app.css", "/nope"):
        answer = app.test_client().get(path, headers={"Host": host})
        assert answer.status_code == 400
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert host == "" or host not in answer.get_data(as_text=True)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
    ],
)
def test_another_sites_page_cannot_post(app: Flask, headers, status) -> None:
    """Security 14: also with a valid token."""
    client = WebClient(app).log_in("clerk")
    assert client.post("/language", {"lang": "en"}, headers=headers).status == status


@pytest.mark.only_on("sqlite")
def test_forwarded_headers_of_an_untrusted_peer_are_ignored(app: Flask) -> None:
    """Catalogue row 24."""
    answer = app.test_client().get("/me", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
    assert answer.headers["Location"].startswith("/login")
    client = WebClient(app)
    client.get("/login")
    client.submit("main form", login="clerk", password=PASSWORD)
    with reading() as session:
        assert set(session.scalars(sa.select(LoginSession.address))) == {"127.0.0.1"}


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"text": 7}', "application/json"),
        (b"[1]", "application/json"),
        (b'"x"', "application/json"),
        (b"null", "application/json"),
        (b"<x/>", "text/xml"),
        (b"lang=en", "text/plain"),
        (b"lang=en", ""),
        (b"", "application/json"),
    ],
)
def test_bodies_that_are_no_forms_are_refused_before_any_form_is_built(app: Flask, everyone, body, kind) -> None:
    """Security 43, catalogue rows 25 and 76: for every route that takes a POST."""
    for rule, method in rules(app):
        if method == "POST" and ROUTES.get(rule.endpoint) not in (PUSH, TOKEN):
            role = Role.FINANCE if Right.BOOKS is ROUTES.get(rule.endpoint) else Role.CLERK
            if isinstance(ROUTES.get(rule.endpoint), Right) and ROUTES[rule.endpoint] not in RIGHTS_OF[role]:
                continue
            headers = {"X-CSRFToken": everyone[role].csrf()}
            answer = everyone[role].open(
                address(rule), method="POST", data=body, content_type=kind, headers=headers, follow=False
            )
            assert answer.status == 415, rule.rule


class Unread:
    """A body that must not be read."""

    def __init__(self) -> None:
        self.touched = False

    def __getattr__(self, name: str):
        self.touched = True
        raise AssertionError(f"the body was asked to {name}")


@pytest.mark.only_on("sqlite")
def test_an_anonymous_upload_is_turned_away_unread(app: Flask) -> None:
    """Security 17: the login hook stands before the hook that parses the whole body."""
    for rule, method in rules(app):
        if method == "POST" and isinstance(ROUTES.get(rule.endpoint), Right):
            body = Unread()
            environ = {
                "wsgi.input": body,
                "CONTENT_LENGTH": "900000",
                "CONTENT_TYPE": "multipart/form-data; boundary=x",
            }
            answer = app.test_client().post(address(rule), environ_overrides=environ)
            assert answer.status_code == 303, rule.rule
            assert not body.touched, rule.rule


@pytest.mark.only_on("sqlite")
def test_too_much_is_refused(app: Flask) -> None:
    """Catalogue rows 25 and 78: size, parts, fields, a text of 2 MB."""
    client = WebClient(app).log_in("clerk")
    token = client.csrf()

    def send(data, kind="application/x-www-form-urlencoded"):
        return client.open("/language", method="POST", data=data, content_type=kind, follow=False).status

    assert send(b"lang=en&x=" + b"y" * 2_000_000) == 413
    assert send(b"x=" + b"y" * 600_000) == 413
    many = "&".join(f"f{number}=1" for number in range(10_000))
    assert send(f"csrf_token={token}&{many}".encode()) == 413
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % each for each in range(1001))
    assert send(parts + b"--b--\r\n", "multipart/form-data; boundary=b") == 413
    assert send(f"csrf_token={token}&lang=en&=1&&%ff=%ff".encode()) == 303


@pytest.mark.only_on("sqlite")
def test_a_cookie_of_64_kilobytes_is_not_read(app: Flask) -> None:
    """Catalogue row 24."""
    assert (
        app.test_client(use_cookies=False).get("/login", headers={"Cookie": "kvitta=" + "x" * 65_536}).status_code
        == 431
    )
    assert (
        app.test_client(use_cookies=False).get("/login", headers={"Cookie": "kvitta=" + "x" * 4_000}).status_code == 200
    )


@pytest.mark.only_on("sqlite")
def test_a_method_is_never_overridden(app: Flask) -> None:
    """Catalogue row 17."""
    client = WebClient(app).log_in("clerk")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = client.open("/logout", method=method, headers={"X-HTTP-Method-Override": "POST"}, follow=False)
        assert answer.status == 405
    assert client.get("/me").status == 200


@pytest.mark.only_on("sqlite")
def test_the_cookie_on_plain_http(app: Flask) -> None:
    """Security 18."""
    cookie = app.test_client().get("/login").headers["Set-Cookie"]
    assert cookie.startswith("kvitta=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))


@pytest.mark.only_on("sqlite")
def test_the_cookie_behind_tls(config: Config) -> None:
    """Security 8, 18."""
    fields = {name: getattr(config, name) for name in config.__slots__}
    app = create_app(Config(**{**fields, "https": True}))
    answer = app.test_client().get("/login", base_url="https://localhost")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-kvitta=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    with app.app_context():
        db.db.engine.dispose()


def test_a_copied_cookie_is_dead_after_logging_out(app: Flask) -> None:
    """Security 9, 19."""
    client = WebClient(app).log_in("clerk")
    client.arrive()
    copied = app.test_client()
    found = client._app.get_cookie("kvitta")
    assert found is not None
    copied.set_cookie("kvitta", found.value)
    assert copied.get("/me").status_code == 200
    answer = client.post("/logout")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert copied.get("/me").status_code == 303


@pytest.mark.only_on("sqlite")
def test_the_session_id_is_new_at_login_and_stored_hashed(app: Flask) -> None:
    """Security 19, 20."""
    client = WebClient(app)
    client.get("/login")
    before = client.csrf()
    client.log_in("clerk")
    assert client.csrf() != before
    with client._app.session_transaction() as cookie:
        secret_id = cookie[web_access.COOKIE_KEY]
    assert len(secret_id) >= 43
    with reading() as session:
        stored = session.scalars(sa.select(LoginSession.id_hash)).one()
    assert stored == hashlib.sha256(secret_id.encode()).hexdigest()


@pytest.mark.only_on("sqlite")
def test_a_session_ends_after_an_hour_without_use(app: Flask) -> None:
    """Security 21."""
    with freeze_time("2026-11-20 08:00:00") as time:
        client = WebClient(app).log_in("clerk")
        for _ in range(3):
            time.tick(timedelta(minutes=59))
            assert client.get("/me", follow=False).status == 200
        time.tick(timedelta(minutes=61))
        assert client.get("/me", follow=False).status == 303


@pytest.mark.only_on("sqlite")
def test_a_session_ends_after_twelve_hours_of_use(app: Flask) -> None:
    """Security 21."""
    with freeze_time("2026-11-20 08:00:00") as time:
        client = WebClient(app).log_in("clerk")
        for _ in range(23):
            time.tick(timedelta(minutes=30))
            assert client.get("/me", follow=False).status == 200
        time.tick(timedelta(minutes=31))
        assert client.get("/me", follow=False).status == 303


@pytest.mark.only_on("sqlite")
def test_a_page_that_polls_keeps_no_session_alive(app: Flask, monkeypatch) -> None:
    """Security 79."""
    view = app.view_functions["users.mine"]
    monkeypatch.setitem(web_access.DEMANDS, view, web_access.Access(Right.READ, polls=True))
    with freeze_time("2026-11-20 08:00:00") as time:
        client = WebClient(app).log_in("clerk")
        for _ in range(5):
            time.tick(timedelta(minutes=11))
            assert client.get("/me", follow=False).status == 200
        time.tick(timedelta(minutes=11))
        assert client.get("/me", follow=False).status == 303


@pytest.mark.only_on("sqlite")
def test_a_refused_permission_is_in_the_log(app: Flask) -> None:
    """Security 41."""
    WebClient(app).log_in("clerk").get("/users")
    with reading() as session:
        found = session.execute(sa.select(Audit.actor, Audit.object).where(Audit.action == "refused")).one()
    assert tuple(found) == ("Handläggaren", "page:users.index")


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https:evil.example",
        "https://evil.example/",
        "\\\\evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/logout",
        "/login",
        "/confirm",
        "/static/app.css",
        "",
        "x" * 3000,
        "/nope",
    ],
)
def test_after_logging_in_one_comes_to_a_page_of_ours(app: Flask, wanted: str) -> None:
    """Catalogue row 29."""
    client = WebClient(app)
    client.get("/login")
    answer = client.post("/login", {"login": "clerk", "password": PASSWORD, "next": wanted})
    assert answer.headers.get("Location", "/") == "/"


@pytest.mark.only_on("sqlite")
def test_after_logging_in_one_comes_back_to_where_one_was(app: Flask) -> None:
    client = WebClient(app)
    asked = client.get("/me?x=1")
    assert asked.url.endswith("/login?next=/me?x%3D1") or "next=" in asked.url
    assert client.submit("main form", login="clerk", password=PASSWORD).url.endswith("/me?x=1")


@pytest.mark.only_on("sqlite")
def test_htmx_headers_open_nothing(app: Flask) -> None:
    """Security 78, catalogue row 24."""
    client = WebClient(app).log_in("viewer")
    forged = {"HX-Request": "true", "HX-Target": "users", "HX-Current-URL": f"{ORIGIN}/users", "HX-Prompt": "yes"}
    assert client.get("/users", headers=forged).status == 403


@pytest.mark.only_on("sqlite")
def test_health_tells_nothing(app: Flask) -> None:
    """Security 63."""
    answer = app.test_client().get("/health")
    assert answer.get_data() == b"ok\n"
    assert "Set-Cookie" not in answer.headers
    assert not any("erkzeug" in value or "granian" in value for _, value in answer.headers)


@pytest.mark.only_on("sqlite")
def test_nothing_is_written_before_login(app: Flask) -> None:
    """Security 16."""
    before = content_hash()
    client = WebClient(app)
    client.get("/login")
    client.post("/language", {"lang": "en"})
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(LoginSession)) == 0
    assert content_hash() == before


def test_taking_a_role_away_works_in_the_middle_of_a_form(app: Flask) -> None:
    """Security 22."""
    client = WebClient(app).log_in("clerk")
    client.get("/me")
    with writing() as session:
        users.change_roles(session, builders.actor(Role.ADMIN), 2, [Role.VIEWER])
    answer = client.submit("/me/password", password="something entirely different", follow=False)
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/login")


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("htmx", [False, True])
def test_who_presses_after_having_been_logged_out_is_told_that_nothing_was_done(app: Flask, htmx: bool) -> None:
    """Also where htmx sent it; who only looks at a page is led to the login without it."""
    client = WebClient(app).log_in("clerk")
    client.get("/me")
    with writing() as session:
        users.change_roles(session, builders.actor(Role.ADMIN), 2, [Role.VIEWER])
    answer = client.submit("/me/password", password="something entirely different", follow=False, htmx=htmx)
    way = answer.headers["HX-Redirect" if htmx else "Location"]
    assert "Ingenting har gjorts" in client.get(way).find("#messages").text
    assert client.get("/me").find("#messages").text == "", "once, and not to who only looks"
