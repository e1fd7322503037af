"""Settlement: the rows that captures, refunds and fees leave behind, and the payouts that gather them.

Integer minor units throughout; percentages in hundredths; rounding half up, per row.
"""

from datetime import UTC, datetime, time, timedelta

from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Capture, Doc, Merchant, Order, Payout, Refund, Row
from klarna_sandbox.refusals import Misuse
from klarna_sandbox.switches import WEEKDAYS
from klarna_sandbox.world import FIRST_REFERENCE, World

PAYOUT_TIME = time(7, 45)
TOTALS = (
    "sale", "return", "reversal", "fee", "fee_correction", "fee_refund", "tax", "tax_refund", "commission", "charge",
    "credit", "holdback", "release", "repay", "deposit", "opening_debt_balance", "closing_debt_balance", "settlement",
)  # fmt: skip
# Where a row's amount is totalled, and with which sign there.
TOTAL_OF = {
    "SALE": ("sale", 1), "RETURN": ("return", 1), "REVERSAL": ("reversal", 1),
    "REVERSAL_MERCHANT_PROTECTION": ("reversal", -1), "FEE": ("fee", 1), "FEE_REFUND": ("fee_refund", 1),
    "CORRECTION": ("fee_correction", 1), "TAX": ("tax", 1), "COMMISSION": ("commission", 1), "CHARGE": ("charge", 1),
    "CREDIT": ("credit", 1), "HOLDBACK": ("holdback", 1), "RELEASE": ("release", 1),
}  # fmt: skip
# How each total moves the settlement.
SIGN = {
    "sale": 1, "return": -1, "reversal": -1, "fee": -1, "fee_refund": 1, "fee_correction": 1, "tax": -1,
    "tax_refund": 1, "commission": 1, "charge": -1, "credit": 1, "holdback": -1, "release": 1,
}  # fmt: skip
USUAL_DETAIL = {
    "SALE": "PURCHASE", "RETURN": "PURCHASE_RETURN", "REVERSAL": "REVERSAL", "FEE": "SERVICING_FEE",
    "REVERSAL_MERCHANT_PROTECTION": "FRAUD_POLICY_CREDIT_NET", "FEE_REFUND": "FEE_REFUND", "COMMISSION": "COMMISSION",
    "CORRECTION": "CORRECTION", "CHARGE": "MANUAL_ENTRY", "CREDIT": "MANUAL_ENTRY", "HOLDBACK": "ROLLING_RESERVE",
    "RELEASE": "ROLLING_RESERVE", "TAX": "TAX",
}  # fmt: skip
OF_FEES = ("FEE", "FEE_REFUND")


def half_up(amount: int, share: int, whole: int) -> int:
    """Amount × share / whole, rounded half up; none of them negative."""
    return (2 * amount * share + whole) // (2 * whole)


def _terms(world: World, merchant: Merchant, name: str) -> int:
    own = getattr(merchant, name)
    return world.switches.number(name) if own is None else int(own)


def _row(world: World, order: Order, made: Capture | None, type_: str, detail: str, amount: int, at: str) -> Row:
    return Row(
        number=world.count("row"),
        mid=order.mid,
        currency=order.purchase_currency,
        type=type_,
        detailed_type=detail,
        amount=amount,
        at=at,
        order_id=order.order_id,
        capture_id=made.capture_id if made else None,
        sale_date=order.created_at,
        short_order_id=order.klarna_reference,
        capture_suffix=made.klarna_reference.rpartition("-")[2] if made else "",
        merchant_reference1=order.merchant_reference1,
        merchant_reference2=order.merchant_reference2,
        capture_reference=made.reference if made else None,
        purchase_country=order.purchase_country,
        shipping_country=order.shipping_address.get("country"),
        method=order.method.lower() or None,
        installments=order.initial_payment_method.get("number_of_installments"),
    )


def _consumer_vat(lines: list[Doc]) -> list[list[int]]:
    by_rate: dict[int, int] = {}
    for line in lines:
        if "tax_rate" in line:
            by_rate[line["tax_rate"]] = by_rate.get(line["tax_rate"], 0) + line.get("total_tax_amount", 0)
    return [[rate, by_rate[rate]] for rate in sorted(by_rate, reverse=True)]


def _add_fee(world: World, order: Order, made: Capture, detail: str, fee: int, at: str) -> None:
    if fee:
        row = _row(world, order, made, "FEE", detail, fee, at)
        row.vat_rate = _terms(world, world.merchant_of(order), "fee_vat")
        row.vat_amount = half_up(fee, row.vat_rate, 10_000)
        world.add_row(row)


def record_capture(world: World, order: Order, made: Capture) -> None:
    """The three rows of a sale: the sale, its percentage fee, its fixed fee."""
    sale = _row(world, order, made, "SALE", "PURCHASE", made.captured_amount, made.captured_at)
    sale.consumer_vat = _consumer_vat(made.order_lines)
    world.add_row(sale)
    merchant = world.merchant_of(order)
    percentage = half_up(made.captured_amount, _terms(world, merchant, "fee_percent"), 10_000)
    _add_fee(world, order, made, "PURCHASE_FEE_PERCENTAGE", percentage, made.captured_at)
    _add_fee(world, order, made, "PURCHASE_FEE_FIXED", _terms(world, merchant, "fee_fixed"), made.captured_at)


def record_refund(world: World, order: Order, made: Refund) -> None:
    """The row of a refund."""
    row = _row(world, order, None, "RETURN", "PURCHASE_RETURN", made.refunded_amount, made.refunded_at)
    row.refund_id, row.refund_reference = made.refund_id, made.reference
    row.consumer_vat = _consumer_vat(made.order_lines)
    world.add_row(row)


def record_due_date_fee(world: World, order: Order, made: Capture, fee: int, now: datetime) -> None:
    """The fee for moving a capture's due date."""
    _add_fee(world, order, made, "EXTEND_DUE_DATE_FEE", fee, stamp(now))


def add_extra(world: World, merchant: Merchant, wish: Doc) -> Row:
    """A row asked for by hand, of any type, known or invented, for the next payout. Raises Misuse.

    `wish`: type, amount; optionally detailed_type, currency, order_id, capture_id, refund_id, vat_rate, vat_amount,
    comment, reversal_reference, counts, at.
    """
    type_, amount = str(wish.get("type", "")), wish.get("amount")
    if not type_ or not isinstance(amount, int) or isinstance(amount, bool):
        raise Misuse("A row needs a type and an amount in minor units.")
    if amount < 0 and type_ != "CORRECTION":
        raise Misuse("Only a CORRECTION row has a sign; the type gives the direction of the others.")
    detail = str(wish.get("detailed_type") or USUAL_DETAIL.get(type_, type_))
    at = stamp(parse(wish["at"])) if wish.get("at") else stamp(world.clock.now())
    if wish.get("order_id"):
        order = world.find_order(str(wish["order_id"]))
        if order.mid != merchant.mid:
            raise Misuse(f"Order {order.order_id} belongs to another merchant.")
        made = next((each for each in order.captures if each.capture_id == wish.get("capture_id")), None)
        row = _row(world, order, made, type_, detail, amount, at)
    else:
        currency = str(wish.get("currency") or merchant.registration_currency)
        row = Row(world.count("row"), merchant.mid, currency, type_, detail, amount, at)
        row.capture_id = wish.get("capture_id")
    row.refund_id = wish.get("refund_id")
    row.vat_rate, row.vat_amount = int(wish.get("vat_rate") or 0), int(wish.get("vat_amount") or 0)
    row.comment, row.reversal_reference = wish.get("comment"), wish.get("reversal_reference")
    row.extra, row.counts = True, int(wish.get("counts") or 0)
    world.add_row(row)
    return row


def dispute(world: World, order: Order, amount: int, *, protected: bool, fee: int, category: str) -> list[Row]:
    """A dispute lost: the reversal and, when asked for, its fee; with merchant protection the net comes back."""
    merchant = world.merchant_of(order)
    reference = f"krn:klarna:eu1:dispute:{category}:{world.count('dispute')}"
    about: Doc = {"order_id": order.order_id, "reversal_reference": reference}
    detail = "FRAUD_POLICY_CHARGE" if protected else "REVERSAL"
    rows = [add_extra(world, merchant, {**about, "type": "REVERSAL", "detailed_type": detail, "amount": amount})]
    if protected:
        lines = [line for made in order.captures for line in made.order_lines] or order.order_lines
        vat = sum(line.get("total_tax_amount", 0) for line in lines)
        gross = sum(line["total_amount"] for line in lines)
        net = amount - half_up(amount, vat, gross) if gross > 0 and vat > 0 else amount
        rows.append(add_extra(world, merchant, {**about, "type": "REVERSAL_MERCHANT_PROTECTION", "amount": net}))
    if fee:
        rate = _terms(world, merchant, "fee_vat")
        taxed = {"vat_rate": rate, "vat_amount": half_up(fee, rate, 10_000)}
        wish = {**about, **taxed, "type": "FEE", "detailed_type": "DISPUTE_FEE", "amount": fee}
        rows.append(add_extra(world, merchant, wish))
    return rows


def totals(rows: list[Row], opening_debt: int) -> dict[str, int]:
    """The totals of a payout. A shortage becomes a deposit, and the debt grows; a surplus repays debt first."""
    sums = dict.fromkeys(TOTALS, 0)
    unexplained = 0
    for row in rows:
        name, sign = TOTAL_OF.get(row.type, ("", 0))
        if name:
            sums[name] += sign * row.amount
        else:
            unexplained += row.counts * row.amount
        if row.type == "FEE":
            sums["tax"] += row.vat_amount
        elif row.type == "FEE_REFUND":
            sums["tax_refund"] += row.vat_amount
    net = sum(sign * sums[name] for name, sign in SIGN.items()) + unexplained
    sums["opening_debt_balance"] = opening_debt
    sums["repay"] = min(max(net, 0), opening_debt)
    sums["deposit"] = max(-net, 0)
    sums["settlement"] = max(net, 0) - sums["repay"]
    sums["closing_debt_balance"] = opening_debt - sums["repay"] + sums["deposit"]
    return sums


def _make(world: World, merchant: Merchant, currency: str, rows: list[Row], at: datetime) -> list[Payout]:
    """The payouts of one account and currency at one time: one, or two when the fees are invoiced apart."""
    kind = merchant.settlement_type or world.switches["settlement_type"]
    rows = sorted(rows, key=lambda row: (row.at, row.number))
    parts = [(kind, rows)]
    if kind == "GROSS":
        fees = [row for row in rows if row.type in OF_FEES]
        parts = [("GROSS", [row for row in rows if row.type not in OF_FEES]), ("GROSS_FEE", fees)]
    made = []
    for name, part in parts:
        if not part:
            continue
        # A fee invoice is paid by itself: it neither meets nor leaves a debt in the account's running balance.
        own_debt = name != "GROSS_FEE"
        sums = totals(part, merchant.debts.get(currency, 0) if own_debt else 0)
        if own_debt:
            merchant.debts[currency] = sums["closing_debt_balance"]
        reference = str(world.count("payment_reference", FIRST_REFERENCE))
        payout = Payout(
            reference, merchant.mid, currency, stamp(at), name, merchant.registration_currency, sums,
            [row.number for row in part],
        )  # fmt: skip
        world.add_payout(payout)
        made.append(payout)
    world.save_merchant(merchant)
    return made


def pay_now(world: World, mid: str | None = None, currency: str | None = None) -> list[Payout]:
    """Pay out everything unpaid at once, whatever the schedule says."""
    now = world.clock.now()
    made = pay_scheduled(world)
    for (owner, money), rows in list(world.unpaid.items()):
        if rows and mid in (None, owner) and currency in (None, money):
            made += _make(world, world.merchants[owner], money, list(rows.values()), now)
    return made


def next_payout_time(world: World, merchant: Merchant, after: datetime) -> datetime:
    """The account's first payout time after a moment."""
    weekday = WEEKDAYS.index(merchant.payout_weekday or world.switches["payout_weekday"])
    day = after.date() + timedelta(days=(weekday - after.weekday()) % 7)
    moment = datetime.combine(day, PAYOUT_TIME, UTC)
    return moment if moment > after else moment + timedelta(days=7)


def pay_scheduled(world: World) -> list[Payout]:
    """Make every payout whose day has come. A row is due when its day plus the delay is no later than that day."""
    if not world.switches.on("scheduled_payouts"):
        return []
    now, made = world.clock.now(), []
    for merchant in list(world.merchants.values()):
        moment = next_payout_time(world, merchant, min(parse(merchant.settled_through), now))
        if moment > now:
            continue
        delay = timedelta(days=_terms(world, merchant, "payout_delay_days"))
        while moment <= now:
            # Rows of a day are due once that whole day lies the delay behind the payout's day.
            last = stamp(datetime.combine((moment - delay).date() + timedelta(days=1), time(), UTC))
            for (owner, currency), rows in list(world.unpaid.items()):
                if owner == merchant.mid:
                    due = [row for row in rows.values() if row.at < last or (row.extra and row.at <= stamp(moment))]
                    made += _make(world, merchant, currency, due, moment) if due else []
            moment = next_payout_time(world, merchant, moment)
        merchant.settled_through = stamp(now)
        world.save_merchant(merchant)
    return made
