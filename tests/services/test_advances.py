"""Advances: what they come to, what later invoices deduct, what is booked, and what crediting means (F12, F29, F30, E3, A15)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, Refusal, Stale
from models import Document, Posting, Voucher
from services import (
    advance_booking,
    advances,
    credit_drafts,
    credit_notes,
    credited,
    invoices,
    orders,
    payments,
    reservations,
)
from services import settings as company
from services.invoices import Choices
from states import DocState, DocType, Role, WithoutKlarna
from tests.builders import (
    CLERK,
    DISCOUNT,
    FINANCE,
    FREIGHT,
    a_delivery,
    a_money_form,
    actor,
    an_invoice,
    an_order,
    row,
    the_document,
)
from tests.services import settlement_parts

RATES = (0, 600, 1200, 2500)


def an_advance(klarna: Any, order: Any, percent: int, **chosen: Any) -> Document:
    """An advance of so many hundredths of a percent, created for real."""
    with reading() as session:
        shown = invoices.propose(session, orders.get(session, order.id), DocType.ADVANCE, percent).gross_minor
    choices = Choices(percent=percent, **chosen)
    return the_document(
        reservations.invoice(klarna, CLERK, order.id, DocType.ADVANCE, a_money_form(shown), choices=choices)
    )


def e3_order(sandbox: Any, klarna: Any, **more: Any) -> Any:
    """The order of E3: 10 000,00 at 25 %."""
    with writing() as session:
        return an_order(
            session, sandbox, klarna, lines=[row("Cykel", 7_000_00), row("Hjälm", 1_500_00, pieces=2)], **more
        )


def a_credit(klarna: Any, invoice: Document, quantities: dict[int, str] | None = None) -> Document:
    """A credit note of all that is left of an invoice, or of these quantities of its rows by position."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        draft_id = draft.id
        for line in list(draft.lines):
            if quantities is not None and line.kind not in advances.KINDS:
                if line.position in quantities:
                    credit_drafts.set_quantity(session, FINANCE, draft_id, line.id, quantities[line.position])
                else:
                    credit_drafts.remove_row(session, FINANCE, draft_id, line.id)
        shown = sum(line.gross_minor for line in draft.lines if not line.removed)
    return the_document(reservations.credit(klarna, FINANCE, draft_id, a_money_form(shown)))


def booked(source: str) -> list[tuple[int, int]]:
    """A voucher's rows: account and amount, by account."""
    with reading() as session:
        query = (
            sa.select(Posting.account, Posting.amount_minor)
            .join(Voucher, Voucher.id == Posting.voucher_id)
            .where(Voucher.source == source)
            .order_by(Posting.account, Posting.amount_minor)
        )
        return [(account, int(amount)) for account, amount in session.execute(query)]


# --- What an advance comes to: pure -----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    ordered=st.dictionaries(st.sampled_from(RATES), st.integers(-50_000, 2_000_000), min_size=1),
    percent=st.integers(1, 10_000),
    held=st.integers(0, 10_000),
)
def test_an_advance_is_split_to_the_ore_and_no_rate_goes_above_what_is_left(
    ordered: dict[int, int], percent: int, held: int
) -> None:
    """F29, question 2: the parts add up to the share of the total; each lies between nothing and what is left of its rate."""
    rest = {rate: gross * (10_000 - held) // 10_000 for rate, gross in ordered.items()}
    charged = sum(ordered.values()) * percent // 10_000
    if not 0 < charged <= sum(rest.values()):
        return
    parts = advances.share(ordered, rest, percent, charged)
    assert sum(parts.values()) == charged
    assert all(min(rest[rate], 0) <= part <= max(rest[rate], 0) for rate, part in parts.items())


def test_the_last_ore_goes_to_the_largest_rate() -> None:
    """Question 2: 50 % of 0,01 + 0,01 + 1,00 at three rates; what rounding leaves over goes to 25 %."""
    whole = {600: 1, 1200: 1, 2500: 100}
    assert advances.share(whole, whole, 5_000, 51) == {2500: 49, 1200: 1, 600: 1}


@pytest.mark.parametrize(
    ("percent", "text"), [(3_000, "30"), (1_250, "12,5"), (3_333, "33,33"), (10_000, "100"), (1, "0,01")]
)
def test_a_percentage_is_written_without_idle_zeros(percent: int, text: str) -> None:
    assert advances.written(percent) == text


# --- Golden vouchers ---------------------------------------------------------------------------------------------------------


def test_golden_vouchers_e3a_and_e3d_with_vat_at_rest(books: Any, klarna: Any, sandbox: Any) -> None:
    """E3a: 1510 / 2420 + 2618. The final deducts: while the advance is unpaid its VAT comes from where it rests."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    assert (advance.state, advance.type, advance.gross_minor) == (DocState.ISSUED, DocType.ADVANCE, 3_000_00)
    assert booked("invoice:42580") == [(1510, 3_000_00), (2420, -2_400_00), (2618, -600_00)]
    with writing() as session:
        a_delivery(session, order)
    final = an_invoice(klarna, order)
    assert (final.gross_minor, final.vat_minor) == (7_000_00, 1_400_00)
    assert booked("invoice:42581") == [
        (1510, 7_000_00), (2420, 2_400_00), (2611, -2_000_00), (2618, 600_00), (3001, -8_000_00),
    ]  # fmt: skip
    captures = [each["body"] for each in sandbox.writes(operation="create_capture")]
    assert [each["captured_amount"] for each in captures] == [3_000_00, 7_000_00]
    for body in captures:
        assert sum(line["total_amount"] for line in body["order_lines"]) == body["captured_amount"]
    references = [line["reference"] for body in captures for line in body["order_lines"]]
    assert len(set(references)) == len(references)
    assert captures[1]["order_lines"][-1]["name"] == "Avgår förskott, faktura 42580"
    assert captures[1]["order_lines"][-1]["type"] == "discount"
    assert sandbox.state(order.klarna_order_id)["remaining_authorized_amount"] == 0


def test_golden_vouchers_e3_where_vat_is_booked_at_once(books: Any, klarna: Any, sandbox: Any) -> None:
    """E3, the other setting of the advance-VAT rule: 2611 in step a, and E3d to the letter with one row on 2611."""
    with writing() as session:
        company.change(session, actor(Role.ADMIN), "advance_vat_rule", "at_once", clock.today())
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    assert booked("invoice:42580") == [(1510, 3_000_00), (2420, -2_400_00), (2611, -600_00)]
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    assert booked(f"invoice:{final.number_text}") == [
        (1510, 7_000_00), (2420, 2_400_00), (2611, -1_400_00), (3001, -8_000_00),
    ]  # fmt: skip


def test_golden_vouchers_e3_from_advance_to_payout_to_final(books: Any, klarna: Any, sandbox: Any) -> None:
    """E3a-E3d to the letter: paid, the VAT falls due the same day in a voucher of its own; the final books 2 000 − 600."""
    settlement_parts.fees(sandbox, 45_00)
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    payout = settlement_parts.booked(klarna, sandbox)
    assert settlement_parts.entries(payout) == {1930: 2_943_75, 6060: 45_00, 2641: 11_25, 1510: -3_000_00}
    assert booked(f"payout_advance_vat:K000001:{payout.payment_reference}") == [(2611, -600_00), (2618, 600_00)]
    with reading() as session:
        moved = session.scalars(sa.select(Voucher).where(Voucher.source.like("payout_advance_vat:%"))).one()
        assert moved.day == clock.local_date(payout.payout_date)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    assert booked(f"invoice:{final.number_text}") == [
        (1510, 7_000_00), (2420, 2_400_00), (2611, -1_400_00), (3001, -8_000_00),
    ]  # fmt: skip
    settlement_parts.booked(klarna, sandbox)
    assert balances() == {1510: 0, 2420: 0, 2611: -2_000_00, 2618: 0, 3001: -8_000_00}


def test_vat_on_an_advance_paid_to_us_falls_due_when_the_last_of_it_is_registered(books: Any, klarna: Any) -> None:
    """E3c for an ordinary order: not with a part, and the day of the payment that closes it."""
    with writing() as session:
        order = an_order(session, lines=[row("Cykel", 10_000_00)])
    advance = an_advance(klarna, order, 3_000)
    for amount in (1_000_00, 2_000_00):
        assert balances()[2618] == -600_00
        wanted = payments.Wanted(amount, clock.today(), 1930, "")
        with writing() as session:
            payments.register(session, FINANCE, advance.id, secrets.token_hex(16), wanted)
    assert booked("payment_advance_vat:42580:2") == [(2611, -600_00), (2618, 600_00)] and not balances()[2618]


def test_vat_on_an_advance_paid_with_too_much_falls_due_all_the_same(books: Any, klarna: Any) -> None:
    """E3c: more than the advance was paid, so that it is paid; its VAT is not left resting."""
    with writing() as session:
        order = an_order(session, lines=[row("Cykel", 10_000_00)])
    advance = an_advance(klarna, order, 3_000)
    wanted = payments.Wanted(3_000_01, clock.today(), 1930, "", overpay=True)
    with writing() as session:
        payments.register(session, FINANCE, advance.id, secrets.token_hex(16), wanted)
    assert (balances()[2611], balances()[2618]) == (-600_00, 0)
    an_invoice(klarna, order, kind=DocType.FINAL)
    assert (balances()[2611], balances()[2618]) == (-2_000_00, 0)


def test_vat_on_an_advance_rests_again_when_its_payment_is_taken_back(books: Any, klarna: Any) -> None:
    """E3c, A7: a payment registered by mistake made no VAT fall due; what an invoice has deducted meanwhile stays where it is."""
    with writing() as session:
        order = an_order(session, lines=[row("Cykel", 1_000_00), row("Hjälm", 9_000_00)])
    advance = an_advance(klarna, order, 3_000)

    def pay() -> int:
        with writing() as session:
            wanted = payments.Wanted(3_000_00, clock.today(), 1930, "")
            return payments.register(session, FINANCE, advance.id, secrets.token_hex(16), wanted)

    def take_back(payment: int) -> None:
        with writing() as session:
            payments.take_back(session, FINANCE, advance.id, payment, "fel faktura")

    take_back(pay())
    assert (balances()[2611], balances()[2618]) == (0, -600_00)
    payment = pay()
    assert (balances()[2611], balances()[2618]) == (-600_00, 0)
    with writing() as session:
        a_delivery(session, order, {order.lines[0].id: 1000})
    an_invoice(klarna, order)
    take_back(payment)
    assert (balances()[2611], balances()[2618]) == (-200_00, -400_00)
    an_invoice(klarna, order, kind=DocType.FINAL)
    assert (balances()[2611], balances()[2618]) == (-2_000_00, 0)


def test_vat_on_an_advance_falls_due_when_what_was_booked_away_is_taken_back(books: Any, klarna: Any) -> None:
    """E3c, E14b: paid with too much, booked away, the payment taken back and made anew: the last undo pays the advance."""
    with writing() as session:
        order = an_order(session, lines=[row("Cykel", 10_000_00)])
    advance = an_advance(klarna, order, 3_000)

    def do(act: Any, *given: Any, **more: Any) -> Any:
        with writing() as session:
            return act(session, FINANCE, advance.id, *given, **more)

    def pay(minor: int) -> Any:
        return do(
            payments.register, secrets.token_hex(16), payments.Wanted(minor, clock.today(), 1930, "", overpay=True)
        )

    first, form = pay(3_100_00), secrets.token_hex(16)
    away = do(payments.book_away, form, shown_minor=100_00, day=clock.today(), account=1930)
    do(payments.take_back, first, "fel")
    pay(3_000_00)
    assert (balances()[1510], balances()[2618]) == (100_00, -600_00)
    do(payments.take_back, away, "fel")
    assert (balances()[1510], balances()[2611], balances()[2618]) == (0, -600_00, 0)


@pytest.mark.only_on("postgres")
def test_what_rests_of_an_advance_is_held_while_its_deduction_is_booked(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E3c and E3d at the same moment: a payout that pays the advance waits, and sees what was deducted."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    free: list[int] = []
    rests = advance_booking.rests

    def told(*asked: Any) -> int:
        with writing() as other:
            query = sa.select(Document.id).where(Document.id == advance.id)
            free.extend(other.scalars(query.with_for_update(skip_locked=True, key_share=True)))
        return rests(*asked)

    monkeypatch.setattr(advance_booking, "rests", told)
    an_invoice(klarna, order, kind=DocType.FINAL)
    assert free == []
    monkeypatch.undo()
    settlement_parts.booked(klarna, sandbox)
    assert balances() == {1510: 0, 2420: 0, 2611: -2_000_00, 2618: 0, 3001: -8_000_00}


def balances() -> dict[int, int]:
    """The accounts of E3, each summed over everything that is booked."""
    with reading() as session:
        return {
            account: int(
                session.scalar(sa.select(sa.func.sum(Posting.amount_minor)).where(Posting.account == account)) or 0
            )
            for account in (1510, 2420, 2611, 2618, 3001)
        }


# --- Part deliveries -----------------------------------------------------------------------------------------------------------


def test_a_part_delivery_deducts_as_far_as_it_goes_and_the_rest_waits(books: Any, klarna: Any, sandbox: Any) -> None:
    """F30, question 2: an advance of 30 % against a delivery of 1 500,00: 0,00, nothing sent; the next deducts the rest."""
    order = e3_order(sandbox, klarna)
    bike, helmets = order.lines
    an_advance(klarna, order, 3_000)
    with writing() as session:
        a_delivery(session, order, {helmets.id: 1000})
    small = an_invoice(klarna, order)
    assert (small.gross_minor, small.state, small.with_klarna) == (0, DocState.ISSUED, False)
    assert small.without_klarna_reason is WithoutKlarna.NOTHING_TO_PAY
    assert [line.name for line in small.lines if line.gross_minor < 0] == ["Avgår förskott, faktura 42580"]
    with reading() as session:
        (held,) = advances.held(session, order.id)
        assert (held.gross_minor, held.vat_minor) == (1_500_00, 300_00)
        assert sum(advances.left(session, orders.get(session, order.id)).values()) == 7_000_00
    with writing() as session:
        a_delivery(session, order, {bike.id: 1000})
    assert an_invoice(klarna, order).gross_minor == 5_500_00
    with writing() as session:
        a_delivery(session, order)
    assert an_invoice(klarna, order).gross_minor == 1_500_00
    sent = [each["body"]["captured_amount"] for each in sandbox.writes(operation="create_capture")]
    assert sent == [3_000_00, 5_500_00, 1_500_00] and balances()[2420] == balances()[2618] == 0


def test_several_advances_are_deducted_oldest_first(books: Any, klarna: Any, sandbox: Any) -> None:
    """Question 2: each with its own number; together they never exceed the order."""
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    an_advance(klarna, order, 2_500)
    with pytest.raises(BadInput, match=r"SEK 4500\.00 \(4500 %\) of the order is left"):
        an_advance(klarna, order, 4_501)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    assert final.gross_minor == 4_500_00
    assert [(line.name, line.gross_minor) for line in final.lines if line.gross_minor < 0] == [
        ("Avgår förskott, faktura 42580", -3_000_00), ("Avgår förskott, faktura 42581", -2_500_00),
    ]  # fmt: skip


# --- Crediting -------------------------------------------------------------------------------------------------------------


def test_an_advance_that_nothing_has_deducted_is_credited_whole(books: Any, klarna: Any, sandbox: Any) -> None:
    """Question 6, E3a negated: VAT leaves the account where it rests; one refund of the sum, the row's reference repeated."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    note = a_credit(klarna, advance)
    assert (note.state, note.gross_minor) == (DocState.ISSUED, 3_000_00)
    assert booked(f"credit_note:{note.number_text}") == [(1510, -3_000_00), (2420, 2_400_00), (2618, 600_00)]
    (refund,) = sandbox.writes(operation="create_refund")
    assert refund["body"]["refunded_amount"] == 3_000_00
    assert [line["reference"] for line in refund["body"]["order_lines"]] == [advance.lines[0].klarna_reference]
    with reading() as session:
        assert (
            str(credited.why_not_credited(session, session.get_one(Document, advance.id)))
            == "The whole invoice has been credited."
        )
    # 3 000,00 of the reservation is used up at Klarna: what is left of it, and no more, can still be captured (F1).
    with pytest.raises(Refusal, match="more than what is left of the reservation"):
        an_invoice(klarna, order, kind=DocType.FINAL)


def test_a_deducted_advance_is_credited_once_the_invoice_that_deducted_it_is(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """Question 6 to the letter: first the final in full, which gives it back, then the advance; 10 000,00 in all."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    with reading() as session:
        refusal = credited.why_not_credited(session, session.get_one(Document, advance.id))
    assert str(refusal) == "SEK 3000.00 of the advance has been deducted on invoice 42581. Credit that one first."
    note = a_credit(klarna, final)
    assert note.gross_minor == 7_000_00
    assert booked(f"credit_note:{note.number_text}") == [
        (1510, -7_000_00), (2420, -2_400_00), (2611, 2_000_00), (2618, -600_00), (3001, 8_000_00),
    ]  # fmt: skip
    assert a_credit(klarna, advance).gross_minor == 3_000_00
    assert [each["body"]["refunded_amount"] for each in sandbox.writes(operation="create_refund")] == [
        7_000_00,
        3_000_00,
    ]
    assert balances() == {1510: 0, 2420: 0, 2611: 0, 2618: 0, 3001: 0}


def test_a_return_within_the_invoices_own_sum_gives_nothing_back(books: Any, klarna: Any, sandbox: Any) -> None:
    """K21, question 6: a helmet of 1 500,00 from a final of 7 000,00; the advance stays deducted."""
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    note = a_credit(klarna, final, {2: "1"})
    assert note.gross_minor == 1_500_00 and len(note.lines) == 1
    rest = a_credit(klarna, final)
    assert (
        rest.gross_minor == 5_500_00
        and sum(line.gross_minor for line in rest.lines if line.gross_minor < 0) == -3_000_00
    )


def test_what_was_paid_in_advance_comes_back_through_the_advance(books: Any, klarna: Any, sandbox: Any) -> None:
    """Question 6, operations 4: all paid in advance, one helmet comes back: 0,00 without Klarna, then 1 500,00 of the advance."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 10_000)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    assert final.gross_minor == 0
    note = a_credit(klarna, final, {2: "1"})
    assert (note.gross_minor, note.with_klarna, note.state) == (0, False, DocState.ISSUED)
    assert note.without_klarna_reason is WithoutKlarna.NOTHING_TO_PAY
    back = a_credit(klarna, advance)
    assert back.gross_minor == 1_500_00
    (refund,) = sandbox.writes(operation="create_refund")
    assert refund["body"]["refunded_amount"] == 1_500_00
    with reading() as session:
        assert "8500.00 of the advance has been deducted" in str(
            credited.why_not_credited(session, session.get_one(Document, advance.id))
        )


def test_the_rows_of_advances_are_not_typed(books: Any, klarna: Any, sandbox: Any) -> None:
    """K21: their amount follows from the others; by address neither quantity nor removal goes through."""
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, final.id)
        deduction = draft.lines[-1]
        for act in (
            lambda: credit_drafts.set_quantity(session, FINANCE, draft.id, deduction.id, "1"),
            lambda: credit_drafts.remove_row(session, FINANCE, draft.id, deduction.id),
        ):
            with pytest.raises(BadInput, match="follows from the others"):
                act()


# --- Two at once, and again ------------------------------------------------------------------------------------------------


def test_an_advance_credited_meanwhile_makes_the_final_stale(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 12: the final is built anew under the order's lock; nothing is sent for the sum that was shown."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    form = a_money_form(7_000_00)
    a_credit(klarna, advance)
    with pytest.raises(Stale, match=r"the sum was SEK 7000\.00 and is now SEK 10000\.00"):
        reservations.invoice(klarna, CLERK, order.id, DocType.FINAL, form)


def test_a_refused_final_whose_advance_was_credited_can_only_be_voided(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 5, A15: «Försök igen» checks what it deducts anew."""
    order = e3_order(sandbox, klarna)
    advance = an_advance(klarna, order, 3_000)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED", messages=["Not now."])
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    assert final.state is DocState.REFUSED
    a_credit(klarna, advance)
    with pytest.raises(Refusal, match="It can only be voided"):
        reservations.retry(klarna, CLERK, final.id, a_money_form(7_000_00))
    with writing() as session:
        reservations.void(session, CLERK, final.id, "förskottet är krediterat")


def test_a_refused_final_is_tried_again_with_its_deduction(books: Any, klarna: Any, sandbox: Any) -> None:
    """F25: the same frozen rows, under the same number."""
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 3_000)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED", messages=["Not now."])
    final = an_invoice(klarna, order, kind=DocType.FINAL)
    reservations.retry(klarna, CLERK, final.id, a_money_form(7_000_00))
    assert the_document(final.id).state is DocState.ISSUED and balances()[2420] == 0


def test_what_was_given_back_and_used_since_cannot_be_taken_again(books: Any, klarna: Any, sandbox: Any) -> None:
    """E11, A15: the credit note of a final stays when its advance has been credited after it."""
    with writing() as session:
        order = an_order(session, lines=[row("Cykel", 10_000_00)])
    advance = an_advance(klarna, order, 3_000)
    note = a_credit(klarna, an_invoice(klarna, order, kind=DocType.FINAL))
    a_credit(klarna, advance)
    with writing() as session, pytest.raises(Refusal, match="has been used since"):
        credit_notes.reverse(session, FINANCE, note.id, "fel")


# --- Any order, to the öre and per rate --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_advances_deliveries_and_the_final_add_up_to_the_order_per_rate(
    books: Any, klarna: Any, data: st.DataObject
) -> None:
    """F30: any rates, discounts and odd öre, several advances, part deliveries, credited advances: order = all that is kept."""
    goods = data.draw(
        st.lists(
            st.tuples(st.sampled_from(RATES), st.integers(1, 99_999), st.integers(1, 4), st.integers(0, 99)),
            min_size=1,
            max_size=4,
        )
    )
    lines = [
        row(f"Vara {n}", price, pieces=pieces, rate=rate, discount_minor=price * pieces * off // 100)
        for n, (rate, price, pieces, off) in enumerate(goods)
    ]
    off = data.draw(st.integers(0, sum(line.gross_minor for line in lines) // 3))
    lines += [row("Frakt", data.draw(st.integers(1, 9_999)), kind=FREIGHT), row("Rabatt", -off, kind=DISCOUNT)]
    with writing() as session:
        order = an_order(session, lines=lines)
        wanted = advances.by_rate((line.vat_rate, orders.line_gross(line)) for line in order.lines)
    for act in data.draw(st.lists(st.sampled_from(["advance", "deliver", "credit"]), max_size=7)):
        with reading() as session:
            here = orders.get(session, order.id)
            todo = orders.to_deliver(session, here)
            held = [each.document_id for each in advances.held(session, order.id) if each.gross_minor]
        try:
            if act == "advance":
                an_advance(klarna, order, data.draw(st.integers(1, 10_000)))
            elif act == "deliver" and todo:
                line, left = data.draw(st.sampled_from(todo))
                with writing() as session:
                    a_delivery(session, order, {line.id: data.draw(st.integers(1, left // 1000)) * 1000})
                an_invoice(klarna, order)
            elif act == "credit" and held:
                a_credit(klarna, the_document(data.draw(st.sampled_from(held))))
        except Refusal:
            continue  # more than is left, delivered rows waiting, a discount that outweighs: nothing was made
    final = an_invoice(klarna, order, kind=DocType.FINAL) if left_to_invoice(order) else None
    with reading() as session:
        assert not any(advances.left(session, orders.get(session, order.id)).values())
        assert not any(each.gross_minor or each.vat_minor for each in advances.held(session, order.id))
        kept = session.scalars(
            sa.select(Document).where(Document.order_id == order.id, Document.number.is_not(None))
        ).all()
        signed = [(1 if each.kind == "invoice" else -1, each) for each in kept]
        per_rate = advances.by_rate(
            (line.vat_rate, sign * line.gross_minor) for sign, each in signed for line in each.lines
        )
        vat = advances.by_rate((line.vat_rate, sign * line.vat_minor) for sign, each in signed for line in each.lines)
        goods_vat = advances.by_rate(
            (line.vat_rate, line.vat_minor)
            for _, each in signed
            for line in each.lines
            if line.kind not in advances.KINDS
        )
    assert per_rate == wanted and vat == goods_vat
    assert final is None or (final.gross_minor or 0) >= 0


def left_to_invoice(order: Any) -> bool:
    with reading() as session:
        return orders.get(session, order.id).invoiced != "all"
