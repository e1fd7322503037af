"""Proof of acts that leave no object with our number: what a look shows of the reservation itself. Pure but for one reading.

Absence concludes nothing here either. Amounts are minor units. Source: operations 8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import KlarnaOp, KlarnaOpEvent
from services.looks import Line, Look
from states import KlarnaStatus, OpKind, OpState


def before(look: Look) -> tuple[str, str, str]:
    """What stands at Klarna before an act, as the evidence of its first event."""
    return "look", look.at.isoformat(), _written(look.captured, look.expires_at)


def before_release(at: datetime, captured_minor: int) -> tuple[str, str, str]:
    """The same for a release that follows a capture of this transaction: what will have been captured by it."""
    return "look", at.isoformat(), _written(captured_minor, None)


def _written(captured_minor: int, expires_at: datetime | None) -> str:
    return json.dumps({"captured": captured_minor, "expires_at": expires_at.isoformat() if expires_at else None})


def shown(session: Session, op: KlarnaOp, look: Look) -> bool:
    """Whether a look shows the effect of an act on the reservation."""
    if look.currency != op.currency:
        return False
    if op.kind is OpKind.CANCEL:
        return look.status is KlarnaStatus.CANCELLED
    if op.kind is OpKind.UPDATE_AUTH:
        return look.order_amount == op.amount_minor and _lines_of_body(op) == _lines_of_look(look.lines)
    stood = _before(session, op)
    if op.kind is OpKind.RELEASE:
        return look.remaining == 0 and look.captured == stood.get("captured")
    expires_at = stood.get("expires_at")
    if op.kind is OpKind.EXTEND_AUTH and expires_at is not None and look.expires_at is not None:
        return look.expires_at > datetime.fromisoformat(expires_at)
    return False


def _before(session: Session, op: KlarnaOp) -> Mapping[str, Any]:
    written = session.scalar(
        select(KlarnaOpEvent.evidence).where(
            KlarnaOpEvent.op_id == op.id, KlarnaOpEvent.from_state.is_(None), KlarnaOpEvent.to_state == OpState.PREPARED
        )
    )
    found: Mapping[str, Any] = json.loads(written) if written else {}
    return found


def _lines_of_look(lines: Iterable[Line]) -> list[tuple[str | None, str, int, int]]:
    return [(line.reference, line.name, line.quantity, line.total_minor) for line in lines]


def _lines_of_body(op: KlarnaOp) -> list[tuple[str | None, str, int, int]]:
    lines = json.loads(op.body).get("order_lines", [])
    return [(each.get("reference"), each["name"], each["quantity"], each["total_amount"]) for each in lines]
