"""A money act that is about to go wrong, and what must hold when it has: once or not at all, one number, one voucher.

Amounts are minor units. Source: invariants 2, rows 1-7: *one effect* means one capture or refund at Klarna, one number, one
voucher, the document issued.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, FormUse, KlarnaAnswer, KlarnaAttempt, KlarnaOp, Order, StockMovement, Voucher
from services import credit_drafts, janitor, reservations, verify
from services.gateway import Gateway
from services.reservations import MoneyForm
from services.verify import CheckState
from states import OPEN_OPS, DocState, DocType, MovementKind, OpState
from tests import builders
from tests.faults.moved_clock import MovedClock

CAPTURE, REFUND = "create_capture", "create_refund"
PIECES = 2


@dataclass(frozen=True)
class MoneyAct:
    """A capture or refund that a person is about to press the button of: the order, the form, the sum."""

    operation: str
    order: Order
    subject: int
    form: MoneyForm
    stands: int
    """How many documents of the order had been issued before."""

    @property
    def wish(self) -> dict[str, Any]:
        """The act for a process of its own."""
        key = "order_id" if self.operation == CAPTURE else "draft_id"
        return {key: self.subject, "nonce": self.form.nonce, "shown": self.form.shown_minor}

    @property
    def name(self) -> str:
        """Its name among the acts of the nursery."""
        return "invoice" if self.operation == CAPTURE else "credit"

    def press(self, klarna: Gateway) -> int:
        """Send the very same form, from this process; gives the document's id."""
        if self.operation == CAPTURE:
            return reservations.invoice(klarna, builders.CLERK, self.subject, DocType.DELIVERY, self.form)
        return reservations.credit(klarna, builders.CLERK, self.subject, self.form)

    def document(self) -> Document | None:
        """Its document once it has a number."""
        with reading() as session:
            query = sa.select(Document).where(Document.order_id == self.order.id, Document.number.is_not(None))
            found = list(session.scalars(query.order_by(Document.number)))[self.stands :]
            assert len(found) <= 1, [each.number_text for each in found]
            return found[0] if found else None

    def ops(self) -> list[KlarnaOp]:
        """The operations of its document, the first try first."""
        document = self.document()
        if document is None:
            return []
        with reading() as session:
            query = sa.select(KlarnaOp).where(KlarnaOp.document_id == document.id).order_by(KlarnaOp.try_no)
            return list(session.scalars(query))

    def effects(self, sandbox: Control) -> list[dict[str, Any]]:
        """What stands at Klarna: the order's captures or refunds."""
        found: list[dict[str, Any]] = sandbox.state(self.order.klarna_order_id or "")[
            "captures" if self.operation == CAPTURE else "refunds"
        ]
        return found

    def vouchers(self) -> int:
        """How many vouchers its document has."""
        document = self.document()
        if document is None:
            return 0
        return count(Voucher, Voucher.document_id == document.id)

    def restocked(self) -> int:
        """Thousandths that came back to stock by its document."""
        document = self.document()
        if document is None:
            return 0
        with reading() as session:
            lines = [line.id for line in session.get_one(Document, document.id).lines]
            query = sa.select(sa.func.sum(StockMovement.quantity_milli)).where(
                StockMovement.document_line_id.in_(lines), StockMovement.kind == MovementKind.RETURN
            )
            return int(session.scalar(query) or 0)


def an_invoice_to_be(klarna: Gateway, sandbox: Control, *, room: bool = False) -> MoneyAct:
    """An order of two shirts and freight, delivered, to be invoiced and captured; with ``room`` there is more on the order."""
    rows = [builders.row("T-shirt", 49_900, pieces=PIECES), builders.row("Frakt", 4_900, kind=builders.FREIGHT)]
    if room:
        rows.append(builders.row("Jacka", 149_900))
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=rows)
        shirts = order.lines[0]
        builders.a_delivery(session, order, {shirts.id: PIECES * 1000})
    return MoneyAct(CAPTURE, order, order.id, MoneyForm(secrets.token_hex(16), 104_700), 0)


def a_credit_to_be(klarna: Gateway, sandbox: Control, *, room: bool = False) -> MoneyAct:
    """A captured invoice of two shirts, with a draft that credits both and puts them back; ``room``: not all of it."""
    rows = [builders.row("T-shirt", 49_900, pieces=PIECES)]
    if room:
        rows.append(builders.row("Jacka", 149_900))
    invoice = builders.a_captured_invoice(klarna, sandbox, lines=rows)
    with writing() as session:
        draft = credit_drafts.start(session, builders.CLERK, invoice.id)
        credit_drafts.set_options(
            session, builders.CLERK, draft.id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
        for line in draft.lines[1:]:
            credit_drafts.remove_row(session, builders.CLERK, draft.id, line.id)
        order = session.get_one(Order, invoice.order_id)
        shown = credit_drafts.figures(session, draft).gross_minor
    return MoneyAct(REFUND, order, draft.id, MoneyForm(secrets.token_hex(16), shown), 1)


TO_BE = {CAPTURE: an_invoice_to_be, REFUND: a_credit_to_be}


def count(table: Any, *where: Any) -> int:
    """How many rows there are."""
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


def hurry(act: MoneyAct) -> None:
    """Let the janitor's next time for this act be now."""
    with writing() as session:
        session.execute(
            sa.update(KlarnaOp)
            .where(KlarnaOp.order_id == act.order.id, KlarnaOp.state.in_(sorted(OPEN_OPS)))
            .values(next_run_at=KlarnaOp.created_at)
        )


def recover(klarna: Gateway, moved: MovedClock, *, rounds: int = 2) -> None:
    """What a started program does after a crash: the leases run out, and the janitor makes its rounds."""
    moved.move(seconds=100)
    for _ in range(rounds):
        janitor.run(klarna)


def require_one_effect(act: MoneyAct, sandbox: Control) -> None:
    """One capture or refund at Klarna, one number, one voucher, the document issued, the goods back once."""
    document = act.document()
    assert document is not None and document.state is DocState.ISSUED
    assert [each["reference"] for each in act.effects(sandbox)] == [document.number_text]
    assert act.vouchers() == 1 and [op.state for op in act.ops()] == [OpState.CONFIRMED]
    assert act.restocked() == (PIECES * 1000 if act.operation == REFUND else 0)
    assert document.issued_by_op_id == act.ops()[0].id
    posts = sandbox.posts(operation=act.operation, order_id=act.order.klarna_order_id)
    assert len({post["idempotency_key"] for post in posts}) <= 1, "one operation, one key"
    assert len({json.dumps(post["body"], sort_keys=True) for post in posts}) <= 1, "and the same bytes"


def require_nothing(act: MoneyAct, sandbox: Control) -> None:
    """No operation, no number, no reservation, nothing used of the form, nothing sent; a draft is as it was."""
    assert act.document() is None and not act.ops()
    assert not count(FormUse, FormUse.nonce == act.form.nonce)
    assert not sandbox.posts(operation=act.operation, order_id=act.order.klarna_order_id)
    if act.operation == REFUND:
        assert builders.the_document(act.subject).state is DocState.DRAFT


def answers_of(act: MoneyAct) -> Sequence[tuple[KlarnaAttempt, KlarnaAnswer | None]]:
    """Each attempt of the act with its answer, in order."""
    with reading() as session:
        rows = session.execute(
            sa.select(KlarnaAttempt, KlarnaAnswer)
            .outerjoin(KlarnaAnswer, KlarnaAnswer.attempt_id == KlarnaAttempt.id)
            .join(KlarnaOp, KlarnaOp.id == KlarnaAttempt.op_id)
            .where(KlarnaOp.order_id == act.order.id, KlarnaOp.document_id.in_([op.document_id for op in act.ops()]))
            .order_by(KlarnaAttempt.op_id, KlarnaAttempt.n)
        )
        return [(attempt, answer) for attempt, answer in rows]


def require_whole(*, but: Sequence[str] = ()) -> None:
    """``flask verify``: every invariant holds, or all but those named."""
    with reading() as session:
        found = [result for result in verify.run(session) if result.state is CheckState.FAILED and result.id not in but]
        assert not found, "\n".join(f"{result.id} {finding}" for result in found for finding in result.findings)
