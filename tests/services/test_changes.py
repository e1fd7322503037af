"""What changes at Klarna without us is found when an order is read and every night, and is gone when it is no more.

Operations 10 (rule 8) and 13.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, transact, writing
from errors import Refusal
from models import KlarnaBreak, Order
from services import agreement, breaks, drift, janitor, orders, reservations, settling
from services.asking import access_for, read_order
from services.looks import Look
from states import BreakKind, BreakState, OrderState
from tests.builders import a_captured_invoice, a_delivery, an_order


def bought(klarna: Any, sandbox: Any, *, deliver: bool = False, **fields: Any) -> Order:
    with writing() as session:
        order = an_order(session, sandbox, klarna, **fields)
        if deliver:
            a_delivery(session, order)
        return order


def said(order: Order) -> list[str]:
    with reading() as session:
        found = agreement.differences(session, orders.get(session, order.id))
        return [str(Refusal(each.message, **each.values)) for each in found]


def all_breaks(order: Order) -> list[tuple[BreakKind, str | None]]:
    with reading() as session:
        rows = session.execute(
            sa.select(KlarnaBreak.kind, KlarnaBreak.resolution)
            .where(KlarnaBreak.order_id == order.id)
            .order_by(KlarnaBreak.id)
        )
        return [(kind, resolution) for kind, resolution in rows]


def settle(act: Any, actor: Any, order: Order, *given: str) -> None:
    """Settle the one open difference of an order."""
    with writing() as session:
        (found,) = breaks.open_of(session, order.id)
        act(session, actor, found.id, *given, secrets.token_hex(16))


def a_look(klarna: Any, order: Order) -> Look:
    with reading() as session:
        access, klarna_order_id = access_for(session, orders.get(session, order.id))
    return read_order(klarna, access, klarna_order_id)


def keep(order: Order, look: Look) -> None:
    transact(lambda session: drift.keep_look(session, orders.get(session, order.id, lock=True), look))


# --- The reservation -------------------------------------------------------------------------------------------------------


def test_an_extension_made_elsewhere_is_told_once_and_copied(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    order = bought(klarna, sandbox)
    sandbox.move_clock(days=3)
    sandbox.portal_extend(order.klarna_order_id)
    for _ in range(2):
        reservations.look_at(klarna, order.id)
    (sentence,) = said(order)
    assert sentence.startswith("The reservation expires on ") and "changed outside Kvitta" in sentence
    settle(settling.take_note, finance, order)
    reservations.look_at(klarna, order.id)
    assert all_breaks(order) == [(BreakKind.ADDRESS_OR_EXPIRY, "adopt")] and said(order) == []


def test_a_day_that_moves_back_is_no_difference_any_more(books: Any, klarna: Any, sandbox: Any) -> None:
    order = bought(klarna, sandbox)
    look = a_look(klarna, order)
    assert look.expires_at is not None
    keep(order, replace(look, expires_at=look.expires_at + timedelta(days=5)))
    keep(order, replace(look, at=clock.now() + timedelta(seconds=1)))
    assert all_breaks(order) == [(BreakKind.ADDRESS_OR_EXPIRY, "gone")]


def test_a_reserved_amount_changed_elsewhere_is_explained_with_a_reason(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    order = bought(klarna, sandbox)
    sandbox.portal_update(order.klarna_order_id, 30_000, [])
    reservations.look_at(klarna, order.id)
    assert said(order) == ["The reserved amount was changed outside Kvitta, from SEK 499.00 to SEK 300.00."]
    settle(settling.explain, finance, order, "", "avtalat med kunden")
    reservations.look_at(klarna, order.id)
    assert said(order) == []


def test_a_cancellation_elsewhere_cancels_the_order_when_it_is_adopted(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """The table of operations 13: adopt alone, copies the status."""
    order = bought(klarna, sandbox)
    sandbox.portal_cancel(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    assert said(order) == ["The purchase was cancelled at Klarna, outside Kvitta."]
    with pytest.raises(Refusal, match="cannot be settled that way"):
        settle(settling.ignore, finance, order, "nej")
    settle(settling.take_note, finance, order)
    reservations.look_at(klarna, order.id)
    with reading() as session:
        assert orders.get(session, order.id).state is OrderState.CANCELLED
    assert all_breaks(order) == [(BreakKind.STATUS_DIFFERS, "adopt")]


@pytest.mark.parametrize(("act", "sentence"), [("portal_cancel", "cancelled"), ("expire", "has expired")])
def test_goods_that_have_left_keep_the_order_open_among_the_delivered_ones(
    books: Any, klarna: Any, sandbox: Any, finance: Any, act: str, sentence: str
) -> None:
    """«Flags open deliveries»: nobody has been charged for them, so the order is not cancelled away."""
    order = bought(klarna, sandbox, deliver=True)
    getattr(sandbox, act)(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    assert sentence in said(order)[0]
    with reading() as session:
        (found,) = breaks.open_of(session, order.id)
        note = settling.note_of(session, found)
        assert not note.cancels and [milli for _, _, milli in note.goods] == [1000]
    settle(settling.take_note, finance, order)
    reservations.look_at(klarna, order.id)
    with reading() as session:
        assert orders.get(session, order.id).state is OrderState.OPEN
    assert all_breaks(order) == [(BreakKind.STATUS_DIFFERS, "adopt")], "what has been taken note of is not told again"


def test_an_expired_reservation_that_is_renewed_differs_no_more(books: Any, klarna: Any, sandbox: Any) -> None:
    order = bought(klarna, sandbox)
    sandbox.expire(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    sandbox.expire(order.klarna_order_id, at=sandbox.now() + timedelta(days=10))
    reservations.look_at(klarna, order.id)
    assert all_breaks(order)[0] == (BreakKind.STATUS_DIFFERS, "gone")


def test_a_release_made_elsewhere_is_found(books: Any, klarna: Any, sandbox: Any) -> None:
    order = bought(klarna, sandbox, lines=2)
    sandbox.portal_capture(order.klarna_order_id, 49_900)
    sandbox.portal_release(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    assert "What was left of the reservation was released at Klarna, outside Kvitta." in said(order)


def test_our_own_invoice_leaves_nothing_that_differs(books: Any, klarna: Any, sandbox: Any) -> None:
    invoice = a_captured_invoice(klarna, sandbox)
    with reading() as session:
        order = orders.get(session, invoice.order_id or 0)
        session.expunge(order)
    reservations.look_at(klarna, order.id)
    assert janitor.nightly(klarna) == 0 and all_breaks(order) == []


# --- Sums ------------------------------------------------------------------------------------------------------------------


def test_sums_that_are_not_those_of_the_acts_are_explained_and_then_sending_goes_on(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """1 öre between the sums: what is explained is settled, also for the look before a capture; another öre is not."""
    order = bought(klarna, sandbox)
    look = replace(a_look(klarna, order), captured=1)
    keep(order, look)
    assert said(order) == ["Activated: Klarna shows SEK 0.01, Kvitta SEK 0.00."]
    settle(settling.explain, finance, order, "", "öresutjämning hos Klarna")
    keep(order, replace(look, at=clock.now()))
    assert all_breaks(order) == [(BreakKind.TOTALS_DIFFER, "explain")] and said(order) == []
    with reading() as session:
        assert drift.difference(session, order.id, look) == 0
        assert drift.difference(session, order.id, replace(look, captured=2)) == 1
        assert drift.shown(session, orders.get(session, order.id)) == (None, 0)
    keep(order, replace(look, captured=2, at=clock.now() + timedelta(seconds=1)))
    assert len(said(order)) == 1
    keep(order, replace(look, captured=0, at=clock.now() + timedelta(seconds=2)))
    assert all_breaks(order)[-1] == (BreakKind.TOTALS_DIFFER, "gone")


def test_a_look_that_lags_behind_our_own_act_opens_no_difference(books: Any, klarna: Any, sandbox: Any) -> None:
    """Fault row 71: reads may be behind writes, so sums are judged only when nothing of ours is fresh."""
    invoice = a_captured_invoice(klarna, sandbox)
    with reading() as session:
        order = orders.get(session, invoice.order_id or 0)
        session.expunge(order)
    look = a_look(klarna, order)
    behind = replace(look, captured=0, captures=(), at=clock.now() + timedelta(minutes=1))
    keep(order, behind)
    assert all_breaks(order) == []
    keep(order, replace(behind, at=clock.now() + timedelta(minutes=20)))
    assert all_breaks(order) == [(BreakKind.TOTALS_DIFFER, None)]


def test_an_act_of_ours_that_is_missing_and_shown_again_is_gone(books: Any, klarna: Any, sandbox: Any) -> None:
    invoice = a_captured_invoice(klarna, sandbox)
    with reading() as session:
        order = orders.get(session, invoice.order_id or 0)
        session.expunge(order)
    found = a_look(klarna, order)
    with writing() as session:
        locked = orders.get(session, order.id, lock=True)
        drift.missing(session, locked, replace(found, captures=()))
    assert all_breaks(order) == [(BreakKind.OBJECT_MISSING, None)]
    assert said(order) == ["Klarna does not show the activation of SEK 499.00 that Kvitta has booked."]
    reservations.look_at(klarna, order.id)
    assert all_breaks(order) == [(BreakKind.OBJECT_MISSING, "gone")]


# --- Every night -----------------------------------------------------------------------------------------------------------


def test_the_night_looks_at_every_reservation_that_lasts_and_one_that_fails_keeps_none_back(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """Rule 8, extended: orders nobody has done anything with, too."""
    first, second = bought(klarna, sandbox), bought(klarna, sandbox)
    with writing() as session:
        for order in (first, second):
            orders.get(session, order.id, lock=True).klarna_read_at = None
    reservations.look_at(klarna, second.id)
    sandbox.portal_cancel(second.klarna_order_id)
    sandbox.fault("server_error", operation="get_order", order_id=first.klarna_order_id)
    assert janitor.nightly(klarna) == 1
    assert said(second) == ["The purchase was cancelled at Klarna, outside Kvitta."]
    assert janitor.nightly(klarna) == 1, "it differs until somebody has settled it"


def test_what_differs_is_looked_at_until_it_does_no_more(books: Any, klarna: Any, sandbox: Any) -> None:
    order = bought(klarna, sandbox)
    sandbox.expire(order.klarna_order_id)
    assert janitor.nightly(klarna) == 1
    sandbox.expire(order.klarna_order_id, at=sandbox.now() + timedelta(days=28))
    janitor.nightly(klarna)
    with reading() as session:
        kinds = {each.kind for each in breaks.open_of(session, order.id)}
        assert BreakKind.STATUS_DIFFERS not in kinds
        assert session.scalar(
            sa.select(sa.func.count()).where(KlarnaBreak.state == BreakState.CLOSED, KlarnaBreak.resolution == "gone")
        )
