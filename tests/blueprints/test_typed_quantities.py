"""«1,000» typed on an English page is never one piece, wherever a quantity is typed (catalogue row 5; K21, K28, B24, B28)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from db import writing
from tests.blueprints.document_pages import in_english
from tests.blueprints.test_credit_rows import a_draft, new_row
from tests.blueprints.test_exchange import the_guide
from tests.blueprints.test_free_credits import begun
from tests.builders import an_article, an_order, row
from tests.services.test_goods_returns import a_note
from tests.web_client import Page, WebClient

THOUSAND = "1,000"
TOLD = "1,000 can be read in two ways. Write 1000, or 1.000."


def _delivery(client: WebClient, **_: Any) -> Page:
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2000)])
    client.get(f"/orders/{order.id}/deliver")
    return client.submit("#deliver form", press="then=deliver", **{f"quantity_{order.lines[0].id}": THOUSAND})


def _goods_in(client: WebClient, **_: Any) -> Page:
    with writing() as session:
        an_article(session, number="7001")
    client.get("/stock/goods-in")
    typed = {"rows-0-article": "7001", "rows-0-quantity": THOUSAND}
    return client.submit("#goods-in form", press="act=take", reference="F1", **typed)


def _draft(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    page = a_draft(client, klarna, sandbox)
    form = page.find("form[id^=row-]")["id"]
    return client.submit(f"#{form}", **{f"quantity-{form.removeprefix('row-')}": THOUSAND})


def _new_row(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    a_draft(client, klarna, sandbox)
    return client.submit("/new-rows/free", name="Frakt", quantity=THOUSAND, price="-49", vat_rate="2500")


def _edited_row(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    page = a_draft(client, klarna, sandbox)
    line = new_row(client.submit("/new-rows/free", name="Frakt", quantity="1", price="-49", vat_rate="2500"))
    return client.post(f"{page.url}/new-rows/{line}", {f"price-{line}": "-49", f"quantity-{line}": THOUSAND})


def _pressed(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    page = a_draft(client, klarna, sandbox)
    line = page.find("form[id^=row-]")["id"].removeprefix("row-")
    values = page.form("#sum").values.to_dict()
    return client.post(f"{page.url}/create", {**values, f"quantity-{line}": THOUSAND})


def _free_credit(client: WebClient, **_: Any) -> Page:
    begun(client)
    return client.submit("/free-row", name="Goodwill", quantity=THOUSAND, price="100", vat_rate="2500")


def _free_credit_changed(client: WebClient, **_: Any) -> Page:
    draft = begun(client).url
    page = client.submit("/free-row", name="Goodwill", quantity="1", price="100", vat_rate="2500")
    line = page.find("[id^=quantity-]")["id"].removeprefix("quantity-")
    return client.post(f"{draft}/rows/{line}", {f"quantity-{line}": THOUSAND, f"price-{line}": "100"})


def _return(client: WebClient, klarna: Any, sandbox: Any, clerk: Any) -> Page:
    note_id, (shirts, _mug) = a_note(klarna, sandbox, clerk)
    client.get(f"/credit-notes/{note_id}/return")
    return client.submit("#goods form", **{f"quantity-{shirts}": THOUSAND})


def _exchange_back(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    _page, back = the_guide(client, klarna, sandbox)
    return client.submit("#exchange", **{back: THOUSAND, "article-0": "blå"}, press="act=look")


def _exchange_out(client: WebClient, klarna: Any, sandbox: Any, **_: Any) -> Page:
    _page, back = the_guide(client, klarna, sandbox)
    return client.submit("#exchange", **{back: "1", "article-0": "blå", "quantity-0": THOUSAND}, press="act=look")


WAYS = (
    _delivery, _goods_in, _draft, _new_row, _edited_row, _pressed, _free_credit, _free_credit_changed, _return,
    _exchange_back, _exchange_out,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_what_could_be_a_thousand_or_one_is_refused_with_both_ways_to_write_it(
    client: WebClient, klarna: Any, sandbox: Any, clerk: Any, way: Callable[..., Page]
) -> None:
    """Catalogue row 5: mixed forms are never guessed; what was typed stays."""
    page = way(in_english(client), klarna=klarna, sandbox=sandbox, clerk=clerk)
    assert page.status == 422 and TOLD in page.text
    assert THOUSAND in [each.get("value") for each in page.all("input")]
    refunds = sandbox.posts(operation="create_refund")
    assert len(refunds) == (1 if way is _return else 0), "the credit note whose goods come back, and nothing else"


def test_in_swedish_the_same_text_is_one_with_three_decimals_and_a_point_is_asked_about(client: WebClient) -> None:
    """B14, B24."""
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2)])
    client.log_in("clerk").get(f"/orders/{order.id}/deliver")
    name = f"quantity_{order.lines[0].id}"
    page = client.submit("#deliver form", press="then=deliver", **{name: "1.000"})
    assert page.status == 422 and "1.000 kan läsas på två sätt. Skriv 1000 eller 1,000." in page.text
    page = client.submit("#deliver form", press="then=deliver", **{name: "1,000"})
    assert "Leverans 1 är registrerad." in page.text
