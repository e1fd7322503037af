"""New rows on a credit note: articles, free rows, return freight; what they come to, at Klarna and in the books (K27-K46)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import money
from db import reading, writing
from errors import BadInput, Refusal, Stale
from models import Document, DocumentLine
from services import credit_drafts, credit_form, credit_notes, credit_rows, credited, new_rows, reservations, verify
from services.credit_rows import Typed
from states import DocState, LineKind, WithoutKlarna
from tests.blueprints.document_pages import booked
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

FREE = Typed(quantity="1", price="-49,00", name="Tvätt", vat_rate="2500")


def a_draft(klarna: Any, sandbox: Any, actor: Any, lines: Any = 1, **order: Any) -> int:
    invoice = a_captured_invoice(klarna, sandbox, lines=lines, **order)
    with writing() as session:
        return credit_drafts.start(session, actor, invoice.id).id


def an_exchange(klarna: Any, sandbox: Any, actor: Any, price: int = 29_900) -> tuple[int, int]:
    """A draft with a T-shirt back and a cap out: its id and the cap's row."""
    draft_id = a_draft(klarna, sandbox, actor)
    with writing() as session:
        cap = an_article(session, "Keps", price)
        return draft_id, credit_rows.add_article(session, actor, draft_id, cap.id).id


def figures_of(draft_id: int) -> credit_drafts.Figures:
    with reading() as session:
        return credit_drafts.figures(session, session.get_one(Document, draft_id))


def create(klarna: Any, actor: Any, draft_id: int) -> Document:
    return the_document(reservations.credit(klarna, actor, draft_id, a_money_form(figures_of(draft_id).gross_minor)))


def all_is_well() -> None:
    """The checks of flask verify that new rows touch (I1, I10, A4, S3 among them)."""
    checks = ["I1", "I2", "I3", "I4", "I9", "I10", "A3", "A4", "A9", "A11", "A13", "S1", "S2", "S3", "X7"]
    with reading() as session:
        assert not [each for result in verify.run(session, checks) for each in result.findings]


def sent(sandbox: Any) -> dict[str, Any]:
    """The body of the last refund."""
    return dict(sandbox.writes(operation="create_refund")[-1]["body"])


def test_a_row_says_in_words_whether_the_customer_is_charged_or_credited() -> None:
    """K28."""
    assert str(new_rows.words(DocumentLine(gross_minor=-4_900), "SEK")) == "The customer is charged SEK 49.00"
    assert str(new_rows.words(DocumentLine(gross_minor=4_900), "SEK")) == "The customer is credited SEK 49.00"


def test_a_cheaper_article_on_the_same_note_refunds_the_difference(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K27, K43, K44, E6, I10: two lines, the new one with a reference no captured line has; golden voucher E6."""
    draft_id, _ = an_exchange(klarna, sandbox, clerk)
    note = create(klarna, clerk, draft_id)
    assert (note.state, note.gross_minor, note.vat_minor) == (DocState.ISSUED, 20_000, 4_000)
    body = sent(sandbox)
    assert body["refunded_amount"] == 20_000
    old, new = body["order_lines"]
    assert (old["total_amount"], new["total_amount"], new["total_tax_amount"]) == (49_900, -29_900, -5_980)
    captured = sandbox.writes(operation="create_capture")[-1]["body"]["order_lines"]
    assert old["reference"] == captured[0]["reference"] != new["reference"] and "#" in new["reference"]
    assert booked(f"credit_note:{note.number_text}") == {3001: 39_920 - 23_920, 2611: 9_980 - 5_980, 1510: -20_000}
    all_is_well()


def test_return_freight_is_klarnas_return_fee_on_one_full_capture(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K28, question 7, E4b: 499,00 back less 49,00 is a refund of exactly 450,00 with a return_fee line."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        credit_rows.add_return_freight(session, clerk, draft_id, "49,00", "Returfrakt")
        form = credit_form.form(session, clerk, draft_id)
        assert form.shown == "return_fee" and form.no_return_fee is None
        with pytest.raises(Refusal, match="already has return freight"):
            credit_rows.add_return_freight(session, clerk, draft_id, "-49", "Returfrakt")
    note = create(klarna, clerk, draft_id)
    assert note.state is DocState.ISSUED and note.gross_minor == 45_000
    fee = sent(sandbox)["order_lines"][1]
    assert (fee["type"], fee["unit_price"], fee["total_amount"], fee["tax_rate"]) == (
        "return_fee",
        -4_900,
        -4_900,
        2500,
    )
    assert booked(f"credit_note:{note.number_text}") == {3001: 39_920, 2611: 9_980 - 980, 3520: -3_920, 1510: -45_000}
    all_is_well()


def test_after_a_part_capture_return_freight_is_an_ordinary_row_and_the_page_says_so(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Question 7: Klarna would refuse a return_fee; the sandbox shows that it does."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=2)
        a_delivery(session, order, {order.lines[0].id: 1000})
    invoice = an_invoice(klarna, order)
    with writing() as session:
        draft_id = credit_drafts.start(session, clerk, invoice.id).id
        credit_rows.add_return_freight(session, clerk, draft_id, "49", "Returfrakt")
        form = credit_form.form(session, clerk, draft_id)
        assert form.shown == "rows" and "no return fee" in str(form.no_return_fee)
    note = create(klarna, clerk, draft_id)
    assert note.state is DocState.ISSUED
    assert [line["type"] for line in sent(sandbox)["order_lines"]] == ["physical", "shipping_fee"]


@pytest.mark.parametrize(("country", "fee"), [("SE", True), ("NO", True), ("IT", False), ("US", False)])
def test_only_countries_that_both_of_klarnas_pages_name_have_a_return_fee(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, country: str, fee: bool
) -> None:
    """Question 7."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        draft = session.get_one(Document, draft_id)
        assert draft.order is not None
        draft.order.party = draft.order.party.replace('"SE"', f'"{country}"')
        session.flush()
        assert (credit_form.refund_lines.why_no_return_fee(session, draft) is None) is fee


def test_with_several_captures_new_rows_are_drawn_off_so_that_the_right_invoice_at_klarna_is_lowered(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K44, reference 2.6: a row no capture has would leave the refund on none of the customer's invoices."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=2)
        a_delivery(session, order, {order.lines[0].id: 1000})
    an_invoice(klarna, order)
    with writing() as session:
        a_delivery(session, order)
    second = an_invoice(klarna, order)
    with writing() as session:
        draft_id = credit_drafts.start(session, clerk, second.id).id
        credit_rows.add_free(session, clerk, draft_id, FREE)
        assert credit_form.form(session, clerk, draft_id).shown == "drawn_off"
    note = create(klarna, clerk, draft_id)
    assert note.state is DocState.ISSUED and note.gross_minor == 35_000
    (line,) = sent(sandbox)["order_lines"]
    assert (line["total_amount"], line["quantity"]) == (35_000, 1)
    state = sandbox.state(order.klarna_order_id)
    assert [each["refunded_amount"] for each in state["captures"]] == [0, 35_000]
    with writing() as session:
        draft_id = credit_drafts.start(session, clerk, second.id).id
        credit_rows.add_free(session, clerk, draft_id, Typed("1", "49", "Tvätt åter", "2500"))
    assert create(klarna, clerk, draft_id).state is DocState.ISSUED
    assert [each["refunded_amount"] for each in sandbox.state(order.klarna_order_id)["captures"]] == [0, 39_900]
    all_is_well()


def test_a_price_reduction_is_a_new_row_with_plus_and_counts_against_the_invoice(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K33, K38: 100,00 off; what is left then is the invoice less that."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        shirt = session.get_one(Document, draft_id).lines[0].id
        credit_drafts.remove_row(session, clerk, draft_id, shirt)
        credit_rows.add_free(session, clerk, draft_id, Typed("1", "100", "Prisnedsättning", "2500"))
    note = create(klarna, clerk, draft_id)
    assert note.gross_minor == 10_000 and sent(sandbox)["order_lines"][0]["total_amount"] == 10_000
    with writing() as session:
        again = credit_drafts.start(session, clerk, note.original_id or 0).id
        assert "At most SEK 399.00 can be credited" in str(credit_form.form(session, clerk, again).refusal)
    all_is_well()


def test_what_was_charged_can_be_given_back_when_no_row_is_left(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K8, K28: the return freight was taken off; a further refund of it is possible, and no more than it."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        credit_rows.add_return_freight(session, clerk, draft_id, "49", "Returfrakt")
    note = create(klarna, clerk, draft_id)
    with writing() as session:
        again = credit_drafts.start(session, clerk, note.original_id or 0).id
        row_id = credit_rows.add_free(session, clerk, again, Typed("1", "49,01", "Returfrakt åter", "2500")).id
        assert "At most SEK 49.00 can be credited" in str(credit_form.form(session, clerk, again).refusal)
    with writing() as session:
        credit_rows.change(session, clerk, again, row_id, Typed(price="49"))
    assert create(klarna, clerk, again).state is DocState.ISSUED
    with writing() as session:
        assert credited.why_not_credited(session, session.get_one(Document, note.original_id)) is not None
    all_is_well()


def test_a_dearer_article_is_refused_with_the_sum(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K44, to the letter; catalogue 85."""
    draft_id, _ = an_exchange(klarna, sandbox, clerk, 59_900)
    with pytest.raises(BadInput, match=r"The sum is SEK -100\.00\. A credit note cannot charge the customer"):
        create(klarna, clerk, draft_id)
    assert not sandbox.posts(operation="create_refund")


def test_goods_against_goods_may_come_to_nothing_without_klarna_alone(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K30, E5: the one-document variant; with Klarna 0,00 is refused."""
    draft_id, _ = an_exchange(klarna, sandbox, clerk, 49_900)
    with pytest.raises(BadInput, match="cannot charge"):
        create(klarna, clerk, draft_id)
    with writing() as session:
        credit_drafts.set_options(
            session, clerk, draft_id, restock=False, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
    note = create(klarna, clerk, draft_id)
    assert (note.state, note.gross_minor, note.open_minor) == (DocState.ISSUED, 0, 0)
    assert note.without_klarna_reason is WithoutKlarna.EVEN_EXCHANGE
    assert not sandbox.posts(operation="create_refund")
    all_is_well()


def test_a_new_stock_article_with_minus_unticks_and_locks_the_stock_box(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K45, K46, catalogue 85: refused by the server too; freight and a price with plus leave the box alone."""
    draft_id = a_draft(klarna, sandbox, clerk)
    box = {"warehouse_id": None, "without_klarna": False, "reason": ""}
    with writing() as session:
        credit_drafts.set_options(session, clerk, draft_id, restock=True, **box)
        credit_rows.add_return_freight(session, clerk, draft_id, "49", "Returfrakt")
        assert session.get_one(Document, draft_id).restock
        cap = credit_rows.add_article(session, clerk, draft_id, an_article(session, "Keps", 29_900).id).id
        draft = session.get_one(Document, draft_id)
        assert not draft.restock and not any(line.restock_milli for line in draft.lines)
        form = credit_form.form(session, clerk, draft_id)
        assert [each.milli for each in form.adjust] == [1000, -1000]
    with pytest.raises(BadInput, match="Adjust the stock of both articles by hand"), writing() as session:
        credit_drafts.set_options(session, clerk, draft_id, restock=True, **box)
    with writing() as session:
        credit_rows.change(session, clerk, draft_id, cap, Typed(price="29"))
        assert credit_form.form(session, clerk, draft_id).no_restock is None
        credit_drafts.set_options(session, clerk, draft_id, restock=True, **box)
        credit_rows.change(session, clerk, draft_id, cap, Typed(price="-29"))
        assert not session.get_one(Document, draft_id).restock
        credit_drafts.remove_row(session, clerk, draft_id, cap)
        credit_drafts.set_options(session, clerk, draft_id, restock=True, **box)
        credit_drafts.put_back_row(session, clerk, draft_id, cap)
        assert not session.get_one(Document, draft_id).restock


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        (Typed(quantity="0"), "quantity"),
        (Typed(quantity="-1"), "quantity"),
        (Typed(quantity="1e3"), "quantity"),
        (Typed(price="0"), "price"),
        (Typed(price="+49"), "price"),
        (Typed(price="(49)"), "price"),
        (Typed(price="−2000000,01"), "price"),
        (Typed(quantity="1000000", price="-3"), "price"),
        (Typed(quantity="0,001", price="-0,01"), "quantity"),
        (Typed(name=" "), "name"),
        (Typed(name="a\u202eb"), "name"),
        (Typed(vat_rate="1700"), "rate"),
        (Typed(vat_rate="25"), "rate"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, typed: Typed, field: str
) -> None:
    """K27, K28, catalogue 1-6, 9, 14, 85: nothing is saved."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        line_id = credit_rows.add_free(session, clerk, draft_id, FREE).id
    with pytest.raises(BadInput) as refused, writing() as session:
        credit_rows.change(session, clerk, draft_id, line_id, typed)
    assert refused.value.field == f"{field}-{line_id}"
    with reading() as session:
        line = session.get_one(DocumentLine, line_id)
        assert (line.quantity_milli, line.unit_price_minor, line.name) == (1000, -4_900, "Tvätt")


def test_an_articles_text_and_rate_are_its_own_and_the_invoices_rows_take_none(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K22, K27."""
    draft_id, cap = an_exchange(klarna, sandbox, clerk)
    with pytest.raises(BadInput, match="follow from the article"), writing() as session:
        credit_rows.change(session, clerk, draft_id, cap, Typed(vat_rate="600"))
    with reading() as session:
        shirt = session.get_one(Document, draft_id).lines[0].id
    with pytest.raises(BadInput, match="follow from the invoice"), writing() as session:
        credit_rows.change(session, clerk, draft_id, shirt, Typed(price="1"))


def test_a_new_article_has_the_rate_of_the_day_the_note_is_made(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K27, A11: food was 12 % until 2026-03-31; a draft that is older than the change says so and sends nothing."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        line = credit_rows.add_article(session, clerk, draft_id, an_article(session, "Godis", 5_000, rate=600).id)
        assert line.vat_rate == 600
        line.vat_rate, line.vat_minor = 1200, -536
    with pytest.raises(Stale, match="What can be credited has changed"):
        create(klarna, clerk, draft_id)
    assert not sandbox.posts(operation="create_refund")


def test_articles_are_found_by_number_name_and_gtin(books: Any) -> None:
    """K27."""
    with writing() as session:
        cap = an_article(session, "Keps svart", 29_900, gtin="7350053850019")
        for text in (cap.number, "eps SV", "7350053850019"):
            assert [each.id for each in credit_rows.find(session, text)] == [cap.id], text
        assert credit_rows.find(session, "  ") == [] and credit_rows.find(session, "zzz") == []


def test_the_new_row_s_reference_is_none_of_the_orders(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """I10: also when the same article is on the invoice, and over several notes."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", pieces=4)])
    references: list[str | None] = []
    for _ in range(2):
        with writing() as session:
            draft = credit_drafts.start(session, clerk, invoice.id)
            credit_drafts.set_quantity(session, clerk, draft.id, draft.lines[0].id, "1")
            credit_rows.add_article(session, clerk, draft.id, draft.lines[0].article_id or 0)
            credit_rows.add_free(session, clerk, draft.id, Typed("1", "10", "Prisnedsättning", "2500"))
        references += [line.klarna_reference for line in create(klarna, clerk, draft.id).lines[1:]]
    assert len(set(references)) == 4 and invoice.lines[0].klarna_reference not in references
    all_is_well()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from([600, 1200, 2500]), st.integers(-9_999, 9_999)), max_size=8))
def test_vat_of_new_rows_is_that_of_their_sum_per_rate(rows: list[tuple[int, int]]) -> None:
    """A4, K27."""
    lines = [
        DocumentLine(kind=LineKind.TEXT, quantity_milli=1000, unit_price_minor=price, vat_rate=rate, removed=False,
                     gross_minor=0, vat_minor=0)
        for rate, price in rows
    ]  # fmt: skip
    draft = Document(lines=lines, restock=False)
    new_rows.reprice(None, draft)  # type: ignore[arg-type]
    for rate in (600, 1200, 2500):
        gross = sum(line.gross_minor for line in lines if line.vat_rate == rate)
        assert sum(line.vat_minor for line in lines if line.vat_rate == rate) == money.vat_of_gross(gross, rate)


def test_lone_freight_of_the_invoice_gives_its_rate_to_the_return_freight(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Question 7."""
    draft_id = a_draft(
        klarna, sandbox, clerk, [row("Bok", 20_000, rate=600), row("Frakt", 4_900, rate=600, kind=FREIGHT)]
    )
    with writing() as session:
        assert credit_rows.add_return_freight(session, clerk, draft_id, "39", "Returfrakt").vat_rate == 600
    with reading() as session:
        draft = session.get_one(Document, draft_id)
        assert not credit_notes.is_even(draft)
