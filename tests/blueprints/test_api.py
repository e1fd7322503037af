"""The JSON interface: keys, every answer by its description, one order per key, and nothing that is sent gives a 500 (B16)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

import clock
from blueprints.api import DESCRIPTION
from db import reading, writing
from klarna_sandbox.control import Control
from models import ApiToken, Audit, KlarnaAccount, Order
from services import anonymising, api_orders, api_tokens, orders, register
from services.gateway import Gateway
from tests import builders
from tests.services.test_klarna_orders import a_purchase
from tests.web_client import WebClient
from web_budget import Budget

SPEC = json.loads(DESCRIPTION)
GUIDE = Path(__file__).parents[2] / "docs" / "api.md"
WISH: dict[str, Any] = {
    "key": "shop-1",
    "shop_number": "W1",
    "customer": {"name": "Anna Berg", "email": "anna@example.com"},
    "rows": [{"description": "Mugg", "quantity": 2, "unit_price": 8_900, "vat_rate": 2500}],
}


@pytest.fixture
def key(app: Flask) -> str:
    with writing() as session:
        return api_tokens.make(session, builders.actor(builders.Role.ADMIN), "0" * 32, "Webbutiken")[1]


class Program:
    """A program with a key; every answer is held against the description."""

    def __init__(self, app: Flask, key: str) -> None:
        self._app, self._key = app, key

    def ask(self, method: str, path: str, **how: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self._key}", **how.pop("headers", {})}
        answer = self._app.test_client().open(path, method=method, headers=headers, **how)
        described(method, path.split("?", maxsplit=1)[0], answer)
        return answer

    def create(self, **wish: Any) -> TestResponse:
        return self.ask("POST", "/api/orders", json={**WISH, **wish})


@pytest.fixture
def program(app: Flask, key: str) -> Program:
    return Program(app, key)


def described(method: str, path: str, answer: TestResponse) -> None:
    """Fail where an answer is not as the description says."""
    assert answer.status_code < 500 or answer.status_code == 503, answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers
    if answer.status_code == 405:
        return
    patterns = {re.sub(r"\{\w+\}", ".+", each): each for each in SPEC["paths"]}
    found = next((patterns[each] for each in patterns if re.fullmatch(each, path)), None)
    if found is None:
        schema, kind = {"$ref": "#/components/schemas/Problem"}, "application/problem+json"
    else:
        said = SPEC["paths"][found][method.lower()]["responses"]
        assert str(answer.status_code) in said, f"{method} {found} answers {answer.status_code}, which is not described"
        ((kind, content),) = said[str(answer.status_code)]["content"].items()
        schema = content["schema"]
    assert answer.mimetype == kind
    jsonschema.Draft202012Validator({**schema, "components": SPEC["components"]}).validate(answer.get_json(force=True))


def made() -> list[Order]:
    with reading() as session:
        return list(session.scalars(sa.select(Order).order_by(Order.id)))


def fields(answer: TestResponse) -> list[str]:
    return [each["field"] for each in answer.get_json(force=True).get("errors", [])]


# --- Keys ------------------------------------------------------------------------------------------------------------


NO_KEYS = ["", "Bearer", "Bearer x", "Basic a2V5", "Bearer kvitta_fel", "Bearer " + "k" * 5000, "Bearer kvitta_\xe5"]


def test_without_a_key_in_use_nothing_is_told(app: Flask, key: str) -> None:
    for header in NO_KEYS:
        for path in ("/api/orders/1001", "/api/openapi.json", "/api/stock/x", "/api/orders?since=x"):
            answer = app.test_client().get(path, headers={"Authorization": header})
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
            described("GET", path.split("?")[0], answer)


def test_a_login_opens_nothing_here_and_a_key_nothing_there(app: Flask, key: str, program: Program) -> None:
    assert WebClient(app).log_in("admin").get("/api/orders/1001").status == 401
    assert app.test_client().get("/orders", headers={"Authorization": f"Bearer {key}"}).status_code == 303


def test_a_key_is_shown_once_kept_as_a_hash_and_can_be_revoked(app: Flask, client: WebClient) -> None:
    """Security 53: in no table, no log, no second page."""
    client.log_in("admin").get("/api-keys")
    page = client.submit("#make-key", name="Butiken")
    secret = page.find(".banner code").text
    assert secret.startswith(api_tokens.BEGINS)
    again = client.submit("#make-key", page=page, name="")
    assert again.status == 422
    with reading() as session:
        (kept,) = session.scalars(sa.select(ApiToken))
        logged = session.scalars(sa.select(Audit.detail)).all()
    assert secret not in str([vars(kept), *logged]) and secret not in client.get("/api-keys").html
    assert Program(app, secret).ask("GET", "/api/openapi.json").status_code == 200
    assert "aldrig" not in client.get("/api-keys").find("main tbody tr").text
    client.submit(f"/api-keys/{kept.id}/revoke")
    assert Program(app, secret).ask("GET", "/api/openapi.json").status_code == 401
    assert client.post(f"/api-keys/{kept.id}/revoke").status == 409


def test_the_form_of_a_key_makes_one(client: WebClient) -> None:
    """Catalogue row 75: the same form again shows no secret."""
    page = client.log_in("admin").get("/api-keys")
    client.submit("#make-key", page=page, name="Butiken")
    again = client.submit("#make-key", page=page, name="Butiken")
    assert not again.has(".banner code") and len(again.all("main tbody tr")) == 1


def test_use_is_noted_once_a_minute(program: Program) -> None:
    def noted() -> object:
        with reading() as session:
            return session.scalars(sa.select(ApiToken.last_used_at)).one()

    program.ask("GET", "/api/openapi.json")
    first = noted()
    program.ask("GET", "/api/openapi.json")
    assert first is not None and noted() == first


def test_beyond_the_budget_of_a_key_it_is_too_much(app: Flask, program: Program) -> None:
    app.extensions["api_budget"] = Budget(2)
    statuses = [program.ask("GET", "/api/openapi.json").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(program.ask("GET", "/api/openapi.json").headers["Retry-After"]) <= 61


# --- Orders ----------------------------------------------------------------------------------------------------------


def test_an_order_is_taken_once_per_key(program: Program) -> None:
    """B16."""
    first = program.create()
    assert first.status_code == 201 and first.headers["Location"].endswith("/api/orders/1001")
    told = first.get_json()
    assert (told["number"], told["key"], told["total"], told["rows"][0]["quantity"]) == (1001, "shop-1", 17_800, "2")
    again = program.create()
    assert again.status_code == 200 and again.get_json()["number"] == 1001
    other = program.create(shop_number="W2")
    assert other.status_code == 409 and len(made()) == 1
    assert made()[0].source == "api"


def test_many_at_once_with_one_key_make_one_order(app: Flask, key: str) -> None:
    """Catalogue row 75."""
    answers: list[int] = []

    def send() -> None:
        with app.app_context():
            answers.append(Program(app, key).create().status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [200] * 5 + [201] and len(made()) == 1


def test_articles_customers_and_addresses(program: Program) -> None:
    """B30: two who fit are named, a number settles it; a row takes from its article what it does not say."""
    with writing() as session:
        builders.an_article(session, "T-shirt", 19_900, number="TS-1")
        cards = [builders.a_customer(session, f"Anna {n}", email="anna@example.com") for n in range(2)]
    rows = [{"article": "ts-1", "quantity": "1.5"}]
    asked = program.create(rows=rows)
    assert asked.status_code == 422 and fields(asked) == ["customer"]
    assert str(cards[0].number) in asked.get_json(force=True)["detail"]
    told = program.create(
        rows=rows, customer={"number": cards[1].number}, delivery={"street": "Hamngatan 1", "city": "Lund"}
    ).get_json()
    assert told["customer"]["number"] == cards[1].number and told["total"] == 29_850
    assert '"Hamngatan 1"' in made()[0].party
    gone = program.create(key="k2", customer={"number": 99_999})
    assert gone.status_code == 422 and fields(gone) == ["customer.number"]


def test_an_anonymised_customer_is_unknown_to_programs(program: Program) -> None:
    """B29, B30: by number there is nobody, and whoever comes back with the same address gets a new card."""
    with writing() as session:
        card = builders.a_customer(session, "Anna Berg", email="anna@example.com")
        seen = register.facts_of(card).fingerprint
        anonymising.anonymise(session, builders.FINANCE, card.id, str(card.number), seen)
    gone = program.create(customer={"number": card.number})
    assert gone.status_code == 422 and fields(gone) == ["customer.number"]
    assert program.create(key="k2").get_json()["customer"]["number"] > card.number


WRONG = [
    ({"key": None}, "key"),
    ({"key": " "}, "key"),
    ({"key": 7}, "key"),
    ({"key": "x" * 101}, "key"),
    ({"customer": None}, "customer"),
    ({"customer": []}, "customer"),
    ({"customer": {}}, "customer.name"),
    ({"customer": {"name": "A", "email": "a@b.se, c@d.se"}}, "customer.email"),
    ({"customer": {"name": "A", "organisation_number": "811218-9876"}}, "customer.organisation_number"),
    ({"customer": {"name": "A", "postal_code": "1112A"}}, "customer.postal_code"),
    ({"customer": {"name": "A", "country": "XX"}}, "customer.country"),
    ({"customer": {"name": "A\u202eB"}}, "customer.name"),
    ({"customer": {"number": True}}, "customer.number"),
    ({"delivery": {"email": "a@b.se"}}, "delivery.email"),
    ({"rows": []}, "rows"),
    ({"rows": {}}, "rows"),
    ({"rows": [7]}, "rows[0]"),
    ({"rows": [{"quantity": 0, "description": "x", "unit_price": 1, "vat_rate": 0}]}, "rows[0].quantity"),
    ({"rows": [{"quantity": 1.5, "description": "x", "unit_price": 1, "vat_rate": 0}]}, "rows[0].quantity"),
    ({"rows": [{"quantity": "1.2345", "description": "x", "unit_price": 1, "vat_rate": 0}]}, "rows[0].quantity"),
    ({"rows": [{"quantity": "1e3", "description": "x", "unit_price": 1, "vat_rate": 0}]}, "rows[0].quantity"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": 1.5, "vat_rate": 0}]}, "rows[0].unit_price"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": 10**20, "vat_rate": 0}]}, "rows[0].unit_price"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": -5, "vat_rate": 2500}]}, "rows[0].unit_price"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": 5, "vat_rate": 2400}]}, "rows[0].vat_rate"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": 5}]}, "rows[0].vat_rate"),
    ({"rows": [{"quantity": 1, "article": "finns inte"}]}, "rows[0].article"),
    ({"rows": [{"quantity": 1, "description": "x", "unit_price": 5, "vat_rate": 2500, "price": 7}]}, "rows[0].price"),
    (
        {"rows": [{"quantity": 1, "description": "x", "unit_price": 5, "vat_rate": 2500, "kind": "gift"}]},
        "rows[0].kind",
    ),
    ({"total": 17_799}, "total"),
    ({"currency": "kr"}, "currency"),
    ({"currency": "EUR"}, "currency"),
    ({"payment": "cash"}, "payment"),
    ({"ordered_at": "2026-02-30T10:00:00Z"}, "ordered_at"),
    ({"ordered_at": "2026-02-03T10:00:00"}, "ordered_at"),
    ({"klarna": {"store_id": "K1"}}, "klarna.order_id"),
    ({"number": 7}, "number"),
    ({"state": "cancelled"}, "state"),
]


def test_what_cannot_be_is_refused_with_its_field(program: Program) -> None:
    """Catalogue rows 1-9, 12, 14, 40, 44-46; B14 beyond three decimals."""
    for wish, field in WRONG:
        answer = program.create(**wish)
        assert answer.status_code == 422 and field in fields(answer), answer.get_data(as_text=True)
        assert made() == []


def test_every_fault_is_named_at_once(program: Program) -> None:
    answer = program.create(key="", currency="kr", rows=[{"quantity": 0}, {"quantity": "x"}])
    assert {"key", "currency", "rows[0].quantity", "rows[1].quantity"} <= set(fields(answer))


NO_ORDERS = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b'{"key": 1, "key": 2}', "application/json", 400),
    (b'{"key": NaN}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b"[1]", "application/json", 422),
    (b"null", "application/json", 422),
    (b"{}", "text/plain", 415),
    (b"key=1", "application/x-www-form-urlencoded", 415),
    (b'{"x": "' + b"y" * 1_100_000 + b'"}', "application/json", 413),
]


def test_a_body_that_is_no_order_is_refused(program: Program) -> None:
    """Catalogue rows 25 and 76."""
    for body, kind, status in NO_ORDERS:
        assert program.ask("POST", "/api/orders", data=body, content_type=kind).status_code == status


def test_what_is_not_there_is_a_problem_and_no_page(program: Program) -> None:
    for path in (
        "/api/orders/999",
        "/api/nothing",
        "/api/stock/finns-inte",
        "/api/orders?key=x",
        "/api/orders?key=%00",
        "/api/orders/" + "9" * 30,
    ):
        assert program.ask("GET", path).status_code == 404
    assert program.ask("DELETE", "/api/orders").status_code == 405
    for query in (
        "",
        "?since=",
        "?since=igår",
        "?since=2026-01-01",
        "?since=2026-01-01T00:00:00Z~x",
        "?since=2026-01-01T00:00:00Z&limit=0",
        "?since=2026-01-01T00:00:00Z&limit=1e3",
    ):
        assert program.ask("GET", f"/api/orders{query}").status_code == 422


def test_sentences_are_english_unless_swedish_is_asked_for(program: Program) -> None:
    assert "must be filled in" in program.create(key=None).get_data(as_text=True)
    swedish = program.ask("POST", "/api/orders", json={**WISH, "key": None}, headers={"Accept-Language": "sv"})
    assert "måste fyllas i" in swedish.get_json(force=True)["errors"][0]["message"]


def test_an_order_paid_with_klarna_is_read_there_compared_and_acknowledged(
    app: Flask, program: Program, sandbox: Control, klarna: Gateway
) -> None:
    """B15, B16."""
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
    bought = a_purchase(sandbox)
    rows = [{"description": "T-shirt", "quantity": 1, "unit_price": 10_000, "vat_rate": 2500}]
    link = {"store_id": account.store_id, "order_id": bought}
    unequal = program.create(klarna=link)
    assert unequal.status_code == 409 and "178.00" in unequal.get_json(force=True)["detail"]
    strange = program.create(rows=rows, klarna={**link, "store_id": "K123456"})
    assert strange.get_json(force=True)["detail"] == "The order belongs to store id K123456, which has not been set up."
    assert program.create(rows=rows, klarna={**link, "order_id": "K4MADNY"}).status_code == 422
    told = program.create(rows=rows, klarna=link).get_json()
    assert told["klarna"]["remaining"] == 10_000 and told["payment"] == "klarna"
    assert sandbox.state(bought)["acknowledged_at"] is not None
    assert program.create(rows=rows, klarna=link).status_code == 200
    second = program.create(key="shop-2", rows=rows, klarna=link)
    assert "already belongs to order 1001" in second.get_json(force=True)["detail"]


def test_klarnas_silence_takes_nothing_in(program: Program, sandbox: Control, klarna: Gateway) -> None:
    with writing() as session:
        account: KlarnaAccount = builders.an_account(session, sandbox, klarna)
    bought = a_purchase(sandbox)
    sandbox.fault("unavailable", operation="get_order")
    assert program.create(klarna={"store_id": account.store_id, "order_id": bought}).status_code == 409
    assert made() == []


def test_an_order_is_read_with_its_documents_and_their_states(
    program: Program, sandbox: Control, klarna: Gateway
) -> None:
    document = builders.a_captured_invoice(klarna, sandbox)
    with reading() as session:
        number = orders.get(session, document.order_id or 0).number
    told = program.ask("GET", f"/api/orders/{number}").get_json()
    (told_document,) = told["documents"]
    assert (told_document["number"], told_document["state"], told_document["open"]) == (
        document.number_text, "issued", document.gross_minor,
    )  # fmt: skip
    assert told["rows"][0]["delivered"] == "1" and told["deliveries"][0]["number"] == 1
    assert told["klarna"]["captured"] == document.gross_minor and told["delivered"] == "all"


def test_changes_are_followed_without_missing_or_repeating_any(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The youngest are held back, so that one that began earlier and ended later is not passed by."""
    begun = clock.now() - timedelta(seconds=1)
    for number in range(5):
        program.create(key=f"k{number}")
    first = api_orders._instant(begun)
    assert program.ask("GET", f"/api/orders?since={first}").get_json()["orders"] == []
    with freeze_time(clock.now() + timedelta(minutes=1)):
        seen, since, more = [], first, True
        while more:
            told = program.ask("GET", f"/api/orders?since={since}&limit=2").get_json()
            seen += [each["key"] for each in told["orders"]]
            since, more = told["next"], told["more"]
        assert seen == [f"k{number}" for number in range(5)]
        assert program.ask("GET", f"/api/orders?since={since}").get_json()["orders"] == []
    with freeze_time(clock.now() + timedelta(minutes=5)), writing() as session:
        orders.refresh(session, made()[1].id)
    with freeze_time(clock.now() + timedelta(minutes=10)):
        told = program.ask("GET", f"/api/orders?since={since}").get_json()
    assert [each["key"] for each in told["orders"]] == ["k1"]


def test_the_balance_of_an_article_is_told(program: Program) -> None:
    with writing() as session:
        builders.an_article(session, number="a/1å", stock_milli=12_500)
    assert program.ask("GET", "/api/stock/A%2F1%20%C3%85").get_json()["on_hand"] == "12.5"


# --- The description and the guide -----------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite")
def test_the_description_names_every_route_and_no_other(app: Flask) -> None:
    ours = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.rule.startswith("/api/")
    }
    assert ours == {(path, method) for path, item in SPEC["paths"].items() for method in item}
    for schema in SPEC["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert SPEC["openapi"] == "3.1.0"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def nearly_an_order(draw: st.DrawFn) -> Any:
    """A good order with something put in the place of some of its fields."""
    more = {"klarna": {"store_id": "K1", "order_id": "x"}, "delivery": {"city": "Lund"}, "total": 17_800}
    wish: Any = json.loads(json.dumps({**WISH, **more}))
    places = [wish, wish["customer"], wish["rows"][0], wish["klarna"], wish["delivery"]]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places))
        place[draw(st.sampled_from(sorted(place)) | st.text(max_size=8))] = draw(JSON)
    return wish


@pytest.mark.only_on("sqlite")
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=JSON | nearly_an_order())
def test_whatever_is_sent_is_answered_as_described(program: Program, body: Any) -> None:
    """Catalogue row 76: never a 500, and every no has its form."""
    program.ask("POST", "/api/orders", json=body)


@pytest.mark.only_on("sqlite")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=30))
def test_whatever_is_asked_for_is_answered_as_described(program: Program, text: str) -> None:
    for path in ("/api/stock/x", "/api/orders"):
        program.ask("GET", path, query_string={"since": text, "key": text, "limit": text[:3] or "5"})


@pytest.fixture
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.only_on("sqlite")
def test_the_examples_of_the_guide_do_what_it_says(served: str, key: str) -> None:
    """docs/api.md, run by the shell as they stand."""
    with writing() as session:
        builders.an_article(session)
    examples = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    environ = {**os.environ, "KVITTA": served, "KEY": key, "no_proxy": "*"}
    told = []
    for example in examples:
        ran = subprocess.run(
            ["bash", "-c", example], env=environ, capture_output=True, text=True, timeout=30, check=True
        )
        told.append(json.loads(ran.stdout))
    taken, refused, read, by_key, changed, stock = told
    assert (taken["number"], taken["total"]) == (1001, 44_700)
    assert refused["errors"] == [
        {"field": "rows[0].quantity", "message": "A quantity may have at most three decimals."}
    ]
    assert read["number"] == 1001 and by_key["orders"][0]["number"] == 1001
    assert changed["orders"] == [] and stock["article"] == "ART-1"
