"""An order's reservation as pages show it: which acts are on, why the others are off, and what became of the last one."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from errors import Refusal
from rights import Right
from services import orders, reservation_acts
from web import actor, say, why_not
from web_documents import off, told


def shown(session: Session, order_id: int) -> dict[str, Any]:
    """What ``orders/_acts.html`` and ``orders/_operation.html`` are drawn from."""
    acts = reservation_acts.acts(session, actor(), orders.get(session, order_id))
    return {
        "acts": acts,
        "act": acts.outcome,
        "told": told,
        "off": off,
        "no_extend": _why_off(acts.no_extend),
        "no_release": _why_off(acts.no_release),
        "no_cancel": _why_off(acts.no_cancel),
        "no_amend": _why_off(acts.no_amend),
        "no_remove": why_not(Right.REMOVE_ORDER) or off(acts.no_remove),
    }


def _why_off(no: Refusal | None) -> str | None:
    """Why a button is off: the role first, then the rule (B31)."""
    return why_not(Right.WORK) or (say(no) if no else None)
