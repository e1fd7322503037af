"""The registers as a browser sees them: lists, cards, and what is refused on a card (catalogue rows 39-46)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import reading, writing
from errors import BadInput, Stale
from models import Article, Customer, Warehouse
from services import audit, card_checks, register
from tests import builders
from tests.threads import while_open
from tests.web_client import WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


@pytest.fixture
def customer(app: Flask) -> Customer:
    with writing() as session:
        return builders.a_customer(session)


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, number="T-Tröja1", gtin="7310865004703")


# --- Customers ----------------------------------------------------------------------------------------------------------


CARD = "form[data-unsaved]"
"""The form of the card itself; beside it stands what can be done with the customer."""


def test_a_customer_is_added_with_the_next_number(clerk_client: WebClient) -> None:
    clerk_client.get("/register/customers/new")
    page = clerk_client.submit(
        name="Provkund AB", organisation_number="5567370431", postal_code="11122", city="Stockholm"
    )
    assert page.status == 200
    values = page.form(CARD).values
    assert (values["organisation_number"], values["postal_code"], values["country"]) == ("556737-0431", "111 22", "SE")
    with reading() as session:
        made = register.customers(session, search="Provkund")[0]
        assert made.number == register.FIRST_CUSTOMER
        (line,) = audit.listing(session, object=f"customer:{made.id}")
    assert "Provkund" not in str(line.detail)


WRONG_CUSTOMER = [
    {"name": ""},
    {"name": "x" * 201},
    {"name": "a" + "\u0301" * 50},
    {"organisation_number": "556677-8890"},
    {"organisation_number": "811218-9876"},
    {"email": "a@b.se, c@d.se"},
    {"email": "a" * 320 + "@b.se"},
    {"country": "XX"},
    {"postal_code": "1112A"},
    {"note": "x\u202ey"},
]


@pytest.mark.parametrize("wrong", WRONG_CUSTOMER, ids=str)
def test_what_a_card_cannot_hold_is_refused_beside_its_field(clerk_client: WebClient, wrong: dict[str, str]) -> None:
    """Catalogue rows 44-46."""
    clerk_client.get("/register/customers/new")
    page = clerk_client.submit(**{"name": "Provkund", "city": "Lund", **wrong})
    assert page.status == 422
    assert page.form("main form").values["city"] == "Lund"
    with reading() as session:
        assert register.customers(session, search="Provkund") == []


def test_a_personal_number_in_a_note_is_masked_and_said(clerk_client: WebClient) -> None:
    """B29, catalogue row 44."""
    clerk_client.get("/register/customers/new")
    page = clerk_client.submit(name="Provkund", note="ring 811218-9876 efter fem")
    assert page.status == 200
    assert page.has(".banner.warn")
    assert "811218" not in page.html
    assert "******-****" in page.form(CARD).values["note"]


def test_two_who_change_one_card_do_not_overwrite_each_other(customer: Customer, clerk_client: WebClient) -> None:
    """Catalogue row 73."""
    address = f"/register/customers/{customer.id}"
    first = clerk_client.get(address)
    clerk_client.get(address)
    assert clerk_client.submit(CARD, city="Lund").status == 200
    page = clerk_client.submit(CARD, page=first, city="Malmö")
    assert page.status == 409
    with reading() as session:
        assert register.get_customer(session, customer.id).city == "Lund"


def test_a_viewer_does_not_see_phone_and_e_mail(customer: Customer, client: WebClient) -> None:
    client.log_in("viewer")
    for address in ("/register/customers", f"/register/customers/{customer.id}"):
        page = client.get(address)
        assert customer.email not in page.html
        assert str(customer.phone) not in page.html
        assert not page.has("main form[method=post]")


def test_customers_are_found(customer: Customer, clerk_client: WebClient) -> None:
    for query in (customer.name[:6], str(customer.number), customer.email, "approved"):
        assert len(clerk_client.get(f"/register/customers?q={query}").all("tbody tr")) == 1
    assert not clerk_client.get("/register/customers?q=_").has("tbody tr")


# --- Articles -----------------------------------------------------------------------------------------------------------


def new_article(client: WebClient, **fields: object) -> object:
    client.get("/register/articles/new")
    given = {"number": "A1", "name": "Vara", "price": "100,00", "vat_class": "standard"}
    return client.submit(**{**given, **fields})


def test_an_article_is_added_and_changed(clerk_client: WebClient) -> None:
    page = new_article(clerk_client, gtin="7310865004703", number="A#1")
    assert page.status == 200
    page = clerk_client.submit(price="125,50", stock_kept=None)
    assert page.status == 200
    assert page.form("main form").values["price"] == "125,50"
    with reading() as session:
        (made,) = register.articles(session, search="a#1")
    assert (made.price_minor, made.stock_kept, made.gtin) == (12_550, False, "7310865004703")


def test_the_cost_is_typed_on_a_new_card_and_later_changed_only_with_a_reason(clerk_client: WebClient) -> None:
    """B27: an older card shows it locked, says where it is changed, and leads there."""
    page = new_article(clerk_client, cost="40")
    assert page.find("input[name=cost]").get("readonly") is not None
    assert "Ändras under Saldo-/Prisjustering, med en orsak." in page.text
    with reading() as session:
        (made,) = register.articles(session, search="a1")
    assert page.find(f".menu a[href=/stock/articles/{made.id}]").text == "Saldo-/Prisjustering"
    assert clerk_client.submit(name="En annan vara", cost="1").status == 200
    with reading() as session:
        changed = register.get_article(session, made.id)
    assert (changed.name, changed.cost_minor) == ("En annan vara", 40_00)


@pytest.mark.parametrize("number", ["t-tröja 1", " T-TRÖJA  1 ", "T-Tro\u0308ja1", "", "x" * 300])
def test_an_article_number_is_one_however_it_is_written(article: Article, clerk_client: WebClient, number: str) -> None:
    """Catalogue row 39."""
    assert new_article(clerk_client, number=number).status == 422


@pytest.mark.parametrize("number", ["=1+1", "A#2", "<script>"])
def test_odd_article_numbers_are_kept_as_text(clerk_client: WebClient, number: str) -> None:
    """Catalogue row 39."""
    page = new_article(clerk_client, number=number)
    assert page.status == 200
    assert page.form("main form").values["number"] == number


WRONG_ARTICLE = [
    {"price": "0"},
    {"price": "-1"},
    {"price": "123456789012345"},
    {"price": ""},
    {"vat_class": "other"},
    {"gtin": "7310865004704"},
    {"gtin": "123"},
    {"gtin": "7310865004703"},
    {"unit": "centimeter"},
    {"kind": "advance"},
    {"name": ""},
]


@pytest.mark.parametrize("wrong", WRONG_ARTICLE, ids=str)
def test_what_an_article_cannot_be_is_refused(article: Article, clerk_client: WebClient, wrong: dict[str, str]) -> None:
    """Catalogue row 40."""
    assert new_article(clerk_client, **wrong).status == 422


def test_a_price_of_nothing_needs_its_tick(clerk_client: WebClient) -> None:
    """Catalogue row 40."""
    assert new_article(clerk_client, price="0", free=True).status == 200


def test_two_who_change_a_card_at_once_do_not_overwrite_each_other(article: Article, app: Flask) -> None:
    """Catalogue row 73: the second waits, and sees what the first has changed."""
    with reading() as session:
        facts = register.article_facts(register.get_article(session, article.id))

    def rename(name: str) -> Callable[[Session], object]:
        return lambda session: register.change_article(
            session, builders.CLERK, article.id, replace(facts, name=name), facts.fingerprint
        )

    assert isinstance(while_open(app, rename("Tröja, röd"), rename("Tröja, blå")), Stale)
    with reading() as session:
        assert register.get_article(session, article.id).name == "Tröja, röd"


def test_a_card_never_changes_what_an_article_costs(article: Article, client: WebClient) -> None:
    """B27: that is done with a reason, and kept."""
    client.log_in("finance").get(f"/register/articles/{article.id}")
    assert client.submit(name="Tröja, randig", cost="99,00").status == 200
    with reading() as session:
        changed = register.get_article(session, article.id)
        assert (changed.name, changed.cost_minor) == ("Tröja, randig", article.cost_minor)


def test_stock_is_kept_while_there_is_stock(article: Article, clerk_client: WebClient) -> None:
    clerk_client.get(f"/register/articles/{article.id}")
    assert clerk_client.submit(stock_kept=None).status == 409


# --- Warehouses ---------------------------------------------------------------------------------------------------------


def test_a_warehouse_is_added_changed_and_closed_when_it_is_empty(article: Article, clerk_client: WebClient) -> None:
    clerk_client.get("/register/warehouses/new")
    assert clerk_client.submit(code="b1", name="Butiken").status == 200
    with reading() as session:
        made = {each.code: each.id for each in register.warehouses(session)}
    clerk_client.get(f"/register/warehouses/{made['B1']}")
    assert clerk_client.submit(active=None).status == 200
    clerk_client.get(f"/register/warehouses/{made['HL']}")
    assert clerk_client.submit(active=None).status == 409
    with reading() as session:
        assert {each.code: each.active for each in register.warehouses(session)} == {"B1": False, "HL": True}


@pytest.mark.parametrize("wrong", [{"code": ""}, {"code": "HL"}, {"code": "a b"}, {"code": "x" * 11}, {"name": " "}])
def test_what_a_warehouse_cannot_be_is_refused(clerk_client: WebClient, wrong: dict[str, str]) -> None:
    clerk_client.get("/register/warehouses/new")
    assert clerk_client.submit(**{"code": "N1", "name": "Nytt", **wrong}).status == 422


# --- All of them --------------------------------------------------------------------------------------------------------

ROOMS = ["customers", "articles", "warehouses"]


@pytest.mark.parametrize("room", ROOMS)
def test_registers_are_seen_by_all_and_changed_by_some(app: Flask, client: WebClient, room: str) -> None:
    client.log_in("viewer")
    assert client.get(f"/register/{room}").has("[aria-disabled=true]")
    assert client.get(f"/register/{room}/new").status == 403
    assert client.post(f"/register/{room}/new", {"name": "x"}).status == 403
    assert client.post(f"/register/{room}/1", {"name": "x"}).status == 403


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("key", ["999", "0", "999999999999999999999999"])
def test_an_unknown_card_is_404(clerk_client: WebClient, room: str, key: str) -> None:
    assert clerk_client.get(f"/register/{room}/{key}").status == 404


@given(st.integers(0, 10**9))
def test_one_digit_wrong_is_seen(number: int) -> None:
    """Luhn: the test values of the accounting reference, and every single wrong digit."""
    assert card_checks.check_digit("425801")
    assert card_checks.check_digit("123455")
    digits = f"{number:09d}"
    right = next(digit for digit in "0123456789" if card_checks.check_digit(digits + digit))
    for place, digit in enumerate(digits):
        wrong = digits[:place] + str((int(digit) + 1) % 10) + digits[place + 1 :]
        assert not card_checks.check_digit(wrong + right)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("811218-9876", True),
        ("19811218-9876", True),
        ("8112189876", True),
        ("811278-9873", True),
        ("811218-9875", False),
        ("order 4258012345", False),
        ("12345678901234", False),
    ],
)
def test_personal_numbers_are_told_from_other_digits(text: str, masked: bool) -> None:
    assert card_checks.mask_personal_numbers(text)[1] is masked


@pytest.mark.parametrize("gtin", ["96385074", "7310865004703", "00012345600012"])
def test_ean_codes_of_every_length_are_read(gtin: str) -> None:
    assert card_checks.read_gtin(gtin) == gtin
    with pytest.raises(BadInput):
        card_checks.read_gtin(gtin[:-1] + str((int(gtin[-1]) + 1) % 10))


def test_a_closed_warehouse_is_not_a_choice(app: Flask) -> None:
    with reading() as session:
        assert all(isinstance(each, Warehouse) for each in register.warehouses(session))
