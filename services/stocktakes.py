"""«Inventering»: a warehouse is counted, the differences are looked at, and then booked once, as movements (B28).

A difference is what was counted less the balance at that moment, so that what is sold or comes in afterwards changes both alike
and is never lost, nor counted twice. The stocktake's row is locked first, then articles in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Article, StockMovement, Stocktake, StocktakeCount, Warehouse
from money import MAX_QUANTITY_MILLI
from rights import Actor, Right
from services import audit, card_checks, keyset, money_forms, stock, stock_booking, stocktake_report, workplace
from states import MovementKind, StocktakeState

LONGEST_NOTE = 200
SOME = 1_000
"""Movements that are put in with one statement."""


class How(StrEnum):
    """What a quantity means for an article that has been counted before."""

    ADD = "add"
    """It lies in another place, and is added to what was counted."""
    ANEW = "anew"
    """All of it has been counted again."""


def start(session: Session, actor: Actor, nonce: str, warehouse_id: int, note: str = "") -> int:
    """Begin to count a warehouse; gives the stocktake's id, the same one when the form is sent again.

    Raises Refusal with the way to the one that is open there already, BadInput for a warehouse that is closed.
    """
    actor.require(Right.WORK)
    # Two who start at once: the second waits here and sees the first's. Deliveries, which only name the warehouse, do not wait.
    place = session.scalar(sa.select(Warehouse).where(Warehouse.id == warehouse_id).with_for_update(key_share=True))
    note = note.strip()
    used = money_forms.earlier_use(session, actor, nonce, "stocktake", "new", [warehouse_id, note])
    if used is not None:
        return int(used)
    if place is None or not place.active:
        raise BadInput(N_("Choose a warehouse."), field="warehouse_id")
    card_checks.check_text(note, LONGEST_NOTE, field="note")
    going_on = session.scalar(
        sa.select(Stocktake.id).where(Stocktake.warehouse_id == place.id, Stocktake.state == StocktakeState.OPEN)
    )
    if going_on is not None:
        raise Refusal(
            N_("%(warehouse)s is being counted already. Go on with that stocktake, or end it first."),
            field="warehouse_id",
            link=("stocktakes.show", {"stocktake_id": going_on}),
            warehouse=place.name,
        )
    made = Stocktake(warehouse_id=place.id, note=note, started_at=clock.now(), started_by=actor.name)
    session.add(made)
    session.flush()
    audit.write(session, actor, "stocktake.start", f"stocktake:{made.id}", {"warehouse": place.code})
    money_forms.use_form(session, actor, nonce, "stocktake", "new", [warehouse_id, note], str(made.id))
    workplace.remember(session, actor, place.id)
    return made.id


def count(
    session: Session, actor: Actor, nonce: str, stocktake_id: int, code: str, quantity_milli: int, how: How = How.ADD
) -> int:
    """Note that so many of an article lie in the warehouse; gives the article's id. One form counts once.

    The balance is taken together with the quantity. An article may lie in two places: the second is added to the first as
    long as the balance is what it was. When some of it has moved in between, nobody can tell from which of the two places, and
    either guess books what is not so; then all of it is counted again. Raises NotFound, BadInput, Refusal.
    """
    actor.require(Right.WORK)
    stocktake = _locked(session, stocktake_id)
    values = [code.strip(), quantity_milli, how]
    used = money_forms.earlier_use(session, actor, nonce, "count", str(stocktake_id), values)
    if used is not None:
        return int(used)
    _require_open(stocktake)
    article = stock.article_of(session, code, "scan", in_use=False)
    _check_quantity(quantity_milli)
    held = stock.balance(session, article.id, stocktake.warehouse_id)
    row = session.get(StocktakeCount, (stocktake_id, article.id))
    if row is None:
        row = StocktakeCount(stocktake_id=stocktake_id, article_id=article.id, counted_milli=0)
        session.add(row)
    elif how is How.ADD:
        if held != row.balance_milli:
            raise Refusal(
                N_(
                    "Of article %(article)s %(counted_milli)s were counted %(at)s, and the balance has gone from "
                    "%(then_milli)s to %(now_milli)s since. Count all of it again."
                ),
                field="how",
                article=article.number,
                counted_milli=row.counted_milli,
                at=row.counted_at,
                then_milli=row.balance_milli,
                now_milli=held,
            )
        _check_quantity(quantity_milli := quantity_milli + row.counted_milli)
    row.counted_milli, row.balance_milli = quantity_milli, held
    row.counted_at, row.counted_by = clock.now(), actor.name
    session.flush()
    money_forms.use_form(session, actor, nonce, "count", str(stocktake_id), values, str(article.id))
    return article.id


def correct(session: Session, actor: Actor, stocktake_id: int, article_id: int, seen: str, quantity_milli: int) -> None:
    """Put right what was typed: so many were counted then. The balance stays the one of that moment.

    ``seen`` is the row as the page showed it. Raises NotFound, BadInput, Refusal, Stale when it has been counted since.
    """
    _check_quantity(quantity_milli, f"quantity_{article_id}")
    row = _counted(session, actor, stocktake_id, article_id)
    if row is None or seen != _seen(row) and row.counted_milli != quantity_milli:
        raise _changed()
    if row.counted_milli != quantity_milli:
        row.counted_milli, row.counted_by = quantity_milli, actor.name


def remove(session: Session, actor: Actor, stocktake_id: int, article_id: int, seen: str) -> None:
    """Take a count away, as if nobody had counted the article; one that is gone is gone. Raises as ``correct``."""
    row = _counted(session, actor, stocktake_id, article_id)
    if row is not None and seen != _seen(row):
        raise _changed()
    if row is not None:
        session.delete(row)


def _counted(session: Session, actor: Actor, stocktake_id: int, article_id: int) -> StocktakeCount | None:
    actor.require(Right.WORK)
    _require_open(_locked(session, stocktake_id))
    return session.get(StocktakeCount, (stocktake_id, article_id))


def _seen(row: StocktakeCount) -> str:
    return f"{row.counted_milli}.{row.balance_milli}"


def _changed() -> Stale:
    return Stale(N_("Somebody else has counted the article meanwhile. Look at the row as it is now."))


def book(
    session: Session, actor: Actor, nonce: str, stocktake_id: int, seen: str, uncounted_to_zero: bool = False
) -> int:
    """Book the differences, each as one movement, and end the stocktake; gives how many there were. Once, however often sent.

    ``seen`` is ``Report.seen`` of the page: what has been counted since is never booked unseen. ``uncounted_to_zero`` is
    asked apart; what nobody counted then goes to zero from the balance it has now. Raises NotFound, Stale, and Refusal,
    with nothing booked, where an article would fall below zero that may not (S2).
    """
    actor.require(Right.WORK)
    stocktake = _locked(session, stocktake_id)
    used = money_forms.earlier_use(session, actor, nonce, "book", str(stocktake_id), [seen, uncounted_to_zero])
    if used is not None:
        return int(used)
    _require_open(stocktake)
    if not stocktake.warehouse.active:
        raise Refusal(N_("The warehouse is closed."))
    moves = _moves(session, stocktake, seen, uncounted_to_zero)
    at = clock.now()
    _end(session, stocktake_id, StocktakeState.BOOKED, actor, at, zero=uncounted_to_zero)
    _put_in(session, actor, stocktake, moves, at)
    text = f"Inventering, lager {stocktake.warehouse.code}"
    stock_booking.follow(session, actor, moves, text, f"stock_counted:{stocktake_id}")
    audit.write(
        session,
        actor,
        "stocktake.book",
        f"stocktake:{stocktake_id}",
        {"warehouse": stocktake.warehouse.code, "movements": len(moves), "uncounted_to_zero": uncounted_to_zero},
    )
    form = [seen, uncounted_to_zero]
    money_forms.use_form(session, actor, nonce, "book", str(stocktake_id), form, str(len(moves)))
    return len(moves)


def discard(session: Session, actor: Actor, stocktake_id: int) -> None:
    """End a stocktake without booking anything; what was counted stays to be read. Raises NotFound, Refusal."""
    actor.require(Right.WORK)
    stocktake = _locked(session, stocktake_id)
    if stocktake.state is StocktakeState.DISCARDED:
        return
    _require_open(stocktake)
    _end(session, stocktake_id, StocktakeState.DISCARDED, actor, clock.now())
    audit.write(
        session, actor, "stocktake.discard", f"stocktake:{stocktake_id}", {"warehouse": stocktake.warehouse.code}
    )


# --- Within --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Move:
    article_id: int
    quantity_milli: int


def _locked(session: Session, stocktake_id: int) -> Stocktake:
    """The stocktake, which nobody else counts in, books or ends until this is over. Raises NotFound."""
    found = session.scalar(
        sa.select(Stocktake)
        .where(Stocktake.id == stocktake_id)
        .with_for_update(of=Stocktake)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound
    return found


def _require_open(stocktake: Stocktake) -> None:
    """Raises Refusal for one that has ended."""
    if stocktake.state is StocktakeState.BOOKED:
        raise Refusal(N_("The stocktake is booked. Nothing more can be changed in it."))
    if stocktake.state is StocktakeState.DISCARDED:
        raise Refusal(N_("The stocktake was discarded. Nothing more can be changed in it."))


def _check_quantity(milli: int, field: str = "quantity") -> None:
    if milli < 0:
        raise BadInput(N_("The quantity cannot be less than 0."), field=field)
    if milli > MAX_QUANTITY_MILLI:
        raise BadInput(N_("The quantity is too large."), field=field)


def _end(
    session: Session, stocktake_id: int, state: StocktakeState, actor: Actor, at: datetime, *, zero: bool = False
) -> None:
    """Close an open stocktake by compare-and-set. Raises Stale when somebody was faster."""
    closed = session.execute(
        sa.update(Stocktake)
        .where(Stocktake.id == stocktake_id, Stocktake.state == StocktakeState.OPEN)
        .values(state=state, ended_at=at, ended_by=actor.name, uncounted_to_zero=zero)
    )
    if closed.rowcount != 1:  # type: ignore[attr-defined]
        raise Stale(N_("Somebody else has ended the stocktake meanwhile. Nothing has been booked."))


def _moves(session: Session, stocktake: Stocktake, seen: str, zero: bool) -> list[_Move]:
    """What is to be booked, by article id, with those articles locked. Raises Stale, Refusal."""
    told_counts, _dot, told_rest = seen.partition(".")
    shown = stocktake_report.report(session, stocktake)
    if shown.seen.partition(".")[0] != told_counts:
        raise Stale(N_("More has been counted since the report was drawn. Nothing has been booked; look at it anew."))
    if not shown.counted:
        raise Refusal(N_("Nothing has been counted yet."))
    wanted = {each.article_id: each.difference_milli for each in shown.differing}
    locked = _lock(session, [*wanted, *(each.article_id for each in shown.uncounted if zero)])
    if zero:
        # What they hold is read behind their locks: nothing moves between this and the movement that empties them.
        rest = {each.article_id: each.balance_milli for each in stocktake_report.uncounted(session, stocktake)}
        if stocktake_report.fingerprint(list(rest)) != told_rest or not rest.keys() <= locked.keys():
            raise Stale(
                N_("Other articles are uncounted than the report showed. Nothing has been booked; look at it anew.")
            )
        wanted |= {article_id: -held for article_id, held in rest.items()}
    _require_enough(session, stocktake.warehouse_id, locked, wanted)
    return [_Move(article_id, wanted[article_id]) for article_id in sorted(wanted)]


def _lock(session: Session, article_ids: list[int]) -> Mapping[int, Article]:
    """The articles, in the order of their ids, so that two who book never wait for each other in a circle."""
    rows = session.scalars(
        sa.select(Article).where(keyset.among(session, Article.id, article_ids)).order_by(Article.id).with_for_update()
    )
    return {each.id: each for each in rows}


def _require_enough(
    session: Session, warehouse_id: int, articles: Mapping[int, Article], wanted: Mapping[int, int]
) -> None:
    """Let pass differences that take nothing below zero that may not be. Raises Refusal naming the first (S2)."""
    held = {
        article_id: int(milli)
        for article_id, milli in session.execute(
            sa.select(StockMovement.article_id, sa.func.sum(StockMovement.quantity_milli))
            .where(
                StockMovement.warehouse_id == warehouse_id,
                keyset.among(session, StockMovement.article_id, sorted(wanted)),
            )
            .group_by(StockMovement.article_id)
        )
    }
    for article_id in sorted(wanted):
        article, left = articles[article_id], held.get(article_id, 0)
        if not article.stock_kept:
            raise Refusal(N_("No stock is kept of article %(article)s."), article=article.number)
        if wanted[article_id] < 0 and left + wanted[article_id] < 0 and not article.may_go_negative:
            raise Refusal(
                N_(
                    "Of article %(article)s only %(left_milli)s is in stock by now, and the difference takes out "
                    "%(wanted_milli)s. Count it again; nothing has been booked."
                ),
                article=article.number,
                left_milli=left,
                wanted_milli=-wanted[article_id],
                link=("stock.article", {"article_id": article_id}),
            )


def _put_in(session: Session, actor: Actor, stocktake: Stocktake, moves: list[_Move], at: datetime) -> None:
    """Add the movements, many with one statement: a whole warehouse may differ, and the books wait meanwhile."""
    rows = [
        {
            "article_id": each.article_id,
            "warehouse_id": stocktake.warehouse_id,
            "quantity_milli": each.quantity_milli,
            "kind": MovementKind.STOCKTAKE,
            "stocktake_id": stocktake.id,
            "reason": stocktake.note,
            "at": at,
            "by": actor.name,
        }
        for each in moves
    ]
    for first in range(0, len(rows), SOME):
        session.execute(sa.insert(StockMovement), rows[first : first + SOME])
