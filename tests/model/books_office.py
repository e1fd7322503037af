"""What the bookkeeper does with all of it: rows of payouts given to documents, split, moved and taken back; payments, offsets and
surpluses, each made and undone; a period locked and opened again. Klarna is well; the portal and the clerks go on beside.

Turns are drawn as those of ``back_office``. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import combinations
from typing import Any, cast

import sqlalchemy as sa

import clock
from db import reading, writing
from errors import Refusal
from models import Customer, Document, Offset, Payment, Payout, PayoutRow, RowMatch, RowPlacing, Voucher
from rights import Actor
from services import (
    closing,
    credit_notes,
    free_credits,
    invoices,
    manual_vouchers,
    offsets,
    orders,
    payments,
    periods,
    reservations,
    settings,
    settlement_foreign,
    settlement_moves,
    settlements,
    verify,
)
from services.credit_rows import Typed
from services.free_credits import Pressed
from services.invoices import Choices
from services.reservations import MoneyForm
from services.settlement_choice import Unseen
from states import DocKind, DocState, DocType, LineKind, PayoutState, Role
from tests import builders, worlds
from tests.builders import FINANCE
from tests.model.back_office import NOTHING_TO_ASK, WELL, BackOffice, Turn
from tests.model.wide_office import WIDE, WideOffice
from tests.services.settlement_parts import csv_of

LATER = frozenset({"M6", "M8"})
"""What holds only once the janitor has come, and once what was paid too late has become a difference."""
BANK = 1930
STORE = "K000001"
AS_ELSEWHERE = frozenset(
    {
        "deliver_and_invoice", "credit_one_piece", "credit_what_is_left", "edit_a_draft", "credit", "reverse",
        "charge_in_advance", "convert_a_note", "replace_a_note", "settle_a_difference",
    }
)  # fmt: skip
"""The turns of the wide office that are drawn here, too: none that is about an act that waits, for Klarna is well."""


class BooksOffice(WideOffice):
    """The back office with the bookkeeper in it."""

    def two_orders(self) -> None:
        super().two_orders()
        self.ordinary: list[int] = []
        with writing() as session:
            settings.change(session, builders.actor(Role.ADMIN), "payment.rounding", "krona", clock.today())
        self.sandbox.switches(fee_percent=0, fee_fixed=100, fee_vat=2500)

    def count_documents(self) -> None:
        super().count_documents()
        with reading() as session:
            for name, table in (("payouts", Payout), ("rows", PayoutRow), ("paid", Payment), ("offset", Offset)):
                setattr(self, name, session.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
            self.moved = session.scalar(sa.select(sa.func.count()).select_from(RowPlacing)) or 0

    def the_books_are_right(self) -> None:
        """After each turn, everything that ``flask verify`` asks, but what only time makes true."""
        self.count_documents()
        self.require([each for each in (*verify.CHECKS, *NOTHING_TO_ASK) if each not in LATER])

    def under(self, mood: Mapping[str, Any], act: Callable[[], Any]) -> None:
        """Klarna is well, whatever was drawn."""
        super().under(WELL, act)

    # --- What the turns are about

    def issued(self) -> list[Document]:
        return self.all(DocKind.INVOICE, DocState.ISSUED) + self.all(DocKind.CREDIT_NOTE, DocState.ISSUED)

    def a_row(self, at: int, *states: PayoutState) -> tuple[int, int, int | None] | None:
        """A row of a payout in one of these states, its amount, and the document it stands at; the last ones stand nowhere."""
        query = (
            sa.select(PayoutRow.id, PayoutRow.amount_minor, RowMatch.document_id)
            .join(Payout, Payout.id == PayoutRow.payout_id)
            .join(RowMatch, RowMatch.row_id == PayoutRow.id)
            .where(Payout.state.in_(states), PayoutRow.type.in_(sorted(settlements.CLAIMS)))
            .order_by(RowMatch.document_id.is_(None), PayoutRow.id)
        )
        with reading() as session:
            found = [(row.id, row.amount_minor, row.document_id) for row in session.execute(query)]
        return found[at % len(found)] if found else None

    def as_seen(self, work: Callable[[Any, str], Any]) -> None:
        """Press, and when something is to be looked at first, look and press again."""
        try:
            with writing() as session:
                work(session, "")
        except Unseen as asked:
            seen = asked.choice.seen
            self.writing(lambda session: work(session, seen))
        except Refusal:
            pass

    def _a_number(self, at: int) -> str:
        found = self.issued()
        return found[at % len(found)].number_text or "" if found else ""

    # --- What there is besides the two orders

    def a_stranger_pays(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """Klarna pays a purchase of this store that nobody told Kvitta of, which may come to what one or two invoices come to;
        often it pays that instead of what it should have paid."""
        if n > 1:
            with worlds.running.world.lock:  # type: ignore[union-attr]
                worlds.running.world.unpaid.clear()  # type: ignore[union-attr]
        amounts = [each.open_minor for each in self.issued() if each.open_minor > 0] or [49_900]
        amount = amounts[at % len(amounts)] + (0, 0, 1, amounts[(at + 1) % len(amounts)])[n % 4]
        made = self.sandbox.order(mid=STORE, order_amount=amount, captures=[{"captured_amount": amount}])
        if n > 5:
            self.sandbox.portal_refund(made, amount)

    def sell_without_klarna(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """An ordinary order, whose invoices come to whole kronor."""
        with writing() as session:
            rows = [
                builders.row("Tält", 49_937, pieces=3),
                builders.row("Lina", 1_999, quantity_milli=2500, rate=1200, discount_minor=at),
                builders.row("Bok", 3_333, pieces=3, rate=600),
            ]
            self.ordinary.append(builders.an_order(session, lines=rows).id)
        self.go_on_without_klarna(-1, mood, who, n)

    def go_on_without_klarna(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """Deliver a part or all of it, and invoice it; or charge a share in advance."""
        order_id = self.ordinary[at % len(self.ordinary)]
        kind, percent = (DocType.ADVANCE, 3333) if n in (1, 6) else (DocType.FINAL if n == 7 else DocType.DELIVERY, 0)

        def deliver(session: Any) -> None:
            order = orders.get(session, order_id)
            for line, left in orders.to_deliver(session, order)[: 1 if n % 2 else 3]:
                builders.a_delivery(session, order, {line.id: min(left, 1000 + 500 * (n // 4))})

        if not percent:
            self.writing(deliver)
        try:
            with reading() as session:
                shown = invoices.propose(session, orders.get(session, order_id), kind, percent or None).gross_minor
        except Refusal:
            return
        form, chosen = MoneyForm(self.nonce(), shown), Choices(percent=percent or None)
        self.under(mood, lambda: reservations.invoice(self.klarna, who, order_id, kind, form, choices=chosen))

    def sell_below_zero(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """K42: what was taken back came to more than what was bought."""
        with writing() as session:
            rows = [builders.row("Keps", 19_900), builders.row("Retur", -49_900, kind=LineKind.DISCOUNT)]
            order = builders.an_order(session, lines=rows)
            builders.a_delivery(session, order)
        builders.an_invoice(self.klarna, order)

    def credit_freely(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """K42: a credit note for no invoice, of a customer who may have one to offset it against."""
        price = ("19,90", "0,01", "499,00")[n % 3]
        with reading() as session:
            customers = list(session.scalars(sa.select(Customer.id).order_by(Customer.id)))
        drafted: list[int] = []

        def work(session: Any) -> None:
            draft = free_credits.start(session, FINANCE, customers[at % len(customers)])
            free_credits.add_free(session, FINANCE, draft.id, Typed("1", price, "Goodwill", "2500"))
            drafted.append(draft.id)

        self.writing(work)
        for key in drafted:
            with reading() as session:
                shown = free_credits.form(session, FINANCE, key)
            pressed = Pressed(self.nonce(), shown.gross_minor, shown.version, "goodwill")
            self.writing(lambda session, key=key, pressed=pressed: free_credits.create(session, FINANCE, key, pressed))

    # --- Rows of payouts that are not booked

    def assign_a_row(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        row = self.a_row(-1 - at % 3, PayoutState.PARKED, PayoutState.READY)
        if row is None:
            return
        row_id, amount, _ = row
        owing = [each for each in self.issued() if each.open_minor * amount > 0]
        pairs = [(a, b) for a, b in combinations(owing, 2) if abs(a.open_minor + b.open_minor) >= abs(amount)]
        if pairs and at > 3:
            one, other = min(pairs, key=lambda pair: abs(pair[0].open_minor + pair[1].open_minor - amount))
            part = min(abs(one.open_minor), abs(amount) - 1)
            typed = f"{one.number_text} {_crowns(part)}; {other.number_text} {_crowns(abs(amount) - part)}"
        else:
            typed = owing[n % len(owing)].number_text or "" if owing else self._a_number(n)
        nonce = self.nonce()
        self.as_seen(
            lambda session, seen: settlements.assign(session, FINANCE, row_id, nonce, document_number=typed, seen=seen)
        )

    def deal_with_a_row(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        row = self.a_row(at, PayoutState.PARKED, PayoutState.READY)
        if row is None:
            return
        row_id, _, document_id = row
        acts: Sequence[Callable[[Any], Any]] = (
            lambda session: settlements.accept(session, FINANCE, row_id, "enligt avtal"),
            lambda session: settlements.mark_handled(session, FINANCE, row_id, "utreds med Klarna"),
            lambda session: settlements.undo(session, FINANCE, row_id),
            lambda session: settlements.unmatch(session, FINANCE, row_id, shown_id=document_id or 0),
            lambda session: settlements.rematch(session, FINANCE, row_id),
        )
        self.writing(acts[n % len(acts)])

    def deal_with_a_payout(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            found = list(session.scalars(sa.select(Payout.id).order_by(Payout.id)))
        key = found[at % len(found)]
        acts: Sequence[Callable[[Any], Any]] = (
            lambda session: settlements.match_again(session, FINANCE, key),
            lambda session: settlements.book(session, FINANCE, key),
            lambda session: settlements.book(session, FINANCE, key),
            lambda session: settlement_foreign.set_aside(session, FINANCE, key, "bokfört i annat program"),
        )
        self.writing(acts[n % len(acts)])

    # --- Rows of booked payouts

    def move_a_row(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        row = self.a_row(at, PayoutState.BOOKED)
        if row is None:
            return
        with reading() as session:
            places = settlement_moves.movable(session, FINANCE, row[0]).places
        place = places[n % len(places)]
        number, nonce = "" if n == 7 else self._a_number(at + n), self.nonce()
        self.as_seen(
            lambda session, seen: settlement_moves.move(
                session, FINANCE, row[0], nonce, shown_id=place.document_id or 0, shown_minor=abs(place.amount_minor),
                number=number, reason="fel faktura", seen=seen,
            )
        )  # fmt: skip

    def take_a_move_back(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            found = [(each.row_id, each.id) for each in session.scalars(sa.select(RowPlacing).order_by(RowPlacing.id))]
        row_id, placing_id = found[-1 - n % len(found)]
        self.writing(lambda session: settlement_moves.take_back(session, FINANCE, row_id, placing_id, "ångrat"))

    # --- Money that came another way, and claims against each other

    def pay_by_hand(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        found = self.issued()
        document = found[at % len(found)]
        amount = (abs(document.open_minor), 1, 10_000, abs(document.open_minor) + 50)[n % 4] or 1
        wanted = payments.Wanted(amount, clock.today(), BANK, "inbetald", overpay=n > 3)
        self.writing(lambda session: payments.register(session, FINANCE, document.id, self.nonce(), wanted))

    def take_a_payment_back(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            found = [(each.document_id, each.id) for each in session.scalars(sa.select(Payment).order_by(Payment.id))]
        document_id, payment_id = found[at % len(found)]
        self.writing(lambda session: payments.take_back(session, FINANCE, document_id, payment_id, "fel"))

    def book_a_surplus_away(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        over = [each for each in self.issued() if payments.surplus_minor(each)]
        if over:
            document = over[at % len(over)]
            shown = payments.surplus_minor(document)
            self.writing(
                lambda session: payments.book_away(
                    session, FINANCE, document.id, self.nonce(), shown_minor=shown, day=clock.today(), account=3740
                )
            )

    def offset_a_pair(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        sales = [each for each in self.all(DocKind.INVOICE, DocState.ISSUED) if each.open_minor]
        notes = [each for each in self.all(DocKind.CREDIT_NOTE, DocState.ISSUED) if each.open_minor]
        if not sales or not notes:
            return
        invoice, note = sales[at % len(sales)], notes[n % len(notes)]
        most = min(abs(invoice.open_minor), abs(note.open_minor))
        wanted = offsets.Wanted(
            most if n % 2 else max(most // 2, 1), invoice.open_minor, -note.open_minor, override=n > 1, reason="avtalat"
        )
        self.writing(lambda session: offsets.make(session, FINANCE, invoice.id, note.id, self.nonce(), wanted))

    def take_an_offset_back(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            found = list(session.scalars(sa.select(Offset.id).order_by(Offset.id)))
        key = found[at % len(found)]
        self.writing(lambda session: offsets.take_back(session, FINANCE, key, "ångrat"))

    def reverse_a_note(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        notes = self.all(DocKind.CREDIT_NOTE, DocState.ISSUED)
        key = notes[at % len(notes)].id
        self.writing(lambda session: credit_notes.reverse(session, FINANCE, key, "fel"))

    # --- Vouchers by hand, and reports that come again

    def write_a_voucher(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            by_hand = sa.select(Voucher.id).where(Voucher.source.startswith("manual:"), Voucher.reverses_id.is_(None))
            written = list(session.scalars(by_hand.order_by(Voucher.id)))
        if written and n > 4:
            key = written[at % len(written)]
            self.writing(lambda session: manual_vouchers.reverse_once(session, FINANCE, self.nonce(), key, "fel"))
            return
        amount, day = (1, 500_00, 12_345)[n % 3], clock.today() - timedelta(days=at % 3)
        rows = [manual_vouchers.Row(6570, amount, None), manual_vouchers.Row(BANK, None, amount)]
        typed = manual_vouchers.Written(day, "Bankavgift", rows)
        self.writing(lambda session: manual_vouchers.write_once(session, FINANCE, self.nonce(), typed))

    def read_a_report_again(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """What Klarna's report of a payout says once more, as a file of another shape; some came by no other way."""
        made = self.sandbox.pay_out() if n > 5 else []
        with reading() as session:
            references = [*session.scalars(sa.select(Payout.payment_reference).order_by(Payout.id))]
        references += [each["payment_reference"] for each in made]
        if references:
            reference = references[-1 - at % len(references)]
            content = csv_of(self.sandbox, {"payment_reference": reference, "mid": STORE})
            with suppress(Refusal):
                settlements.read_in(self.klarna, FINANCE, settlements.Report(content, f"rapport{n}.csv"))

    # --- The period

    def lock_or_open(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        with reading() as session:
            through = periods.locked_through(session)
        if through is not None and n % 2:
            self.writing(lambda session: periods.unlock(session, FINANCE, through - timedelta(days=1 + n), "rättelse"))
        else:
            day = clock.today() - timedelta(days=1 + n % 2)
            self.writing(lambda session: closing.lock(session, FINANCE, day, "månaden", confirmed=n > 3))

    def a_day_passes(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        if self.ground.ahead < timedelta(days=20):
            self.leap(timedelta(days=1 + n % 3))


def _crowns(minor: int) -> str:
    return f"{minor // 100},{minor % 100:02}"


def _books(office: BackOffice) -> BooksOffice:
    return cast(BooksOffice, office)


BOOKS: Sequence[Turn] = (
    *((min(weight, 2), what, fits) for weight, what, fits in WIDE if what in AS_ELSEWHERE),
    (2, "by_hand_in_the_portal", lambda office: office.by_hand < 6),
    (2, "a_stranger_pays", lambda _: True),
    (2, "sell_without_klarna", lambda office: len(_books(office).ordinary) < 2),
    (3, "go_on_without_klarna", lambda office: bool(_books(office).ordinary)),
    (1, "sell_below_zero", lambda _: True),
    (1, "credit_freely", lambda _: True),
    (1, "write_a_voucher", lambda _: True),
    (2, "read_a_report_again", lambda office: _books(office).payouts > 0),
    (6, "klarna_pays_out", lambda office: _books(office).paid_out < 12),
    (4, "assign_a_row", lambda office: _books(office).rows > 0),
    (6, "deal_with_a_row", lambda office: _books(office).rows > 0),
    (4, "deal_with_a_payout", lambda office: _books(office).payouts > 0),
    (6, "move_a_row", lambda office: _books(office).rows > 0),
    (4, "take_a_move_back", lambda office: _books(office).moved > 0),
    (3, "pay_by_hand", lambda office: office.has(DocState.ISSUED)),
    (2, "take_a_payment_back", lambda office: _books(office).paid > 0),
    (3, "book_a_surplus_away", lambda office: _books(office).rows > 0 or _books(office).paid > 0),
    (6, "offset_a_pair", lambda office: office.has(DocState.ISSUED, kinds=(DocKind.CREDIT_NOTE,))),
    (3, "take_an_offset_back", lambda office: _books(office).offset > 0),
    (2, "reverse_a_note", lambda office: office.has(DocState.ISSUED, kinds=(DocKind.CREDIT_NOTE,))),
    (2, "lock_or_open", lambda _: True),
    (2, "a_day_passes", lambda _: True),
)
