"""What can become of an order: one story per state, told step by step. A story yields the moment of its next step.

What cannot end as it is meant to stops the building: the demo never shows a state that its story did not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import clock
from db import writing
from demo.acts import Case
from demo.past import Steps
from services import credit_notes, janitor, reservations
from states import DocState, WithoutKlarna

Story = Callable[[Case], Steps]


def reserved(case: Case) -> Steps:
    """Paid and not sent yet."""
    case.buy()
    yield from ()


def captured(case: Case) -> Steps:
    """Sent and invoiced; paid out when it is old enough."""
    case.buy()
    yield case.office()
    case.deliver()
    yield case.later(3, 50)
    case.invoice()


def delivered(case: Case) -> Steps:
    """Sent and not invoiced: Klarna pays nothing for it yet."""
    case.buy()
    yield case.office()
    case.deliver()


def part_delivered(case: Case) -> Steps:
    """The rest is on back order."""
    case.buy()
    yield case.office()
    case.deliver(part=True)


def part_invoiced(case: Case) -> Steps:
    """What was sent is invoiced, the rest is on back order."""
    yield from part_delivered(case)
    yield case.later(5, 60)
    case.invoice()


def part_invoiced_then_delivered(case: Case) -> Steps:
    """The first parcel is invoiced, the second is not."""
    yield from part_invoiced(case)
    yield case.office(3)
    case.deliver()


def two_parcels(case: Case) -> Steps:
    """Sent twice, invoiced twice."""
    yield from part_invoiced_then_delivered(case)
    yield case.later(5, 60)
    case.invoice()


def part_credited(case: Case) -> Steps:
    """A piece came back."""
    yield from captured(case)
    yield case.office(6)
    case.credit(part=True)


def credited_twice(case: Case) -> Steps:
    """A piece came back, later the rest."""
    yield from part_credited(case)
    yield case.office(3)
    case.credit()


def fully_credited(case: Case) -> Steps:
    """Everything came back."""
    yield from captured(case)
    yield case.office(7)
    case.credit()


def refused_invoice(case: Case) -> Steps:
    """Klarna said no to the capture; somebody has to decide."""
    yield from delivered(case)
    yield case.later(5, 60)
    _refuse_capture(case)


def _refuse_capture(case: Case) -> None:
    text = ["Capture not allowed. Contact Klarna Merchant Support."]
    case.fault("refuse", "create_capture", status=403, error_code="CAPTURE_NOT_ALLOWED", messages=text)
    _expect(case.invoice(), DocState.REFUSED)


def voided_invoice(case: Case) -> Steps:
    """Klarna said no, the invoice was voided, and a new one went through."""
    yield from refused_invoice(case)
    yield case.later(10, 40)
    with writing() as session:
        reservations.void(
            session, case.shop.clerk, case.invoices[0], "Nekad av Klarna; ny faktura görs efter samtal med dem"
        )
    yield case.later(10, 40)
    case.invoice()


def retried_invoice(case: Case) -> Steps:
    """Klarna said no the first time and yes the second."""
    yield from refused_invoice(case)
    yield case.office(1)
    _expect(case.retry(case.invoices[0]), DocState.ISSUED)


def refused_credit(case: Case) -> Steps:
    """Klarna said no to the refund; somebody has to decide."""
    yield from captured(case)
    yield case.office(5)
    text = ["Refund not allowed. The refund period has passed."]
    case.fault("refuse", "create_refund", status=403, error_code="REFUND_NOT_ALLOWED", messages=text)
    _expect(case.create_credit(case.draft(part=True)), DocState.REFUSED)


def kept_credit(case: Case) -> Steps:
    """Klarna said no, somebody refunded in the portal, and the credit note was kept under its number."""
    yield from refused_credit(case)
    yield case.later(30, 90)
    refused = case.credit_notes[-1]
    case.shop.sandbox.portal_refund(case.klarna_order_id, case.amount_of(refused))
    yield case.later(5, 30)
    reason = WithoutKlarna.CREDITED_IN_PORTAL
    reservations.keep_without_klarna(case.shop.klarna, case.shop.finance, refused, reason, portal_confirmed=False)


def settled_by_asking(case: Case) -> Steps:
    """The answer was lost, and the janitor found out that Klarna had done it."""
    yield from delivered(case)
    yield case.later(5, 60)
    case.fault("drop_after", "create_capture")
    _expect(case.invoice(), DocState.PENDING)
    yield clock.now() + timedelta(seconds=20)
    janitor.run(case.shop.klarna)
    _expect(case.state_of(case.invoices[0]), DocState.ISSUED)


def expiring(case: Case) -> Steps:
    """The goods are late and the reservation soon ends."""
    yield from reserved(case)


def expired(case: Case) -> Steps:
    """Nobody sent it in time."""
    case.buy()
    yield clock.now() + timedelta(days=29)
    case.look()


def cancelled(case: Case) -> Steps:
    """The customer changed their mind; somebody cancelled in the portal."""
    case.buy()
    yield case.office()
    case.shop.sandbox.portal_cancel(case.klarna_order_id)
    case.look()


def under_review(case: Case) -> Steps:
    """Klarna has yet to decide whether it is a fraud."""
    case.buy(fraud_status="PENDING")
    yield from ()


def turned_down(case: Case) -> Steps:
    """Klarna decided that it was one."""
    case.buy(fraud_status="PENDING")
    yield case.later(120, 300)
    case.shop.sandbox.fraud(case.klarna_order_id, "REJECTED")
    yield case.later(300, 400)
    case.look()


def captured_in_portal(case: Case) -> Steps:
    """Somebody activated it in the portal, so that Kvitta has no invoice for it."""
    yield from delivered(case)
    yield case.later(20, 200)
    case.shop.sandbox.portal_capture(case.klarna_order_id)
    case.look()


def refunded_in_portal(case: Case) -> Steps:
    """Somebody gave money back in the portal, so that Kvitta has no credit note for it."""
    yield from captured(case)
    yield case.office(4)
    case.shop.sandbox.portal_refund(case.klarna_order_id, min(case.total(), 15_000))
    case.look()


def credited_in_portal(case: Case) -> Steps:
    """Somebody gave everything back in the portal, and the credit note was made afterwards."""
    yield from captured(case)
    yield case.office(4)
    case.shop.sandbox.portal_refund(case.klarna_order_id)
    case.look()
    yield case.later(20, 90)
    case.credit(without=WithoutKlarna.CREDITED_IN_PORTAL)


def exchanged(case: Case) -> Steps:
    """A piece was swapped for one of the same price: a credit note of which Klarna hears nothing."""
    yield from captured(case)
    yield case.office(5)
    case.credit(part=True, without=WithoutKlarna.EVEN_EXCHANGE)


def exchange_reversed(case: Case) -> Steps:
    """The swap never came about, and the credit note was reversed."""
    yield from captured(case)
    yield case.office(5)
    note = case.credit(part=True, without=WithoutKlarna.EVEN_EXCHANGE)
    yield case.office(2)
    with writing() as session:
        credit_notes.reverse(session, case.shop.finance, note, "Kunden behöll den första")


def drafted(case: Case) -> Steps:
    """A credit note somebody has begun."""
    yield from captured(case)
    yield case.office(4)
    case.draft(part=True, restock=False)


def on_account(case: Case) -> Steps:
    """An ordinary invoice, sent by post."""
    case.order_on_account()
    yield case.office()
    case.deliver()
    yield case.later(5, 60)
    case.invoice()


def on_account_credited(case: Case) -> Steps:
    """An ordinary invoice of which a piece was credited."""
    yield from on_account(case)
    yield case.office(5)
    case.credit(part=True)


def on_account_waiting(case: Case) -> Steps:
    """An ordinary order not sent yet."""
    case.order_on_account()
    yield from ()


def not_sent(case: Case) -> Steps:
    """Klarna asked us to wait, and nobody has sent it since."""
    yield from delivered(case)
    yield case.shop.until - timedelta(minutes=45)
    case.fault("too_many", "create_capture", retry_after=900)
    _expect(case.invoice(), DocState.PENDING)
    yield clock.now() + timedelta(minutes=17)
    janitor.run(case.shop.klarna)


def unanswered(case: Case) -> Steps:
    """A moment ago Klarna did it and said nothing; since then the same request still runs, and reads show nothing of it.

    It stays so until somebody clears the faults at the sandbox.
    """
    yield from delivered(case)
    yield case.shop.until - timedelta(seconds=90)
    case.fault("drop_after", "create_capture")
    case.fault("conflict", "create_capture", times=0)
    case.fault("lag", "get_order", times=0, skip=1)
    _expect(case.invoice(), DocState.PENDING)


def _expect(found: DocState, wanted: DocState) -> None:
    if found is not wanted:
        raise RuntimeError(f"the demo expected the document to be {wanted}, it is {found}")
