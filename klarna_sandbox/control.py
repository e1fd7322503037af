"""The remote control of a sandbox, for tests and the demo.

    from klarna_sandbox import server
    from klarna_sandbox.control import Control

    running = server.start()                        # its own thread, a free port, nothing kept on disk
    sandbox = Control(running.url)
    sandbox.merchant("K000001", "K000001_user", "secret")
    order_id = sandbox.order(order_amount=50000)
    sandbox.fault("drop_after", operation="create_capture")
    ...                                             # the house under test talks to running.url
    assert len(sandbox.writes()) == 1
    running.stop()

Amounts are minor units, percentages hundredths of a percent, times UTC (text or aware datetime). Whatever makes no
sense to the sandbox raises `Refusal` with its sentence, and so does an act by hand that Klarna's rules refuse.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import requests

Doc = dict[str, Any]


class Refusal(Exception):
    """The sandbox said no. `status`, `error_code` (`MISUSE` for a call that makes no sense) and `messages`."""

    def __init__(self, status: int, error_code: str, messages: list[str]) -> None:
        super().__init__(f"{status} {error_code}: {' '.join(messages)}")
        self.status = status
        self.error_code = error_code
        self.messages = messages


def _time(moment: datetime | str | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def _given(**fields: Any) -> Doc:
    return {name: value for name, value in fields.items() if value is not None}


class Control:
    """Drives one sandbox through its admin endpoints. `url` is the sandbox's base, such as http://127.0.0.1:8001."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False

    def _ask(self, method: str, path: str, body: Doc | None = None, **query: Any) -> Any:
        answer = self._session.request(
            method, f"{self.url}/_sandbox/api{path}", json=body, params=_given(**query), timeout=self._timeout
        )
        if answer.status_code >= 400:
            try:
                envelope = answer.json()
            except ValueError:
                envelope = {"error_code": "UNREADABLE", "error_messages": [answer.text[:200]]}
            raise Refusal(answer.status_code, envelope["error_code"], envelope["error_messages"])
        return answer.json()

    # Start

    def reset(self) -> None:
        """Forget everything: merchants, orders, payouts, keys, faults, switches, log; the clock runs with the machine.
        Requests that hang are dropped without effect. Call it before each test."""
        self._ask("POST", "/reset")

    def merchant(
        self, mid: str = "K000001", username: str | None = None, password: str | None = None, *,
        api_key: str | None = None, provider: str = "klarna", name: str | None = None,
        credentials: list[dict[str, str]] | None = None, fee_percent: int | None = None, fee_fixed: int | None = None,
        fee_vat: int | None = None, payout_weekday: str | None = None, payout_delay_days: int | None = None,
        settlement_type: str | None = None, authorization_days: int | None = None, registration_currency: str = "SEK",
    ) -> Doc:  # fmt: skip
        """Create an account, or replace one of the same `mid` (its orders and debts stay). Gives the account.

        Credentials: `username` and `password` (both default to ones made of the mid: `<mid>_user`, `secret` when no
        `api_key` is given), and/or `api_key`, and/or a list of `{"username","password"}` or `{"api_key"}`. An API key
        works bare after `Basic` and as password beside any username. `provider` is `klarna` or `kustom` (which also
        takes `package` lines). `fee_percent` 249 is 2.49 %, `fee_fixed` 300 is 3.00, `fee_vat` 2500 is 25 %;
        `payout_weekday` is `monday` to `sunday`; `settlement_type` NET or GROSS. What is left out follows the switch
        of the same name.
        """
        if not (username or api_key or credentials):
            username, password = f"{mid}_user", password or "secret"
        return self._doc("POST", "/merchants", _given(
            mid=mid, username=username, password=password, api_key=api_key, provider=provider, name=name,
            credentials=credentials, fee_percent=fee_percent, fee_fixed=fee_fixed, fee_vat=fee_vat,
            payout_weekday=payout_weekday, payout_delay_days=payout_delay_days, settlement_type=settlement_type,
            authorization_days=authorization_days, registration_currency=registration_currency,
        ))  # fmt: skip

    def _doc(self, method: str, path: str, body: Doc | None = None) -> Doc:
        document: Doc = self._ask(method, path, body)
        return document

    def merchants(self) -> list[Doc]:
        """All accounts; `debts` holds each currency's debt to Klarna."""
        found: list[Doc] = self._ask("GET", "/merchants")
        return found

    def debt(self, amount: int, *, mid: str, currency: str = "SEK") -> None:
        """Set the account's debt, as when Klarna has invoiced it separately (0) or carries an old one over."""
        self._ask("POST", f"/merchants/{mid}/debt", {"amount": amount, "currency": currency})

    # Orders

    def order(self, **fields: Any) -> str:
        """Seed an order as if a consumer had just bought; gives its order id.

        Any of: mid (needed only when there are several accounts), order_id (a UUID of your own), order_amount (default:
        the lines' sum, else 10000), order_lines (default: one line of 25 % VAT with reference `ART-1`; `[]` for
        none), purchase_currency (SEK), purchase_country (SE), locale, klarna_reference, merchant_reference1/2,
        merchant_data, customer, billing_address, shipping_address, shipping_info, selected_shipping_option,
        initial_payment_method (a type such as `"CARD"`, or the whole object; default INVOICE), fraud_status (ACCEPTED,
        PENDING, REJECTED, STOPPED), created_at, expires_at, acknowledged_at, merchant_urls (`{"push": url,
        "notification": url}`, loopback only; `{checkout.order.id}` is filled in), captures (a list of `{}` or
        `{"captured_amount","reference","description","order_lines","shipping_info"}` made at once, as by hand).
        """
        for name in ("created_at", "expires_at", "acknowledged_at"):
            if name in fields:
                fields[name] = _time(fields[name])
        return str(self._ask("POST", "/orders", fields)["order_id"])

    def orders(
        self, wishes: Iterable[Doc] = (), *, count: int = 0, mid: str | None = None, **template: Any
    ) -> list[str]:
        """Seed many at once, quickly: a list of wishes as for `order`, or `count` alike; `template` fields go to all.
        Gives the order ids in the same order."""
        body = _given(mid=mid, orders=list(wishes) or None, count=count, template=template)
        made: list[str] = self._ask("POST", "/orders/bulk", body)["order_ids"]
        return made

    def find_orders(
        self, words: str = "", *, mid: str | None = None, status: str | None = None, limit: int = 1000
    ) -> list[str]:
        """Ids of orders whose id, references or consumer hold the words, newest first."""
        found: list[str] = self._ask("GET", "/orders", q=words, mid=mid, status=status, limit=limit)
        return found

    def state(self, order_id: str) -> Doc:
        """Everything kept about an order: all fields of GET order, captures and refunds (each refund with the
        `capture_id` it was allocated to, None when it could not be), and acknowledged_at, expired, released,
        allocation_failed, rejected_at, `rows` (its settlement rows, `payment_reference` once paid) and `callbacks`."""
        return self._doc("GET", f"/orders/{order_id}")

    # By hand, as in the Merchant Portal: no reference and no lines unless given. Klarna's rules hold here too.

    def portal_capture(
        self, order_id: str, amount: int | None = None, *, reference: str | None = None, description: str | None = None,
        order_lines: list[Doc] | None = None, shipping_info: list[Doc] | None = None,
    ) -> Doc:  # fmt: skip
        """Capture by hand (default: all that remains); gives the capture, with `capture_id`."""
        return self._act(
            order_id, "capture", amount=amount, reference=reference, description=description, order_lines=order_lines,
            shipping_info=shipping_info,
        )  # fmt: skip

    def portal_refund(
        self, order_id: str, amount: int | None = None, *, reference: str | None = None, description: str | None = None,
        order_lines: list[Doc] | None = None,
    ) -> Doc:  # fmt: skip
        """Refund by hand (default: all that is left of the captures); gives the refund, with `refund_id`."""
        return self._act(
            order_id, "refund", amount=amount, reference=reference, description=description, order_lines=order_lines
        )

    def _act(self, order_id: str, act: str, **wish: Any) -> Doc:
        return self._doc("POST", f"/orders/{order_id}/{act}", _given(**wish))

    def portal_cancel(self, order_id: str) -> Doc:
        """Cancel by hand; gives the order's state, as the following do."""
        return self._act(order_id, "cancel")

    def portal_release(self, order_id: str) -> Doc:
        """Release the remaining authorization by hand."""
        return self._act(order_id, "release")

    def portal_extend(self, order_id: str) -> Doc:
        """Extend the authorization by hand."""
        return self._act(order_id, "extend")

    def portal_update(self, order_id: str, amount: int | None = None, order_lines: list[Doc] | None = None) -> Doc:
        """Change total and lines by hand; no lines given means none are left."""
        return self._act(order_id, "update", amount=amount, order_lines=order_lines)

    def acknowledge(self, order_id: str) -> Doc:
        """Acknowledge by hand, so that the pushes stop."""
        return self._act(order_id, "acknowledge")

    def fraud(self, order_id: str, status: str) -> Doc:
        """Decide on the order's risk: ACCEPTED, PENDING, REJECTED or STOPPED. Sends the notification when the order
        has an address for it."""
        return self._act(order_id, "fraud", status=status)

    def close(self, order_id: str) -> Doc:
        """Close the order: nothing but refunds works on it any more."""
        return self._act(order_id, "close")

    def expire(self, order_id: str, at: datetime | str | None = None) -> Doc:
        """Let the authorization end at that time (default: a second ago). A time ahead renews an expired order."""
        return self._act(order_id, "expire", at=_time(at))

    # Settlement

    def pay_out(self, *, mid: str | None = None, currency: str | None = None, scheduled: bool = False) -> list[Doc]:
        """Pay out everything unpaid now, whatever the schedule; with `scheduled` only what the calendar says is due.
        Gives the payouts made: payment_reference, mid, currency, payout_date, settlement_type, totals, rows."""
        made: list[Doc] = self._ask("POST", "/payouts", _given(mid=mid, currency=currency, scheduled=scheduled))
        return made

    def payouts(self, mid: str | None = None) -> list[Doc]:
        """All payouts made, oldest first."""
        found: list[Doc] = self._ask("GET", "/payouts", mid=mid)
        return found

    def next_payout(
        self, *, mid: str | None = None, currency: str | None = None, holdback: int | None = None,
        release: int | None = None, reason: str | None = None, rows: list[Doc] | None = None,
    ) -> list[Doc]:  # fmt: skip
        """Put rows into the next payout: a `holdback` and/or `release` (with `reason` as detailed_type, default
        ROLLING_RESERVE), and `rows` of any kind: `{"type","amount"}` with optional detailed_type, currency, order_id,
        capture_id, refund_id, vat_rate, vat_amount, comment, reversal_reference, at. An invented type is passed on
        as it is, outside every total; `counts` -1 or 1 makes it move the settlement all the same."""
        made: list[Doc] = self._ask("POST", "/payouts/next", _given(
            mid=mid, currency=currency, holdback=holdback, release=release, reason=reason, rows=rows,
        ))  # fmt: skip
        return made

    def dispute(
        self, order_id: str, amount: int | None = None, *, protected: bool = False, fee: int = 0,
        category: str = "goods_not_received",
    ) -> list[Doc]:  # fmt: skip
        """A dispute lost, in the next payout: REVERSAL (default: all that was captured), a DISPUTE_FEE when `fee` is
        given; `protected` makes it FRAUD_POLICY_CHARGE and gives the amount without VAT back."""
        made: list[Doc] = self._ask("POST", f"/orders/{order_id}/dispute", _given(
            amount=amount, protected=protected, fee=fee, category=category,
        ))  # fmt: skip
        return made

    # Time

    def now(self) -> datetime:
        """The sandbox's time."""
        return datetime.fromisoformat(self._ask("GET", "/clock")["now"])

    def set_clock(self, moment: datetime | str, *, freeze: bool | None = None) -> datetime:
        """Make it this time now; `freeze=True` stops the clock there, `False` lets it run. Payouts due by then are
        made at once; callbacks follow within a quarter of a second, or at once with `deliver_callbacks`."""
        return self._clock(set=_time(moment), freeze=freeze)

    def move_clock(self, by: timedelta | None = None, **parts: float) -> datetime:
        """Step forward, or back: `move_clock(days=8)`, `move_clock(hours=-2)` or a timedelta."""
        step = (by or timedelta()) + timedelta(**parts)
        return self._clock(move_seconds=step.total_seconds())

    def freeze_clock(self) -> datetime:
        """Stop the clock where it stands."""
        return self._clock(freeze=True)

    def run_clock(self) -> datetime:
        """Let a frozen clock run on."""
        return self._clock(freeze=False)

    def _clock(self, **wish: Any) -> datetime:
        return datetime.fromisoformat(self._ask("POST", "/clock", _given(**wish))["now"])

    # Faults, switches

    def fault(
        self, kind: str, *, operation: str = "any", order_id: str | None = None, times: int = 1, **more: Any
    ) -> Doc:
        """Let the next `times` matching calls meet a fault (0: until cleared). Gives the fault, with its `number`.

        `operation`: `any`, `reads`, `writes`, or one of get_order, acknowledge, update_authorization, cancel,
        update_merchant_references, update_customer_details, extend_authorization_time,
        release_remaining_authorization, add_order_shipping_info, create_capture, list_captures, get_capture,
        add_capture_shipping_info, trigger_send_out, get_due_date_options, extend_due_date, create_refund, get_refund,
        list_payouts, payouts_summary, get_payout, list_transactions, payout_csv, payout_pdf, period_csv, period_pdf.

        `kind`:
        refuse (403 NOT_ALLOWED unless status=, error_code=, messages= say otherwise) ·
        payment_method_failed · risk_refusal · conflict (409) · too_many (429; retry_after=) · unauthorized (401) ·
        server_error, server_error_after (500 before / after the effect) · unavailable, unavailable_after (503) ·
        html_403, html_502, html_502_after (a page from the edge) · redirect (307; location=) ·
        hang (seconds=; then carried out and answered) · hang_after (carried out, then waits) · hang_never (waits,
        then drops without effect) · drop_before, drop_after (connection reset before / after the effect) ·
        cut_status, cut_headers, cut_body (carried out, answer cut there; with status= and the like it is that refusal
        that is cut, without effect) · no_id (success without Capture-Id, Refund-Id, Location) ·
        forget_key (the idempotency key means nothing any more) · lag (a read shows the order before its last change).

        More: mid=, skip= (let so many matching calls pass first), effect= (True or False against the kind's nature).
        """
        return self._doc(
            "POST",
            "/faults",
            {"kind": kind, "operation": operation, "times": times, **_given(order_id=order_id), **more},
        )

    def faults(self) -> list[Doc]:
        """The faults still waiting, with `hits` so far."""
        found: list[Doc] = self._ask("GET", "/faults")
        return found

    def clear_faults(self) -> None:
        """Take back every fault, and let hanging calls go on at once."""
        self._ask("DELETE", "/faults")

    def release_hangs(self) -> None:
        """Let hanging calls go on at once; waiting faults stay."""
        self._ask("POST", "/hangs/release")

    def switches(self, **values: Any) -> dict[str, str]:
        """Turn switches, if any are given, and give all with their values: `switches(auth_401_body="json")`."""
        found: dict[str, str] = self._ask("POST", "/switches", values)
        return found

    # What was seen

    def log(self, *, operation: str | None = None, order_id: str | None = None, since: int = 0) -> list[Doc]:
        """Requests to the API, oldest first: number, at, method, path, query, operation, mid, order_id,
        idempotency_key, user_agent, body (as JSON where it is), status (None when no answer was sent), error_code,
        correlation_id, changed (it had an effect of its own), replayed (the key gave a recorded answer), fault."""
        return self._picked(self._ask("GET", "/log", since=since), operation, order_id)

    def writes(self, *, operation: str | None = None, order_id: str | None = None, since: int = 0) -> list[Doc]:
        """Only the requests that changed something: no reads, no refusals, no repeats of a key. A capture whose answer
        was lost is among them. This is the list to count when one effect is promised."""
        return self._picked(self._ask("GET", "/log", since=since, changed=1), operation, order_id)

    def posts(self, *, operation: str | None = None, order_id: str | None = None, since: int = 0) -> list[Doc]:
        """Every POST and PATCH that arrived, whether it changed anything or not. Empty when nothing was sent."""
        return [
            each for each in self.log(operation=operation, order_id=order_id, since=since) if each["method"] != "GET"
        ]

    @staticmethod
    def _picked(entries: list[Doc], operation: str | None, order_id: str | None) -> list[Doc]:
        return [
            each for each in entries if operation in (None, each["operation"]) and order_id in (None, each["order_id"])
        ]

    def clear_log(self) -> None:
        """Empty the request log."""
        self._ask("DELETE", "/log")

    def warnings(self) -> list[Doc]:
        """What passed though a person should see it: keys reused or odd, line sums, tax, unallocated refunds."""
        found: list[Doc] = self._ask("GET", "/warnings")
        return found

    def clear_warnings(self) -> None:
        """Empty the warnings."""
        self._ask("DELETE", "/warnings")

    # Callbacks

    def callbacks(self) -> list[Doc]:
        """Pushes and notifications: kind, order_id, url, event, next_at (None when over) and their attempts."""
        found: list[Doc] = self._ask("GET", "/callbacks")
        return found

    def deliver_callbacks(self) -> list[Doc]:
        """Send every push and notification due now and give the attempts (kind, order_id, url, event, at, status,
        error). They are also sent without asking, within a quarter of a second; after a leap of the clock the turns
        it leapt over are sent as one."""
        attempts: list[Doc] = self._ask("POST", "/callbacks/deliver")
        return attempts
