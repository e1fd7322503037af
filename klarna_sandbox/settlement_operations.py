"""The eight reads of the Settlements API."""

from urllib.parse import urlencode

from klarna_sandbox import reports, settlements
from klarna_sandbox.calls import Answer, Call, as_json
from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Doc, Payout
from klarna_sandbox.refusals import Refused
from klarna_sandbox.world import World

LARGEST_PAGE = 500
USUAL_PAGE = 20


def _bad(message: str) -> Refused:
    return Refused(400, "BAD_REQUEST", message)


def _date(call: Call, name: str, required: bool = False) -> str | None:
    text = call.query.get(name)
    if not text:
        if required:
            raise _bad(f"{name} is required")
        return None
    try:
        return stamp(parse(text))
    except ValueError:
        raise _bad(f"{name} is not a date") from None


def _number(call: Call, name: str, usual: int, most: int | None = None) -> int:
    text = call.query.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or (most is not None and int(text) > most):
        raise _bad(f"{name} is out of range")
    return int(text)


def _page(call: Call, total: int) -> tuple[int, int, Doc]:
    size, offset = _number(call, "size", USUAL_PAGE, LARGEST_PAGE), _number(call, "offset", 0)
    if size == 0:
        raise _bad("size is out of range")

    def link(there: int) -> str:
        return f"{call.root}{call.path}?{urlencode({**call.query, 'size': size, 'offset': there})}"

    pagination: Doc = {"count": max(min(size, total - offset), 0), "total": total, "offset": offset}
    links = {
        "next": link(offset + size) if offset + size < total else None,
        "prev": link(max(offset - size, 0)) if offset > 0 else None,
    }
    keep_null = call.world.switches["pagination_null"] == "null"
    pagination.update({name: value for name, value in links.items() if value is not None or keep_null})
    return offset, size, pagination


def _payouts(call: Call, start: str | None, end: str | None) -> list[Payout]:
    settlements.pay_scheduled(call.world)
    currency = call.query.get("currency_code")
    return [
        each
        for each in call.world.payouts.values()
        if each.mid == call.owner.mid
        and (start is None or each.payout_date >= start)
        and (end is None or each.payout_date <= end)
        and (not currency or each.currency == currency.upper())
    ]


def _payout(call: Call, reference: str | None) -> Payout:
    settlements.pay_scheduled(call.world)
    if not reference:
        raise _bad("payment_reference is required")
    found = call.world.payouts.get(reference)
    if found is None or found.mid != call.owner.mid:
        raise Refused(404, "NOT_FOUND", f"Payout {reference} cannot be found")
    return found


def list_payouts(call: Call) -> Answer:
    found = _payouts(call, _date(call, "start_date"), _date(call, "end_date"))
    offset, size, pagination = _page(call, len(found))
    shown = [reports.payout(each, call.root, call.world.switches) for each in found[offset : offset + size]]
    return as_json({"payouts": shown, "pagination": pagination})


def get_payout(call: Call) -> Answer:
    return as_json(reports.payout(_payout(call, call.part_id), call.root, call.world.switches))


def _summaries(call: Call) -> tuple[list[Doc], list[Payout]]:
    start, end = _date(call, "start_date", True) or "", _date(call, "end_date", True) or ""
    found = _payouts(call, start, end)
    currencies = sorted({each.currency for each in found})
    elements = [
        reports.summary(money, [each for each in found if each.currency == money], start, end) for money in currencies
    ]
    return elements, found


def payouts_summary(call: Call) -> Answer:
    return as_json(_summaries(call)[0])


def list_transactions(call: Call) -> Answer:
    settlements.pay_scheduled(call.world)
    world, mid = call.world, call.owner.mid
    reference, order_id = call.query.get("payment_reference"), call.query.get("order_id")
    numbers = list(world.rows)
    if reference:
        numbers = world.payouts[reference].rows if reference in world.payouts else []
    elif order_id:
        numbers = world.rows_of_order.get(order_id, [])
    found = [
        row
        for row in (world.rows[number] for number in numbers)
        if row.mid == mid and (not order_id or row.order_id == order_id)
    ]
    offset, size, pagination = _page(call, len(found))
    shown = [
        reports.transaction(row, call.root, world.switches, call.owner.registration_currency)
        for row in found[offset : offset + size]
    ]
    return as_json({"transactions": shown, "pagination": pagination})


def payout_report(world: World, found: Payout) -> bytes:
    """The CSV report of one payout."""
    printer = reports.Printer(world.switches)
    printer.payout_head(found)
    printer.rows([world.rows[number] for number in found.rows], world.payouts)
    return printer.finish()


def payout_page(found: Payout) -> bytes:
    """The PDF that stands in for the printed report of one payout."""
    return reports.pdf(
        [
            f"Sandbox: payout {found.payment_reference}",
            f"{found.payout_date[:10]}  {found.currency} {reports.major(found.totals['settlement'])}",
        ]
    )


def payout_csv(call: Call) -> Answer:
    found = _payout(call, call.query.get("payment_reference"))
    name = f"settlement.{found.payment_reference}.csv"
    return _file(payout_report(call.world, found), "text/csv; charset=utf-8", name)


def period_csv(call: Call) -> Answer:
    elements, found = _summaries(call)
    printer = reports.Printer(call.world.switches)
    printer.period_head(elements)
    rows = [row for each in found for row in (call.world.rows[number] for number in each.rows)]
    printer.rows(rows, call.world.payouts, ("payment_reference", "payout_date"))
    return _file(printer.finish(), "text/csv; charset=utf-8", "settlements.csv")


def payout_pdf(call: Call) -> Answer:
    found = _payout(call, call.query.get("payment_reference"))
    return _file(payout_page(found), "application/pdf", f"settlement.{found.payment_reference}.pdf")


def period_pdf(call: Call) -> Answer:
    elements, _ = _summaries(call)
    lines = ["Sandbox: payouts of a period"]
    for each in elements:
        settled = reports.major(each["summary_total_settlement_amount"])
        lines.append(f"{each['summary_settlement_currency']} {settled}")
    return _file(reports.pdf(lines), "application/pdf", "settlements.pdf")


def _file(content: bytes, content_type: str, name: str) -> Answer:
    return Answer(200, content, content_type, [("Content-Disposition", f'attachment; filename="{name}"')])
