"""What a person does at the sandbox, by form or by admin endpoint: accounts, the clock, acts as in the Merchant Portal."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from klarna_sandbox import acts, orders, settlements
from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Doc, Merchant, Order
from klarna_sandbox.refusals import Misuse
from klarna_sandbox.switches import WEEKDAYS
from klarna_sandbox.world import World, plain

OWN_TERMS = ("fee_percent", "fee_fixed", "fee_vat", "payout_delay_days", "authorization_days")


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
        if order.mid != (mid or order.mid) or order.status != (status or order.status):
            continue
        person = f"{order.billing_address.get('given_name', '')} {order.billing_address.get('family_name', '')}"
        shown = (order.order_id, order.klarna_reference, order.merchant_reference1, order.merchant_reference2, person)
        if not words or any(words in (text or "").lower() for text in shown):
            found.append(order)
    return found


def _amount(wish: Doc, usual: int) -> int:
    amount = wish.get("amount")
    if amount is None:
        return usual
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise Misuse("An amount is a whole number of minor units.")
    return amount


def _details(wish: Doc) -> Doc:
    return {
        "reference": wish.get("reference"),
        "description": wish.get("description"),
        "lines": wish.get("order_lines"),
    }


def _capture(world: World, order: Order, wish: Doc) -> Any:
    amount = _amount(wish, order.remaining_authorized_amount)
    return plain(acts.capture(world, order, amount, **_details(wish), shipping_info=wish.get("shipping_info")))


def _refund(world: World, order: Order, wish: Doc) -> Any:
    return plain(
        acts.refund(world, order, _amount(wish, order.captured_amount - order.refunded_amount), **_details(wish))
    )


def _update(world: World, order: Order, wish: Doc) -> None:
    acts.update(world, order, _amount(wish, order.order_amount), wish.get("order_lines") or [])


def _acknowledge(world: World, order: Order, _: Doc) -> None:
    orders.acknowledge(order, world.clock.now())
    world.changed(order)


def _expire(world: World, order: Order, wish: Doc) -> None:
    acts.set_expiry(
        world, order, parse(str(wish["at"])) if wish.get("at") else world.clock.now() - timedelta(seconds=1)
    )


def _dispute(world: World, order: Order, wish: Doc) -> Any:
    rows = settlements.dispute(
        world,
        order,
        _amount(wish, order.captured_amount),
        protected=bool(wish.get("protected")),
        fee=int(wish.get("fee") or 0),
        category=str(wish.get("category") or "goods_not_received"),
    )
    return [plain(row) for row in rows]


ACTS: dict[str, Callable[[World, Order, Doc], Any]] = {
    "capture": _capture,
    "refund": _refund,
    "cancel": lambda world, order, _: acts.cancel(world, order) and None,
    "release": lambda world, order, _: acts.release(world, order),
    "extend": lambda world, order, _: acts.extend(world, order) and None,
    "update": _update,
    "acknowledge": _acknowledge,
    "fraud": lambda world, order, wish: acts.set_fraud(world, order, str(wish.get("status"))),
    "close": lambda world, order, _: acts.close(world, order),
    "expire": _expire,
    "dispute": _dispute,
}


def act_by_hand(world: World, order: Order, act: str, wish: Doc) -> Any:
    """One act as the Merchant Portal would do it, adding nothing of ours. Gives the capture, refund or rows made, else
    the order's state. Raises Refused and Misuse."""
    if act not in ACTS:
        raise Misuse(f"There is no act {act}.")
    acts.age(world, order, world.clock.now())
    made = ACTS[act](world, order, wish)
    return made or state_of(world, order)
