"""«Månadsavslut»: what waits before a period is locked, the lock, opening it again, and the result of a finished year (B34)."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import closing, periods, year_end
from services.closing import Kind
from web import DayField, Form, LineField, TickField, actor, done, flash_refusal, needs, page, why_not
from web_query import Days, typed_days
from web_words import gettext as _

blueprint = Blueprint("closing", __name__)

NAMES = {
    Kind.DOCUMENT: (N_("Documents that wait for Klarna or for a decision"), N_("Open each and settle it.")),
    Kind.OPERATION: (N_("Acts at Klarna with an unknown outcome"), N_("Open the order; Klarna is asked there.")),
    Kind.PAYOUT: (N_("Payouts that are not booked"), N_("Explain their rows and book them.")),
    Kind.ROW: (N_("Settlement rows without an explanation"), N_("Assign them, accept them or mark them as handled.")),
    Kind.BREAK: (
        N_("Differences against Klarna"),
        N_("Settle each as its page offers. All count, whatever their day: each may be about any day before."),
    ),
    Kind.NOT_AT_BANK: (
        N_("Payouts that are not found at the bank"),
        N_("Read the bank statement, or tie the deposit."),
    ),
    Kind.DEPOSIT: (N_("Deposits from Klarna without a payout"), N_("Read the payout, or tie the deposit.")),
    Kind.UNEXPLAINED: (N_("An amount is not yet explained"), N_("It stands on the account of what is not explained.")),
}
"""What stands in the way, and what to do about it."""


class LockForm(Form):
    """Through which day the books are locked, and why."""

    through = DayField(lazy("Lock through"))
    reason = LineField(lazy("Reason"), most=200)
    confirmed = TickField(lazy("I have seen what is still open, and lock nevertheless"))


class UnlockForm(Form):
    """Through which day the books stay locked, if at all, and why they are opened."""

    through = DayField(lazy("Stay locked through"), required=False)
    reason = LineField(lazy("Reason"), most=200)


def _page(
    *, lock: LockForm | None = None, unlock: UnlockForm | None = None, days: Days | None = None, status: int = 200
) -> Response:
    typed = lock.through.data if lock is not None else days.ends if days is not None else None
    with reading() as looked:
        through: date = typed or closing.next_month(looked)
        locked = periods.locked_through(looked)
        waiting = [] if locked is not None and through <= locked else closing.blockers(looked, through)
        history = periods.lock_history(looked)
        results = year_end.left(looked)
    if lock is None:
        lock = LockForm(formdata=None, prefix="lock-", data={"through": through})
    if days is None or not days.wrong:
        days = Days(None, through, {"to": through.isoformat()}, {})
    return page(
        "books/lock.html",
        status=days.status if status == 200 else status,
        lock=lock,
        unlock=unlock or UnlockForm(formdata=None, prefix="unlock-"),
        days=days,
        through=through,
        locked=locked,
        waiting=waiting,
        names={kind: (_(name), _(what)) for kind, (name, what) in NAMES.items()},
        results=results,
        history=history,
        no_right=why_not(Right.BOOKS),
    )


@blueprint.get("/books/lock")
@needs(Right.READ)
def index() -> Response:
    """What waits through the end of the month, through which day the books are locked, and every lock before."""
    return _page(days=typed_days())


@blueprint.post("/books/lock")
@needs(Right.BOOKS)
def lock() -> Response:
    """Lock the books through a day."""
    typed = LockForm(prefix="lock-")
    if not typed.accepted():
        return _page(lock=typed, status=422)
    try:
        with writing() as changed:
            closing.lock(changed, actor(), typed.through.data, typed.reason.data, confirmed=bool(typed.confirmed.data))
    except Refusal as refusal:
        return _page(lock=typed, status=typed.refuse(refusal))
    said = _("The books are locked through %(day)s.", day=typed.through.data)
    return done(url_for("closing.index"), ("success", said))


@blueprint.post("/books/unlock")
@needs(Right.BOOKS)
def unlock() -> Response:
    """Open locked days again."""
    typed = UnlockForm(prefix="unlock-")
    if not typed.accepted():
        return _page(unlock=typed, status=422)
    try:
        with writing() as changed:
            periods.unlock(changed, actor(), typed.through.data, typed.reason.data)
    except Refusal as refusal:
        return _page(unlock=typed, status=typed.refuse(refusal))
    return done(url_for("closing.index"), ("success", _("The days are open again.")))


@blueprint.post("/books/years/<int:year_id>/carry")
@needs(Right.BOOKS)
def carry(year_id: int) -> Response:
    """Carry the result of a finished year to equity."""
    try:
        with writing() as changed:
            voucher = year_end.carry(changed, actor(), year_id)
            voucher_id = voucher.id
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        flash_refusal(refusal)
        return done(url_for("closing.index"))
    return done(
        url_for("books.voucher", voucher_id=voucher_id), ("success", _("The result has been carried to equity."))
    )
