"""The real services driven at random against the sandbox: clerks, Klarna's moods, the portal, the janitor and time.

After each step the invariants of invariants 1 hold in the books, and Klarna shows each of our numbers at most once, and
never one of a refused or void document. ``KVITTA_EXAMPLES`` and ``KVITTA_STEPS`` make a run longer, and
``KVITTA_SHRINK`` the way to a failure shorter.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import clock
import db
from db import reading, writing
from errors import Refusal
from klarna_sandbox import control
from klarna_sandbox.control import Control
from models import Document, KlarnaAccount, KlarnaOp, Order
from rights import Actor
from services import credit_drafts, credit_notes, decisions, invoices, janitor, orders, reservations, verify
from services.gateway import Gateway
from services.reservations import MoneyForm
from services.verify import CheckState
from states import OPEN_OPS, DocKind, DocState, DocType, OpState, WithoutKlarna
from tests import builders, databases
from tests.builders import CLERK, FINANCE

PIECES = 6
CREDENTIALS_KEY = bytes(range(32))
AFTER_EACH_STEP = ("I1", "I4", "I6", "I10", "A3", "A5", "M1", "M2", "M3", "M4", "M5", "S1")
NOT_AT_THE_END = ("M1", "M6", "M8", "M11")
"""M1: what was captured by hand beside an open act of ours is more than was authorised, and no rule of ours can help it.
M6, M8, M11 are about time, which leaps here."""
FAULTS = (
    "drop_after", None, "refuse", "drop_before", "server_error_after", "no_id", "unauthorized", "too_many", "forget_key",
    "html_502_after", "cut_status", "server_error", "html_403", "conflict", "cut_headers",
)  # fmt: skip
LOOK_FAULTS = (None, "server_error", None, "drop_before", "lag", "unauthorized")
LEAPS = (timedelta(seconds=6), timedelta(seconds=100), timedelta(minutes=16), timedelta(hours=5), timedelta(hours=23))
CODES = {"create_capture": "CAPTURE_NOT_ALLOWED", "create_refund": "REFUND_NOT_ALLOWED"}

acts = st.fixed_dictionaries(
    {"fault": st.sampled_from(FAULTS), "look": st.sampled_from(LOOK_FAULTS), "skip": st.integers(0, 1)}
)
people = st.sampled_from([CLERK, FINANCE])
which = st.integers(0, 7)


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


class BackOffice(RuleBasedStateMachine):
    """Two orders, two people, and everything that can happen to a capture or a refund."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
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
        self.raced = False

    def teardown(self) -> None:
        try:
            self.let_it_end()
        finally:
            db.db.engine.dispose()
            self.context.pop()
            self.ground.kind.drop(self.url)
            shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def two_orders(self) -> None:
        with writing() as session:
            made = [
                builders.an_order(
                    session,
                    self.sandbox,
                    self.klarna,
                    lines=[builders.row("T-shirt", 49_900, pieces=PIECES), builders.row("Keps", 19_900)],
                )
                for _ in range(2)
            ]
            cap = made[1].lines[1]
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

    def has(self, *states: DocState, kinds: tuple[DocKind, ...] = tuple(DocKind)) -> bool:
        return any((kind, state) in self.there for kind in kinds for state in states)

    # --- What the rules stand on

    def all(self, kind: DocKind, *states: DocState) -> list[Document]:
        with reading() as session:
            query = sa.select(Document).where(Document.kind == kind, Document.state.in_(states)).order_by(Document.id)
            return list(session.scalars(query))

    def some(self, at: int, *states: DocState) -> Document | None:
        found = self.all(DocKind.INVOICE, *states) + self.all(DocKind.CREDIT_NOTE, *states)
        return found[at % len(found)] if found else None

    def under(self, mood: dict[str, Any], act: Callable[[], Any]) -> None:
        """Do an act while Klarna is in a mood. A refusal is an answer; anything else is a failure."""
        for operation, code in CODES.items():
            if mood["fault"] == "refuse":
                self.sandbox.fault("refuse", operation=operation, error_code=code)
            elif mood["fault"]:
                self.sandbox.fault(mood["fault"], operation=operation)
        if mood["look"]:
            self.sandbox.fault(mood["look"], operation="get_order", skip=mood["skip"], times=0)
        try:
            act()
        except Refusal:
            pass
        finally:
            self.sandbox.clear_faults()

    def form(self, shown: int) -> MoneyForm:
        return MoneyForm(secrets.token_hex(16), shown)

    def open_on(self, at: int) -> bool:
        with reading() as session:
            return orders.open_operation(session, orders.get(session, self.orders[at])) is not None

    # --- Clerks

    @rule(at=st.integers(0, 1), mood=acts, who=people, kind=st.sampled_from([DocType.DELIVERY] * 5 + [DocType.FINAL]))
    def deliver_and_invoice(self, at: int, mood: dict[str, Any], who: Actor, kind: DocType) -> None:
        self.writing(lambda session: self.deliver_one(session, at))
        try:
            with reading() as session:
                shown = invoices.propose(session, orders.get(session, self.orders[at]), kind).gross_minor
        except Refusal:
            return
        self.under(mood, lambda: reservations.invoice(self.klarna, who, self.orders[at], kind, self.form(shown)))

    def deliver_one(self, session: Any, at: int) -> None:
        order = orders.get(session, self.orders[at])
        for line, left in orders.to_deliver(session, order)[:1]:
            builders.a_delivery(session, order, {line.id: min(left, 1000)})

    @rule(at=which, mood=acts, who=people, restock=st.booleans())
    @precondition(lambda self: self.has(DocState.ISSUED, kinds=(DocKind.INVOICE,)))
    def credit_one_piece(self, at: int, mood: dict[str, Any], who: Actor, restock: bool) -> None:
        issued = self.all(DocKind.INVOICE, DocState.ISSUED)
        drafted: list[int] = []

        def work(session: Any) -> None:
            draft = credit_drafts.start(session, who, issued[at % len(issued)].id)
            for line in list(draft.lines)[1:]:
                credit_drafts.remove_row(session, who, draft.id, line.id)
            credit_drafts.set_options(
                session, who, draft.id, restock=restock, warehouse_id=None, without_klarna=False, reason=""
            )
            credit_drafts.set_quantity(session, who, draft.id, draft.lines[0].id, "1")
            drafted.append(draft.id)

        self.writing(work)
        for key in drafted:
            form = self.form(self.shown(key))
            self.under(mood, lambda key=key, form=form: reservations.credit(self.klarna, who, key, form))

    @rule(at=which, who=people)
    def begin_a_credit(self, at: int, who: Actor) -> None:
        issued = self.all(DocKind.INVOICE, DocState.ISSUED)
        if issued:
            self.writing(lambda session: credit_drafts.start(session, who, issued[at % len(issued)].id))

    def writing(self, work: Callable[[Any], Any]) -> None:
        try:
            with writing() as session:
                work(session)
        except Refusal:
            pass

    @rule(
        at=which,
        who=people,
        pieces=st.sampled_from(["1", "2"]),
        how=st.sampled_from(["quantity", "remove", "back", "restock", "exchange", "portal", "with"]),
    )
    @precondition(lambda self: self.has(DocState.DRAFT))
    def edit_a_draft(self, at: int, who: Actor, pieces: str, how: str) -> None:
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        if not drafts:
            return
        key = drafts[at % len(drafts)].id

        def work(session: Any) -> None:
            line = credit_drafts.get_draft(session, who, key).lines[at % 2 - 1]
            if how == "quantity":
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

    @rule(at=which, who=people)
    @precondition(lambda self: self.has(DocState.DRAFT))
    def discard_a_draft(self, at: int, who: Actor) -> None:
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        if len(drafts) > 2:
            self.writing(lambda session: credit_drafts.discard(session, who, drafts[at % len(drafts)].id))

    def shown(self, draft_id: int) -> int:
        with reading() as session:
            return credit_drafts.figures(session, session.get_one(Document, draft_id)).gross_minor

    @rule(at=which, mood=acts, who=people, confirmed=st.booleans())
    @precondition(lambda self: self.has(DocState.DRAFT))
    def credit(self, at: int, mood: dict[str, Any], who: Actor, confirmed: bool) -> None:
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        if drafts:
            key = drafts[at % len(drafts)].id
            form = self.form(self.shown(key))
            self.under(mood, lambda: reservations.credit(self.klarna, who, key, form, portal_confirmed=confirmed))

    @rule(at=which, mood=acts, who=people)
    @precondition(lambda self: self.has(DocState.REFUSED, DocState.PENDING))
    def try_again(self, at: int, mood: dict[str, Any], who: Actor) -> None:
        document = self.some(at, DocState.REFUSED, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: reservations.retry(self.klarna, who, document.id, self.form(0)))

    @rule(at=which, who=people)
    @precondition(lambda self: self.has(DocState.REFUSED, DocState.PENDING))
    def void(self, at: int, who: Actor) -> None:
        document = self.some(at, DocState.REFUSED, DocState.PENDING, DocState.ISSUED)
        if document is not None:
            self.writing(lambda session: reservations.void(session, who, document.id, "fel"))

    @rule(at=which, who=people, mood=acts, portal=st.booleans(), confirmed=st.booleans())
    @precondition(lambda self: self.has(DocState.REFUSED, DocState.PENDING, kinds=(DocKind.CREDIT_NOTE,)))
    def keep(self, at: int, who: Actor, mood: dict[str, Any], portal: bool, confirmed: bool) -> None:
        notes = self.all(DocKind.CREDIT_NOTE, DocState.REFUSED, DocState.PENDING)
        reason = WithoutKlarna.CREDITED_IN_PORTAL if portal else WithoutKlarna.EVEN_EXCHANGE
        if notes:
            key = notes[at % len(notes)].id
            self.under(mood, lambda: reservations.keep_without_klarna(self.klarna, who, key, reason, confirmed))

    @rule(at=which, who=people)
    @precondition(lambda self: self.has(DocState.PENDING))
    def withdraw(self, at: int, who: Actor) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.writing(lambda session: reservations.withdraw(session, who, document.id))

    @rule(at=which, who=people, mood=acts)
    @precondition(lambda self: self.has(DocState.PENDING))
    def send_now(self, at: int, who: Actor, mood: dict[str, Any]) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: reservations.send_now(self.klarna, who, document.id))

    @rule(at=which, mood=acts)
    @precondition(lambda self: self.has(DocState.PENDING))
    def ask_now(self, at: int, mood: dict[str, Any]) -> None:
        document = self.some(at, DocState.PENDING)
        if document is not None:
            self.under(mood, lambda: janitor.ask_now(self.klarna, CLERK, document.id))

    @rule(at=which)
    @precondition(lambda self: self.has(DocState.ISSUED, kinds=(DocKind.CREDIT_NOTE,)))
    def reverse(self, at: int) -> None:
        notes = self.all(DocKind.CREDIT_NOTE, DocState.ISSUED)
        if notes:
            self.writing(lambda session: credit_notes.reverse(session, FINANCE, notes[at % len(notes)].id, "fel kund"))

    @rule(at=which, happened=st.booleans(), mood=acts)
    @precondition(lambda self: self.has(DocState.PENDING))
    def decide(self, at: int, happened: bool, mood: dict[str, Any]) -> None:
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

    @rule(at=which, mood=acts, what=st.sampled_from(["credits", "again_and_void", "again_twice", "same_form"]))
    @precondition(lambda self: self.has(DocState.DRAFT, DocState.REFUSED))
    def two_at_once(self, at: int, mood: dict[str, Any], what: str) -> None:
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        refused = self.some(at, DocState.REFUSED)
        pair: list[Callable[[], Any]] = []
        if what in ("credits", "same_form") and drafts:
            one, other = drafts[at % len(drafts)].id, drafts[(at + 1) % len(drafts)].id
            form = self.form(self.shown(one))
            second = form if what == "same_form" else self.form(self.shown(other))
            also = one if what == "same_form" else other
            pair = [
                lambda: reservations.credit(self.klarna, FINANCE, one, form),
                lambda: reservations.credit(self.klarna, FINANCE, also, second),
            ]
        elif refused is not None:
            pair = [
                lambda: reservations.retry(self.klarna, FINANCE, refused.id, self.form(0)),
                (lambda: void_it(refused.id))
                if what == "again_and_void"
                else (lambda: reservations.retry(self.klarna, FINANCE, refused.id, self.form(0))),
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

    @rule(at=st.integers(0, 1), amount=st.sampled_from([100, 19_900, 49_900, 119_700]), capture=st.booleans())
    def by_hand_in_the_portal(self, at: int, amount: int, capture: bool) -> None:
        self.raced = self.raced or self.open_on(at)
        by_hand = self.sandbox.portal_capture if capture else self.sandbox.portal_refund
        with suppress(control.Refusal):
            by_hand(self.klarna_ids[at], amount)

    @rule(mood=acts, leap=st.sampled_from(LEAPS))
    def time_passes_and_the_janitor_comes(self, mood: dict[str, Any], leap: timedelta) -> None:
        if self.ground.ahead < timedelta(days=20):
            self.ground.ahead += leap
            self.sandbox.move_clock(leap)
        self.under(mood, lambda: janitor.run(self.klarna))

    @rule(mood=acts)
    def janitor(self, mood: dict[str, Any]) -> None:
        self.under(mood, lambda: janitor.run(self.klarna))

    @rule(at=st.integers(0, 1))
    def look(self, at: int) -> None:
        self.under({"fault": None, "look": None}, lambda: reservations.look_at(self.klarna, self.orders[at]))

    @rule()
    def new_credentials(self) -> None:
        with writing() as session:
            for account in session.scalars(sa.select(KlarnaAccount)):
                account.breaker = account.breaker_until = None

    # --- What must hold

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "orders"):
            self.count_documents()
            skipped = ("M1",) if self.raced else ()
            self.require([check for check in AFTER_EACH_STEP if check not in skipped])

    def require(self, checks: list[str]) -> None:
        with reading() as session:
            found = [result for result in verify.run(session, checks) if result.state is CheckState.FAILED]
        assert not found, "\n".join(f"{result.id} {finding}" for result in found for finding in result.findings)

    @invariant()
    def klarna_shows_each_number_at_most_once(self) -> None:
        if not hasattr(self, "orders"):
            return
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
                elif document.state is not DocState.PENDING:
                    assert there == 0, f"{document.number_text} is {document.state} and at Klarna"
        assert not shown, f"at Klarna without a document: {shown}"

    def let_it_end(self) -> None:
        """Klarna is well again and a day passes: nothing is left on its way, and everything is right."""
        if not hasattr(self, "orders"):
            return
        self.sandbox.clear_faults()
        self.new_credentials()
        for leap in (
            timedelta(minutes=3),
            timedelta(minutes=20),
            timedelta(hours=6),
            timedelta(hours=24),
            timedelta(hours=2),
        ):
            self.ground.ahead += leap
            self.sandbox.move_clock(leap)
            janitor.run(self.klarna)
            janitor.run(self.klarna)
        self.klarna_shows_each_number_at_most_once()
        self.require([check for check in verify.CHECKS if check not in NOT_AT_THE_END])
        with reading() as session:
            states = set(session.scalars(sa.select(KlarnaOp.state).where(KlarnaOp.state.in_(sorted(OPEN_OPS)))))
            assert states <= {OpState.PREPARED, OpState.REVIEW}, states
            assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 2


def void_it(document_id: int) -> None:
    with writing() as session:
        reservations.void(session, FINANCE, document_id, "fel")


def run_machine(
    kind: databases.Sqlite | databases.Postgres, sandbox: Control, put: Any, examples: int, steps: int
) -> None:
    ground = Ground(kind, sandbox)
    put(clock, "now", ground.now)
    run_state_machine_as_test(
        lambda: BackOffice(ground),
        settings=settings(
            max_examples=int(os.environ.get("KVITTA_EXAMPLES", examples)),
            stateful_step_count=int(os.environ.get("KVITTA_STEPS", steps)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # The way to a failure is made shorter on demand only: it takes minutes.
            phases=[Phase.generate, Phase.shrink] if os.environ.get("KVITTA_SHRINK") else [Phase.generate],
            database=None,
            print_blob=True,
        ),
    )


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "examples", "steps"), [("sqlite", 25, 20), ("postgres", 4, 15)])
def test_whatever_people_and_klarna_do_the_invariants_hold(
    request: pytest.FixtureRequest,
    all_databases: databases.Databases,
    sandbox: Control,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    examples: int,
    steps: int,
) -> None:
    """I1, I4, I6, I10, A3, A5, M1-M5, S1 after each step; everything that can be asked at the end."""
    if request.config.getoption("--database") not in (name, "both"):
        pytest.skip("the other database was chosen")
    try:
        kind = all_databases.of(name)
    except databases.CannotBeHad as error:
        pytest.skip(str(error))
    run_machine(kind, sandbox, monkeypatch.setattr, examples, steps)
