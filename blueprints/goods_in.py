"""«Inleverans»: what has come to a warehouse, row by row from a delivery note, scanned or typed (B28)."""

from __future__ import annotations

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import web_sheets
from db import reading, transact
from errors import BadInput, Refusal
from rights import Right
from services import goods_in, register, workplace
from services.goods_in import Arrival
from web import (
    ChoiceField,
    Form,
    LineField,
    QuantityField,
    WholeField,
    actor,
    done,
    is_htmx,
    needs,
    page,
    read_nonce,
)
from web_words import ngettext

blueprint = Blueprint("goods_in", __name__)

ROWS_AT_FIRST, ONE_PIECE = 5, 1000


class ArrivalForm(Form):
    """Where goods have come to, and on which delivery note; the rows are forms of their own."""

    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)
    reference = LineField(lazy("Delivery note or supplier"), most=200)
    rows = WholeField(lazy("Rows"), least=1, most=goods_in.MOST_ROWS, default=ROWS_AT_FIRST)


class RowForm(web_sheets.RowForm):
    """What came of one article; without a quantity it is one piece."""

    typed = ("article", "quantity")

    article = LineField(lazy("Article number or GTIN"), most=64, required=False)
    quantity = QuantityField(lazy("Quantity"), required=False)
    known: tuple[str, str] = ("", "")
    """Description and unit of the article, once it is known."""

    def arrival(self) -> Arrival:
        """What was typed."""
        return Arrival(self.article.data or "", self.quantity.data or ONE_PIECE, self.where)


class Sheet(web_sheets.Sheet[RowForm]):
    """The form as a whole: warehouse and delivery note, and the rows."""

    def __init__(self, more: int = 0) -> None:
        with reading() as looked:
            self.form = ArrivalForm(warehouse_id=workplace.suggested(looked, actor()))
            self.form.warehouse_id.choices = [
                (each.id, each.name) for each in register.warehouses(looked) if each.active
            ]
        self.rows = [
            RowForm(prefix=f"rows-{number}") for number in self.count_rows(ROWS_AT_FIRST, goods_in.MOST_ROWS, more)
        ]

    @property
    def next_row(self) -> RowForm | None:
        """The first row to type in, where the caret stands."""
        return next((row for row in self.rows if row.empty), None)

    def name_articles(self) -> None:
        """Put each article's name beside its row, and beside what is none that it is none."""
        with reading() as looked:
            for row in self.filled:
                if row.article.data:
                    try:
                        article = goods_in.article_of(looked, row.arrival())
                    except BadInput as refusal:
                        self.refuse(refusal)
                    else:
                        row.known = (article.name, article.unit)


def _shown(sheet: Sheet, status: int = 200) -> Response:
    with reading() as looked:
        latest = goods_in.latest(looked)
    return page(
        "stock/goods_in.html",
        panel="stock/_goods_in.html",
        status=status,
        sheet=sheet,
        form=sheet.form,
        # In a page that is there already the caret is seen to by its scripts.
        begins_in=sheet.next_row if sheet.filled and not is_htmx() else None,
        latest=latest,
    )


@blueprint.get("/stock/goods-in")
@needs(Right.WORK)
def index() -> Response:
    """An empty form, and what came in last."""
    return _shown(Sheet())


@blueprint.post("/stock/goods-in")
@needs(Right.WORK)
def take_in() -> Response:
    """Take the goods in; with ``act`` row only the articles are named and a row is added, so that Enter books nothing."""
    if request.form.get("act") != "take":
        sheet = Sheet()
        if sheet.next_row is None:
            sheet = Sheet(more=1)
        sheet.name_articles()
        return _shown(sheet)
    sheet = Sheet()
    nonce = read_nonce(goods_in.ACTION, goods_in.SUBJECT)
    if not sheet.accepted():
        sheet.name_articles()
        return _shown(sheet, 422)
    place, reference = sheet.form.warehouse_id.data, sheet.form.reference.data
    arrivals = [row.arrival() for row in sheet.filled]
    try:
        count = transact(lambda session: goods_in.take_in_once(session, actor(), nonce, place, reference, arrivals))
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        status = sheet.refuse(refusal)
        sheet.name_articles()
        return _shown(sheet, status)
    said = ngettext("%(n)s row has been taken into stock.", "%(n)s rows have been taken into stock.", count) % {
        "n": count
    }
    return done(url_for("goods_in.index"), ("success", said))
