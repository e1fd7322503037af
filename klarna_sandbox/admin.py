"""The admin endpoints: JSON under /_sandbox/api/, for tests, demos and scripts. `control.Control` speaks to them."""

from flask import Blueprint, Response, jsonify, request

from klarna_sandbox import acts, settlements
from klarna_sandbox.by_hand import act_by_hand, change_clock, find_orders, make_merchant, next_payout_rows, state_of
from klarna_sandbox.calls import OPERATIONS
from klarna_sandbox.clock import stamp
from klarna_sandbox.desk import courier, world
from klarna_sandbox.records import Doc
from klarna_sandbox.refusals import Misuse, Refused
from klarna_sandbox.world import plain

admin = Blueprint("admin", __name__, url_prefix="/_sandbox/api")


def given() -> Doc:
    """The JSON object sent, or an empty one. Raises Misuse."""
    document = request.get_json(silent=True) if request.data else {}
    if not isinstance(document, dict):
        raise Misuse("Send a JSON object.")
    return document


@admin.errorhandler(Misuse)
@admin.errorhandler(ValueError)
@admin.errorhandler(TypeError)
@admin.errorhandler(KeyError)
def misused(error: Exception) -> tuple[Response, int]:
    return jsonify(error_code="MISUSE", error_messages=[str(error)]), 400


@admin.errorhandler(Refused)
def refused(error: Refused) -> tuple[Response, int]:
    return jsonify(error_code=error.code, error_messages=error.messages), error.status


@admin.get("")
def overview() -> Response:
    with world.working() as now:
        return jsonify(
            now=stamp(now), merchants=list(world.merchants), orders=len(world.orders), payouts=len(world.payouts)
        )


@admin.post("/reset")
def reset() -> Response:
    world.reset()
    return jsonify(done=True)


@admin.get("/merchants")
def merchants() -> Response:
    with world.working():
        return jsonify([plain(each) for each in world.merchants.values()])


@admin.post("/merchants")
def add_merchant() -> Response:
    with world.working():
        return jsonify(plain(make_merchant(world, given())))


@admin.post("/merchants/<mid>/debt")
def set_debt(mid: str) -> Response:
    with world.working():
        merchant, wish = world.find_merchant(mid), given()
        merchant.debts[str(wish.get("currency") or merchant.registration_currency)] = int(wish["amount"])
        world.save_merchant(merchant)
        return jsonify(plain(merchant))


@admin.get("/orders")
def list_orders() -> Response:
    with world.working():
        found = find_orders(world, request.args.get("q", ""), request.args.get("mid"), request.args.get("status"))
        return jsonify([each.order_id for each in found[: request.args.get("limit", 1000, int)]])


@admin.post("/orders")
def add_order() -> Response:
    wish = given()
    with world.working():
        order = acts.seed(world, world.find_merchant(wish.pop("mid", None)), wish)
        return jsonify(order_id=order.order_id, klarna_reference=order.klarna_reference)


@admin.post("/orders/bulk")
def add_orders() -> Response:
    wish = given()
    template = wish.get("template") or {}
    wishes = wish.get("orders") or [{} for _ in range(int(wish.get("count") or 0))]
    with world.working():
        made = []
        for each in wishes:
            fields = {"mid": wish.get("mid"), **template, **each}
            made.append(acts.seed(world, world.find_merchant(fields.pop("mid")), fields).order_id)
        return jsonify(order_ids=made)


@admin.get("/orders/<order_id>")
def state(order_id: str) -> Response:
    with world.working():
        return jsonify(state_of(world, world.find_order(order_id)))


@admin.post("/orders/<order_id>/<act>")
def by_hand(order_id: str, act: str) -> Response:
    with world.working():
        return jsonify(act_by_hand(world, world.find_order(order_id), act, given()))


@admin.get("/payouts")
def payouts() -> Response:
    with world.working():
        settlements.pay_scheduled(world)
        mid = request.args.get("mid")
        return jsonify([plain(each) for each in world.payouts.values() if mid in (None, each.mid)])


@admin.post("/payouts")
def pay_out() -> Response:
    wish = given()
    with world.working():
        if wish.get("scheduled"):
            made = settlements.pay_scheduled(world)
        else:
            made = settlements.pay_now(world, wish.get("mid"), wish.get("currency"))
        return jsonify([plain(each) for each in made])


@admin.post("/payouts/next")
def next_payout() -> Response:
    wish = given()
    with world.working():
        rows = next_payout_rows(world, world.find_merchant(wish.get("mid")), wish)
        return jsonify([plain(row) for row in rows])


@admin.route("/clock", methods=["GET", "POST"])
def clock() -> Response:
    with world.working():
        if request.method == "POST":
            change_clock(world, given())
        return jsonify(now=stamp(world.clock.now()), frozen=world.clock.frozen)


@admin.get("/faults")
def faults() -> Response:
    with world.working():
        return jsonify([plain(each) for each in world.faults.waiting])


@admin.post("/faults")
def add_fault() -> Response:
    with world.working():
        fault = world.faults.add(OPERATIONS, **given())
        world.save_faults()
        return jsonify(plain(fault))


@admin.delete("/faults")
def clear_faults() -> Response:
    with world.working():
        world.faults.clear()
        world.save_faults()
        world.hang_releases += 1
        return jsonify(done=True)


@admin.delete("/faults/<int:number>")
def remove_fault(number: int) -> Response:
    with world.working():
        world.faults.remove(number)
        world.save_faults()
        return jsonify(done=True)


@admin.post("/hangs/release")
def release_hangs() -> Response:
    with world.working():
        world.hang_releases += 1
        return jsonify(done=True)


@admin.route("/switches", methods=["GET", "POST"])
def switches() -> Response:
    with world.working():
        if request.method == "POST":
            for name, value in given().items():
                world.switches.set(name, value)
            world.save_setting("switches", world.switches.as_doc())
        return jsonify(world.switches.as_doc())


@admin.get("/log")
def log() -> Response:
    with world.working():
        only_changed, since = request.args.get("changed"), request.args.get("since", 0, int)
        found = [each for each in world.log if each.number > since and (each.changed or not only_changed)]
        return jsonify([plain(each) for each in found])


@admin.delete("/log")
def clear_log() -> Response:
    with world.working():
        world.clear_log()
        return jsonify(done=True)


@admin.get("/warnings")
def warnings() -> Response:
    with world.working():
        return jsonify([plain(each) for each in world.warnings])


@admin.delete("/warnings")
def clear_warnings() -> Response:
    with world.working():
        world.clear_warnings()
        return jsonify(done=True)


@admin.get("/callbacks")
def callbacks() -> Response:
    with world.working():
        return jsonify([plain(each) for each in world.callbacks.values()])


@admin.post("/callbacks/deliver")
def deliver() -> Response:
    return jsonify(courier.deliver())
