"""Acts on the reservation itself, through the beats: extend, release, cancel, change the rows (F27, B18, B19; operations 6-8)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
import db
from db import reading, writing
from errors import BadInput, Malformed, NotAllowed, Refusal, Stale, Throttled
from models import Audit, Document, Installation, KlarnaAccount, KlarnaAttempt, KlarnaOp, Order, OrderLine
from services import (
    authorizations,
    decisions,
    invoices,
    janitor,
    klarna_orders,
    operations,
    order_amending,
    order_ending,
    order_history,
    orders,
    reservation_acts,
    reservations,
    verify,
)
from services.asking import NotReached
from services.authorizations import AmendForm
from services.drift import Differs
from services.klarna_refusal import Sentence
from services.order_amending import AmendedRow
from states import DocState, DocType, KlarnaStatus, LineKind, OpKind, OpState, OrderState
from tests.builders import (
    CLERK,
    FINANCE,
    a_delivery,
    a_klarna_order,
    a_money_form,
    an_account,
    an_article,
    an_invoice,
    an_order,
    row,
    the_document,
)

CALLS = {
    OpKind.EXTEND_AUTH: "extend_authorization_time",
    OpKind.RELEASE: "release_remaining_authorization",
    OpKind.CANCEL: "cancel",
    OpKind.UPDATE_AUTH: "update_authorization",
}


# --- What every test needs --------------------------------------------------------------------------------------------


def an_open_order(klarna: Any, sandbox: Any, **fields: Any) -> Order:
    """Two pieces for 998,00, whose reservation ends in a week so that it can be extended."""
    fields = {"lines": [row(pieces=2)], "expires_at": clock.now() + timedelta(days=7), **fields}
    with writing() as session:
        return an_order(session, sandbox, klarna, **fields)


def a_half_invoiced_order(klarna: Any, sandbox: Any) -> Order:
    """One of two pieces delivered, invoiced and captured."""
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, {fresh(order).lines[0].id: 1000})
    an_invoice(klarna, order)
    return order


def fresh(order: Order) -> Order:
    """The order as it stands, with its rows."""
    with reading() as session:
        found = session.get_one(Order, order.id)
        assert found.lines is not None
        session.expunge_all()
        return found


def left(order: Order) -> int:
    return fresh(order).remaining_minor or 0


def act_of(order: Order) -> KlarnaOp:
    with reading() as session:
        op = reservation_acts.last_act(session, order.id)
        assert op is not None
        session.expunge_all()
        return op


def said(order: Order, actor: Any = CLERK) -> Sentence:
    with reading() as session:
        found = reservation_acts.outcome(session, actor, session.get_one(Order, order.id))
        assert found is not None
        return found[1].sentence


def amended(order: Order, rows: Sequence[AmendedRow] | None = None, **change: Any) -> AmendForm:
    """The form of the order's rows with the first one changed."""
    now = fresh(order)
    given = order_amending.rows_of(now)
    rows = [replace(given[0], **change), *given[1:]] if rows is None else rows
    return AmendForm(secrets.token_hex(16), order_amending.total(rows), version=now.version, rows=rows)


def do(klarna: Any, order: Order, kind: OpKind, actor: Any = CLERK) -> None:
    """One of the four acts, as its form asks for it."""
    form = a_money_form(left(order))
    if kind is OpKind.EXTEND_AUTH:
        authorizations.extend(klarna, actor, order.id, form)
    elif kind is OpKind.RELEASE:
        authorizations.release(klarna, actor, order.id, form)
    elif kind is OpKind.CANCEL:
        authorizations.cancel(klarna, actor, order.id, form)
    else:
        authorizations.amend(klarna, actor, order.id, amended(order, quantity_milli=1000))


def order_for(kind: OpKind, klarna: Any, sandbox: Any) -> Order:
    return (a_half_invoiced_order if kind is OpKind.RELEASE else an_open_order)(klarna, sandbox)


def shows(sandbox: Any, order: Order, kind: OpKind) -> bool:
    """Whether the sandbox's order shows the effect."""
    state = sandbox.state(order.klarna_order_id)
    return {
        OpKind.EXTEND_AUTH: datetime.fromisoformat(state["expires_at"]) > clock.now() + timedelta(days=20),
        OpKind.RELEASE: state["released"],
        OpKind.CANCEL: state["status"] == "CANCELLED",
        OpKind.UPDATE_AUTH: state["order_amount"] == 49_900,
    }[kind]


def follows(order: Order, kind: OpKind) -> bool:
    """Whether our order shows it: state, rows, or what a look has told."""
    now = fresh(order)
    return {
        OpKind.EXTEND_AUTH: now.expires_at is not None and now.expires_at > clock.now() + timedelta(days=20),
        OpKind.RELEASE: now.remaining_minor == 0,
        OpKind.CANCEL: now.state is OrderState.CANCELLED,
        OpKind.UPDATE_AUTH: orders.total(now) == 49_900,
    }[kind]


def change_op(order: Order, **values: Any) -> None:
    with writing() as session:
        session.execute(sa.update(KlarnaOp).where(KlarnaOp.id == act_of(order).id).values(**values))


def let_the_janitor(klarna: Any, order: Order) -> None:
    """A round of the janitor, with this act's time come and its quiet quarter of an hour passed."""
    op = act_of(order)
    passed = (
        {"last_sent_at": op.last_sent_at - timedelta(minutes=16)} if op.refused_on_retry and op.last_sent_at else {}
    )
    change_op(order, next_run_at=op.created_at, **passed)
    janitor.run(klarna)


def broken(*checks: str) -> list[str]:
    with reading() as session:
        return [f"{each.id}: {one}" for each in verify.run(session, checks) for one in each.findings]


# --- What goes well ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(CALLS), ids=str)
def test_an_act_on_the_reservation_is_done_once_and_followed(
    books: Any, klarna: Any, sandbox: Any, kind: OpKind
) -> None:
    """F27, B18, B19: one call under one key, proof and consequence in one transaction, an audit row and the history."""
    order = order_for(kind, klarna, sandbox)
    do(klarna, order, kind)
    op = act_of(order)
    assert op.kind is kind and op.state is OpState.CONFIRMED and op.document_id is None and op.created_by == CLERK.name
    (sent,) = sandbox.posts(operation=CALLS[kind])
    assert sent["idempotency_key"] == op.idempotency_key and shows(sandbox, order, kind) and follows(order, kind)
    with reading() as session:
        found = session.get_one(Order, order.id)
        history = order_history.events(session, found)
        assert any(each.op_kind is kind and each.op_state is OpState.CONFIRMED for each in history)
        assert session.scalar(
            sa.select(Audit.id).where(Audit.object == f"order:{order.id}", Audit.detail.contains(op.id))
        )
        assert orders.open_operation_refusal(session, found) is None


def test_the_new_date_is_the_one_klarna_gives(books: Any, klarna: Any, sandbox: Any) -> None:
    """F27: read back, never computed."""
    order = an_open_order(klarna, sandbox)
    before = fresh(order).expires_at
    do(klarna, order, OpKind.EXTEND_AUTH)
    told = datetime.fromisoformat(sandbox.state(order.klarna_order_id)["expires_at"])
    assert fresh(order).expires_at == told > before
    assert said(order).values == {"day": clock.local_date(told)}


def test_an_extension_is_not_stopped_by_a_difference(books: Any, klarna: Any, sandbox: Any) -> None:
    """F27, operations 6: more time does no harm, while the rest is settled; releasing waits for that."""
    order = an_open_order(klarna, sandbox)
    sandbox.portal_capture(order.klarna_order_id, 10_000)
    do(klarna, order, OpKind.EXTEND_AUTH)
    assert act_of(order).state is OpState.CONFIRMED
    with pytest.raises(Differs):
        do(klarna, order, OpKind.RELEASE)


def test_rows_of_another_sum_than_the_one_shown_are_not_sent(books: Any, klarna: Any, sandbox: Any) -> None:
    """B19: with Klarna and without, and whoever made the form."""
    with writing() as session:
        linked, own = (
            an_order(session, sandbox, klarna, lines=[row(pieces=2)]),
            an_order(session, lines=[row(pieces=2)]),
        )
    for order in (linked, own):
        form = amended(order, quantity_milli=1000)
        with pytest.raises(Stale, match=r"now come to SEK 499\.00"):
            authorizations.amend(klarna, CLERK, order.id, replace(form, shown_minor=form.shown_minor + 1))
        assert orders.total(fresh(order)) == 99_800
    assert not sandbox.posts(operation="update_authorization")


def test_a_row_that_is_sent_twice_is_refused(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Catalogue 10: a form that somebody has made up gets a sentence, and nothing is sent."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)
    with reading() as session:
        first, *_ = order_amending.rows_of(orders.get(session, order.id))
    form = AmendForm(secrets.token_hex(16), 0, version=order.version, rows=(first, replace(first, quantity_milli=2000)))
    with pytest.raises(BadInput, match="incomplete"):
        authorizations.amend(klarna, clerk, order.id, form)
    assert not sandbox.posts()


def test_cancelling_a_partly_invoiced_order_releases_the_rest_and_keeps_it_open(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """B18: a cancellation after an activation is a release; the order stays open for what was invoiced."""
    order = a_half_invoiced_order(klarna, sandbox)
    do(klarna, order, OpKind.CANCEL)
    assert act_of(order).kind is OpKind.RELEASE and shows(sandbox, order, OpKind.RELEASE)
    assert fresh(order).state is OrderState.OPEN and not sandbox.posts(operation="cancel")
    with reading() as session:
        no = order_ending.why_not_cancel(session, session.get_one(Order, order.id))
    assert "Credit the invoice instead." in str(no)


def test_a_cancelled_order_stays_and_flags_what_has_been_delivered(books: Any, klarna: Any, sandbox: Any) -> None:
    """B18: nothing more is delivered or invoiced on it, and goods that nobody pays for are told of."""
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, {fresh(order).lines[0].id: 1000})
    do(klarna, order, OpKind.CANCEL)
    with reading() as session:
        found = session.get_one(Order, order.id)
        assert found.state is OrderState.CANCELLED and found.icon == "cancelled"
        assert found.klarna_status is KlarnaStatus.CANCELLED and order_ending.delivered_unpaid(session, found)
        with pytest.raises(Refusal, match="cancelled"):
            invoices.propose(session, found)
    with pytest.raises(Refusal, match="already cancelled"):
        do(klarna, order, OpKind.CANCEL)


@pytest.mark.parametrize("gone", ["portal_cancel", "expire", "close"])
def test_an_order_whose_reservation_klarna_has_ended_is_cancelled_at_once(
    books: Any, klarna: Any, sandbox: Any, gone: str
) -> None:
    """B18: there is nothing left to cancel at Klarna, so nothing is sent."""
    order = an_open_order(klarna, sandbox)
    getattr(sandbox, gone)(order.klarna_order_id)
    do(klarna, order, OpKind.CANCEL)
    assert fresh(order).state is OrderState.CANCELLED and not sandbox.posts(operation="cancel")


def test_an_order_that_gets_its_reservation_at_this_moment_is_not_cancelled_beside_it(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B18, B16: two people at once; the reservation would be left at Klarna with nobody to cancel it."""
    with writing() as session:
        account, order = an_account(session, sandbox, klarna), an_order(session, lines=[row()])
        found = a_klarna_order(sandbox, account, [row()], order.customer, "W9")["order_id"]
    transact, tied = db.transact, list[int]()

    def meanwhile(work: Any, *more: Any, **kind: Any) -> Any:
        if not tied:
            tied.append(order.id)
            klarna_orders.attach(klarna, CLERK, order.id, account.id, found)
        return transact(work, *more, **kind)

    monkeypatch.setattr(db, "transact", meanwhile)
    form = a_money_form(0)
    with pytest.raises(Stale):
        authorizations.cancel(klarna, CLERK, order.id, form)
    assert tied and fresh(order).state is OrderState.OPEN and sandbox.state(found)["status"] == "AUTHORIZED"
    authorizations.cancel(klarna, CLERK, order.id, a_money_form(left(order)))
    assert fresh(order).state is OrderState.CANCELLED and sandbox.state(found)["status"] == "CANCELLED"


def test_an_order_without_klarna_is_cancelled_and_changed_at_once(books: Any, klarna: Any) -> None:
    """B18, B19: nobody has to be asked."""
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2)])
    form = amended(order, quantity_milli=3000, unit_price_minor=10_000, discount_minor=500)
    for _ in range(2):
        authorizations.amend(klarna, CLERK, order.id, form)
    assert orders.total(fresh(order)) == 29_500 and fresh(order).version == order.version + 1
    cancel = a_money_form(0)
    for _ in range(2):
        authorizations.cancel(klarna, CLERK, order.id, cancel)
    assert fresh(order).state is OrderState.CANCELLED
    with reading() as session:
        acts = {each.what.value for each in order_history.events(session, session.get_one(Order, order.id))}
        assert acts == {"taken", "rows", "cancelled"}


# --- Changing the rows ------------------------------------------------------------------------------------------------


def test_the_whole_new_list_goes_to_klarna_and_the_order_follows(books: Any, klarna: Any, sandbox: Any) -> None:
    """B19: changed, removed and added rows, every one sent; invoicing afterwards captures exactly the new sum."""
    order = an_open_order(
        klarna, sandbox, lines=[row(pieces=2), row("Keps", 9_900), row("Frakt", 4_900, kind=LineKind.FREIGHT)]
    )
    with writing() as session:
        an_article(session, "Mugg", 12_900, number="MUGG")
    with reading() as session:
        mug = order_amending.row_of_article(session, " mugg ")
    given = order_amending.rows_of(fresh(order))
    free = AmendedRow(LineKind.TEXT, "Gravyr", 500, 9_999, 2500, unit="tim")
    rows = [replace(given[0], quantity_milli=1000, discount_minor=900), given[2], mug, free]
    authorizations.amend(klarna, CLERK, order.id, amended(order, rows))
    total = 49_900 - 900 + 4_900 + 12_900 + 5_000
    state = sandbox.state(order.klarna_order_id)
    assert state["order_amount"] == total == orders.total(fresh(order)) == fresh(order).authorized_minor
    assert [line["reference"] for line in state["order_lines"]] == ["ART-1", "TEXT#2", "MUGG", "TEXT#4"]
    assert state["order_lines"][3]["name"] == "Gravyr (0,5 tim)" and not sandbox.warnings()
    assert [line.position for line in fresh(order).lines] == [1, 3, 4, 5]
    with writing() as session:
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    assert invoice.state is DocState.ISSUED and invoice.gross_minor == total and not broken("M1", "M5", "I1")


def test_a_higher_amount_that_klarna_refuses_leaves_the_order_as_it_was(books: Any, klarna: Any, sandbox: Any) -> None:
    """B19: Klarna's no in its own words; what was asked for can be looked through and sent again."""
    order = an_open_order(klarna, sandbox, initial_payment_method="CARD")
    authorizations.amend(klarna, CLERK, order.id, amended(order, quantity_milli=5000))
    assert act_of(order).state is OpState.REJECTED and orders.total(fresh(order)) == 99_800
    with reading() as session:
        found = session.get_one(Order, order.id)
        _, shown = reservation_acts.outcome(session, CLERK, found)  # type: ignore[misc]
        assert shown.answer.messages == ["Update not allowed."] and shown.answer.correlation_id
        assert "new credit check" in shown.cause.message
        again = authorizations.rows_asked_for(session, order.id)
    assert again is not None and again[0].quantity_milli == 5000 and fresh(order).version == order.version
    authorizations.amend(klarna, CLERK, order.id, amended(order, again[:1], quantity_milli=1))
    assert act_of(order).state is OpState.REJECTED, "a higher amount is refused again"
    authorizations.amend(klarna, CLERK, order.id, amended(order, quantity_milli=1000))
    assert orders.total(fresh(order)) == 49_900


def test_nothing_delivered_is_cut_below_what_is_delivered(books: Any, klarna: Any, sandbox: Any) -> None:
    """B19: neither by a smaller quantity nor by removing the row; nothing is sent."""
    order = an_open_order(klarna, sandbox, lines=[row(pieces=3), row("Frakt", 4_900, kind=LineKind.FREIGHT)])
    with writing() as session:
        a_delivery(session, order, {fresh(order).lines[0].id: 2000})
    with pytest.raises(BadInput, match="it cannot be less") as no:
        authorizations.amend(klarna, CLERK, order.id, amended(order, quantity_milli=1000))
    assert no.value.field == "quantity_0"
    with pytest.raises(BadInput, match="it cannot be less"):
        authorizations.amend(klarna, CLERK, order.id, amended(order, order_amending.rows_of(fresh(order))[1:]))
    assert not sandbox.posts(operation="update_authorization")
    authorizations.amend(klarna, CLERK, order.id, amended(order, quantity_milli=2000))
    assert act_of(order).state is OpState.CONFIRMED and fresh(order).delivered == "all"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "Nothing has been changed."),
        ({"discount_minor": 100_000_00}, "The discount is more than the row."),
        ({"unit_price_minor": 0}, "The order must come to more than 0.00. Cancel the order instead."),
        ({"quantity_milli": 1_000_000_000, "unit_price_minor": 200_000_000}, "At most"),
    ],
    ids=["nothing", "discount", "zero", "too much"],
)  # fmt: skip
def test_rows_that_cannot_be_are_refused_before_anything_is_sent(
    books: Any, klarna: Any, sandbox: Any, change: dict[str, Any], sentence: str
) -> None:
    """B19, catalogue 7 and 8."""
    order = an_open_order(klarna, sandbox)
    with pytest.raises(BadInput, match=sentence):
        authorizations.amend(klarna, CLERK, order.id, amended(order, **change))
    assert not sandbox.posts(operation="update_authorization")


def test_rows_stand_still_once_something_is_invoiced_and_while_a_refused_invoice_waits(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """B19, F25."""
    order = a_half_invoiced_order(klarna, sandbox)
    with pytest.raises(Refusal, match="can no longer be changed"):
        authorizations.amend(klarna, CLERK, order.id, amended(order, quantity_milli=3000))
    other = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, other)
    sandbox.fault("refuse", operation="create_capture")
    refused = an_invoice(klarna, other)
    for kind in (OpKind.UPDATE_AUTH, OpKind.CANCEL):
        with pytest.raises(Refusal, match="awaits a decision"):
            do(klarna, other, kind)
    do(klarna, other, OpKind.EXTEND_AUTH)
    assert act_of(other).state is OpState.CONFIRMED, "more time helps whoever tries again"
    with writing() as session:
        reservations.void(session, CLERK, refused.id, "fel pris")
    authorizations.amend(klarna, CLERK, other.id, amended(other, discount_minor=800))
    assert orders.total(fresh(other)) == 99_000


def test_a_row_of_a_voided_invoice_stays_for_its_history(books: Any, klarna: Any, sandbox: Any) -> None:
    """B19: it can be set to nothing, not taken away."""
    order = an_open_order(klarna, sandbox, lines=[row(pieces=2), row("Keps", 9_900)])
    sandbox.fault("refuse", operation="create_capture")
    refused = an_invoice(klarna, order, kind=DocType.FINAL)
    with writing() as session:
        reservations.void(session, CLERK, refused.id, "fel pris")
    with pytest.raises(BadInput, match=f"stands on the voided invoice {refused.number_text}"):
        authorizations.amend(klarna, CLERK, order.id, amended(order, order_amending.rows_of(fresh(order))[:1]))
    authorizations.amend(klarna, CLERK, order.id, amended(order, unit_price_minor=0))
    assert orders.total(fresh(order)) == 9_900


def test_a_form_drawn_before_the_order_changed_is_stale(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 12: the rows' version, and what was left of the reservation."""
    order = an_open_order(klarna, sandbox)
    form = amended(order, quantity_milli=1000)
    with writing() as session:
        a_delivery(session, order, {fresh(order).lines[0].id: 1000})
    with pytest.raises(Stale):
        authorizations.amend(klarna, CLERK, order.id, form)
    with pytest.raises(Stale, match="What is left of the reservation has changed"):
        authorizations.cancel(klarna, CLERK, order.id, a_money_form(1))
    assert not sandbox.posts(order_id=order.klarna_order_id)


# --- Forms, rights, the one open act ----------------------------------------------------------------------------------


def test_the_same_form_twice_is_one_act(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 12: a double click, other values, another person, a form that is not one."""
    order = an_open_order(klarna, sandbox)
    form = amended(order, quantity_milli=1000)
    for _ in range(2):
        assert authorizations.amend(klarna, CLERK, order.id, form) == order.id
    assert len(sandbox.posts(operation="update_authorization")) == 1
    with pytest.raises(Refusal, match="with other values"):
        authorizations.amend(klarna, CLERK, order.id, replace(form, rows=[]))
    with pytest.raises(NotAllowed, match="somebody else"):
        authorizations.amend(klarna, FINANCE, order.id, form)
    with pytest.raises(Malformed):
        authorizations.extend(klarna, CLERK, order.id, replace(a_money_form(0), nonce="x"))


def test_who_may_not_work_may_not_touch_a_reservation(books: Any, klarna: Any, sandbox: Any, viewer: Any) -> None:
    """B31."""
    order = an_open_order(klarna, sandbox)
    for kind in (OpKind.EXTEND_AUTH, OpKind.CANCEL, OpKind.UPDATE_AUTH):
        with pytest.raises(NotAllowed):
            do(klarna, order, kind, viewer)
    assert not sandbox.posts()


@pytest.mark.parametrize("kind", list(CALLS), ids=str)
def test_an_open_act_blocks_everything_else_by_its_name(books: Any, klarna: Any, sandbox: Any, kind: OpKind) -> None:
    """Operations 2.1 and 11: one open act per Klarna order, and the sentence says which it is."""
    order = order_for(kind, klarna, sandbox)
    sandbox.fault("server_error", operation=CALLS[kind])
    do(klarna, order, kind)
    assert act_of(order).state is OpState.UNKNOWN
    words = {
        OpKind.EXTEND_AUTH: "the extension",
        OpKind.RELEASE: "the release",
        OpKind.CANCEL: "the cancellation",
        OpKind.UPDATE_AUTH: "the changed rows",
    }[kind]
    with reading() as session:
        found = session.get_one(Order, order.id)
        refusals = [
            orders.open_operation_refusal(session, found),
            reservation_acts.why_not_extend(session, CLERK, found),
            reservation_acts.why_not_release(session, CLERK, found),
            reservation_acts.why_not_cancel(session, CLERK, found),
        ]
    assert all(words in str(each) for each in refusals)
    with pytest.raises(Refusal, match=words):
        authorizations.extend(klarna, CLERK, order.id, a_money_form(0))
    let_the_janitor(klarna, order)
    assert act_of(order).state is OpState.CONFIRMED and follows(order, kind)


def test_a_full_slot_or_a_silent_klarna_begins_nothing(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 6: such an act has no number to keep, so nothing is left behind."""
    order = an_open_order(klarna, sandbox)
    with klarna.slot(), klarna.slot(), pytest.raises(NotReached, match="busy"):
        do(klarna, order, OpKind.EXTEND_AUTH)
    sandbox.fault("server_error", operation="get_order")
    with pytest.raises(NotReached, match="could not be reached"):
        do(klarna, order, OpKind.EXTEND_AUTH)
    with writing() as session:
        session.execute(sa.update(Installation).values(sending_enabled=False))
    with pytest.raises(Refusal, match="switched off"):
        do(klarna, order, OpKind.EXTEND_AUTH)
    with writing() as session:
        session.execute(sa.update(Installation).values(sending_enabled=True))
    with reading() as session:
        assert session.scalar(sa.select(KlarnaOp.id)) is None


def test_of_a_purchase_that_is_activated_in_full_nothing_is_left_whatever_its_last_day(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """F27: that it ran out afterwards is nobody's business, and nothing to ask Klarna about."""
    order = an_open_order(klarna, sandbox)
    sandbox.portal_capture(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    with writing() as session:
        orders.get(session, order.id, lock=True).expires_at = clock.now() - timedelta(days=1)
    with reading() as session:
        found = orders.get(session, order.id)
        for why_not in (reservation_acts.why_not_extend, reservation_acts.why_not_release):
            assert "Nothing is left of the reservation" in str(why_not(session, CLERK, found))


def test_a_card_purchase_is_not_extended_and_says_why(books: Any, klarna: Any, sandbox: Any) -> None:
    """F27; reference 2.8: the button is off as soon as Klarna has told how the purchase is paid, and nothing is sent."""
    for method in ("CARD", "PAY_BY_CARD"):
        order = an_open_order(klarna, sandbox, initial_payment_method=method)
        with pytest.raises(Refusal, match="paid by card"):
            do(klarna, order, OpKind.EXTEND_AUTH)
        with reading() as session:
            found = orders.get(session, order.id)
            assert "paid by card" in str(reservation_acts.why_not_extend(session, CLERK, found))
            assert reservation_acts.why_not_cancel(session, CLERK, found) is None
    assert not sandbox.posts(operation="extend_authorization_time")
    other = an_open_order(klarna, sandbox, initial_payment_method="INVOICE")
    with reading() as session:
        assert reservation_acts.why_not_extend(session, CLERK, orders.get(session, other.id)) is None


@pytest.mark.parametrize(
    ("kind", "prepare", "sentence"),
    [
        (OpKind.EXTEND_AUTH, "expire", "expired on"),
        (OpKind.EXTEND_AUTH, "portal_cancel", "cancelled at Klarna"),
        (OpKind.EXTEND_AUTH, "portal_capture", "Nothing is left"),
        (OpKind.RELEASE, None, "Nothing has been activated"),
        (OpKind.UPDATE_AUTH, "portal_capture", "Nothing is left"),
    ],
    ids=["expired", "cancelled", "captured", "uncaptured", "changed"],
)
def test_what_the_look_rules_out_is_not_begun(
    books: Any, klarna: Any, sandbox: Any, kind: OpKind, prepare: str | None, sentence: str
) -> None:
    """Operations 6; reference 2.7 and 2.8."""
    order = an_open_order(klarna, sandbox)
    if prepare:
        getattr(sandbox, prepare)(order.klarna_order_id)
    with pytest.raises(Refusal, match=sentence):
        do(klarna, order, kind)
    assert not sandbox.posts(operation=CALLS[kind])
    with reading() as session:
        assert session.scalar(sa.select(KlarnaOp.id).where(KlarnaOp.kind == kind)) is None


# --- Every fault, to its end ------------------------------------------------------------------------------------------

FIRST = (
    "refuse", "drop_before", "drop_after", "hang_never", "hang_after", "server_error", "server_error_after", "html_403",
    "unauthorized", "too_many", "conflict", "cut_headers",
)  # fmt: skip
CORE = ("refuse", "drop_before", "drop_after")
THEN = ("refuse", "drop_after", "unavailable")


def settle(klarna: Any, order: Order) -> KlarnaOp:
    """Let a clerk and the janitor do what they can until the act is final."""
    for _ in range(6):
        op = act_of(order)
        if op.state in (OpState.CONFIRMED, OpState.REJECTED):
            return op
        with writing() as session:
            session.execute(sa.update(KlarnaAccount).values(breaker=None, breaker_until=None))
        if op.state is OpState.PREPARED:
            authorizations.send_now(klarna, CLERK, order.id)
        else:
            let_the_janitor(klarna, order)
    raise AssertionError(f"{op.kind} is still {op.state}")


@pytest.mark.only_on("sqlite")
def test_whatever_happens_on_the_wire_an_act_ends_as_klarna_has_it(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: Any
) -> None:
    """Operations 3, 7, 8, 10: every fault on every act, and every fault after a lost one; at most one effect, and ours agrees."""
    monkeypatch.setattr(klarna, "answer_seconds", 0.15)
    plans = [(kind, (first,)) for kind in CALLS for first in (FIRST if kind is OpKind.CANCEL else CORE)]
    plans += [(OpKind.EXTEND_AUTH, ("drop_before", then)) for then in THEN]
    plans += [(OpKind.UPDATE_AUTH, ("drop_after", "refuse")), (OpKind.CANCEL, ("drop_before", "refuse"))]
    ended = set()
    for kind, faults in plans:
        order = order_for(kind, klarna, sandbox)
        for place, fault in enumerate(faults):
            seconds = {"seconds": 0.4} if fault.startswith("hang") else {}
            sandbox.fault(fault, operation=CALLS[kind], order_id=order.klarna_order_id, skip=place, **seconds)
        do(klarna, order, kind)
        op = settle(klarna, order)
        told = f"{kind} after {faults}: {op.state}"
        assert (op.state is OpState.CONFIRMED) == shows(sandbox, order, kind) == follows(order, kind), told
        assert len(sandbox.writes(operation=CALLS[kind], order_id=order.klarna_order_id)) <= 1, told
        keys = {
            each["idempotency_key"] for each in sandbox.posts(operation=CALLS[kind], order_id=order.klarna_order_id)
        }
        assert keys == {op.idempotency_key}, told
        ended.add((kind, op.state))
    assert len(ended) == 2 * len(CALLS), "both ends of every act were reached"
    assert not broken("M1", "M2", "M3", "M4", "M5", "M6", "M10", "M11", "M12", "M14")


def test_a_lost_answer_is_settled_by_what_the_reservation_shows(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 8: CANCELLED, a rest of 0, a later date, the new sum and rows prove it, without another call."""
    for kind, call in CALLS.items():
        order = order_for(kind, klarna, sandbox)
        sandbox.fault("drop_after", operation=call)
        do(klarna, order, kind)
        assert act_of(order).state is OpState.UNKNOWN and not follows(order, OpKind.UPDATE_AUTH)
        reservations.look_at(klarna, order.id)
        assert act_of(order).state is OpState.CONFIRMED and follows(order, kind)
        assert len(sandbox.posts(operation=call)) == 1


def test_another_rest_is_no_proof_of_a_release(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 8: a rest of 0 proves a release only while what is captured is unchanged; the same sum, other rows: no."""
    order = a_half_invoiced_order(klarna, sandbox)
    sandbox.fault("drop_before", operation=CALLS[OpKind.RELEASE])
    do(klarna, order, OpKind.RELEASE)
    sandbox.portal_capture(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    assert act_of(order).state is OpState.UNKNOWN
    other = an_open_order(klarna, sandbox)
    sandbox.fault("drop_before", operation=CALLS[OpKind.UPDATE_AUTH])
    do(klarna, other, OpKind.UPDATE_AUTH)
    sandbox.portal_update(other.klarna_order_id, 49_900)
    reservations.look_at(klarna, other.id)
    assert act_of(other).state is OpState.UNKNOWN


# --- Not sent, unknown, review: the ways out --------------------------------------------------------------------------


def test_what_was_left_unsent_is_sent_or_taken_back(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 9 and 11: «Skicka nu» and «Återta», for an act without a document as well."""
    order = an_open_order(klarna, sandbox)
    sandbox.fault("unauthorized", operation="cancel")
    do(klarna, order, OpKind.CANCEL)
    assert act_of(order).state is OpState.PREPARED and "credentials" in said(order).message
    with writing() as session:
        authorizations.withdraw(session, CLERK, order.id)
        session.execute(sa.update(KlarnaAccount).values(breaker=None, breaker_until=None))
    assert act_of(order).state is OpState.NOT_EXECUTED and fresh(order).state is OrderState.OPEN
    with reading() as session:
        assert reservation_acts.outcome(session, CLERK, session.get_one(Order, order.id)) is None
    sandbox.fault("too_many", operation="cancel")
    do(klarna, order, OpKind.CANCEL)
    assert act_of(order).state is OpState.PREPARED
    change_op(order, last_sent_at=None)
    authorizations.send_now(klarna, CLERK, order.id)
    assert act_of(order).state is OpState.CONFIRMED and fresh(order).state is OrderState.CANCELLED
    with pytest.raises(Refusal, match="nothing waiting"):
        authorizations.send_now(klarna, CLERK, order.id)
    with pytest.raises(Refusal, match="nothing waiting"), writing() as session:
        authorizations.withdraw(session, CLERK, order.id)


def in_review(klarna: Any, sandbox: Any, kind: OpKind) -> Order:
    """An act whose answer is lost and whose key window has passed."""
    order = order_for(kind, klarna, sandbox)
    sandbox.fault("drop_before", operation=CALLS[kind])
    do(klarna, order, kind)
    change_op(order, post_allowed_until=clock.now() - timedelta(minutes=1))
    let_the_janitor(klarna, order)
    assert act_of(order).state is OpState.REVIEW
    return order


@pytest.mark.parametrize("kind", [OpKind.CANCEL, OpKind.EXTEND_AUTH], ids=str)
def test_in_review_a_look_made_now_and_a_person_decide(books: Any, klarna: Any, sandbox: Any, kind: OpKind) -> None:
    """Operations 10, rule 9: it happened when Klarna shows it; it did not, with a reason, while Klarna does not."""
    order = in_review(klarna, sandbox, kind)
    with pytest.raises(NotAllowed):
        decisions.reservation_unchanged(klarna, CLERK, order.id, "nej")
    with pytest.raises(Refusal, match="Nothing has been decided"):
        decisions.reservation_changed(klarna, FINANCE, order.id)
    with pytest.raises(BadInput):
        decisions.reservation_unchanged(klarna, FINANCE, order.id, " ")
    decisions.reservation_unchanged(klarna, FINANCE, order.id, "syns inte hos Klarna")
    op = act_of(order)
    assert op.state is OpState.NOT_EXECUTED and op.decided_by == FINANCE.name and not follows(order, kind)
    assert said(order).values["reason"] == "syns inte hos Klarna"
    do(klarna, order, kind)
    assert act_of(order).state is OpState.CONFIRMED and follows(order, kind), "it can be done again"
    other = in_review(klarna, sandbox, kind)
    (sandbox.portal_cancel if kind is OpKind.CANCEL else sandbox.portal_extend)(other.klarna_order_id)
    decisions.reservation_changed(klarna, FINANCE, other.id)
    assert act_of(other).state is OpState.CONFIRMED and follows(other, kind)
    with pytest.raises(Refusal, match="nothing to decide"):
        decisions.reservation_changed(klarna, FINANCE, other.id)


def test_klarna_is_asked_now_at_most_once_a_minute(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 10: «Fråga Klarna nu» for an act without a document."""
    order = an_open_order(klarna, sandbox)
    with pytest.raises(Refusal, match="no question open"):
        janitor.ask_about_reservation(klarna, CLERK, order.id)
    sandbox.fault("drop_before", operation="cancel", times=2)
    do(klarna, order, OpKind.CANCEL)
    janitor.ask_about_reservation(klarna, CLERK, order.id)
    assert act_of(order).state is OpState.UNKNOWN
    with pytest.raises(Throttled):
        janitor.ask_about_reservation(klarna, CLERK, order.id)


def test_refresh_reads_klarna_at_a_sensible_rate(books: Any, klarna: Any, sandbox: Any, viewer: Any) -> None:
    """F14: a second press within seconds is told so and asks nothing."""
    order = an_open_order(klarna, sandbox)
    authorizations.refresh(klarna, CLERK, order.id)
    with pytest.raises(Throttled):
        authorizations.refresh(klarna, CLERK, order.id)
    assert len(sandbox.log(operation="get_order")) == 1
    with pytest.raises(NotAllowed):
        authorizations.refresh(klarna, viewer, order.id)


# --- The rest goes with the last invoice ------------------------------------------------------------------------------


def with_release_wanted(monkeypatch: Any) -> None:
    create: Callable[..., Document] = invoices.create

    def wanted(*given: Any, **more: Any) -> Document:
        document = create(*given, **more)
        document.release_rest = True
        return document

    monkeypatch.setattr(invoices, "create", wanted)


def test_a_confirmed_last_invoice_releases_the_rest(books: Any, klarna: Any, sandbox: Any, monkeypatch: Any) -> None:
    """F8: prepared in the transaction that issues the invoice, sent by the janitor, proved like any other."""
    with_release_wanted(monkeypatch)
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, {fresh(order).lines[0].id: 1000})
    invoice = an_invoice(klarna, order)
    assert invoice.state is DocState.ISSUED
    op = act_of(order)
    assert op.kind is OpKind.RELEASE and op.state is OpState.PREPARED and op.form_nonce is None
    assert "release the rest" in said(order).message
    janitor.run(klarna)
    assert act_of(order).state is OpState.CONFIRMED and shows(sandbox, order, OpKind.RELEASE) and left(order) == 0
    assert not broken("M1", "M3", "M5", "M11")


def test_an_invoice_that_leaves_nothing_or_is_refused_releases_nothing(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: Any
) -> None:
    """F8: neither where nothing remains, nor for a capture that did not happen, nor while sending is switched off."""
    with_release_wanted(monkeypatch)
    whole = an_open_order(klarna, sandbox)
    an_invoice(klarna, whole, kind=DocType.FINAL)
    refused = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, refused, {fresh(refused).lines[0].id: 1000})
    sandbox.fault("refuse", operation="create_capture")
    assert an_invoice(klarna, refused).state is DocState.REFUSED
    stopped = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, stopped, {fresh(stopped).lines[0].id: 1000})
    sandbox.fault("drop_after", operation="create_capture")
    invoice = an_invoice(klarna, stopped)
    with writing() as session:
        session.execute(sa.update(Installation).values(sending_enabled=False))
    reservations.look_at(klarna, stopped.id)
    assert the_document(invoice.id).state is DocState.ISSUED
    with reading() as session:
        assert session.scalar(sa.select(KlarnaOp.id).where(KlarnaOp.kind == OpKind.RELEASE)) is None
        assert session.scalar(sa.select(Audit.id).where(Audit.action == "order.release_not_begun"))


# --- Removing ---------------------------------------------------------------------------------------------------------


def test_only_an_order_of_no_consequence_is_removed_and_only_by_an_administrator(
    books: Any, klarna: Any, sandbox: Any, admin: Any
) -> None:
    """B18: «Ta bort order» never touches a reservation, a delivery or a document."""
    with writing() as session:
        bare = an_order(session)
        delivered = an_order(session)
        a_delivery(session, delivered)
        invoiced = an_order(session)
    linked = an_open_order(klarna, sandbox)
    an_invoice(klarna, invoiced, kind=DocType.FINAL)
    for order, words in (
        (linked, "The order has a reservation at Klarna. Cancel it instead."),
        (delivered, "Goods have left on the order. Cancel it instead."),
        (invoiced, "The order has an invoice or a credit note. Cancel it instead."),
    ):
        with pytest.raises(Refusal, match=words), writing() as session:
            order_ending.remove(session, admin, order.id)
    with pytest.raises(NotAllowed), writing() as session:
        order_ending.remove(session, CLERK, bare.id)
    with writing() as session:
        assert order_ending.remove(session, admin, bare.id) == bare.number
    with reading() as session:
        assert session.get(Order, bare.id) is None
        assert not session.scalar(sa.select(OrderLine.id).where(OrderLine.order_id == bare.id))
        assert session.scalar(sa.select(Audit.id).where(Audit.action == "order.remove"))
    with writing() as session:
        assert an_order(session).number > bare.number, "a number is never given twice"


@pytest.mark.untrue_books
def test_verify_finds_an_order_that_does_not_follow_its_reservation(books: Any, klarna: Any, sandbox: Any) -> None:
    """M5: a cancelled purchase with an open order, a sum Klarna has not agreed to."""
    cancelled, changed = an_open_order(klarna, sandbox), an_open_order(klarna, sandbox)
    do(klarna, cancelled, OpKind.CANCEL)
    do(klarna, changed, OpKind.UPDATE_AUTH)
    assert not broken("M5")
    with writing() as session:
        session.execute(sa.update(Order).where(Order.id == cancelled.id).values(state=OrderState.OPEN))
        session.execute(sa.update(Order).where(Order.id == changed.id).values(total_minor=1))
    found = " ".join(broken("M5"))
    assert "has cancelled it at Klarna" in found and "Klarna has agreed to 49900" in found


def test_every_attempt_of_an_act_without_a_body_is_frozen_like_the_others(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """M4, M12: the same hash and key on every attempt."""
    order = an_open_order(klarna, sandbox)
    sandbox.fault("drop_before", operation="cancel")
    do(klarna, order, OpKind.CANCEL)
    let_the_janitor(klarna, order)
    op = act_of(order)
    with reading() as session:
        attempts = session.scalars(sa.select(KlarnaAttempt).where(KlarnaAttempt.op_id == op.id)).all()
        assert len(attempts) == 2 and {each.body_sha256 for each in attempts} == {op.body_sha256}
        assert operations.last_answer(session, op) is not None
    assert [each["body"] for each in sandbox.posts(operation="cancel")] == [None, None] or not op.body
