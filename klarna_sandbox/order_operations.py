"""The eighteen operations of Order Management: read the body, find the order, act, answer.

Checks here run in the order id syntax, unknown order, schema, rule; what comes before is the application's.
"""

from collections.abc import Callable
from typing import Any

from klarna_sandbox import acts, bodies, orders, shapes
from klarna_sandbox.calls import Answer, Call, as_json, created, done
from klarna_sandbox.records import Capture, Doc, Order
from klarna_sandbox.refusals import Refused, not_allowed

NO_SUCH_ORDER = "Order {order} cannot be found"
UNKNOWN_ORDER = {
    "acknowledge": "Order {order} cannot be found. Acknowledgement not possible.",
    "update_merchant_references": "Order cannot be found. Merchant references cannot be updated.",
    "add_order_shipping_info": "Order {order} cannot be found. Shipping info cannot be added to order {order}.",
    "add_capture_shipping_info": "Order {order} cannot be found. Shipping info cannot be added to capture {part}.",
}


def _order(call: Call) -> Order:
    order_id = call.order_id or ""
    if not bodies.UUID.fullmatch(order_id):
        raise Refused(400, "INVALID_ORDER_ID", "Order ID must be a valid UUID.")
    order = call.world.orders.get(order_id.lower()) or call.world.orders.get(order_id)
    if order is None or order.mid != call.owner.mid:
        code = "NO_SUCH_ORDER"
        if call.operation == "create_refund":
            code = call.world.switches["refund_unknown_order"]
        elif call.operation == "get_refund":
            raise _unknown_refund(call)
        text = UNKNOWN_ORDER.get(call.operation, NO_SUCH_ORDER)
        raise Refused(404, code, text.format(order=order_id, part=call.part_id))
    return acts.age(call.world, order, call.world.clock.now())


def _unknown_refund(call: Call) -> Refused:
    status = int(call.world.switches["unknown_refund_status"])
    return Refused(status, "NOT_FOUND", f"Refund {call.part_id} cannot be found for order {call.order_id}")


def _read(call: Call, check: Callable[[Any, str], None]) -> Doc:
    body = call.body()
    check(body, "")
    return body


def _capture(call: Call, order: Order, without_captures: str, unknown: str) -> Capture:
    if not order.captures:
        raise not_allowed(without_captures)
    made = orders.find_capture(order, call.part_id)
    if made is None:
        raise Refused(404, "NO_SUCH_CAPTURE", unknown)
    return made


def get_order(call: Call) -> Answer:
    return as_json(call.world.reading(_order(call), call.lagging))


def acknowledge(call: Call) -> Answer:
    order = _order(call)
    changed = orders.acknowledge(order, call.world.clock.now())
    if changed:
        call.world.changed(order)
    return done(changed)


def update_authorization(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.UPDATE_AUTHORIZATION[call.owner.provider])
    acts.update(call.world, order, body["order_amount"], body.get("order_lines", []))
    return done()


def cancel(call: Call) -> Answer:
    return done(acts.cancel(call.world, _order(call)))


def update_merchant_references(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.UPDATE_REFERENCES)
    before = shapes.order(order)
    orders.set_references(order, body)
    call.world.changed(order, before)
    return done(shapes.order(order) != before)


def update_customer_details(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.UPDATE_CUSTOMER)
    before = shapes.order(order)
    orders.set_customer(order, body)
    call.world.changed(order, before)
    return done(shapes.order(order) != before)


def extend_authorization_time(call: Call) -> Answer:
    return done(acts.extend(call.world, _order(call)))


def release_remaining_authorization(call: Call) -> Answer:
    acts.release(call.world, _order(call))
    return done()


def add_order_shipping_info(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.UPDATE_SHIPPING)
    before = shapes.order(order)
    order.shipping_info.extend(body["shipping_info"])
    call.world.changed(order, before)
    return done()


def create_capture(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.CREATE_CAPTURE[call.owner.provider])
    made = acts.capture(
        call.world, order, body["captured_amount"], reference=body.get("reference"), description=body.get("description"),
        lines=body.get("order_lines"), shipping_info=body.get("shipping_info"),
    )  # fmt: skip
    return created(f"{call.root}{call.path}/{made.capture_id}", "Capture-Id", made.capture_id)


def _captures(call: Call) -> list[Doc]:
    captures: list[Doc] = call.world.reading(_order(call), call.lagging)["captures"]
    return captures


def list_captures(call: Call) -> Answer:
    return as_json(_captures(call))


def get_capture(call: Call) -> Answer:
    for made in _captures(call):
        if made["capture_id"] == call.part_id:
            return as_json(made)
    raise Refused(404, call.world.switches["unknown_capture"], NO_SUCH_ORDER.format(order=call.order_id))


def add_capture_shipping_info(call: Call) -> Answer:
    order = _order(call)
    made = _capture(
        call,
        order,
        "Order has no captures. Shipping info cannot be added.",
        f"Capture could not be found. Shipping info cannot be added to capture {call.part_id}",
    )
    body = _read(call, bodies.UPDATE_SHIPPING)
    before = shapes.order(order)
    made.shipping_info.extend(body["shipping_info"])
    call.world.changed(order, before)
    return done()


def trigger_send_out(call: Call) -> Answer:
    order = _order(call)
    made = _capture(call, order, "Order has no captures.", "Capture could not be found.")
    made.send_outs += 1
    call.world.changed(order)
    return done()


def get_due_date_options(call: Call) -> Answer:
    order = _order(call)
    _capture(call, order, "Order has no captures.", "Capture could not be found.")
    options = [{"number_of_days": days, "amount": fee} for days, fee in orders.due_date_options(order).items()]
    return as_json({"currency": order.purchase_currency, "options": options})


def extend_due_date(call: Call) -> Answer:
    order = _order(call)
    made = _capture(call, order, "Order has no captures.", "Capture could not be found.")
    body = _read(call, bodies.EXTEND_DUE_DATE)
    acts.extend_due_date(call.world, order, made, body["number_of_days"])
    return done()


def create_refund(call: Call) -> Answer:
    order = _order(call)
    body = _read(call, bodies.CREATE_REFUND[call.owner.provider])
    made = acts.refund(
        call.world, order, body["refunded_amount"], reference=body.get("reference"), description=body.get("description"),
        lines=body.get("order_lines"),
    )  # fmt: skip
    return created(f"{call.root}{call.path}/{made.refund_id}", "Refund-Id", made.refund_id)


def get_refund(call: Call) -> Answer:
    for made in call.world.reading(_order(call), call.lagging)["refunds"]:
        if made["refund_id"] == call.part_id:
            return as_json(made)
    raise _unknown_refund(call)
