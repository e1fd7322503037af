"""A company's back office for the state machine: what people, Klarna, the janitor and time can do, and what must hold.

Every turn takes the same four draws: which thing it is about, Klarna's mood, who does it, and a number for the rest. A
refusal is an answer; anything else that is raised is a failure. Amounts are minor units.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import selectinload

import db
from db import reading, writing
from errors import Refusal
from klarna_sandbox import control
from klarna_sandbox.control import Control
from models import Article, Document, KlarnaAccount, KlarnaOp
from rights import Actor
from services import (
    checks_at_klarna,
    credit_drafts,
    credit_notes,
    decisions,
    drift,
    invoices,
    janitor,
    orders,
    reservations,
    settings,
    stock_booking,
    verify,
)
from services.gateway import Gateway
from services.reservations import MoneyForm
from services.verify import CheckState
from states import OPEN_OPS, DocKind, DocState, DocType, LineKind, OpKind, OpState, WithoutKlarna
from tests import builders, databases
from tests.builders import CLERK, FINANCE

PIECES = 6
CREDENTIALS_KEY = bytes(range(32))
AFTER_EACH_STEP = (
    "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "A3", "A5", "A9", "A15", "M1", "M2", "M3", "M4",
    "M5", "M9", "M10", "M11", "M12", "M15", "S1", "S2", "S3", "S4",
)  # fmt: skip
NOTHING_TO_ASK = {"I5": "Kvitta writes no reminders"}
"""What verify answers where there is nothing that could be wrong: it says so, and does not say that it is right."""
# A key forgotten while Klarna's limit allows the act again is beyond any client (operations 17); row 18 has the rest.
FAULTS = (
    "drop_after", None, "refuse", "drop_before", "server_error_after", "no_id", "unauthorized", "too_many",
    "html_502_after", "cut_status", "server_error", "html_403", "conflict", "cut_headers",
)  # fmt: skip
WELL: Mapping[str, Any] = {"fault": None, "look": None, "skip": 0, "busy": False}
"""Klarna answers, and both of our lines to it are free."""
LOOK_FAULTS = (None, None, None, None, "server_error", "drop_before", "lag")
LEAPS = (timedelta(seconds=6), timedelta(seconds=100), timedelta(minutes=16), timedelta(hours=5), timedelta(hours=23))
CODES = {"create_capture": "CAPTURE_NOT_ALLOWED", "create_refund": "REFUND_NOT_ALLOWED"}


class Ground:
    """What the examples stand on: a kind of database, the sandbox, and a clock."""

    def __init__(self, kind: databases.Sqlite | databases.Postgres, sandbox: Control) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self.ahead = timedelta()
        kind.template("company", builders.furnish_company)

    def now(self) -> datetime:
        at = datetime.now(UTC) + self.ahead
        return at.replace(microsecond=at.microsecond // 1000 * 1000)


class BackOffice:
    """Two orders, two people, and everything that can happen to a capture or a refund."""

    codes: Mapping[str, str] = CODES
    """What Klarna says no with, by what it was asked."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.sandbox = ground.sandbox
        ground.ahead = timedelta()
        self.sandbox.reset()
        self.url = ground.kind.make("company")
        self.folder = Path(tempfile.mkdtemp(prefix="kvitta-machine-"))
        self.app = Flask("machine")
        db.set_up(self.app, self.url)
        self.klarna = Gateway(CREDENTIALS_KEY, self.folder, self.url)
        self.context = self.app.app_context()
        self.context.push()
        self.orders: list[int] = []
        self.raced = False
        self.by_hand = 0
        self.heard_from = ground.now()

    def close(self) -> None:
        """Give back what the example stood on."""
        db.db.engine.dispose()
        self.context.pop()
        self.ground.kind.drop(self.url)
        shutil.rmtree(self.folder, ignore_errors=True)

    def two_orders(self) -> None:
        with writing() as session:
            made = [
                builders.an_order(
                    session,
                    self.sandbox,
                    self.klarna,
                    lines=[
                        builders.row("T-shirt", 49_900, pieces=PIECES),
                        builders.row("Keps", 19_900),
                        builders.row("Bok", 3_333, pieces=3, rate=600, discount_minor=1),
                        builders.row("Presentpapper", 101, kind=builders.TEXT),
                    ],
                )
                for _ in range(2)
            ]
            cap = made[1].lines[1]
            session.execute(sa.update(Article).values(cost_minor=Article.id * 1_111))
            worth = stock_booking.value(session)
            stock_booking.begin(session, FINANCE, secrets.token_hex(16), worth // 3, worth)
            builders.a_delivery(session, made[1], {made[1].lines[0].id: 3000, cap.id: 1000})
        self.orders = [order.id for order in made]
        self.klarna_ids = [order.klarna_order_id or "" for order in made]
        builders.an_invoice(self.klarna, made[1])
        self.count_documents()

    def count_documents(self) -> None:
        """How many documents there are of each kind and state: which rules make sense now."""
        with reading() as session:
            query = sa.select(Document.kind, Document.state, sa.func.count()).group_by(Document.kind, Document.state)
            self.there = {(kind, state): number for kind, state, number in session.execute(query)}
            kept = sa.select(sa.func.count()).where(
                Document.kind == DocKind.CREDIT_NOTE,
                Document.state == DocState.ISSUED,
                Document.issued_by_op_id.is_(None),
                Document.reversed_at.is_(None),
            )
            self.kept = session.scalar(kept) or 0
            under_way = sa.select(KlarnaOp.order_id, KlarnaOp.document_id, KlarnaOp.state)
            self.open_ops = [
                tuple(row) for row in session.execute(under_way.where(KlarnaOp.state.in_(sorted(OPEN_OPS))))
            ]

    def free(self) -> list[int]:
        """The orders that have nothing under way."""
        held = {order_id for order_id, _, _ in self.open_ops}
        return [order_id for order_id in self.orders if order_id not in held]

    def an_order(self, at: int) -> int:
        """An order that something can be done about, while there is one."""
        choice = self.free() or self.orders
        return choice[at % len(choice)]

    def creditable(self, at: int) -> Document:
        """An issued invoice, of an order that has nothing under way while there is one."""
        issued, free = self.all(DocKind.INVOICE, DocState.ISSUED), self.free()
        choice = [each for each in issued if each.order_id in free] or issued
        return choice[at % len(choice)]

    def is_free(self) -> bool:
        """Whether some order has nothing under way."""
        return bool(self.free())

    def is_open(self, *states: OpState) -> bool:
        """Whether a document waits for the answer of an operation in one of these states, or in any."""
        return any(document and (not states or state in states) for _, document, state in self.open_ops)

    def has(self, *states: DocState, kinds: tuple[DocKind, ...] = tuple(DocKind)) -> bool:
        return any((kind, state) in self.there for kind in kinds for state in states)

    # --- What the rules stand on

    def all(self, kind: DocKind, *states: DocState) -> list[Document]:
        with reading() as session:
            query = sa.select(Document).where(Document.kind == kind, Document.state.in_(states)).order_by(Document.id)
            return list(session.scalars(query.options(selectinload(Document.lines))))

    def some(self, at: int, *states: DocState) -> Document | None:
        found = self.all(DocKind.INVOICE, *states) + self.all(DocKind.CREDIT_NOTE, *states)
        return found[at % len(found)] if found else None

    def under(self, mood: Mapping[str, Any], act: Callable[[], Any]) -> None:
        """Do an act while Klarna is in a mood. A refusal is an answer; anything else is a failure."""
        self.new_credentials()
        for operation, code in self.codes.items():
            if mood["fault"] == "refuse":
                self.sandbox.fault("refuse", operation=operation, error_code=code)
            elif mood["fault"]:
                self.sandbox.fault(mood["fault"], operation=operation)
        if mood["look"]:
            self.sandbox.fault(mood["look"], operation="get_order", skip=mood["skip"], times=0)
        if mood["busy"] or mood["fault"] not in (None, "refuse") or mood["look"] not in (None, "lag"):
            self.heard_from = self.ground.now() + janitor.HOURLY
        with ExitStack() as held:
            held.callback(self.sandbox.clear_faults)
            if mood["busy"]:
                held.enter_context(self.klarna.slot())
                held.enter_context(self.klarna.slot())
            with suppress(Refusal):
                act()

    def form(self, shown: int, order_id: int) -> MoneyForm:
        """A form on which the difference that is known of is ticked."""
        with reading() as session:
            _, difference = drift.shown(session, orders.get(session, order_id))
        return MoneyForm(secrets.token_hex(16), shown, difference)

    def form_of(self, document_id: int, shown: int | None = None) -> MoneyForm:
        with reading() as session:
            order_id = session.get_one(Document, document_id).order_id
        return self.form(self.shown(document_id) if shown is None else shown, order_id or 0)

    def open_on(self, at: int, kind: OpKind) -> bool:
        """Whether an act of this kind is under way on an order."""
        with reading() as session:
            op = orders.open_operation(session, orders.get(session, self.orders[at]))
            return op is not None and op.kind is kind

    # --- Clerks

    def deliver_and_invoice(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        order_id, kind = self.an_order(at), DocType.FINAL if n == 7 else DocType.DELIVERY
        self.writing(lambda session: self.deliver_one(session, order_id))
        try:
            with reading() as session:
                shown = invoices.propose(session, orders.get(session, order_id), kind).gross_minor
        except Refusal:
            return
        form = self.form(shown, order_id)
        self.under(mood, lambda: reservations.invoice(self.klarna, who, order_id, kind, form))

    def deliver_one(self, session: Any, order_id: int) -> None:
        order = orders.get(session, order_id)
        for line, left in orders.to_deliver(session, order)[:1]:
            builders.a_delivery(session, order, {line.id: min(left, 1000)})

    def credit_one_piece(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        restock = n % 2 == 0
        reason = {6: WithoutKlarna.CREDITED_IN_PORTAL, 7: WithoutKlarna.EVEN_EXCHANGE}.get(n)
        invoice = self.creditable(at)
        drafted: list[int] = []

        def work(session: Any) -> None:
            draft = credit_drafts.start(session, who, invoice.id)
            if not draft.lines:
                return  # no row is left, but what an earlier note charged can be given back
            chosen = draft.lines[(at + n) % len(draft.lines)]
            for line in draft.lines:
                if line is not chosen and line.kind is not LineKind.ADVANCE_DEDUCTION:
                    credit_drafts.remove_row(session, who, draft.id, line.id)
            credit_drafts.set_options(
                session, who, draft.id, restock=restock, warehouse_id=None, without_klarna=reason is not None,
                reason=reason or "",
            )  # fmt: skip
            credit_drafts.set_quantity(session, who, draft.id, chosen.id, "1")
            drafted.append(draft.id)

        self.writing(work)
        for key in drafted:
            form = self.form_of(key)
            self.under(
                mood,
                lambda key=key, form=form: reservations.credit(
                    self.klarna, who, key, form, portal_confirmed=reason is not None
                ),
            )

    def begin_a_credit(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        issued = self.all(DocKind.INVOICE, DocState.ISSUED)
        if issued:
            self.writing(lambda session: credit_drafts.start(session, who, issued[at % len(issued)].id))

    def writing(self, work: Callable[[Any], Any]) -> None:
        try:
            with writing() as session:
                work(session)
        except Refusal:
            pass

    def edit_a_draft(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        how = ("quantity", "remove", "back", "restock", "exchange", "portal", "with", "discard")[n]
        pieces = "1" if at % 2 else "2"
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        if not drafts or not drafts[at % len(drafts)].lines:
            return
        key = drafts[at % len(drafts)].id

        def work(session: Any) -> None:
            line = credit_drafts.get_draft(session, who, key).lines[at % 2 - 1]
            if how == "discard":
                credit_drafts.discard(session, who, key)
            elif how == "quantity":
                credit_drafts.set_quantity(session, who, key, line.id, pieces)
            elif how == "remove":
                credit_drafts.remove_row(session, who, key, line.id)
            elif how == "back":
                credit_drafts.put_back_row(session, who, key, line.id)
            else:
                reason = {"exchange": WithoutKlarna.EVEN_EXCHANGE, "portal": WithoutKlarna.CREDITED_IN_PORTAL}.get(how)
                credit_drafts.set_options(
                    session, who, key, restock=how != "with", warehouse_id=None, without_klarna=reason is not None,
                    reason=reason or "",
                )  # fmt: skip

        self.writing(work)

    def shown(self, draft_id: int) -> int:
        with reading() as session:
            return credit_drafts.figures(session, session.get_one(Document, draft_id)).gross_minor

    def credit(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        confirmed = n % 2 == 0
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        if drafts:
            key = drafts[at % len(drafts)].id
            form = self.form_of(key)
            self.under(mood, lambda: reservations.credit(self.klarna, who, key, form, portal_confirmed=confirmed))

    def try_again(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        document = self.some(at, DocState.REFUSED, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: reservations.retry(self.klarna, who, document.id, self.form_of(document.id, 0)))

    def void(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        document = self.some(at, DocState.REFUSED, DocState.PENDING, DocState.ISSUED)
        if document is not None:
            self.writing(lambda session: reservations.void(session, who, document.id, "fel"))

    def keep(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        portal, confirmed = n % 2 == 0, n > 3
        notes = self.all(DocKind.CREDIT_NOTE, DocState.REFUSED, DocState.PENDING)
        reason = WithoutKlarna.CREDITED_IN_PORTAL if portal else WithoutKlarna.EVEN_EXCHANGE
        if notes:
            key = notes[at % len(notes)].id
            self.under(mood, lambda: reservations.keep_without_klarna(self.klarna, who, key, reason, confirmed))

    def withdraw(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.writing(lambda session: reservations.withdraw(session, who, document.id))

    def send_now(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: reservations.send_now(self.klarna, who, document.id))

    def ask_now(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: janitor.ask_now(self.klarna, CLERK, document.id))

    def reverse(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        notes = [note for note in self.all(DocKind.CREDIT_NOTE, DocState.ISSUED) if n == 0 or not note.issued_by_op_id]
        if notes:
            self.writing(lambda session: credit_notes.reverse(session, FINANCE, notes[at % len(notes)].id, "fel kund"))

    def decide(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        happened = n % 2 == 0
        document = self.some(at, DocState.PENDING)
        if document is None:
            return
        if not happened:
            self.under(mood, lambda: decisions.did_not_happen(self.klarna, FINANCE, document.id, "inget hos Klarna"))
            return
        kind = ("captures", "capture_id") if document.kind is DocKind.INVOICE else ("refunds", "refund_id")
        shown = self.sandbox.state(self.klarna_ids[self.orders.index(document.order_id or 0)])[kind[0]]
        if shown:
            object_id = shown[at % len(shown)][kind[1]]
            self.under(mood, lambda: decisions.happened(self.klarna, FINANCE, document.id, object_id))

    # --- Two at once

    def two_at_once(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        what = ("credits", "again_and_void", "again_twice", "same_form")[n % 4]
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        refused = self.some(at, DocState.REFUSED)
        pair: list[Callable[[], Any]] = []
        if what in ("credits", "same_form") and drafts:
            one, other = drafts[at % len(drafts)].id, drafts[(at + 1) % len(drafts)].id
            form = self.form_of(one)
            second = form if what == "same_form" else self.form_of(other)
            also = one if what == "same_form" else other
            pair = [
                lambda: reservations.credit(self.klarna, FINANCE, one, form),
                lambda: reservations.credit(self.klarna, FINANCE, also, second),
            ]
        elif refused is not None:
            pair = [
                lambda: reservations.retry(self.klarna, FINANCE, refused.id, self.form_of(refused.id, 0)),
                (lambda: void_it(refused.id))
                if what == "again_and_void"
                else (lambda: reservations.retry(self.klarna, FINANCE, refused.id, self.form_of(refused.id, 0))),
            ]
        if pair:
            self.under(mood, lambda: self.together(pair))

    def together(self, pair: list[Callable[[], Any]]) -> None:
        raised: list[BaseException] = []

        def run(act: Callable[[], Any]) -> None:
            with self.app.app_context():
                try:
                    act()
                except Refusal:
                    pass
                except BaseException as error:  # noqa: BLE001 - told to the machine
                    raised.append(error)

        threads = [threading.Thread(target=run, args=(act,)) for act in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if raised:
            raise raised[0]

    # --- Klarna, time, the janitor

    def by_hand_in_the_portal(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        at, amount, capture = at % 2, (1, 19_900, 49_900)[n % 3], n > 3
        self.by_hand += 1
        self.raced = self.raced or self.open_on(at, OpKind.CAPTURE if capture else OpKind.REFUND)
        by_hand = self.sandbox.portal_capture if capture else self.sandbox.portal_refund
        with suppress(control.Refusal):
            by_hand(self.klarna_ids[at], amount)

    def time_passes_and_the_janitor_comes(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        if self.ground.ahead < timedelta(days=20):
            self.leap(LEAPS[n % len(LEAPS)])
        self.under(mood, lambda: janitor.run(self.klarna))
        self.nothing_is_left_behind()

    def leap(self, time: timedelta) -> None:
        self.ground.ahead += time
        self.sandbox.move_clock(time)

    def janitor(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        self.under(mood, lambda: janitor.run(self.klarna))

    def look(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        at %= 2
        self.under(WELL, lambda: reservations.look_at(self.klarna, self.orders[at]))

    def new_credentials(self) -> None:
        with writing() as session:
            for account in session.scalars(sa.select(KlarnaAccount)):
                account.breaker = account.breaker_until = None

    # --- What must hold

    def the_books_are_right(self) -> None:
        """After each turn, by ``flask verify``."""
        self.count_documents()
        self.require(AFTER_EACH_STEP)

    def require(self, checks: Iterable[str]) -> None:
        """Let pass what verify finds right, and says to be not applicable where the house has no such thing.

        M1: what was captured by hand beside an open capture of ours is more than was authorised, and what was credited beside
        an open credit more than was captured; no rule of ours can help it, and both count until the open one has ended.
        """
        wanted = [check for check in checks if not (self.raced and check == "M1")]
        with reading() as session:
            results = list(verify.run(session, wanted))
        found = [result for result in results if result.state is CheckState.FAILED]
        assert not found, "\n".join(f"{result.id} {finding}" for result in found for finding in result.findings)
        idle = {result.id: result.because for result in results if result.state is CheckState.NOT_APPLICABLE}
        assert idle == {check: NOTHING_TO_ASK[check] for check in wanted if check in NOTHING_TO_ASK}, idle

    def nothing_is_left_behind(self) -> None:
        """M6, where the janitor has just come: once Klarna has been well for an hour, for he asks of what is old once an hour."""
        if self.ground.now() >= self.heard_from:
            self.require(["M6"])

    def klarna_shows_each_number_at_most_once(self) -> None:
        shown: dict[str, int] = {}
        for key in self.klarna_ids:
            state = self.sandbox.state(key)
            for each in state["captures"] + state["refunds"]:
                if each["reference"]:
                    shown[each["reference"]] = shown.get(each["reference"], 0) + 1
        assert all(count == 1 for count in shown.values()), shown
        with reading() as session:
            for document in session.scalars(sa.select(Document).where(Document.number.is_not(None))):
                there = shown.pop(document.number_text or "", 0)
                op = session.get(KlarnaOp, document.issued_by_op_id) if document.issued_by_op_id else None
                if op is not None and op.state is OpState.CONFIRMED:
                    assert there == 1, f"{document.number_text} is issued and not at Klarna"
                elif document.state is not DocState.PENDING and not _stands_for(op, document):
                    assert there == 0, f"{document.number_text} is {document.state} and at Klarna"
        assert not shown, f"at Klarna without a document: {shown}"

    def let_it_end(self) -> None:
        """Klarna is well again and a day passes: nothing is left on its way, and everything is right."""
        self.sandbox.clear_faults()
        self.new_credentials()
        for leap in (
            timedelta(minutes=3),
            timedelta(minutes=20),
            timedelta(hours=6),
            timedelta(hours=24),
            timedelta(hours=2),
        ):
            self.leap(leap)
            janitor.run(self.klarna)
            janitor.run(self.klarna)
            self.nothing_is_left_behind()
        self.require(["M6"])
        self.wait_for_the_money()
        self.klarna_shows_each_number_at_most_once()
        self.require([*verify.CHECKS, *NOTHING_TO_ASK])
        self.klarna_says_what_the_books_say()
        with reading() as session:
            states = set(session.scalars(sa.select(KlarnaOp.state).where(KlarnaOp.state.in_(sorted(OPEN_OPS)))))
            assert states <= {OpState.PREPARED, OpState.REVIEW}, states

    def wait_for_the_money(self) -> None:
        """The next night, by which what was done elsewhere is known; then as many days as the company waits for a payout, and the
        night after them: what is not paid by then is a difference."""
        with reading() as session:
            days = settings.number(session, "unpaid_days")
        for leap in (timedelta(0), timedelta(days=days + 2)):
            self.leap(leap)
            self.new_credentials()
            janitor.nightly(self.klarna)

    def klarna_says_what_the_books_say(self) -> None:
        """M5, M7 and M8 as they are asked at Klarna: each order with nothing under way, to the öre."""
        self.leap(checks_at_klarna.QUIET + timedelta(minutes=1))
        report = list(checks_at_klarna.run(self.klarna))[-1]
        found = [f"{name} {each}" for name, findings in report.findings.items() for each in findings]
        assert report.holds, (found, report.silent)
        assert report.done == len(self.orders)
        self.count_documents()
        assert report.under_way <= len({order_id for order_id, _, _ in self.open_ops}), "asked of each that is at rest"


def _stands_for(op: KlarnaOp | None, document: Document) -> bool:
    """Whether a document was issued by an act found at Klarna under its own number."""
    return op is not None and op.state is OpState.EXTERNAL and op.reference == document.number_text


def void_it(document_id: int) -> None:
    with writing() as session:
        reservations.void(session, FINANCE, document_id, "fel")


Turn = tuple[int, str, Callable[[Any], bool]]

TURNS: Sequence[Turn] = (
    # how often, what, when it makes sense
    (4, "deliver_and_invoice", lambda office: office.is_free()),
    (6, "credit_one_piece", lambda office: office.is_free() and office.has(DocState.ISSUED, kinds=(DocKind.INVOICE,))),
    (1, "begin_a_credit", lambda office: office.has(DocState.ISSUED, kinds=(DocKind.INVOICE,))),
    (2, "edit_a_draft", lambda office: office.has(DocState.DRAFT)),
    (3, "credit", lambda office: office.has(DocState.DRAFT)),
    (3, "try_again", lambda office: office.has(DocState.REFUSED)),
    (1, "try_again", lambda office: office.has(DocState.PENDING)),
    (1, "void", lambda office: office.has(DocState.REFUSED, DocState.PENDING)),
    (2, "keep", lambda office: office.has(DocState.REFUSED, kinds=(DocKind.CREDIT_NOTE,))),
    (1, "keep", lambda office: office.has(DocState.PENDING, kinds=(DocKind.CREDIT_NOTE,))),
    (1, "withdraw", lambda office: office.is_open()),
    (2, "send_now", lambda office: office.is_open(OpState.PREPARED)),
    (1, "ask_now", lambda office: office.is_open()),
    (1, "reverse", lambda office: office.kept > 0),
    (3, "decide", lambda office: office.is_open(OpState.REVIEW)),
    (2, "two_at_once", lambda office: office.has(DocState.DRAFT, DocState.REFUSED)),
    (1, "by_hand_in_the_portal", lambda office: office.by_hand < 2),
    (5, "time_passes_and_the_janitor_comes", lambda office: bool(office.open_ops)),
    (1, "janitor", lambda office: bool(office.open_ops)),
    (1, "look", lambda _: True),
)


def possible(office: BackOffice, turns: Sequence[Turn] = TURNS) -> list[str]:
    """What makes sense now, each as often as it is to be drawn."""
    return [what for weight, what, makes_sense in turns if makes_sense(office) for _ in range(weight)]
