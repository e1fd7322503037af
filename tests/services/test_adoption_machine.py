"""Acts in the portal at random, each settled in some way that fits: the books stay true and Klarna and Kvitta agree.

M1, M5, M8, M15, I1, I4, A3, A9 after every history; operations 13.
"""

from __future__ import annotations

import secrets
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import reading, writing
from errors import Refusal
from klarna_sandbox.control import Refusal as KlarnasNo
from models import Document
from services import adoption, adoption_form, agreement, breaks, orders, reservations, settling, verify
from services.adoption_rows import ROW, Rest, Wish
from states import BreakKind, DocState
from tests.builders import FINANCE, an_order, row

CHECKS = ("A3", "A5", "A9", "I1", "I2", "I4", "I10", "M1", "M3", "M5", "M15")
ACTS = st.lists(
    st.tuples(st.sampled_from(["capture", "refund", "extend", "release"]), st.integers(1, 60_000), st.integers(0, 3)),
    min_size=1,
    max_size=4,
)


def _act(sandbox: Any, klarna_order_id: str, act: str, amount: int) -> None:
    """What somebody does in the portal; Klarna's own no is a no."""
    try:
        if act in ("capture", "refund"):
            getattr(sandbox, f"portal_{act}")(klarna_order_id, amount)
        else:
            getattr(sandbox, f"portal_{act}")(klarna_order_id)
    except KlarnasNo:
        pass


def _settle(klarna: Any, break_id: int, choice: int) -> None:
    """Settle a difference in a way that fits: what is proposed, a row of its own, or a note; else it stays open."""
    with reading() as session:
        found = breaks.get(session, break_id)
        kind, fitting = found.kind, settling.acts_of(session, found)
    nonce = secrets.token_hex(16)
    if kind in settling.STANDING:
        with writing() as session:
            settling.take_note(session, FINANCE, break_id, nonce)
    elif kind in adoption.ACTS and choice:
        with reading() as session:
            form = adoption_form.form(session, break_id, None)
        chosen = {each.id: each.proposed_milli for each in form.rows if each.proposed_milli}
        rest = Rest(ROW, "enligt Klarna", 2500) if choice > 1 else None
        try:
            wish = Wish(None, form.invoice_id, chosen, rest)
            adoption.adopt(klarna, FINANCE, break_id, wish, nonce)
            adoption.adopt(klarna, FINANCE, break_id, wish, nonce)
        except Refusal:
            pass
    elif "explain" in fitting and kind is BreakKind.TOTALS_DIFFER:
        with writing() as session:
            settling.explain(session, FINANCE, break_id, "", "avtalat", nonce)


def test_whatever_is_done_in_the_portal_and_however_it_is_settled_the_books_are_true(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    @settings(
        max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(ACTS)
    def history(acts: list[tuple[str, int, int]]) -> None:
        with writing() as session:
            order = an_order(
                session, sandbox, klarna, lines=[row("T-shirt", 19_900, pieces=2), row("Bok", 10_000, rate=600)]
            )
        for act, amount, choice in acts:
            _act(sandbox, order.klarna_order_id or "", act, amount)
            reservations.look_at(klarna, order.id)
            with reading() as session:
                found = [each.id for each in breaks.open_of(session, order.id)]
            for break_id in found:
                _settle(klarna, break_id, choice)
        with reading() as session:
            false = [f"{each.id}: {one}" for each in verify.run(session, CHECKS) for one in each.findings]
            assert not false, "\n".join(false)
            here = orders.get(session, order.id)
            assert orders.moved(session, order.id) == (here.captured_minor, here.refunded_minor)
            if not breaks.open_of(session, order.id):
                assert agreement.differences(session, here) == []
            drafts = session.query(Document).where(Document.state == DocState.DRAFT).count()
            assert not drafts, "an adoption that was refused leaves nothing behind"

    history()
    with reading() as session:
        issued = session.query(Document).where(Document.state == DocState.ISSUED).count()
    assert issued > 3, "hardly anything was adopted: the histories show nothing"
