"""«Ny verifikation»: a voucher written by hand, row by row, and reversed by another (B34; catalogue rows 34 and 35)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
import web_sheets
from db import reading, writing
from errors import BadInput, Refusal
from rights import Right
from services import book_lists, manual_vouchers
from services.manual_vouchers import Row, Written
from web import (
    AmountField,
    DayField,
    Form,
    LineField,
    WholeField,
    actor,
    done,
    fragment,
    needs,
    page,
    query_day,
    query_whole,
    read_nonce,
)
from web_words import day as written_day
from web_words import gettext as _

blueprint = Blueprint("manual_vouchers", __name__)

ROWS_AT_FIRST = 4
HIGHEST_ACCOUNT = 9999


class VoucherForm(Form):
    """The day and what it concerns; the rows are forms of their own."""

    day = DayField(lazy("Date"))
    text = LineField(lazy("Text"), most=manual_vouchers.LONGEST_TEXT)
    rows = WholeField(lazy("Rows"), least=1, most=manual_vouchers.MOST_ROWS, default=ROWS_AT_FIRST)


class RowForm(web_sheets.RowForm):
    """One row; one without account, amount and text is none."""

    typed = ("account", "debit", "credit", "text")

    account = WholeField(lazy("Account"), least=1000, most=HIGHEST_ACCOUNT)
    debit = AmountField(lazy("Debit, SEK"), required=False)
    credit = AmountField(lazy("Credit, SEK"), required=False)
    text = LineField(lazy("Text"), most=100, required=False)

    def row(self) -> Row:
        """What was typed."""
        return Row(self.account.data, self.debit.data, self.credit.data, self.text.data or "", self.where)


class Sheet(web_sheets.Sheet[RowForm]):
    """The form as a whole."""

    def __init__(self, more: int = 0, **read: Any) -> None:
        self.form = VoucherForm(**read)
        self.rows = [
            RowForm(prefix=f"rows-{number}", **read)
            for number in self.count_rows(ROWS_AT_FIRST, manual_vouchers.MOST_ROWS, more)
        ]

    def written(self) -> Written:
        """The voucher as it was typed."""
        return Written(self.form.day.data, self.form.text.data, tuple(row.row() for row in self.filled))

    @property
    def sums(self) -> tuple[int, int]:
        """Debit and credit of what can be read so far."""
        return sum(row.debit.data or 0 for row in self.rows), sum(row.credit.data or 0 for row in self.rows)


class ReverseForm(Form):
    """Why a voucher is reversed; it stands in the text of the one that does so."""

    reason = LineField(lazy("Reason"), most=manual_vouchers.LONGEST_REASON)


def _shown(sheet: Sheet, status: int = 200) -> Response:
    with reading() as looked:
        chart = manual_vouchers.offered(looked)
    return page(
        "books/manual.html", panel="books/_manual.html", status=status, sheet=sheet, form=sheet.form, chart=chart
    )


@blueprint.get("/books/vouchers/new")
@needs(Right.BOOKS)
def new() -> Response:
    """An empty voucher of today; with ``clear`` one that books away what stands on an account through the day ``through``.

    ``part=sum`` gives the sum of what is typed so far.
    """
    if request.args.get("part") == "sum":
        return fragment("books/_manual_sum.html", sheet=Sheet(formdata=request.args))
    sheet = Sheet()
    sheet.form.day.data = clock.today()
    account = query_whole("clear", 0, most=HIGHEST_ACCOUNT)
    if account:
        with reading() as looked:
            held = manual_vouchers.clearing(looked, account, query_day("through") or clock.today())
        sheet.form.day.data = held.day
        first = sheet.rows[0]
        first.account.data = held.account
        first.debit.data, first.credit.data = max(-held.minor, 0) or None, max(held.minor, 0) or None
    return _shown(sheet)


@blueprint.post("/books/vouchers/new")
@needs(Right.BOOKS)
def write() -> Response:
    """Book it; ``act`` says whether only a row or the sum is wanted."""
    act = request.form.get("act")
    sheet = Sheet(more=1 if act == "row" else 0)
    if act in ("row", "count"):
        return _shown(sheet)
    nonce = read_nonce(manual_vouchers.ACTION, manual_vouchers.SUBJECT)
    if not sheet.accepted():
        return _shown(sheet, 422)
    try:
        with writing() as made:
            voucher_id = manual_vouchers.write_once(made, actor(), nonce, sheet.written())
    except Refusal as refusal:
        if refusal.status == 403:
            raise
        return _shown(sheet, sheet.refuse(refusal))
    return _booked(voucher_id)


def _booked(voucher_id: int) -> Response:
    with reading() as looked:
        row = book_lists.voucher(looked, voucher_id).row
    said = _("Voucher %(number)s has been booked on %(day)s.", number=row.label, day=written_day(row.day))
    return done(url_for("books.voucher", voucher_id=voucher_id), ("success", said))


def _to_reverse(voucher_id: int, form: ReverseForm, status: int = 200) -> Response:
    with reading() as looked:
        day = manual_vouchers.reversal_day(manual_vouchers.to_reverse(looked, voucher_id))
        shown = book_lists.voucher(looked, voucher_id)
    return page("books/reverse.html", status=status, voucher=shown, form=form, day=day)


@blueprint.get("/books/vouchers/<int:voucher_id>/reverse")
@needs(Right.BOOKS)
def last_look(voucher_id: int) -> Response:
    """What will be reversed, and why."""
    return _to_reverse(voucher_id, ReverseForm(formdata=None))


@blueprint.post("/books/vouchers/<int:voucher_id>/reverse")
@needs(Right.BOOKS)
def reverse(voucher_id: int) -> Response:
    """Book the negation of a voucher written by hand."""
    nonce = read_nonce(manual_vouchers.REVERSE, voucher_id)
    form = ReverseForm()
    if not form.accepted():
        return _to_reverse(voucher_id, form, 422)
    try:
        with writing() as made:
            new_id = manual_vouchers.reverse_once(made, actor(), nonce, voucher_id, form.reason.data)
    except BadInput as refusal:
        return _to_reverse(voucher_id, form, form.refuse(refusal))
    return _booked(new_id)
