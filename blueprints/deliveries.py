"""Delivering an order: by hand or by scan, with or without going on to the invoice (F5, F20, F21, B24, B25)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import agreement, deliveries, delivery_page, exchanged, reservations
from services.delivery_page import Sheet
from web import (
    ChoiceField,
    Form,
    LineField,
    QuantityField,
    TickField,
    UrlField,
    actor,
    done,
    gateway,
    is_htmx,
    needs,
    page,
    query_choice,
    read_nonce,
    say,
)

blueprint = Blueprint("deliveries", __name__)

FRESH = timedelta(minutes=1)
"""A reading this young is believed when the page opens; an older one is renewed, since it says whether anything may leave."""
MISSED = 20
"""Codes that were not counted and are still told."""


class DeliveryForm(Form):
    """How the goods leave; a quantity per row is added for each order."""

    scan = LineField(lazy("Scan or type an article number or GTIN"), most=100, required=False)
    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)
    carrier = LineField(lazy("Carrier"), most=deliveries.MAX_CARRIER, required=False)
    tracking_number = LineField(lazy("Tracking number"), most=deliveries.MAX_CARRIER, required=False)
    tracking_uri = UrlField(lazy("Tracking address"), required=False)
    without = TickField(lazy("Deliver without them"))

    def quantities(self) -> dict[int, int]:
        """Thousandths per order row, as typed."""
        return {
            int(name.removeprefix("quantity_")): field.data or 0
            for name, field in self._fields.items()
            if name.startswith("quantity_")
        }

    def count(self, quantities: Mapping[int, int]) -> None:
        """Show other quantities than those typed."""
        for line_id, milli in quantities.items():
            field = self[f"quantity_{line_id}"]
            field.data, field.raw_data = milli, None


def _counting() -> bool:
    """Whether somebody counts by scanning, so that the rows no longer hold what is left."""
    return query_choice("from", ("left", "zero"), "left") == "zero" or request.form.get("counting") == "1"


def _form(sheet: Sheet) -> DeliveryForm:
    """The form for these rows, prefilled with what is left, or with nothing for who counts by scanning."""

    class ThisDelivery(DeliveryForm):
        """The form of one order."""

    for row in sheet.rows:
        start = 0 if _counting() else row.left_milli
        field = QuantityField(_("Quantity of %(name)s", name=row.name), zero=True, required=False, default=start)
        setattr(ThisDelivery, f"quantity_{row.line_id}", field)
    made = ThisDelivery(warehouse_id=sheet.warehouse_id)
    made.warehouse_id.choices = list(sheet.warehouses)
    return made


def _sheet(order_id: int) -> Sheet:
    with reading() as looked:
        return delivery_page.sheet(looked, actor(), order_id)


def _missed() -> list[str]:
    """Codes that were scanned and not counted, the last ones; what was said of each is soon gone when somebody scans on."""
    return [code[:100] for code in request.form.getlist("missed")[-MISSED:]]


def _page(
    sheet: Sheet,
    form: DeliveryForm,
    status: int = 200,
    counting: bool | None = None,
    missed: list[str] | None = None,
    beep: bool = False,
    unread: str = "",
) -> Response:
    with reading() as looked:
        exchanges = exchanged.of_order(looked, sheet.order_id)
    answer = page(
        "deliveries/new.html",
        panel="deliveries/_form.html",
        status=status,
        sheet=sheet,
        exchanges=exchanges,
        form=form,
        reason=say(sheet.refusal) if sheet.refusal else None,
        no_invoice=say(sheet.no_invoice) if sheet.no_invoice else None,
        unread=unread,
        counting=_counting() if counting is None else counting,
        missed=_missed() if missed is None else missed,
    )
    if beep or form.scan.errors:
        answer.headers["HX-Trigger"] = "beep"
    return answer


@blueprint.get("/orders/<int:order_id>/deliver")
@needs(Right.WORK)
def new(order_id: int) -> Response:
    """The delivery page, prefilled with what is left; with ``?from=zero`` for counting by scanning.

    A reading older than a minute is renewed: goods do not leave on a reservation that has lapsed meanwhile (F27, B21).
    """
    unread = ""
    with reading() as looked:
        stale = not is_htmx() and agreement.read_before(looked, order_id, clock.now() - FRESH)
    if stale:
        try:
            reservations.look_at(gateway(), order_id)
        except Refusal as no:
            unread = say(no)
    sheet = _sheet(order_id)
    return _page(sheet, _form(sheet), unread=unread)


@blueprint.post("/orders/<int:order_id>/deliver")
@needs(Right.WORK)
def create(order_id: int) -> Response:
    """Register the delivery; with the second button go on to the last step of the invoice (F5). A scan stores nothing."""
    then = request.form.get("then")
    if then not in ("deliver", "invoice"):  # delivered only by who pressed a button that says so
        return _scan(order_id)
    nonce = read_nonce("deliver", order_id)
    sheet = _sheet(order_id)
    form = _form(sheet)
    if not form.accepted():
        return _page(sheet, form, 422)
    unheard = _not_counted(form)
    if unheard is not None:
        return _page(sheet, form, form.refuse(unheard))
    if then == "invoice" and sheet.no_invoice is not None:
        return _page(sheet, form, form.refuse(sheet.no_invoice))
    try:
        with writing() as made:
            delivery = deliveries.deliver_once(
                made,
                actor(),
                nonce,
                order_id,
                form.quantities(),
                warehouse_id=form.warehouse_id.data,
                carrier=form.carrier.data,
                tracking_number=form.tracking_number.data,
                tracking_uri=form.tracking_uri.data,
            )
            ordinal, waits = delivery.ordinal, deliveries.awaits_invoice(made, order_id)
    except Refusal as refusal:
        return _page(_sheet(order_id), form, form.refuse(refusal))
    if then == "invoice":
        told = _("Delivery %(ordinal)s has been registered. The invoice has not been created yet.", ordinal=ordinal)
        return done(url_for("invoices.new", order_id=order_id), ("success", told))
    return done(url_for("orders.show", order_id=order_id), _told(sheet, ordinal, waits=waits))


def _not_counted(form: DeliveryForm) -> Refusal | None:
    """The no to delivering over codes that were scanned and not counted, until somebody has said that they stay (B24)."""
    missed = _missed()
    if not missed or form.without.data:
        return None
    return Refusal(
        N_(
            "Codes have been scanned that are not counted: %(codes)s. Look at the goods, then clear the list or tick that "
            "they are left out. Nothing has been delivered."
        ),
        field="without",
        codes=", ".join(missed),
    )


def _told(sheet: Sheet, ordinal: int, *, waits: bool) -> tuple[str, str]:
    """What is said after «Leverera»: what has been done, and what has not (F21)."""
    if sheet.no_reservation is not None:
        return "warning", _(
            "Delivery %(ordinal)s has been registered, but it cannot be invoiced: the order is to be paid with Klarna and "
            "has no reservation. Attach its reservation, then create the invoice.",
            ordinal=ordinal,
        )
    if waits:
        return "warning", _("Delivered but not invoiced. Klarna pays only when the invoice has been created.")
    return "success", _("Delivery %(ordinal)s has been registered.", ordinal=ordinal)


def _scan(order_id: int) -> Response:
    """Add one piece of what was scanned to the form. The first one counts from zero, unless something was typed before."""
    sheet = _sheet(order_id)
    form = _form(sheet)
    missed = _missed()
    form.without.data = False  # said of the codes that stood there
    if not form.accepted():
        missed += [code[:100] for code in request.form.getlist("scan")[:1] if code]
        form.scan.data, form.scan.raw_data = "", None
        return _page(sheet, form, 422, missed=missed, beep=True)
    if request.form.get("then") == "forget":
        return _page(sheet, form, missed=[])
    counting, shown = _counting(), form.quantities()
    if not counting and all(shown[row.line_id] == row.left_milli for row in sheet.rows):
        shown = {}
    try:
        form.count(delivery_page.scan(sheet, shown, form.scan.data))
        refused, counting = None, True
    except Refusal as refusal:
        refused = refusal
        missed += [form.scan.data] if form.scan.data else []
    # Empty in any case: a scanner types its next code behind what stands there, and the sentence says what it was.
    form.scan.data, form.scan.raw_data = "", None
    return _page(sheet, form, form.refuse(refused) if refused else 200, counting, missed)
