"""Perpetual booking of stock: from the day Finance begins it, what moves is booked at cost as it moves (E4c, E11c, S4).

An article is worth its balance in all warehouses times its cost. What that value changes by is booked on the stock account
against change of stock, in series L, one voucher per event; purchases are booked elsewhere, as they were. Minor units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
import money
from errors import N_, BadInput, Refusal, Stale
from models import Article, Posting, Setting, StockMovement, Voucher
from rights import Actor, Right
from services import accounts, currencies, keyset, ledger, money_forms, periods, settings

ACTION = "stock_booking"
SUBJECT = "begin"
SERIES = periods.STOCK_SERIES
ON, ELSEWHERE = "stock.booking", "stock.elsewhere"
_AS_SET = (
    sa.select(Setting.name, Setting.value)
    .where(Setting.name.in_((ON, ELSEWHERE)), Setting.valid_from <= sa.bindparam("day"))
    .order_by(Setting.valid_from, Setting.id)
)


def is_on(session: Session) -> bool:
    """Whether stock is booked as it moves. Asked anew each time: behind the lock of an article or of a movement it holds."""
    return _set(session).get(ON) == "1"


def _set(session: Session) -> dict[str, str]:
    return {row.name: row.value for row in session.execute(_AS_SET, {"day": clock.today()})}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the stock is worth, and what the books say.

    ``elsewhere_minor`` is what was said to stand on the account in other books when booking last began; 0 before it ever did.
    """

    on: bool
    account: int
    change_account: int
    value_minor: int
    ledger_minor: int
    elsewhere_minor: int

    @property
    def booked_minor(self) -> int:
        """What the stock account says, with what stands on it elsewhere."""
        return self.ledger_minor + self.elsewhere_minor


def standing(session: Session) -> Standing:
    """Value and books as they are now (S4)."""
    told, today = _set(session), clock.today()
    account = accounts.role(session, "stock", today)
    on = told.get(ON) == "1"
    return Standing(
        on,
        account,
        accounts.role(session, "stock_change", today),
        value(session),
        _ledger(session, account),
        int(told.get(ELSEWHERE, "0")),
    )


def value(session: Session) -> int:
    """What all stock is worth: each article's balance in all warehouses times its cost."""
    rows = session.execute(
        sa.select(Article.cost_minor, sa.func.sum(StockMovement.quantity_milli))
        .join(StockMovement, StockMovement.article_id == Article.id)
        .group_by(Article.id, Article.cost_minor)
    )
    return sum(money.gross_of(int(milli), cost_minor) for cost_minor, milli in rows)


def _ledger(session: Session, account: int) -> int:
    return int(session.scalar(sa.select(sa.func.sum(Posting.amount_minor)).where(Posting.account == account)) or 0)


def is_booked(session: Session, starts: date = date.min, ends: date = date.max, account: int | None = None) -> bool:
    """Whether anything has been booked as it moved in these days, on one account or any: it shows what articles cost."""
    booked = sa.select(Voucher.id).where(Voucher.series == SERIES, Voucher.day >= starts, Voucher.day <= ends).limit(1)
    if account is not None:
        booked = booked.join(Posting, Posting.voucher_id == Voucher.id).where(Posting.account == account)
    return session.scalar(booked) is not None


def require_seen(session: Session, actor: Actor, starts: date, ends: date, account: int | None = None) -> None:
    """Let pass who may read the rows of these days: who sees costs, or all where none show. Raises NotAllowed (B31)."""
    if not actor.may(Right.SEE_PRIVATE) and is_booked(session, starts, ends, account):
        actor.require(Right.SEE_PRIVATE)


# --- Begin and end --------------------------------------------------------------------------------------------------------


def begin(session: Session, actor: Actor, nonce: str, stated_minor: int, seen_minor: int) -> int:
    """Book stock as it moves from now on; gives what was booked today: its value less what stands on the account already.

    ``stated_minor`` is what somebody says stands there, in Kvitta's books and in others together; ``seen_minor`` the value that
    the page showed. Raises NotAllowed, Stale when the value is another, Refusal when it is on already or cannot be booked.
    """
    actor.require(Right.BOOKS)
    form = [stated_minor, seen_minor]
    used = money_forms.earlier_use(session, actor, nonce, ACTION, SUBJECT, form)
    if used is not None:
        return int(used)
    _hold_still(session)
    now = standing(session)
    if now.on:
        raise Refusal(N_("Stock is booked as it moves already."))
    _require_accounts(session, now)
    require_bookable(session, actor)
    for change in settings.coming(session, [settings.STOCK]):
        if settings.value(session, settings.STOCK, change.valid_from) != str(now.account):
            raise Refusal(
                N_(
                    "Another stock account has been chosen from %(day)s. Begin then, or choose the same one for that day."
                ),
                day=change.valid_from,
            )
    if now.value_minor != seen_minor:
        raise Stale(N_("The value of the stock has changed since the page was drawn. Nothing has been booked."))
    difference = now.value_minor - stated_minor
    _post(session, actor, difference, "Löpande lagerbokföring börjar", f"stock_begun:{nonce}", None)
    elsewhere = now.value_minor - _ledger(session, now.account)
    for name, text in ((ELSEWHERE, str(elsewhere)), (ON, "1")):
        settings.keep(session, actor, name, text, clock.today())
    money_forms.use_form(session, actor, nonce, ACTION, SUBJECT, form, str(difference))
    return difference


def end(session: Session, actor: Actor) -> None:
    """Book no more movements; what is booked stays. Raises NotAllowed, Refusal when it is off."""
    actor.require(Right.BOOKS)
    if not is_on(session):
        raise Refusal(N_("Stock is not booked as it moves."))
    settings.keep(session, actor, ON, "0", clock.today())


def _hold_still(session: Session) -> None:
    """Wait for movements, changes of cost and choices of accounts under way, and let none begin.

    On SQLite whoever writes is alone.
    """
    if not db.is_sqlite(session.get_bind().engine):
        session.execute(sa.text("LOCK TABLE article, stock_movement IN SHARE ROW EXCLUSIVE MODE"))
    settings.hold_accounts(session)


def _require_accounts(session: Session, now: Standing) -> None:
    """Let accounts pass that could be chosen for stock today: also those nobody has chosen are looked at (S4)."""
    for name, account in ((settings.STOCK, now.account), ("account.stock_change", now.change_account)):
        try:
            settings.require_account(session, name, str(account), clock.today())
        except BadInput as no:
            no.field, no.link = None, ("settings.group", {"group": "accounts"})
            raise


def require_bookable(session: Session, actor: Actor) -> None:
    """Let pass a day on which stock could be booked. Raises Refusal and BrokenRule as ``ledger.post`` does.

    Asked before booking begins, and before Klarna is asked for what moves stock afterwards (operations 3, T1).
    """
    ledger.require_bookable(session, actor, clock.today(), _entries(session, 1), currencies.BOOKS)


# --- What moves -----------------------------------------------------------------------------------------------------------


class Moved(Protocol):
    """A movement, as far as its value goes; thousandths."""

    @property
    def article_id(self) -> int: ...
    @property
    def quantity_milli(self) -> int: ...


def follow(
    session: Session, actor: Actor, moved: Sequence[Moved], text: str, source: str, *, document_id: int | None = None
) -> None:
    """Book what the movements of one event are worth, where stock is booked as it moves; nothing for a value of 0.

    They are written already, and their articles locked. Raises Refusal as ``ledger.post`` does.
    """
    if not moved or not is_on(session):
        return
    changed: Counter[int] = Counter()
    for each in moved:
        changed[each.article_id] += each.quantity_milli
    rows = session.execute(
        sa.select(Article.id, Article.cost_minor, sa.func.sum(StockMovement.quantity_milli))
        .join(StockMovement, StockMovement.article_id == Article.id)
        .where(keyset.among(session, Article.id, sorted(changed)))
        .group_by(Article.id, Article.cost_minor)
    )
    change = sum(
        money.gross_of(int(milli), cost_minor) - money.gross_of(int(milli) - changed[article_id], cost_minor)
        for article_id, cost_minor, milli in rows
    )
    _post(session, actor, change, text, source, document_id)


def revalue(session: Session, actor: Actor, article: Article, before_minor: int) -> None:
    """Book what an article's balance is worth more or less after a change of cost, which is written already."""
    if not is_on(session):
        return
    held = sa.select(sa.func.sum(StockMovement.quantity_milli)).where(StockMovement.article_id == article.id)
    milli = int(session.scalar(held) or 0)
    change = money.gross_of(milli, article.cost_minor) - money.gross_of(milli, before_minor)
    # The article is locked, and what was booked of it last is among the vouchers: the same place cannot come again.
    place = session.scalar(sa.select(sa.func.max(Voucher.id))) or 0
    source = f"stock_cost:{article.id}:{place}"
    _post(session, actor, change, f"Nytt inpris, artikel {article.number}", source, None)


def _entries(session: Session, change_minor: int) -> list[ledger.Entry]:
    today = clock.today()
    return [
        ledger.Entry(accounts.role(session, "stock", today), change_minor),
        ledger.Entry(accounts.role(session, "stock_change", today), -change_minor),
    ]


def _post(session: Session, actor: Actor, change_minor: int, text: str, source: str, document_id: int | None) -> None:
    if change_minor:
        ledger.post(
            session,
            actor,
            series=SERIES,
            day=clock.today(),
            text=text,
            source=source,
            entries=_entries(session, change_minor),
            document_id=document_id,
        )
