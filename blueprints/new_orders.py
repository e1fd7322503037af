"""«Ny order»: an order typed in by hand, row by row, for a customer who is known or new (B16, B30)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import web_sheets
from db import reading
from errors import N_, BadInput, Refusal
from models import Customer
from money import MAX_AMOUNT_MINOR, MAX_QUANTITY_MILLI
from rights import Right
from services import incoming, order_entry
from services.incoming import Buyer, IncomingOrder
from services.incoming_rows import Row
from services.order_entry import Offered
from services.register import LONGEST_NAME
from states import LineKind
from web import (
    AmountField,
    ChoiceField,
    EmailField,
    Form,
    LineField,
    LinesField,
    QuantityField,
    RadioChoiceField,
    WholeField,
    actor,
    done,
    label,
    needs,
    page,
    query_whole,
    read_nonce,
    say,
)
from web_fields import WHOLE_NUMBER
from web_intake import tabs
from web_words import gettext as _
from web_words import percent, spoken

blueprint = Blueprint("new_orders", __name__)

ROWS_AT_FIRST, MOST_ROWS = 3, 100
AS_THE_ARTICLE = N_("As the article")
PLACE = ("name", "street", "street2", "postal_code", "city", "country")


class OrderForm(Form):
    """Who buys, how it is paid, where it goes; the rows are forms of their own."""

    who = RadioChoiceField(lazy("Customer"), default="known")
    customer = LineField(lazy("Customer number, name or e-mail"), most=200, required=False)
    name = LineField(lazy("Name"), most=LONGEST_NAME, required=False)
    organisation_number = LineField(lazy("Organisation number"), most=20, required=False)
    email = EmailField(lazy("E-mail"), required=False)
    phone = LineField(lazy("Phone"), most=100, required=False)
    street = LineField(lazy("Street"), most=100, required=False)
    street2 = LineField(lazy("Street, second line"), most=100, required=False)
    postal_code = LineField(lazy("Postal code"), most=10, required=False)
    city = LineField(lazy("City"), most=100, required=False)
    country = LineField(lazy("Country, two letters"), most=2, default="SE", required=False)
    delivery_name = LineField(lazy("Name"), most=LONGEST_NAME, required=False)
    delivery_street = LineField(lazy("Street"), most=100, required=False)
    delivery_street2 = LineField(lazy("Street, second line"), most=100, required=False)
    delivery_postal_code = LineField(lazy("Postal code"), most=10, required=False)
    delivery_city = LineField(lazy("City"), most=100, required=False)
    delivery_country = LineField(lazy("Country, two letters"), most=2, default="SE", required=False)
    payment = ChoiceField(lazy("Payment method"), coerce=int)
    shop_number = LineField(lazy("Shop's order number"), most=100, required=False)
    note = LinesField(lazy("Note"), most=1000, required=False)
    rows = WholeField(lazy("Rows"), least=1, most=MOST_ROWS, default=ROWS_AT_FIRST)

    def buyer(self, prefix: str = "") -> Buyer:
        """The address that was typed. Raises BadInput."""
        names = PLACE if prefix else (*PLACE, "organisation_number", "email", "phone")
        return order_entry.check_buyer(Buyer(**{each: self[f"{prefix}{each}"].data or "" for each in names}), prefix)


class RowForm(web_sheets.RowForm):
    """One row; a row without article, description, price and quantity is none."""

    typed = ("article", "name", "quantity", "unit_price", "discount")

    article = LineField(lazy("Article"), most=64, required=False)
    name = LineField(lazy("Description"), most=255, required=False)
    quantity = QuantityField(lazy("Quantity"), required=False)
    unit_price = AmountField(lazy("Unit price"), signed=True, zero=True, required=False)
    discount = AmountField(lazy("Discount"), zero=True, required=False)
    vat_rate = ChoiceField(lazy("VAT"))
    kind = ChoiceField(lazy("Kind"))

    def row(self) -> Row:
        """What was typed; what is left out is the article's."""
        return Row(
            quantity_milli=self.quantity.data or 1000,
            article_number=self.article.data or "",
            name=self.name.data or "",
            unit_price_minor=self.unit_price.data,
            discount_minor=self.discount.data or 0,
            vat_rate=int(self.vat_rate.data) if self.vat_rate.data else None,
            kind=LineKind(self.kind.data) if self.kind.data else None,
            where=self.where,
        )


class Sheet(web_sheets.Sheet[RowForm]):
    """The form as a whole: the order's own fields and its rows."""

    def __init__(self, offer: Offered, more: int = 0) -> None:
        self.form = OrderForm()
        self.form.who.choices = [("known", _("A customer in the register")), ("new", _("A new customer"))]
        self.form.payment.choices = [
            (each.id, each.name_sv if spoken().code == "sv" else each.name_en) for each in offer.methods
        ]
        self.rows = [self._row(number, offer) for number in self.count_rows(ROWS_AT_FIRST, MOST_ROWS, more)]
        self.customers: Sequence[Customer] = ()

    @staticmethod
    def _row(number: int, offer: Offered) -> RowForm:
        made = RowForm(prefix=f"rows-{number}")
        made.vat_rate.choices = [("", _(AS_THE_ARTICLE)), *((str(rate), percent(rate)) for rate in offer.rates)]
        made.kind.choices = [("", _(AS_THE_ARTICLE)), *((kind.value, label(kind)) for kind in offer.kinds)]
        return made

    def incoming(self) -> IncomingOrder:
        """The order as it was typed, without its customer. Raises BadInput."""
        form = self.form
        new = form.who.data == "new"
        elsewhere = form.delivery_street.data or form.delivery_city.data or form.delivery_name.data
        rows = tuple(row.row() for row in self.filled)
        if new and not form.name.data:
            raise BadInput(N_("Write a name."), field="name")
        return IncomingOrder(
            source="hand",
            buyer=form.buyer() if new else Buyer(),
            rows=rows,
            delivery=form.buyer("delivery_") if elsewhere else None,
            shop_number=form.shop_number.data or "",
            note=form.note.data or "",
            new_customer=new,
            payment_method_id=form.payment.data,
        )


def _known(sheet: Sheet) -> Customer | None:
    """The one customer that what is typed stands for, named as long as the form is drawn; several are there to choose from."""
    text = sheet.form.customer.data
    if sheet.form.who.data == "new" or not text:
        return None
    with reading() as looked:
        found = order_entry.find_customers(looked, text)
    if len(found) == 1:
        return found[0]
    sheet.customers = found
    return None


def _shown(sheet: Sheet, status: int = 200, **more: Any) -> Response:
    return page(
        "new_orders/new.html",
        panel="new_orders/_form.html",
        status=status,
        tabs=tabs("new_orders.new"),
        sheet=sheet,
        form=sheet.form,
        found=_known(sheet),
        chosen=request.form.get("customer_id", ""),
        **{"lines": None, "notices": (), "nobody": False, **more},
    )


def _offer() -> Offered:
    with reading() as looked:
        return order_entry.offered(looked)


@blueprint.get("/orders/new")
@needs(Right.WORK)
def new() -> Response:
    """An empty order, or one for a customer whose page one comes from."""
    articles = [text[:64] for text in request.args.getlist("article")[:MOST_ROWS]]
    sheet = Sheet(_offer(), more=max(0, len(articles) - ROWS_AT_FIRST))
    number = query_whole("customer", 0)
    if number:
        sheet.form.customer.data = str(number)
    for place, article in enumerate(articles):
        _prefill(sheet.rows[place], article, place)
    return _shown(sheet)


def _prefill(row: RowForm, article: str, place: int) -> None:
    """What another page asks for: an exchange for dearer articles links here with what goes out, row by row (K44)."""
    row.article.data = article
    row.quantity.data = _whole("milli", place, MAX_QUANTITY_MILLI)
    row.unit_price.data = _whole("price", place, MAX_AMOUNT_MINOR)


def _whole(name: str, place: int, most: int) -> int | None:
    text = dict(enumerate(request.args.getlist(name))).get(place, "")
    return min(int(text), most) or None if WHOLE_NUMBER.fullmatch(text) else None


@blueprint.post("/orders/new")
@needs(Right.WORK)
def create() -> Response:
    """Take the order; ``act`` says whether only a row is wanted, the customer looked for, or the sum told."""
    act = request.form.get("act")
    sheet = Sheet(_offer(), more=1 if act == "row" else 0)
    chosen = request.form.get("customer_id", "")
    if act == "row":
        return _shown(sheet)
    if act == "find":
        return _find(sheet)
    nonce = read_nonce(order_entry.ACTION, order_entry.SUBJECT) if act != "count" else ""
    if not sheet.accepted():
        return _shown(sheet, 422)
    try:
        order = sheet.incoming()
        if act == "count":
            with reading() as looked:
                lines, notices = order_entry.survey(looked, order)
            return _shown(sheet, lines=lines, notices=[say(each) for each in notices])
        return _take(sheet, nonce, order, chosen)
    except Refusal as refusal:
        return _shown(sheet, sheet.refuse(refusal))


def _find(sheet: Sheet) -> Response:
    sheet.form.who.data = "known"
    found = _known(sheet)
    if found is not None:
        sheet.form.customer.data, sheet.form.customer.raw_data = str(found.number), None
    return _shown(sheet, nobody=found is None and not sheet.customers)


def _take(sheet: Sheet, nonce: str, order: IncomingOrder, chosen: str) -> Response:
    customer_id = None
    if not order.new_customer:
        with reading() as looked:
            chosen_id = int(chosen) if WHOLE_NUMBER.fullmatch(chosen) else None
            customer_id = order_entry.choose_customer(looked, sheet.form.customer.data or "", chosen_id).id
    full = replace(order, customer_id=customer_id)
    made = incoming.once(lambda session: order_entry.take_once(session, actor(), nonce, full))
    with reading() as looked:
        waits = made.klarna_order_id is None and order_entry.is_klarna(looked, made.payment_method_id)
    said = _("Order %(number)s has been taken.", number=made.number)
    if waits:
        said = _("Order %(number)s has been taken. It waits for its reservation at Klarna.", number=made.number)
    return done(url_for("orders.show", order_id=made.id), ("success", said))
