"""Which document a row belongs to, what a row proves or contradicts, what a person does with the rest (B4, operations 8)."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from klarna_sandbox.control import Control
from models import Document, KlarnaOp, Order, Payout, PayoutRow, RowMatch
from services import (
    credit_drafts,
    credit_notes,
    orders,
    payments,
    reservations,
    settlement_rows,
    settlements,
)
from services.gateway import Gateway
from states import (
    BreakKind,
    DocState,
    OpState,
    Origin,
    PayoutState,
    Pile,
    WithoutKlarna,
)
from tests import worlds
from tests.builders import (
    CLERK,
    FINANCE,
    a_delivery,
    a_money_form,
    an_account,
    an_invoice,
    an_order,
    row,
    the_document,
)
from tests.services.settlement_parts import (
    a_refund,
    a_sale,
    all_is_well,
    booked,
    csv_of,
    entries,
    fees,
    fetched,
    open_breaks,
    payout_of,
    rows_of,
    tie,
    upload,
)

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture(autouse=True)
def no_fees(sandbox: Control) -> None:
    fees(sandbox, 0)


def klarna_order(document: Document) -> str:
    with reading() as session:
        return session.get_one(Order, document.order_id).klarna_order_id or ""


def parked(klarna: Gateway, sandbox: Control) -> Payout:
    """Pay out and fetch; the payout waits."""
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    return payout


def the_row(payout: Payout, type_: str) -> tuple[PayoutRow, RowMatch]:
    (found,) = [each for each in rows_of(payout) if each[0].type == type_]
    return found


def act(function: Any, *given: Any) -> None:
    with writing() as session:
        function(session, FINANCE, *given)


def last_op(document: Document) -> KlarnaOp:
    with reading() as session:
        query = sa.select(KlarnaOp).where(KlarnaOp.document_id == document.id).order_by(KlarnaOp.try_no.desc())
        return session.scalars(query.limit(1)).one()


# --- What a row proves ---------------------------------------------------------------------------------------------------


def an_unknown(klarna: Gateway, sandbox: Control, amount: int) -> Document:
    """An invoice whose activation was carried out and never answered."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", amount)])
        a_delivery(session, order)
    sandbox.fault("drop_after", operation="create_capture")
    document = an_invoice(klarna, order)
    assert document.state is DocState.PENDING and last_op(document).state is OpState.UNKNOWN
    return document


def test_a_row_with_our_number_proves_an_operation_without_answer(klarna: Gateway, sandbox: Control) -> None:
    """Operations 8: the document is issued by the row, booked, and paid in the same transaction."""
    document = an_unknown(klarna, sandbox, 800_00)
    payout = booked(klarna, sandbox)
    op = last_op(document)
    assert op.state is OpState.CONFIRMED and op.klarna_object_id is not None
    proved = the_document(document.id)
    assert (proved.state, proved.open_minor, proved.paid_reference) == (DocState.ISSUED, 0, payout.payment_reference)
    assert entries(payout) == {1930: 800_00, 1510: -800_00}
    all_is_well()


def test_a_refund_without_answer_is_proved_by_its_return(klarna: Gateway, sandbox: Control) -> None:
    invoice = a_sale(klarna, sandbox, 800_00)
    booked(klarna, sandbox)
    sandbox.fault("drop_after", operation="create_refund")
    note = a_refund(klarna, invoice)
    assert note.state is DocState.PENDING
    booked(klarna, sandbox)
    assert the_document(note.id).state is DocState.ISSUED
    all_is_well()


def a_refused(klarna: Gateway, sandbox: Control, amount: int) -> Document:
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", amount)])
        a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    document = an_invoice(klarna, order)
    assert document.state is DocState.REFUSED
    return document


def test_a_row_against_a_decision_is_faulty_and_opens_a_break(klarna: Gateway, sandbox: Control) -> None:
    document = a_refused(klarna, sandbox, 800_00)
    sandbox.portal_capture(klarna_order(document), reference=document.number_text)
    payout = parked(klarna, sandbox)
    _, match = the_row(payout, "SALE")
    assert (match.pile, match.because) == (Pile.FAULTY, "contradicts")
    (found,) = open_breaks()
    assert (found.kind, found.document_id, found.difference_minor) == (
        BreakKind.ROW_CONTRADICTS_DECISION,
        document.id,
        800_00,
    )
    assert the_document(document.id).state is DocState.REFUSED
    all_is_well()


def test_another_amount_under_our_number_proves_nothing(klarna: Gateway, sandbox: Control) -> None:
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", 800_00)])
        a_delivery(session, order)
    sandbox.fault("drop_before", operation="create_capture")
    document = an_invoice(klarna, order)
    assert last_op(document).state in (OpState.UNKNOWN, OpState.PREPARED)
    sandbox.portal_capture(klarna_order(document), 799_00, reference=document.number_text)
    payout = parked(klarna, sandbox)
    _, match = the_row(payout, "SALE")
    assert (match.pile, match.because) == (Pile.FAULTY, "not_issued")
    assert the_document(document.id).state is DocState.PENDING


def test_the_same_number_twice_is_faulty_and_a_break(klarna: Gateway, sandbox: Control) -> None:
    """M8: one row pays, the other waits, and a break says so."""
    invoice = a_sale(klarna, sandbox, 800_00)
    with reading() as session:
        account = session.scalars(sa.select(Order)).one().account_id
    assert account is not None
    sandbox.next_payout(rows=[])
    extra = sandbox.order(
        mid="K000001", order_amount=800_00, captures=[{"captured_amount": 800_00, "reference": invoice.number_text}]
    )
    assert extra
    payout = parked(klarna, sandbox)
    assert sorted((match.pile, match.because) for _, match in rows_of(payout) if _.type == "SALE") == [
        (Pile.FAULTY, "twice"),
        (Pile.MATCHED, None),
    ]
    assert [each.kind for each in open_breaks()] == [BreakKind.DUPLICATE_NUMBER]


# --- How a partner is found -------------------------------------------------------------------------------------------------


def test_a_capture_nobody_knows_of_becomes_an_external_act(klarna: Gateway, sandbox: Control) -> None:
    """Operations 13: it counts against the limits from that moment."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", 800_00)])
    sandbox.portal_capture(order.klarna_order_id or "")
    payout = parked(klarna, sandbox)
    _, match = the_row(payout, "SALE")
    assert (match.pile, match.because, match.document_id) == (Pile.FAULTY, "none", None)
    with reading() as session:
        op = session.scalars(sa.select(KlarnaOp)).one()
    assert (op.state, op.origin, op.amount_minor) == (OpState.EXTERNAL, Origin.SETTLEMENT, 800_00)
    assert [each.kind for each in open_breaks()] == [BreakKind.CAPTURE_UNKNOWN]
    reservations.look_at(klarna, order.id)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaOp)) == 1
    all_is_well()


def kept_without_klarna(klarna: Gateway, sandbox: Control, invoice: Document) -> Document:
    """A credit note that stands for a refund made in the portal."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        total = credit_drafts.figures(session, draft).gross_minor
        credit_drafts.set_options(
            session,
            FINANCE,
            draft.id,
            restock=False,
            warehouse_id=None,
            without_klarna=True,
            reason=WithoutKlarna.CREDITED_IN_PORTAL,
        )
    return the_document(reservations.credit(klarna, FINANCE, draft.id, a_money_form(total)))


def test_a_refund_made_in_the_portal_is_matched_by_its_id(klarna: Gateway, sandbox: Control) -> None:
    """K48: by the credit note's number, else by refund id; its number was never sent."""
    invoice = a_sale(klarna, sandbox, 800_00)
    booked(klarna, sandbox)
    sandbox.portal_refund(klarna_order(invoice))
    note = kept_without_klarna(klarna, sandbox, invoice)
    payout = booked(klarna, sandbox)
    found, match = the_row(payout, "RETURN")
    assert found.refund_reference is None and match.document_id == note.id
    assert the_document(note.id).open_minor == 0
    all_is_well()


def test_a_refund_first_seen_in_a_payout_can_be_tied_to_a_refused_credit_note(
    klarna: Gateway, sandbox: Control
) -> None:
    """K19, K20: the note keeps its own refused try beside the act it now stands for."""
    invoice = a_sale(klarna, sandbox, 800_00)
    booked(klarna, sandbox)
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED")
    note = a_refund(klarna, invoice)
    assert note.state is DocState.REFUSED
    sandbox.portal_refund(klarna_order(invoice))
    parked(klarna, sandbox)
    with reading() as session:
        seen = session.scalars(sa.select(KlarnaOp).where(KlarnaOp.state == OpState.EXTERNAL)).one()
    assert seen.origin is Origin.SETTLEMENT
    reservations.keep_without_klarna(klarna, FINANCE, note.id, WithoutKlarna.CREDITED_IN_PORTAL, False)
    assert the_document(note.id).issued_by_op_id == seen.id


def without(content: bytes, *columns: str) -> bytes:
    """The report without the values of some columns."""
    head, values, names, *rows = content.decode().splitlines()
    places = [names.split(";").index(column) for column in columns]
    bare = [";".join("" if place in places else cell for place, cell in enumerate(line.split(";"))) for line in rows]
    return "\n".join([head, values, names, *bare]).encode() + b"\n"


def test_without_number_and_id_order_and_amount_decide(klarna: Gateway, sandbox: Control) -> None:
    """Two invoices of one order with different amounts, told apart by order, amount and type."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", 800_00), row("Keps", 300_00)])
        first, second = (line.id for line in order.lines)
        a_delivery(session, order, {first: 1000})
    one = an_invoice(klarna, order)
    with writing() as session:
        a_delivery(session, orders.get(session, order.id), {second: 1000})
    two = an_invoice(klarna, order)
    made = sandbox.pay_out()[0]
    upload(klarna, without(csv_of(sandbox, made), "merchant_capture_reference", "capture_id"))
    payout = payout_of(made)
    assert payout.state is PayoutState.BOOKED
    assert {row_.amount_minor: match.document_id for row_, match in rows_of(payout) if row_.type == "SALE"} == {
        800_00: one.id,
        300_00: two.id,
    }
    all_is_well()


def test_the_chosen_field_finds_the_order(klarna: Gateway, sandbox: Control) -> None:
    """The setting match_field: the shop's order number, where the report has no order id of Klarna's."""
    invoice = a_sale(klarna, sandbox, 800_00, shop_number="W777", merchant_reference2="R777")
    made = sandbox.pay_out()[0]
    bare = without(csv_of(sandbox, made), "merchant_capture_reference", "capture_id", "order_id", "short_order_id")
    upload(klarna, bare)
    assert the_document(invoice.id).paid_reference == made["payment_reference"]


def twins(klarna: Gateway, sandbox: Control, count: int) -> list[Document]:
    """Invoices of the same sum on one order."""
    with writing() as session:
        order = an_order(
            session, sandbox, klarna, lines=[row("Jacka", 800_00) for _ in range(count)], shop_number="W900"
        )
        lines = [line.id for line in order.lines]
    made = []
    for line in lines:
        with writing() as session:
            a_delivery(session, orders.get(session, order.id), {line: 1000})
        made.append(an_invoice(klarna, order))
    return made


def test_twins_are_matched_one_to_one(klarna: Gateway, sandbox: Control) -> None:
    both = twins(klarna, sandbox, 2)
    made = sandbox.pay_out()[0]
    upload(klarna, without(csv_of(sandbox, made), "merchant_capture_reference", "capture_id"))
    payout = payout_of(made)
    matched = [match.document_id for row_, match in rows_of(payout) if row_.type == "SALE"]
    assert sorted(matched) == sorted(each.id for each in both)
    all_is_well()


def test_a_row_that_fits_several_documents_is_left_to_a_person(klarna: Gateway, sandbox: Control) -> None:
    twins(klarna, sandbox, 2)
    made = sandbox.pay_out()[0]
    bare = without(csv_of(sandbox, made), "merchant_capture_reference", "capture_id")
    head, values, names, *rows = bare.decode().splitlines()
    sales = [line for line in rows if line.startswith("SALE")]
    rows.remove(sales[0])
    upload(klarna, "\n".join([head, values.replace("1600.00", "800.00"), names, *rows]).encode())
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    _, match = the_row(payout, "SALE")
    assert (match.pile, match.because) == (Pile.FAULTY, "several")


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_rows_decides_nothing(klarna: Gateway, sandbox: Control, seed: int) -> None:
    """Twins, plain sales and a refund, shuffled: the same documents are paid by the same sums, one row each."""
    fees(sandbox, 3_00)
    made = twins(klarna, sandbox, 3)
    made += [a_sale(klarna, sandbox, 450_00), a_sale(klarna, sandbox, 450_00)]
    note = a_refund(klarna, made[3])
    payout = sandbox.pay_out()[0]
    content = csv_of(sandbox, payout)
    if seed % 2:
        content = without(content, "merchant_capture_reference", "capture_id")
    head, values, names, *rows = content.decode().splitlines()
    random.Random(seed).shuffle(rows)
    upload(klarna, "\n".join([head, values, names, *rows]).encode())
    kept = payout_of(payout)
    assert kept.state is PayoutState.BOOKED, kept.parked_because
    pairs = [(row_.type, match.document_id) for row_, match in rows_of(kept) if row_.type in ("SALE", "RETURN")]
    assert sorted(pairs, key=str) == sorted([("RETURN", note.id), *(("SALE", each.id) for each in made)], key=str)
    with reading() as session:
        assert not session.scalars(sa.select(Document.open_minor).where(Document.open_minor != 0)).all()
    all_is_well()


def test_a_document_of_another_store_id_is_no_partner(klarna: Gateway, sandbox: Control) -> None:
    """The number is right, the account is not."""
    with writing() as session:
        an_account(session, sandbox, klarna)
        other = an_account(session, sandbox, klarna, name="Butik två")
    invoice = a_sale(klarna, sandbox, 800_00, account=other)
    sandbox.order(
        mid="K000001", order_amount=800_00, captures=[{"captured_amount": 800_00, "reference": invoice.number_text}]
    )
    made = {each["mid"]: each for each in sandbox.pay_out()}
    fetched(klarna)
    assert payout_of(made["K000002"]).state is PayoutState.BOOKED
    assert payout_of(made["K000001"]).state is PayoutState.PARKED


def test_a_return_for_a_reversed_credit_note_waits_for_a_person(klarna: Gateway, sandbox: Control) -> None:
    """Refused, kept without Klarna, reversed, and paid back all the same: no claim may stand on what is reversed."""
    invoice = a_sale(klarna, sandbox, 800_00)
    booked(klarna, sandbox)
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED")
    note = a_refund(klarna, invoice)
    reservations.keep_without_klarna(klarna, FINANCE, note.id, WithoutKlarna.EVEN_EXCHANGE, False)
    with writing() as session:
        credit_notes.reverse(session, FINANCE, note.id, "bytet blev inte av")
    sandbox.portal_refund(klarna_order(invoice), reference=note.number_text)
    sandbox.next_payout(holdback=1_00)
    payout = parked(klarna, sandbox)
    row_, match = the_row(payout, "RETURN")
    assert (match.pile, match.because, match.document_id) == (Pile.FAULTY, "contradicts", None)
    assert [each.kind for each in open_breaks()] == [BreakKind.ROW_CONTRADICTS_DECISION]
    again = kept_without_klarna(klarna, sandbox, invoice)
    tie(row_.id, again.number_text)
    act(settlements.book, payout.id)
    assert [the_document(each).open_minor for each in (invoice.id, note.id, again.id)] == [0, 0, 0]
    all_is_well()


def test_a_row_of_another_store_id_contradicts_no_decision(klarna: Gateway, sandbox: Control) -> None:
    """A number means our document only in its own account: one that was refused and kept stays as it was decided."""
    with writing() as session:
        an_account(session, sandbox, klarna)
        other = an_account(session, sandbox, klarna, name="Butik två")
    invoice = a_sale(klarna, sandbox, 800_00, account=other)
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED")
    note = a_refund(klarna, invoice)
    reservations.keep_without_klarna(klarna, FINANCE, note.id, WithoutKlarna.EVEN_EXCHANGE, False)
    foreign = sandbox.order(mid="K000001", order_amount=800_00, captures=[{"captured_amount": 800_00}])
    sandbox.portal_refund(foreign, 800_00, reference=note.number_text)
    sandbox.pay_out()
    fetched(klarna)
    assert BreakKind.ROW_CONTRADICTS_DECISION not in {each.kind for each in open_breaks()}


# --- Warnings --------------------------------------------------------------------------------------------------------------


def test_an_invoice_that_was_paid_before_becomes_overpaid_with_a_warning(klarna: Gateway, sandbox: Control) -> None:
    """B8, E14a: the reading is booked all the same."""
    invoice = a_sale(klarna, sandbox, 800_00)
    with writing() as session:
        typed = payments.Wanted(800_00, clock.today(), 1930, "betald till oss")
        payments.register(session, FINANCE, invoice.id, "1" * 32, typed)
    payout = booked(klarna, sandbox)
    _, match = the_row(payout, "SALE")
    assert (match.pile, match.because) == (Pile.WARNING, "paid")
    assert the_document(invoice.id).open_minor == -800_00


def test_a_document_in_another_currency_warns_and_waits(klarna: Gateway, sandbox: Control) -> None:
    """B4: a warning; but two currencies never pay each other, so it is settled before the payout is booked."""
    invoice = a_sale(klarna, sandbox, 800_00)
    made = sandbox.pay_out()[0]
    content = csv_of(sandbox, made).replace(b"SEK", b"EUR")
    (done,) = upload(klarna, content).payouts
    assert done.state is PayoutState.PARKED and "The payout is in EUR" in str(
        settlements.told(payout_of(made).parked_because or "")
    )
    odd, match = the_row(payout_of(made), "SALE")
    assert (match.pile, match.because, match.document_id) == (Pile.WARNING, "other_currency", invoice.id)
    with pytest.raises(Refusal, match="Two currencies"):
        act(settlements.accept, odd.id, "Så är det")
    act(settlements.mark_handled, odd.id, "Utreds")
    with pytest.raises(Refusal, match="The payout is in EUR"):
        act(settlements.book, payout_of(made).id)
    assert the_document(invoice.id).open_minor == 800_00


# --- What a person does -----------------------------------------------------------------------------------------------------


@pytest.fixture
@worlds.kept
def odd(klarna: Gateway, sandbox: Control) -> tuple[Payout, PayoutRow]:
    """A payout with a sale that fits no document, beside one that does."""
    a_sale(klarna, sandbox, 800_00)
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    payout = parked(klarna, sandbox)
    (row_,) = [each for each, match in rows_of(payout) if match.pile is Pile.FAULTY and each.type == "SALE"]
    return payout, row_


def test_a_row_is_marked_as_handled_with_name_time_and_note(odd: tuple[Payout, PayoutRow]) -> None:
    """B4: and booked on the account for what nobody has placed yet."""
    payout, row_ = odd
    act(settlements.mark_handled, row_.id, "Butiken i Norge, utreds")
    (match,) = [match for each, match in rows_of(payout) if each.id == row_.id]
    assert (match.pile, match.note, match.handled_by) == (Pile.HANDLED, "Butiken i Norge, utreds", "Ekonomen")
    act(settlements.book, payout.id)
    with reading() as session:
        again = session.get_one(Payout, payout.id)
    assert entries(again)[2999] == -300_00
    all_is_well()


def test_a_note_must_be_written(odd: tuple[Payout, PayoutRow]) -> None:
    with pytest.raises(BadInput):
        act(settlements.mark_handled, odd[1].id, "  ")


def test_what_was_done_is_taken_back_and_both_sides_are_as_before(odd: tuple[Payout, PayoutRow]) -> None:
    payout, row_ = odd
    act(settlements.mark_handled, row_.id, "Fel rad")
    act(settlements.undo, row_.id)
    (match,) = [match for each, match in rows_of(payout) if each.id == row_.id]
    assert (match.pile, match.note, match.handled_by) == (Pile.FAULTY, None, None)
    with reading() as session:
        assert session.get_one(Payout, payout.id).state is PayoutState.PARKED
    with pytest.raises(Refusal, match="Nobody has dealt"):
        act(settlements.undo, row_.id)


def test_a_person_chooses_the_document(klarna: Gateway, sandbox: Control, odd: tuple[Payout, PayoutRow]) -> None:
    payout, row_ = odd
    invoice = a_sale(klarna, sandbox, 300_00)
    tie(row_.id, f" {invoice.number_text} ")
    act(settlements.book, payout.id)
    assert the_document(invoice.id).paid_reference == payout.payment_reference
    all_is_well()


def test_a_document_that_does_not_fit_is_refused_beside_the_field(
    klarna: Gateway, sandbox: Control, odd: tuple[Payout, PayoutRow]
) -> None:
    _, row_ = odd
    sale = a_sale(klarna, sandbox, 300_00)
    note = a_refund(klarna, sale)
    with reading() as session:
        taken = session.scalars(
            sa.select(Document.number_text).join(RowMatch, RowMatch.document_id == Document.id)
        ).one()
    for number, sentence in (
        ("99999", "There is no invoice"),
        (note.number_text, "is a credit note"),
        (taken, "Another settlement row"),
    ):
        with pytest.raises(BadInput, match=sentence) as refused:
            tie(row_.id, number)
        assert refused.value.field == "document_number"


def test_a_warning_is_accepted_with_its_reason(
    klarna: Gateway, sandbox: Control, odd: tuple[Payout, PayoutRow]
) -> None:
    payout, row_ = odd
    with pytest.raises(Refusal, match="Only a warning"):
        act(settlements.accept, row_.id, "Nej")
    with writing() as session:
        session.get_one(RowMatch, row_.id).pile = Pile.WARNING
    act(settlements.accept, row_.id, "Stämmer")
    assert [match.note for each, match in rows_of(payout) if each.id == row_.id] == ["Stämmer"]


def test_a_booked_payout_stays_as_it_is(klarna: Gateway, sandbox: Control) -> None:
    a_sale(klarna, sandbox, 800_00)
    payout = booked(klarna, sandbox)
    row_, _ = the_row(payout, "SALE")
    for function in (settlements.mark_handled, settlements.accept):
        with pytest.raises(Refusal, match="booked"):
            act(function, row_.id, "x")
    with pytest.raises(Refusal, match="booked"):
        tie(row_.id, "x")
    with pytest.raises(Refusal, match="booked already"):
        act(settlements.book, payout.id)


def test_only_finance_deals_with_rows(odd: tuple[Payout, PayoutRow]) -> None:
    payout, row_ = odd
    for function, *values in (
        (settlements.mark_handled, row_.id, "x"),
        (settlements.undo, row_.id),
        (settlements.book, payout.id),
        (settlements.match_again, payout.id),
    ):
        with pytest.raises(NotAllowed), writing() as session:
            function(session, CLERK, *values)


def test_an_unknown_row_is_not_found() -> None:
    with pytest.raises(NotFound):
        act(settlements.undo, 4711)


def test_rows_are_matched_again_when_documents_have_come(klarna: Gateway, sandbox: Control) -> None:
    invoice = a_sale(klarna, sandbox, 800_00)
    booked(klarna, sandbox)
    sandbox.portal_refund(klarna_order(invoice))
    sandbox.next_payout(holdback=1_00)
    payout = parked(klarna, sandbox)
    note = kept_without_klarna(klarna, sandbox, invoice)
    act(settlements.match_again, payout.id)
    _, match = the_row(payout, "RETURN")
    assert match.document_id == note.id
    act(settlements.book, payout.id)
    assert the_document(note.id).open_minor == 0
    all_is_well()
    with reading() as session:
        assert not settlement_rows.open_breaks(session, payout.id)
