"""Many at once: the preview, row after row, a result per row, and going on after a crash."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, Refusal
from models import Batch, BatchRow, Delivery, Document, JobLease, Order, User
from services import batch_run, batches, orders
from services.batches import BOTH, DELIVER, DONE, FAILED, INVOICE, REFUSED, RUNNING, WAITING, Chosen
from states import DocState
from tests.builders import a_delivery, an_account, an_article, an_order, row, the_warehouse
from tests.threads import in_threads


def some_orders(klarna: Any, sandbox: Any, number: int = 2, **fields: Any) -> list[Order]:
    with writing() as session:
        account = an_account(session, sandbox, klarna)
        return [
            an_order(session, sandbox, account=account, lines=[row(f"Tröja {n}", 10_000)], **fields)
            for n in range(number)
        ]


def planned(actor: Any, act: str, found: Sequence[Order], ticked: Sequence[int] | None = None) -> list[batches.Plan]:
    with reading() as session:
        ids = [each.id for each in found]
        return batches.plan(session, actor, act, ids, the_warehouse(session).id, ids if ticked is None else ticked)


def started(actor: Any, act: str, plans: Sequence[batches.Plan], nonce: str | None = None) -> int:
    chosen = [Chosen(each.order_id, each.version, each.gross_minor, each.type) for each in plans]
    with writing() as session:
        return batches.start(session, actor, nonce or secrets.token_hex(16), act, chosen, the_warehouse(session).id)


def rows(batch_id: int) -> list[batches.Done]:
    with reading() as session:
        return list(batches.progress(session, batch_id).rows)


def count(table: type) -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_batch_delivers_and_invoices_every_order(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    found = some_orders(klarna, sandbox, 3)
    plans = planned(clerk, BOTH, found)
    assert [(each.pieces_milli, each.gross_minor, each.refusal) for each in plans] == [(1000, 10_000, None)] * 3
    batch_id = started(clerk, BOTH, plans)
    assert [each.state for each in rows(batch_id)] == [WAITING] * 3
    assert not count(Document)
    batch_run.run(klarna, batch_id)
    assert [(each.state, each.delivered, each.badge and each.badge[1]) for each in rows(batch_id)] == [
        (DONE, True, "ok")
    ] * 3
    assert [sandbox.state(each.klarna_order_id)["captured_amount"] for each in found] == [10_000] * 3
    with reading() as session:
        assert session.get_one(Batch, batch_id).ended_at is not None
        assert session.get(JobLease, f"batch {batch_id}") is None
    batch_run.run_all(klarna)
    assert count(Document) == count(Delivery) == 3


def test_delivering_alone_sends_nothing(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """F20."""
    found = some_orders(klarna, sandbox)
    batch_id = started(clerk, DELIVER, planned(clerk, DELIVER, found))
    batch_run.run(klarna, batch_id)
    assert [(each.state, each.delivered, each.document_id) for each in rows(batch_id)] == [(DONE, True, None)] * 2
    assert not sum(sandbox.state(each.klarna_order_id)["captured_amount"] for each in found)


def test_invoicing_alone_takes_what_is_delivered(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """F10, F11: the type that suits each order."""
    first, second = some_orders(klarna, sandbox)
    with writing() as session:
        a_delivery(session, orders.get(session, first.id))
    plans = planned(clerk, INVOICE, [first, second])
    assert [each.type for each in plans] == ["delivery", "final"]
    batch_id = started(clerk, INVOICE, plans)
    batch_run.run(klarna, batch_id)
    assert [(each.state, each.delivered) for each in rows(batch_id)] == [(DONE, False)] * 2


def test_the_preview_says_why_an_order_cannot_be_included(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """The stock is counted as the rows before would leave it; Klarna's review and what is done already are said."""
    with writing() as session:
        account = an_account(session, sandbox, klarna)
        scarce = an_article(session, "Mössa", 10_000, stock_milli=1000)
        mine = [an_order(session, sandbox, account=account, lines=[row(article=scarce)]) for _ in range(2)]
        mine += [an_order(session, sandbox, account=account, fraud_status="PENDING")]
        done = an_order(session, sandbox, account=account)
        a_delivery(session, done)
    found = [*mine, done]
    sentences = [str(each.refusal) for each in planned(clerk, DELIVER, found)]
    assert sentences[0] == "None"
    assert "only 0 is in stock" in sentences[1]
    assert "Klarna is reviewing the purchase" in sentences[2]
    assert sentences[3] == "Everything on the order has been delivered."
    second = [each.refusal is None for each in planned(clerk, DELIVER, found, [mine[1].id])]
    assert second[:2] == [False, True], "what is not ticked takes nothing from the stock"


def test_one_refusal_or_failure_never_stops_the_rest(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = some_orders(klarna, sandbox, 4)
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, found))
    sandbox.fault(
        "refuse", operation="create_capture", order_id=found[0].klarna_order_id, error_code="CAPTURE_NOT_ALLOWED"
    )
    sandbox.fault("drop_before", operation="get_order", order_id=found[1].klarna_order_id)
    really = batch_run.reservations.invoice

    def invoice(klarna: Any, actor: Any, order_id: int, *rest: Any) -> int:
        if order_id == found[2].id:
            raise RuntimeError("a bug of ours")
        return really(klarna, actor, order_id, *rest)

    monkeypatch.setattr(batch_run.reservations, "invoice", invoice)
    batch_run.run(klarna, batch_id)
    told = rows(batch_id)
    assert [each.state for each in told] == [REFUSED, REFUSED, FAILED, DONE]
    assert "awaits a decision" in str(told[0].told)
    assert "Klarna could not be reached" in str(told[1].told)
    assert told[1].delivered, "what was delivered is said although the invoice was not made"
    assert "Something went wrong in Kvitta" in str(told[2].told)


@pytest.mark.parametrize("died", ["before", "delivered", "invoiced"])
def test_a_batch_goes_on_after_a_crash_and_does_nothing_twice(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    """A row left running is done again by its own nonce: one delivery, one invoice, one capture."""
    found = some_orders(klarna, sandbox)
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, found))
    with monkeypatch.context() as crash:
        if died == "before":
            crash.setattr(batch_run, "_attend", _die)
        elif died == "delivered":
            crash.setattr(batch_run.reservations, "invoice", _die)
        else:
            crash.setattr(batch_run, "_keep", _die)
        with pytest.raises(Killed):
            batch_run.run(klarna, batch_id)
    assert [each.state for each in rows(batch_id)] == [RUNNING, WAITING]
    with writing() as session:
        session.execute(sa.update(JobLease).values(holder="dead", until=clock.now() - timedelta(seconds=1)))
    batch_run.run_all(klarna)
    assert [(each.state, each.delivered, each.told) for each in rows(batch_id)] == [(DONE, True, None)] * 2
    assert count(Delivery) == count(Document) == 2
    assert [len(sandbox.state(each.klarna_order_id)["captures"]) for each in found] == [1, 1]


class Killed(BaseException):
    """The process died here."""


def _die(*_args: Any, **_kwargs: Any) -> None:
    raise Killed


def test_a_second_runner_leaves_a_batch_alone(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, some_orders(klarna, sandbox)))
    with writing() as session:
        until = clock.now() + timedelta(seconds=60)
        session.add(JobLease(name=f"batch {batch_id}", holder="another", until=until))
    batch_run.run(klarna, batch_id)
    assert [each.state for each in rows(batch_id)] == [WAITING] * 2


def test_a_row_that_never_comes_to_an_end_is_given_up(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    batch_id = started(clerk, DELIVER, planned(clerk, DELIVER, some_orders(klarna, sandbox)))
    with writing() as session:
        session.execute(
            sa.update(BatchRow).where(BatchRow.position == 1).values(state=RUNNING, tries=batch_run.MOST_TRIES)
        )
    batch_run.run(klarna, batch_id)
    assert [each.state for each in rows(batch_id)] == [FAILED, DONE]


def test_an_order_that_changed_since_the_preview_is_left_alone(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Operations 12: the figures of the form."""
    first, second = some_orders(klarna, sandbox)
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, [first, second]))
    with writing() as session:
        a_delivery(session, orders.get(session, first.id))
    batch_run.run(klarna, batch_id)
    told = rows(batch_id)
    assert [each.state for each in told] == [REFUSED, DONE]
    assert "has changed" in str(told[0].told)


def test_an_order_of_which_a_part_has_left_since_the_preview_is_not_delivered_by_it(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Operations 12: the preview said two, and one is left; the clerk looks again."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Tröja", pieces=2)])
    batch_id = started(clerk, DELIVER, planned(clerk, DELIVER, [order]))
    with writing() as session:
        a_delivery(session, orders.get(session, order.id), {order.lines[0].id: 1000})
    batch_run.run(klarna, batch_id)
    (told,) = rows(batch_id)
    assert (told.state, told.delivered) == (REFUSED, False)
    assert count(Delivery) == 1


def test_a_batch_acts_with_the_rights_its_starter_has_now(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    batch_id = started(clerk, DELIVER, planned(clerk, DELIVER, some_orders(klarna, sandbox, 1)))
    with writing() as session:
        session.execute(sa.update(User).where(User.id == clerk.id).values(active=False))
    batch_run.run(klarna, batch_id)
    assert [each.state for each in rows(batch_id)] == [REFUSED]
    assert not count(Delivery)


def test_the_same_form_starts_one_batch(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 12."""
    plans = planned(clerk, BOTH, some_orders(klarna, sandbox))
    nonce = secrets.token_hex(16)
    assert started(clerk, BOTH, plans, nonce) == started(clerk, BOTH, plans, nonce)
    with pytest.raises(Refusal, match="already been used"):
        started(clerk, DELIVER, plans, nonce)
    assert count(Batch) == 1


def test_what_has_not_begun_can_be_stopped(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, some_orders(klarna, sandbox)))
    for _ in range(2):
        with writing() as session:
            batches.stop(session, clerk, batch_id)
    batch_run.run(klarna, batch_id)
    assert {(each.state, str(each.told)) for each in rows(batch_id)} == {
        (REFUSED, f"Stopped by {clerk.name} before its turn came. Nothing has been done.")
    }
    assert not count(Document)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "Tick at least one"),
        (["1", "x"], "cannot be read"),
        (["9" * 30], "cannot be read"),
        ([str(n) for n in range(201)], "At most 200"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(texts: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        batches.read_ids(texts)


def test_a_refused_invoice_keeps_its_document_for_the_decision(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """F25."""
    (order,) = some_orders(klarna, sandbox, 1)
    batch_id = started(clerk, BOTH, planned(clerk, BOTH, [order]))
    sandbox.fault(
        "refuse", operation="create_capture", order_id=order.klarna_order_id, error_code="CAPTURE_NOT_ALLOWED"
    )
    batch_run.run(klarna, batch_id)
    (told,) = rows(batch_id)
    with reading() as session:
        assert session.get_one(Document, told.document_id).state is DocState.REFUSED


def test_a_runner_that_is_told_to_stop_leaves_the_rest_for_the_next(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    batch_id = started(clerk, DELIVER, planned(clerk, DELIVER, some_orders(klarna, sandbox)))
    turns = iter([True, False])
    batch_run.run_all(klarna, lambda: next(turns))
    assert [each.state for each in rows(batch_id)] == [DONE, WAITING]
    batch_run.run_all(klarna)
    assert [each.state for each in rows(batch_id)] == [DONE, DONE]


def test_a_form_that_is_sent_twice_at_the_same_moment_starts_one_batch_and_leads_both_to_it(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Operations 12: the second click waits for the first one and is answered with what it did."""
    plans = planned(clerk, DELIVER, some_orders(klarna, sandbox))
    nonce, made = secrets.token_hex(16), list[int]()
    assert in_threads(books, lambda _: made.append(started(clerk, DELIVER, plans, nonce)), 4) == []
    assert len(made) == 4 and len(set(made)) == count(Batch) == 1
