"""How Kvitta answers: pages and their parts, what follows an act, and every kind of no."""

from __future__ import annotations

import json

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.exceptions import MethodNotAllowed

import web_access
from app import create_app
from config import Config
from db import db
from errors import BadInput, Busy, Malformed, NotAllowed, NotFound, Refusal, Stale, Throttled
from rights import Right
from states import Role
from tests import builders
from tests.web_client import WebClient
from web import (
    PasswordAgain,
    done,
    flash_refusal,
    fragment,
    in_language,
    needs,
    nonce,
    open_to_all,
    page,
    read_nonce,
    say,
    secret_key,
)

pytestmark = pytest.mark.only_on("sqlite")

NOES: dict[str, Exception] = {
    "input": BadInput("Enter an amount."),
    "malformed": Malformed("The form is not one of ours."),
    "forbidden": NotAllowed("Your role does not allow this. Requires %(roles)s.", roles=(Role.CLERK, Role.FINANCE)),
    "missing": NotFound(),
    "stale": Stale("Somebody else was here."),
    "rule": Refusal("Wait for Klarna."),
    "busy": Busy(),
    "throttled": Throttled("Wait %(seconds)s seconds.", seconds=17),
    "bug": ZeroDivisionError("canary: 19811218-9876"),
}


@pytest.fixture
def app(config: Config):
    """The app with a few pages more, to try every kind of answer."""

    @open_to_all
    def say_no(which: str):
        raise NOES[which]

    @needs(Right.READ)
    def again():
        raise PasswordAgain

    @needs(Right.READ)
    def shapes():
        return page("users/index.html", panel="users/_sessions.html", people=[], live=[], here="")

    @needs(Right.WORK)
    def act():
        return done("/", ("success", "It is <done>."), events=("order-changed",))

    @needs(Right.WORK)
    def act_in_panel():
        return done(
            "/",
            ("success", "Done."),
            panel=lambda: fragment("users/_sessions.html", live=[], here=""),
            events=("a", "b"),
        )

    @needs(Right.WORK)
    def money_form():
        if request.method == "GET":
            return nonce("credit", 17)
        return read_nonce("credit", 17)

    @needs(Right.READ)
    def refuse_softly():
        flash_refusal(Refusal("No <b>%(n)s</b>.", n=1))
        return page("error.html")

    made = create_app(config)
    made.testing = False
    for rule, view, methods in (
        ("/try/no/<which>", say_no, ["GET", "POST"]),
        ("/try/again", again, ["GET", "POST"]),
        ("/try/shapes", shapes, ["GET"]),
        ("/try/act", act, ["POST"]),
        ("/try/panel", act_in_panel, ["POST"]),
        ("/try/money", money_form, ["GET", "POST"]),
        ("/try/softly", refuse_softly, ["GET"]),
    ):
        made.add_url_rule(rule, view.__name__, view, methods=methods)
    with made.app_context():
        yield made
        db.engine.dispose()


@pytest.mark.parametrize(
    ("which", "status", "sentence"),
    [
        ("input", 422, "Enter an amount."),
        ("malformed", 400, "The form is not one of ours."),
        ("forbidden", 403, "Your role does not allow this. Requires Clerk or Finance."),
        ("missing", 404, "There is no such page, or it is not yours to see."),
        ("stale", 409, "Somebody else was here."),
        ("rule", 409, "Wait for Klarna."),
        ("busy", 503, "Nothing has been done"),
        ("throttled", 429, "Wait 17 seconds."),
        ("bug", 500, "could not finish this"),
    ],
)
def test_every_no_has_its_status_its_sentence_and_its_number(client: WebClient, which, status, sentence) -> None:
    client.get("/login", headers={"Accept-Language": "en"})
    whole = client.get(f"/try/no/{which}", headers={"Accept-Language": "en"})
    assert whole.status == status
    assert sentence in whole.html
    assert whole.headers["X-Request-ID"] in whole.html
    part = client.get(f"/try/no/{which}", htmx=True, headers={"Accept-Language": "en"})
    assert part.status == status
    assert sentence in part.html
    assert "<html" not in part.html
    assert part.headers["HX-Retarget"] == "#messages"


def test_who_must_wait_is_told_how_long(client: WebClient) -> None:
    assert client.get("/try/no/throttled", headers={"Accept-Language": "en"}).headers["Retry-After"] == "17"


def test_a_bug_tells_nothing_of_itself(client: WebClient, caplog) -> None:
    """Security 62, 74: an id, no details."""
    shown = client.get("/try/no/bug")
    assert "canary" not in shown.html
    assert "ZeroDivision" not in shown.html


def test_the_page_of_a_bug_needs_no_database_and_no_template(app: Flask, client: WebClient, monkeypatch) -> None:
    """Security 74."""
    client.log_in("clerk")

    def broken(*_args, **_values):
        raise RuntimeError("no database")

    monkeypatch.setattr("web_access.reading", broken)
    monkeypatch.setattr("web.reading", broken)
    shown = client.get("/")
    assert shown.status == 500
    assert "To the start page" in shown.html or "Till" in shown.html
    monkeypatch.setattr("web.render_template", broken)
    bare = client.get("/")
    assert bare.status == 500
    assert bare.headers["X-Request-ID"] in bare.html
    assert "Content-Security-Policy" in bare.headers


def test_a_page_and_its_part_share_one_address(client: WebClient) -> None:
    """Security 77, catalogue row 74."""
    client.log_in("clerk")
    whole, part = client.get("/try/shapes"), client.get("/try/shapes", htmx=True)
    restored = client.get("/try/shapes", htmx=True, headers={"HX-History-Restore-Request": "true"})
    assert whole.element.tag == restored.element.tag == "html"
    assert "<html" not in part.html
    assert {"HX-Request" in each.headers["Vary"] for each in (whole, part, restored)} == {True}


def test_after_an_act_comes_303_or_for_htmx_a_redirect_header(client: WebClient) -> None:
    """Security 76."""
    client.log_in("clerk")
    plain = client.post("/try/act")
    assert (plain.status, plain.headers["Location"]) == (303, "/")
    shown = client.get("/")
    assert "It is &lt;done&gt;." in shown.html
    by_htmx = client.post("/try/act", htmx=True)
    assert (by_htmx.status, by_htmx.headers["HX-Redirect"], by_htmx.body) == (204, "/", b"")
    assert json.loads(by_htmx.headers["HX-Trigger"]) == {"order-changed": None}


def test_the_panel_that_changed_brings_its_message_along(client: WebClient) -> None:
    client.log_in("clerk")
    part = client.post("/try/panel", htmx=True)
    assert part.status == 200
    assert part.events == {"a": None, "b": None}
    assert part.find("#messages").get("hx-swap-oob")
    assert "Done." in part.find("#messages").text
    assert "Done." not in client.get("/").text


def test_a_refusal_in_the_live_region_is_escaped(client: WebClient) -> None:
    client.log_in("clerk")
    client.post("/language", {"lang": "en", "next": "/"})
    assert "No &lt;b&gt;1&lt;/b&gt;." in client.get("/try/softly").html


def test_a_nonce_is_read_back_for_its_act_and_person_only(app: Flask, client: WebClient) -> None:
    """Catalogue row 15: missing, malformed, another act's, another's."""
    client.log_in("clerk")
    drawn = client.get("/try/money").html
    read = client.post("/try/money", {"nonce": drawn})
    assert read.status == 200
    assert len(bytes.fromhex(read.html)) == 16
    assert client.get("/try/money").html != drawn
    for wrong in ({}, {"nonce": ""}, {"nonce": drawn[:-1]}, {"nonce": "x" * 5000}, {"nonce": "[]"}):
        assert client.post("/try/money", wrong).status == 400
    other = WebClient(app)
    other.log_in("finance")
    assert other.post("/try/money", {"nonce": drawn}).status == 403


def test_a_nonce_of_another_act_or_subject_is_malformed(app: Flask) -> None:
    clerk = builders.actor(Role.CLERK)
    with app.test_request_context("/", method="POST"):
        from flask import g

        g.visit = type("Visit", (), {"actor": clerk})()
        drawn = nonce("credit", 17)
    for action, subject in (("credit", 18), ("capture", 17)):
        with app.test_request_context("/", method="POST", data={"nonce": drawn}):
            g.visit = type("Visit", (), {"actor": clerk})()
            with pytest.raises(Malformed):
                read_nonce(action, subject)


def test_a_view_that_says_nothing_of_rights_stops_the_start(config: Config, monkeypatch) -> None:
    """Security 35."""
    forgotten = next(view for view, access in web_access.DEMANDS.items() if view.__name__ == "mine")
    monkeypatch.delitem(web_access.DEMANDS, forgotten)
    with pytest.raises(AssertionError, match=r"users\.mine does not say who may see it"):
        create_app(config)


@pytest.mark.parametrize("wall", ["WTF_CSRF_ENABLED", "WTF_CSRF_CHECK_DEFAULT"])
def test_the_app_does_not_serve_with_a_wall_taken_down(config: Config, monkeypatch, wall) -> None:
    """Security 12."""
    import app as house

    made = create_app(config)
    made.config[wall] = False
    with pytest.raises(AssertionError, match=wall):
        house._assert_walls(made)


def test_the_password_is_asked_for_again_and_the_way_back_is_kept(client: WebClient) -> None:
    client.log_in("clerk")
    asked = client.get("/try/again", follow=False)
    assert (asked.status, asked.headers["Location"]) == (303, "/confirm?next=/try/again")
    by_htmx = client.post("/try/again", htmx=True)
    assert by_htmx.status == 204
    assert by_htmx.headers["HX-Redirect"].startswith("/confirm")


def test_the_language_is_the_users_then_the_cookies_then_the_browsers(app: Flask, client: WebClient) -> None:
    """Catalogue row 91."""
    assert client.get("/login").element.get("lang") == "sv"
    assert client.get("/login", headers={"Accept-Language": "de, en;q=0.5"}).element.get("lang") == "en"
    assert client.get("/login", headers={"Accept-Language": "x" * 10_000}).element.get("lang") == "sv"
    client.submit("/language", press="lang=en")
    assert client.get("/login").element.get("lang") == "en"
    client.post("/language", {"lang": "../sv"})
    assert client.get("/login").element.get("lang") == "en"
    client.log_in("clerk")
    client.get("/me")
    client.submit("/language", press="lang=sv")
    again = WebClient(app).log_in("clerk")
    assert again.get("/", headers={"Accept-Language": "en"}).element.get("lang") == "sv"


def test_static_addresses_carry_a_mark_of_their_content(client: WebClient) -> None:
    shown = client.get("/login")
    sheet = next(each["href"] for each in shown.all("link[rel=stylesheet]"))
    assert "?v=" in sheet
    answer = client.get(sheet)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get(sheet.split("?")[0]).headers["Cache-Control"] != answer.headers["Cache-Control"]


def test_a_sentence_of_a_page_escapes_what_is_filled_in(app: Flask) -> None:
    page = "{{ _('of which VAT %(rate)s', rate='<b>') }} {{ _('Credited') }} {{ gettext('Credited') }}"
    plain = "{% autoescape false %}{{ _('of which VAT %(rate)s', rate='<b>') }}{% endautoescape %}"
    with in_language("sv"):
        assert app.jinja_env.from_string(page).render() == "varav moms &lt;b&gt; Krediterat Krediterat"
        assert app.jinja_env.from_string(plain).render() == "varav moms <b>"


def test_405_names_what_can_be_done(client: WebClient) -> None:
    client.log_in("clerk")
    answer = client.get("/logout")
    assert answer.status == MethodNotAllowed.code
    assert "POST" in answer.headers["Allow"]


def test_keys_come_from_the_settings(app: Flask, config: Config) -> None:
    with app.app_context():
        assert secret_key() == config.secret_key
        with in_language("en"):
            assert say(Refusal("x")) == "x"


def test_a_bare_client_needs_no_javascript(app: Flask) -> None:
    """A browser that sends no fetch metadata at all is served (older ones do not)."""
    bare: FlaskClient = app.test_client()
    assert bare.get("/login").status_code == 200
