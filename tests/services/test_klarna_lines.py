"""What Klarna gets of a document's rows: references, exact amounts, tracking (ground rules)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from db import reading, writing
from models import DocumentLine
from services import credit_drafts, reservations
from states import DocState, LineKind
from tests.builders import (
    FREIGHT,
    a_captured_invoice,
    a_delivery,
    a_money_form,
    an_article,
    an_invoice,
    an_order,
    row,
    the_document,
)


def sent(sandbox: Any, operation: str) -> dict[str, Any]:
    """The body of the last request of this kind."""
    body: dict[str, Any] = sandbox.posts(operation=operation)[-1]["body"]
    return body


def test_a_quantity_with_decimals_is_sent_as_one_unit_with_the_exact_amount(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """B14: half a metre at 200,00 goes as one at 100,00, with the real quantity in its name."""
    a_captured_invoice(klarna, sandbox, lines=[row("Väv", 20_000, quantity_milli=500, unit="m"), row("Mugg", pieces=2)])
    cloth, mug = sent(sandbox, "create_capture")["order_lines"]
    assert (cloth["quantity"], cloth["unit_price"], cloth["total_amount"]) == (1, 10_000, 10_000)
    assert cloth["name"] == "Väv (0,5 m)"
    assert (mug["quantity"], mug["unit_price"], mug["total_amount"], mug["name"]) == (2, 49_900, 99_800, "Mugg")


def test_tracking_goes_along_with_the_capture_of_its_rows_once(books: Any, klarna: Any, sandbox: Any) -> None:
    """F20: each capture carries the tracking numbers of what was delivered since the one before."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=2)
        first, second = order.lines[0].id, order.lines[1].id
        a_delivery(session, order, {first: 1000}, carrier="PostNord", tracking_number="1Z")
    an_invoice(klarna, order)
    assert sent(sandbox, "create_capture")["shipping_info"] == [
        {"shipping_company": "PostNord", "tracking_number": "1Z"}
    ]
    with writing() as session:
        a_delivery(session, order, {second: 1000}, carrier="DHL", tracking_number="2Z")
    an_invoice(klarna, order)
    assert [each["tracking_number"] for each in sent(sandbox, "create_capture")["shipping_info"]] == ["2Z"]


def two_of_one_article(session: Any) -> list[Any]:
    """The same article twice, once at a discount, between text and freight."""
    shirt = an_article(session, "T-shirt", 49_900)
    return [
        row(article=shirt, pieces=2),
        row("Gravyr", 5_000, kind=LineKind.TEXT),
        row(article=shirt, discount_minor=10_000),
        row("Frakt", 4_900, kind=FREIGHT),
    ]


def test_equal_article_numbers_get_references_of_their_own_over_all_captures(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """K7, K39, K40: within an invoice, and where the same row is captured in two parts."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=two_of_one_article(session))
        a_delivery(session, order, {order.lines[0].id: 1000})
    an_invoice(klarna, order)
    with writing() as session:
        a_delivery(session, order)
    an_invoice(klarna, order)
    with reading() as session:
        references = list(session.scalars(select(DocumentLine.klarna_reference)))
    assert len(references) == len(set(references)) == 5
    amounts = [each["body"]["captured_amount"] for each in sandbox.posts(operation="create_capture")]
    assert sum(amounts) == 49_900 * 3 - 10_000 + 5_000 + 4_900


def test_a_full_credit_with_text_rows_and_equal_numbers_asks_for_nothing(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K34, K35, K41: no tick and no warning; Klarna gets back every line it had."""
    with writing() as session:
        lines = two_of_one_article(session)
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        total, draft_id = credit_drafts.figures(session, draft).gross_minor, draft.id
    reservations.credit(klarna, clerk, draft_id, a_money_form(total))
    assert the_document(draft_id).state is DocState.ISSUED
    captured, refunded = sent(sandbox, "create_capture"), sent(sandbox, "create_refund")
    assert refunded["refunded_amount"] == captured["captured_amount"] == 149_600
    assert [line["reference"] for line in refunded["order_lines"]] == [
        line["reference"] for line in captured["order_lines"]
    ]


def test_a_refund_repeats_the_references_of_the_captured_rows(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K40: the second row of two with one article number is the one that comes back, with exactly its amount."""
    with writing() as session:
        lines = two_of_one_article(session)
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        for line in (draft.lines[0], draft.lines[1], draft.lines[3]):
            credit_drafts.remove_row(session, clerk, draft.id, line.id)
        draft_id = draft.id
    reservations.credit(klarna, clerk, draft_id, a_money_form(39_900))
    refunded = sent(sandbox, "create_refund")
    (line,) = refunded["order_lines"]
    assert refunded["refunded_amount"] == line["total_amount"] == 39_900
    assert line["reference"] == sent(sandbox, "create_capture")["order_lines"][2]["reference"]
