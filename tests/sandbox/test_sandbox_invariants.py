"""Whatever is done to an order in whatever sequence, its amounts hold together, and so do its rows and payouts."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

AMOUNTS = st.integers(0, 12_000)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["capture", "refund", "update"]), AMOUNTS),
    st.tuples(st.sampled_from(["cancel", "release", "extend", "day", "month", "renew", "close", "pay"]), st.none()),
)


def take(sandbox, shop, order_id, step, amount):
    if step in ("capture", "refund"):
        getattr(shop, step)(order_id, amount)
    elif step == "update":
        shop.on(order_id, "PATCH", "authorization", {"order_amount": amount})
    elif step in ("day", "month"):
        sandbox.move_clock(days=1 if step == "day" else 30)
    elif step == "renew":
        sandbox.expire(order_id, at="2030-01-01")
    elif step == "close":
        sandbox.close(order_id)
    elif step == "pay":
        sandbox.pay_out()
    else:
        rest = {
            "cancel": "cancel",
            "release": "release-remaining-authorization",
            "extend": "extend-authorization-time",
        }[step]
        shop.on(order_id, "POST", rest)


def holds_together(order, state):
    assert order["captured_amount"] <= order["order_amount"]
    assert order["refunded_amount"] <= order["captured_amount"]
    assert order["captured_amount"] == sum(each["captured_amount"] for each in order["captures"])
    assert order["refunded_amount"] == sum(each["refunded_amount"] for each in order["refunds"])
    allocated = sum(each["refunded_amount"] for each in state["refunds"] if each["capture_id"])
    assert allocated == sum(each["refunded_amount"] for each in order["captures"])
    assert all(each["refunded_amount"] <= each["captured_amount"] for each in order["captures"])
    finished = order["status"] in ("CANCELLED", "EXPIRED", "CLOSED") or state["released"] or state["expired"]
    rest = order["order_amount"] - order["captured_amount"]
    assert order["remaining_authorized_amount"] == (0 if finished else rest)
    if order["status"] == "CAPTURED":
        assert order["remaining_authorized_amount"] == 0
    if order["status"] in ("AUTHORIZED", "CANCELLED", "EXPIRED"):
        assert order["captures"] == []
    rows = state["rows"]
    assert sum(row["amount"] for row in rows if row["type"] == "SALE") == order["captured_amount"]
    assert sum(row["amount"] for row in rows if row["type"] == "RETURN") == order["refunded_amount"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
def test_an_orders_amounts_hold_together_through_any_sequence(sandbox, shop, steps):
    sandbox.set_clock("2026-03-02T10:00:00Z")
    order_id = sandbox.order(order_amount=10_000)
    for step, amount in steps:
        take(sandbox, shop, order_id, step, amount)
        holds_together(shop.order(order_id), sandbox.state(order_id))
    sandbox.pay_out()
    debt = 0
    for payout in sandbox.payouts():
        totals = payout["totals"]
        assert totals["opening_debt_balance"] == debt
        debt = totals["closing_debt_balance"]
        assert debt >= 0
        assert min(totals["settlement"], totals["repay"], totals["deposit"]) >= 0
    assert {"SEK": debt} == (sandbox.merchants()[0]["debts"] or {"SEK": 0})
