"""Requests that move no money: sent once with a key, every outcome kept, and asked again without being done twice."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from klarna_client import KlarnaClient
from models import Audit, Document, KlarnaAccount, KlarnaCall, Order
from services import janitor, klarna_call_rules, klarna_calls, order_history
from services.asking import NotReached
from services.klarna_calls import Tracking
from states import CallKind, CallOutcome
from tests.builders import CLERK, FINANCE, a_captured_invoice, an_order

PARCEL = Tracking("PostNord", "123SE", "https://example.com/123SE")
HOME = {"street": "Nygatan 2", "street2": "", "postal_code": "222 22", "city": "Lund", "country": "SE"}


def nonce() -> str:
    return secrets.token_hex(16)


def a_linked_order(klarna: Any, sandbox: Any) -> Order:
    with writing() as session:
        return an_order(session, sandbox, klarna)


def calls() -> list[KlarnaCall]:
    with reading() as session:
        query = sa.select(KlarnaCall).where(klarna_call_rules.speaks()).order_by(KlarnaCall.id)
        found = list(session.scalars(query))
        session.expunge_all()
        return found


def capture_of(sandbox: Any, invoice: Document) -> dict[str, Any]:
    with reading() as session:
        found: dict[str, Any] = sandbox.state(session.get_one(Order, invoice.order_id).klarna_order_id)["captures"][0]
        return found


def test_tracking_goes_to_the_activation_and_the_returns_beside_it(books: Any, klarna: Any, sandbox: Any) -> None:
    """Reference 2.5: appended, for the delivery and for the return; in the history and the log."""
    invoice = a_captured_invoice(klarna, sandbox)
    assert klarna_calls.add_tracking(klarna, CLERK, invoice.id, nonce(), PARCEL) is CallOutcome.DONE
    assert klarna_calls.add_return_tracking(klarna, CLERK, invoice.id, nonce(), PARCEL) is CallOutcome.DONE
    there, back = capture_of(sandbox, invoice)["shipping_info"]
    assert there["tracking_number"] == "123SE" and back["return_tracking_uri"] == PARCEL.uri
    with reading() as session:
        history = order_history.events(session, session.get_one(Order, invoice.order_id))
        assert {each.call_kind for each in history if each.call_kind} == {CallKind.TRACKING, CallKind.RETURN_TRACKING}
        assert session.scalar(sa.select(Audit.id).where(Audit.action == "klarna.tracking"))
    with pytest.raises(BadInput) as no:
        klarna_calls.add_tracking(klarna, CLERK, invoice.id, nonce(), Tracking("PostNord"))
    assert no.value.field == "number"


def test_the_same_form_twice_is_one_request(books: Any, klarna: Any, sandbox: Any, finance: Any) -> None:
    """Operations 12."""
    invoice = a_captured_invoice(klarna, sandbox)
    form = nonce()
    for _ in range(2):
        assert klarna_calls.send_letter(klarna, CLERK, invoice.id, form) is CallOutcome.DONE
    assert len(sandbox.posts(operation="trigger_send_out")) == len(calls()) == 1
    with pytest.raises(NotAllowed):
        klarna_calls.send_letter(klarna, finance, invoice.id, form)


@pytest.mark.parametrize(
    ("fault", "outcome", "done"),
    [
        ("refuse", CallOutcome.REFUSED, False),
        ("drop_before", CallOutcome.UNCLEAR, False),
        ("drop_after", CallOutcome.UNCLEAR, True),
        ("hang_never", CallOutcome.UNCLEAR, False),
        ("server_error_after", CallOutcome.UNCLEAR, True),
        ("html_403", CallOutcome.UNCLEAR, False),
        ("conflict", CallOutcome.UNCLEAR, False),
        ("too_many", CallOutcome.NOT_SENT, False),
        ("unauthorized", CallOutcome.NOT_SENT, False),
    ],
)
def test_every_end_of_a_request_is_kept_and_again_never_does_it_twice(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: Any, fault: str, outcome: CallOutcome, done: bool
) -> None:
    """Reference 1.5, operations 7: lost, refused, hanging; the same bytes under the same key."""
    monkeypatch.setattr(klarna, "answer_seconds", 0.15)
    invoice = a_captured_invoice(klarna, sandbox)
    seconds = {"seconds": 0.4} if fault.startswith("hang") else {}
    sandbox.fault(fault, operation="trigger_send_out", **seconds)
    assert klarna_calls.send_letter(klarna, CLERK, invoice.id, nonce()) is outcome
    (kept,) = calls()
    assert kept.outcome == outcome and len(sandbox.writes(operation="trigger_send_out")) == done
    if outcome is CallOutcome.REFUSED:
        assert kept.error_code == "NOT_ALLOWED" and kept.correlation_id and json.loads(kept.error_messages or "")
        with pytest.raises(Refusal, match="Klarna has answered"):
            klarna_calls.again(klarna, CLERK, kept.id, nonce())
        return
    if fault == "unauthorized":
        with pytest.raises(NotReached, match="credentials"):
            klarna_calls.again(klarna, CLERK, kept.id, nonce())
        with writing() as session:
            session.execute(sa.update(KlarnaAccount).values(breaker=None, breaker_until=None))
    assert klarna_calls.again(klarna, CLERK, kept.id, nonce()) is CallOutcome.DONE
    assert len({each["idempotency_key"] for each in sandbox.posts(operation="trigger_send_out")}) == 1
    assert len(sandbox.writes(operation="trigger_send_out")) == 1
    with pytest.raises(Refusal, match="tried again since"):
        klarna_calls.again(klarna, CLERK, kept.id, nonce())


def test_after_the_key_window_it_is_not_asked_again_as_it_was(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: Any
) -> None:
    """Reference 1.5: after a day Klarna would do it once more, so a person asks first."""
    invoice = a_captured_invoice(klarna, sandbox)
    sandbox.fault("drop_before", operation="trigger_send_out")
    klarna_calls.send_letter(klarna, CLERK, invoice.id, nonce())
    now = clock.now() + timedelta(hours=23, minutes=1)
    monkeypatch.setattr(clock, "now", lambda: now)
    with reading() as session:
        (row,) = klarna_call_rules.calls_of(session, invoice.order_id or 0, invoice.id)
    assert row.no_again is not None and "more than 23 hours old" in str(row.no_again)


def test_the_fee_of_a_later_due_date_is_the_one_that_was_shown(books: Any, klarna: Any, sandbox: Any) -> None:
    """Reference 2.5: the options are read again before anything is sent; card payments have none."""
    invoice = a_captured_invoice(klarna, sandbox)
    offered = klarna_calls.due_date_options(klarna, invoice.id)
    assert [(each.days, each.fee_minor) for each in offered] == [(10, 1000), (20, 2000), (30, 3000)]
    with pytest.raises(Stale, match="fee has changed"):
        klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 500)
    with pytest.raises(BadInput):
        klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 11, 1000)
    assert not sandbox.posts(operation="extend_due_date")
    assert klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 20, 2000) is CallOutcome.DONE
    card = a_captured_invoice(klarna, sandbox, initial_payment_method="CARD")
    assert klarna_calls.due_date_options(klarna, card.id) == []
    sandbox.fault("server_error", operation="get_due_date_options")
    with pytest.raises(NotReached):
        klarna_calls.due_date_options(klarna, card.id)


def test_what_dies_on_its_way_is_known_to_be_unclear_and_a_due_date_is_not_bought_beside_it(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 1, promise 3: written before it is sent; asking again is the same request under the same key."""

    class Killed(BaseException):
        """The process died here."""

    def die(*_args: Any) -> None:
        raise Killed

    invoice = a_captured_invoice(klarna, sandbox)
    with monkeypatch.context() as dying:
        dying.setattr(klarna_calls, "_keep", die)
        with pytest.raises(Killed):
            klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 1000)
    (begun,) = calls()
    assert begun.outcome == CallOutcome.UNCLEAR
    with pytest.raises(Refusal, match="is unknown"):
        klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 1000)
    assert klarna_calls.again(klarna, CLERK, begun.id, nonce()) is CallOutcome.DONE
    keys = {each["idempotency_key"] for each in sandbox.posts(operation="extend_due_date")}
    assert len(keys) == 1


def test_two_who_ask_for_a_later_due_date_at_once_buy_one(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is asked again under the order's lock; the second one finds the first on its way."""
    invoice = a_captured_invoice(klarna, sandbox)
    really = klarna_calls._send

    def send(*args: Any) -> Any:
        with pytest.raises(Refusal, match="is unknown"):
            klarna_calls.extend_due_date(klarna, FINANCE, invoice.id, nonce(), 10, 1000)
        return really(*args)

    monkeypatch.setattr(klarna_calls, "_send", send)
    assert klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 1000) is CallOutcome.DONE
    assert len(sandbox.writes(operation="extend_due_date")) == 1


def test_a_due_date_is_not_paid_for_twice_while_klarnas_answer_is_unknown(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """Reference 1.5, 2.5: a new form has a new key, under which Klarna would give and charge for the days once more."""
    invoice = a_captured_invoice(klarna, sandbox)
    sandbox.fault("drop_after", operation="extend_due_date")
    assert klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 1000) is CallOutcome.UNCLEAR
    for days, fee in ((10, 1000), (20, 2000)):
        with pytest.raises(Refusal, match="Try that one again first"):
            klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), days, fee)
    (kept,) = calls()
    assert klarna_calls.again(klarna, CLERK, kept.id, nonce()) is CallOutcome.DONE
    assert len(sandbox.writes(operation="extend_due_date")) == 1
    assert klarna_calls.extend_due_date(klarna, CLERK, invoice.id, nonce(), 10, 1000) is CallOutcome.DONE


def test_an_option_that_cannot_be_read_is_left_out(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Klarna answers, the page is drawn."""
    invoice = a_captured_invoice(klarna, sandbox)
    answer = {"options": [None, "x", {"number_of_days": True, "amount": 1}, {"number_of_days": 10, "amount": 1000}]}
    monkeypatch.setattr(KlarnaClient, "due_date_options", lambda *asked, **how: answer)
    assert klarna_calls.due_date_options(klarna, invoice.id) == [klarna_calls.Option(10, 1000)]


def test_the_order_has_the_new_address_when_klarna_has_it(books: Any, klarna: Any, sandbox: Any) -> None:
    """Reference 2.8: the delivery address alone; an order without Klarna at once; the address is in no log."""
    order = a_linked_order(klarna, sandbox)
    sandbox.fault("refuse", operation="update_customer_details", status=422, error_code="INVALID_ADDRESS")
    assert klarna_calls.change_address(klarna, CLERK, order.id, nonce(), HOME) is CallOutcome.REFUSED
    with reading() as session:
        assert "delivery" not in json.loads(session.get_one(Order, order.id).party)
    assert klarna_calls.change_address(klarna, CLERK, order.id, nonce(), HOME) is CallOutcome.DONE
    with reading() as session:
        party = json.loads(session.get_one(Order, order.id).party)
    assert party["delivery"]["city"] == "Lund" and party["city"] == "Ankeborg"
    state = sandbox.state(order.klarna_order_id)
    assert state["shipping_address"]["city"] == "Lund" and state["billing_address"]["city"] == "Ankeborg"
    assert all(not each.body for each in calls())
    with writing() as session:
        plain = an_order(session)
    assert klarna_calls.change_address(klarna, CLERK, plain.id, nonce(), HOME) is CallOutcome.DONE
    with reading() as session:
        assert json.loads(session.get_one(Order, plain.id).party)["delivery"]["street"] == "Nygatan 2"


def test_what_klarna_does_not_allow_is_said_before_it_is_sent(
    books: Any, klarna: Any, sandbox: Any, viewer: Any
) -> None:
    """B31, reference 2.5 and 2.8."""
    order = a_linked_order(klarna, sandbox)
    with pytest.raises(NotAllowed):
        klarna_calls.change_references(klarna, viewer, order.id, nonce(), "1", "2")
    sandbox.portal_cancel(order.klarna_order_id)
    janitor.reservations.look_at(klarna, order.id)
    for act in (
        lambda: klarna_calls.change_references(klarna, CLERK, order.id, nonce(), "1", "2"),
        lambda: klarna_calls.add_order_tracking(klarna, CLERK, order.id, nonce(), PARCEL),
        lambda: klarna_calls.change_address(klarna, CLERK, order.id, nonce(), HOME),
    ):
        with pytest.raises(Refusal):
            act()
    open_order = a_linked_order(klarna, sandbox)
    with klarna.slot(), klarna.slot(), pytest.raises(NotReached, match="busy"):
        klarna_calls.change_references(klarna, CLERK, open_order.id, nonce(), "1", "2")
    assert not sandbox.posts() and not calls()
