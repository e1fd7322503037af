"""What finance decides on the document page when Klarna has not been able to tell (operations 10 rule 9, 11; catalogue 89)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from db import writing
from models import Document
from services import janitor, settings
from states import DocState, OpState
from tests import worlds
from tests.blueprints.document_pages import in_english
from tests.blueprints.test_operations import an_invoice_met_by, change_op, page_of
from tests.builders import the_document
from tests.services.test_reservations import last_op
from tests.web_client import WebClient

pytestmark = pytest.mark.untrue_books
"""A day passes by moving what has been written: the attempt then lies before its operation."""


@pytest.fixture
def finance_client(app: Any) -> WebClient:
    return in_english(WebClient(app), "finance")


@pytest.fixture
@worlds.kept
def waiting(app: Any, klarna: Any, sandbox: Any) -> Document:
    """An invoice in review: its capture was lost a day ago and Klarna shows nothing of it."""
    document = an_invoice_met_by(sandbox, klarna, "drop_before", times=0)
    op = last_op(document.id)
    assert op.first_sent_at and op.last_sent_at and op.post_allowed_until
    back = timedelta(hours=24)
    change_op(
        document,
        first_sent_at=op.first_sent_at - back,
        last_sent_at=op.last_sent_at - back,
        post_allowed_until=op.post_allowed_until - back,
        next_run_at=op.created_at,
    )
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.REVIEW
    return document


def test_a_clerk_sees_why_the_decision_is_not_theirs(app: Any, waiting: Document) -> None:
    """Operations 11: «Behöver beslut»; B31: the controls are off with their reason."""
    page = page_of(in_english(WebClient(app)), waiting)
    assert "Finance has to decide whether SEK 499.00 was activated." in page.text
    assert "Requires Finance." in page.text and not page.has("form[action$=/did-not-happen]")


def test_finance_says_it_did_not_happen_and_the_document_can_be_tried_again(
    finance_client: WebClient, waiting: Document, sandbox: Any
) -> None:
    page_of(finance_client, waiting)
    refused = finance_client.submit("form[action$=/did-not-happen]", **{"not-reason": " "})
    assert refused.status == 422 and the_document(waiting.id).state is DocState.PENDING
    page = finance_client.submit(
        "form[action$=/did-not-happen]", page=refused, **{"not-reason": "no invoice at Klarna"}
    )
    assert "the activation did not happen. Reason: no invoice at Klarna." in page.text
    sandbox.clear_faults()
    assert "has been created and activated" in finance_client.submit("form[action$=/retry]", page=page).text


def test_finance_points_at_what_klarna_shows_and_it_is_booked(
    finance_client: WebClient, waiting: Document, sandbox: Any
) -> None:
    page_of(finance_client, waiting)
    wrong = finance_client.submit("form[action$=/happened]", object_id="not-an-id")
    assert wrong.status == 422 and "Klarna shows no such id on this purchase." in wrong.text
    order_id = last_op(waiting.id).klarna_order_id
    sandbox.portal_capture(order_id, 49_900)
    capture_id = sandbox.state(order_id)["captures"][0]["capture_id"]
    page = finance_client.submit("form[action$=/happened]", page=wrong, object_id=capture_id)
    assert page.status == 200 and the_document(waiting.id).state is DocState.ISSUED


def test_nothing_is_decided_while_klarna_cannot_be_asked(
    finance_client: WebClient, waiting: Document, sandbox: Any
) -> None:
    """Fault row 21."""
    page_of(finance_client, waiting)
    sandbox.fault("drop_before", operation="get_order", times=0)
    page = finance_client.submit("form[action$=/did-not-happen]", **{"not-reason": "surely not"})
    assert page.status == 409 and "Nothing has been decided" in page.text
    assert last_op(waiting.id).state is OpState.REVIEW


def test_above_the_limit_the_page_asks_for_a_second_person(
    finance_client: WebClient, waiting: Document, admin: Any
) -> None:
    """Security 39."""
    with writing() as session:
        settings.change(session, admin, "decision_limit.second_person", "100", last_op(waiting.id).created_at.date())
    page_of(finance_client, waiting)
    page = finance_client.submit("form[action$=/did-not-happen]", **{"not-reason": "surely not"})
    assert "A second person has to decide the same." in page.text and not page.has("form[action$=/did-not-happen]")
    assert last_op(waiting.id).state is OpState.REVIEW
