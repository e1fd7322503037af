"""The admin endpoints: JSON under /_sandbox/api/, for tests, demos and scripts. `control.Control` speaks to them."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from klarna_sandbox import acts, orders, settlements
from klarna_sandbox.callbacks import Courier
from klarna_sandbox.calls import OPERATIONS
from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Doc, Merchant, Order
from klarna_sandbox.refusals import Misuse, Refused
from klarna_sandbox.switches import WEEKDAYS
from klarna_sandbox.world import World, plain

OWN_TERMS = ("fee_percent", "fee_fixed", "fee_vat", "payout_delay_days", "authorization_days")


def given() -> Doc:
    """The JSON object sent, or an empty one. Raises Misuse."""
    document = request.get_json(silent=True) if request.data else {}
    if not isinstance(document, dict):
        raise Misuse("Send a JSON object.")
    return document


def make_merchant(world: World, wish: Doc) -> Merchant:
    """An account from what was wished, replacing one of the same merchant id. Raises Misuse."""
    mid = str(wish.get("mid") or "").strip()
    if not mid:
        raise Misuse("A merchant needs a mid.")
    if wish.get("provider", "klarna") not in ("klarna", "kustom"):
        raise Misuse("A provider is klarna or kustom.")
    if wish.get("payout_weekday") not in (None, *WEEKDAYS):
        raise Misuse(f"A payout weekday is one of {', '.join(WEEKDAYS)}.")
    if wish.get("settlement_type") not in (None, "NET", "GROSS"):
        raise Misuse("A settlement type is NET or GROSS.")
    for name in OWN_TERMS:
        if wish.get(name) is not None and (not isinstance(wish[name], int) or wish[name] < 0):
            raise Misuse(f"{name} is a whole number.")
    credentials: list[dict[str, str]] = [dict(each) for each in wish.get("credentials") or []]
    if wish.get("api_key"):
        credentials.append({"api_key": str(wish["api_key"])})
    if wish.get("username"):
        credentials.append({"username": str(wish["username"]), "password": str(wish.get("password") or "")})
    known = world.merchants.get(mid)
    now = stamp(world.clock.now())
    terms = {name: wish.get(name) for name in (*OWN_TERMS, "payout_weekday", "settlement_type")}
    merchant = Merchant(
        mid=mid,
        created_at=known.created_at if known else now,
        settled_through=known.settled_through if known else now,
        name=str(wish.get("name") or ""),
        provider=str(wish.get("provider") or "klarna"),
        credentials=credentials,
        registration_currency=str(wish.get("registration_currency") or "SEK"),
        debts=known.debts if known else {},
        **terms,
    )
    world.add_merchant(merchant)
    return merchant


def change_clock(world: World, wish: Doc) -> None:
    """Set, move, freeze or let run, in that order; then what time alone brings about. Raises Misuse."""
    if wish.get("set"):
        try:
            world.clock.set(parse(str(wish["set"])))
        except ValueError:
            raise Misuse(f"{wish['set']} is not a time.") from None
    if wish.get("move_seconds"):
        world.clock.move(timedelta(seconds=float(wish["move_seconds"])))
    if wish.get("freeze") is True:
        world.clock.freeze()
    elif wish.get("freeze") is False:
        world.clock.thaw()
    world.clock_changed()
    settlements.pay_scheduled(world)


def next_payout_rows(world: World, merchant: Merchant, wish: Doc) -> list[Any]:
    """Rows for the next payout: a holdback, a release, and any others. Raises Misuse."""
    currency = wish.get("currency")
    rows = [{"currency": currency, **each} for each in wish.get("rows") or []]
    for name in ("holdback", "release"):
        if wish.get(name):
            reason = wish.get("reason") or "ROLLING_RESERVE"
            rows.append({"currency": currency, "type": name.upper(), "detailed_type": reason, "amount": wish[name]})
    return [settlements.add_extra(world, merchant, each) for each in rows]


def state_of(world: World, order: Order) -> Doc:
    """Everything kept about an order, with the numbers of its settlement rows."""
    acts.age(world, order, world.clock.now())
    rows = [plain(world.rows[number]) for number in world.rows_of_order.get(order.order_id, [])]
    pushes = [plain(each) for each in world.callbacks.values() if each.order_id == order.order_id]
    return {**plain(order), "rows": rows, "callbacks": pushes}


def find_orders(world: World, words: str = "", mid: str | None = None, status: str | None = None) -> list[Order]:
    """Orders whose id, references or names hold the words, newest first."""
    words, found = words.strip().lower(), []
    for order in reversed(world.orders.values()):
        if mid and order.mid != mid or status and order.status != status:
            continue
        person = f"{order.billing_address.get('given_name', '')} {order.billing_address.get('family_name', '')}"
        shown = (order.order_id, order.klarna_reference, order.merchant_reference1, order.merchant_reference2, person)
        if not words or any(words in (text or "").lower() for text in shown):
            found.append(order)
    return found


def act_by_hand(world: World, order: Order, act: str, wish: Doc) -> Any:
    """One act as the Merchant Portal would do it: nothing of ours is added. Raises Refused and Misuse."""
    amount = wish.get("amount")
    if amount is not None and (not isinstance(amount, int) or isinstance(amount, bool) or amount < 0):
        raise Misuse("An amount is a whole number of minor units.")
    details = {
        "reference": wish.get("reference"),
        "description": wish.get("description"),
        "lines": wish.get("order_lines"),
    }
    acts.age(world, order, world.clock.now())
    match act:
        case "capture":
            left = order.remaining_authorized_amount
            made = acts.capture(
                world, order, left if amount is None else amount, **details, shipping_info=wish.get("shipping_info")
            )
            return plain(made)
        case "refund":
            left = order.captured_amount - order.refunded_amount
            return plain(acts.refund(world, order, left if amount is None else amount, **details))
        case "cancel":
            acts.cancel(world, order)
        case "release":
            acts.release(world, order)
        case "extend":
            acts.extend(world, order)
        case "update":
            acts.update(world, order, order.order_amount if amount is None else amount, wish.get("order_lines") or [])
        case "acknowledge":
            orders.acknowledge(order, world.clock.now())
            world.changed(order)
        case "fraud":
            acts.set_fraud(world, order, str(wish.get("status")))
        case "close":
            acts.close(world, order)
        case "expire":
            moment = parse(str(wish["at"])) if wish.get("at") else world.clock.now() - timedelta(seconds=1)
            acts.set_expiry(world, order, moment)
        case "dispute":
            rows = settlements.dispute(
                world, order, order.captured_amount if amount is None else amount, protected=bool(wish.get("protected")),
                fee=int(wish.get("fee") or 0), category=str(wish.get("category") or "goods_not_received"),
            )  # fmt: skip
            return [plain(row) for row in rows]
        case _:
            raise Misuse(f"There is no act {act}.")
    return state_of(world, order)


def create_admin(world: World, courier: Courier) -> Blueprint:
    """The endpoints as a blueprint."""
    admin = Blueprint("admin", __name__, url_prefix="/_sandbox/api")

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

    return admin
