"""What a person decides in REVIEW, and what a look made at that moment forbids (operations 10 rule 9, catalogue row 89)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from models import KlarnaBreak, KlarnaOp, Voucher
from rights import Actor
from services import decisions, janitor, operations
from services.drift import Differs
from services.reservations import NotReached
from states import DocState, OpState, RefusalKind, Role
from tests import worlds
from tests.builders import the_document
from tests.services.test_reservations import invoice_of, last_op, one_order

SECOND = Actor("Ekonom två", 99, frozenset({Role.FINANCE}))


@pytest.fixture
@worlds.kept
def in_review(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> Any:
    """An invoice whose answer was lost a day ago and whose capture never came: its id and Klarna's order id."""
    order = one_order(klarna, sandbox)
    sandbox.fault("drop_before", operation="create_capture", times=0)
    document = invoice_of(klarna, clerk, order)
    with writing() as session:
        op = session.scalars(sa.select(KlarnaOp).where(KlarnaOp.document_id == document.id)).one()
        for name in ("first_sent_at", "last_sent_at", "post_allowed_until"):
            setattr(op, name, getattr(op, name) - timedelta(hours=24))
        op.next_run_at = op.created_at
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.REVIEW
    return document.id, order.klarna_order_id


def test_it_did_not_happen_refuses_the_document_and_frees_the_money(in_review: Any, klarna: Any, finance: Any) -> None:
    document_id, _ = in_review
    assert decisions.did_not_happen(klarna, finance, document_id, "kunden har inte fått någon faktura")
    document = the_document(document_id)
    assert (document.state, document.refusal_kind) == (DocState.REFUSED, RefusalKind.DECIDED)
    assert last_op(document_id).state is OpState.NOT_EXECUTED and last_op(document_id).decided_by == finance.name


def test_it_did_not_happen_is_refused_while_klarna_shows_it_or_cannot_be_asked(
    in_review: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """Fault row 21; rows 89: 409 showing it."""
    document_id, order_id = in_review
    sandbox.fault("drop_before", operation="get_order")
    with pytest.raises(NotReached):
        decisions.did_not_happen(klarna, finance, document_id, "vet inte")
    sandbox.portal_capture(order_id, 10_000)
    with pytest.raises(Differs):
        decisions.did_not_happen(klarna, finance, document_id, "vet inte")
    assert last_op(document_id).state is OpState.REVIEW


def test_a_look_that_shows_the_number_confirms_before_anybody_decides(
    in_review: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    document_id, order_id = in_review
    sandbox.portal_capture(order_id, 49_900, reference="42580")
    with pytest.raises(Refusal, match="nothing to decide"):
        decisions.did_not_happen(klarna, finance, document_id, "nej")
    assert the_document(document_id).state is DocState.ISSUED


def test_it_happened_needs_an_id_that_klarna_shows_with_this_amount(
    in_review: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    document_id, order_id = in_review
    with pytest.raises(BadInput, match="no such id"):
        decisions.happened(klarna, finance, document_id, "påhittat")
    sandbox.portal_capture(order_id, 10_000)
    with pytest.raises(BadInput, match=r"not SEK 499\.00"):
        decisions.happened(klarna, finance, document_id, sandbox.state(order_id)["captures"][0]["capture_id"])


def test_a_capture_made_by_hand_can_be_said_to_be_ours(in_review: Any, klarna: Any, sandbox: Any, finance: Any) -> None:
    """B20, adopted: issued by the object made elsewhere, booked once, its difference closed."""
    document_id, order_id = in_review
    sandbox.portal_capture(order_id, 49_900)
    decisions.happened(klarna, finance, document_id, sandbox.state(order_id)["captures"][0]["capture_id"])
    assert the_document(document_id).state is DocState.ISSUED
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Voucher)) == 1
        assert session.scalar(sa.select(sa.func.count()).where(KlarnaBreak.state == "open")) == 0
        assert operations.open_of_document(session, document_id) is None


def test_above_the_limit_two_people_decide(
    in_review: Any, klarna: Any, finance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Security 39: the same person twice is refused, another one closes it."""
    document_id, _ = in_review
    monkeypatch.setattr(decisions.settings, "number", lambda *_: 100)
    assert not decisions.did_not_happen(klarna, finance, document_id, "skäl")
    with pytest.raises(NotAllowed):
        decisions.did_not_happen(klarna, finance, document_id, "skäl igen")
    assert decisions.did_not_happen(klarna, SECOND, document_id, "håller med")
    assert last_op(document_id).second_by == SECOND.name


def test_only_finance_decides_and_only_with_a_reason(in_review: Any, klarna: Any, clerk: Any, finance: Any) -> None:
    document_id, _ = in_review
    with pytest.raises(NotAllowed):
        decisions.did_not_happen(klarna, clerk, document_id, "skäl")
    with pytest.raises(BadInput, match="reason"):
        decisions.did_not_happen(klarna, finance, document_id, "  ")
