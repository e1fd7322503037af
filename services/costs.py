"""What an article costs the company: changed with a reason, and every change kept with who, when and why (B27).

Costs are minor units excluding VAT, per unit. The log is append-only, and so is this history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, Stale
from models import Article
from money import MAX_AMOUNT_MINOR
from rights import Actor, Right
from services import audit, register, stock_booking

ACTION = "article.cost"
SHOWN = 20


def change(session: Session, actor: Actor, article_id: int, cost_minor: int, reason: str, seen_minor: int) -> None:
    """Give an article another cost; ``seen_minor`` is the one the form was drawn with.

    Raises NotAllowed, NotFound, BadInput, and Stale when somebody has changed it meanwhile.
    """
    actor.require(Right.WORK)
    actor.require(Right.SEE_PRIVATE)
    session.execute(sa.select(Article.id).where(Article.id == article_id).with_for_update()).one_or_none()
    article = register.get_article(session, article_id)
    if not 0 <= cost_minor <= MAX_AMOUNT_MINOR:
        raise BadInput(N_("Enter an amount."), field="cost")
    if not reason.strip():
        raise BadInput(N_("Write a reason."), field="cost_reason")
    if article.cost_minor != seen_minor:
        raise Stale(
            N_("Somebody has changed the cost since the page was drawn. Nothing has been changed; look it through.")
        )
    if article.cost_minor == cost_minor:
        raise BadInput(N_("That is the cost already."), field="cost")
    detail = {"before_minor": article.cost_minor, "cost_minor": cost_minor, "reason": reason.strip()}
    before_minor, article.cost_minor = article.cost_minor, cost_minor
    session.flush()
    stock_booking.revalue(session, actor, article, before_minor)
    audit.write(session, actor, ACTION, f"article:{article_id}", detail)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of cost as the page shows it, minor units."""

    at: datetime
    before_minor: int
    cost_minor: int
    reason: str
    by: str


def history(session: Session, article_id: int) -> list[Change]:
    """The latest changes of an article's cost, the newest first."""
    return [
        Change(row.at, row.detail["before_minor"], row.detail["cost_minor"], row.detail["reason"], row.actor)
        for row in audit.listing(session, object=f"article:{article_id}", action=ACTION, limit=SHOWN)
    ]
