"""What Klarna shows may be another's, nameless, or not to be stored: nothing is sent on it and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from errors import BadInput, Refusal
from klarna_client import KlarnaClient, _parsed
from models import Document, KlarnaBreak, KlarnaOp, Order, StockMovement, Voucher
from services import credit_drafts, drift, janitor, looks, reservations, verify
from services.reservations import NotReached
from states import BreakKind, DocState, DocType, LineKind, OpState
from tests.builders import a_captured_invoice, a_delivery, a_money_form, an_invoice, an_order, row, the_document
from tests.services.test_reservations import draft_of, one_order

Read = Any
SHIRTS = [row("T-shirt", 49_900, pieces=2)]


def findings(*checks: str) -> list[str]:
    with reading() as session:
        return [f"{each.id}: {found}" for each in verify.run(session, checks) for found in each.findings]


def shown(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Klarna shows something else than it has."""
    real: Read = looks.read
    monkeypatch.setattr(looks, "read", lambda content, at: replace(real(content, at), **changes))


def test_nothing_is_sent_on_a_purchase_in_another_currency(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 13, wrong_owner: 499 of other money is not 499 kr; no number, and a break."""
    order = one_order(klarna, sandbox)
    shown(monkeypatch, currency="EUR")
    with pytest.raises(Refusal, match="in EUR at Klarna and in SEK here"):
        an_invoice(klarna, order)
    with reading() as session:
        assert session.scalars(sa.select(KlarnaBreak.kind)).all() == [BreakKind.WRONG_OWNER]
        assert session.scalar(sa.select(sa.func.count()).select_from(Document)) == 0
    assert sandbox.posts(operation="create_capture") == []


def test_an_answer_about_another_purchase_is_no_look(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = one_order(klarna, sandbox)
    shown(monkeypatch, order_id="another")
    with pytest.raises(NotReached, match="could not be read"):
        an_invoice(klarna, order)
    assert sandbox.posts(operation="create_capture") == []


def test_what_klarna_shows_without_an_id_is_counted_once(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 13: two equal refunds in the portal, looked at three times, are two; with their ids they are the same two."""
    invoice = a_captured_invoice(klarna, sandbox, lines=SHIRTS)
    order_id = invoice.order_id or 0
    with reading() as session:
        klarna_order_id = session.get_one(Order, order_id).klarna_order_id or ""
    for _ in range(2):
        sandbox.portal_refund(klarna_order_id, 10_000)
    real: Read = looks.read

    def nameless(content: Any, at: Any) -> Any:
        look = real(content, at)
        return replace(look, refunds=tuple(replace(each, object_id=None) for each in look.refunds))

    for reader in (nameless, nameless, nameless, real, real):
        monkeypatch.setattr(looks, "read", reader)
        reservations.look_at(klarna, order_id)
        with reading() as session:
            found = session.scalars(sa.select(KlarnaOp.amount_minor).where(KlarnaOp.state == OpState.EXTERNAL)).all()
            assert found == [10_000, 10_000]
            assert drift.ours(session, order_id).refunded == 0, "not settled by anybody"
    assert findings("M15") == []


def test_each_capture_that_is_gone_has_its_own_break(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 13, object_missing: two invoices of one order, once each however often Klarna is looked at."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("A", 100), row("B", 200)])
        a_delivery(session, order, {order.lines[0].id: 1000})
    an_invoice(klarna, order)
    with writing() as session:
        a_delivery(session, order)
    an_invoice(klarna, order)
    shown(monkeypatch, captures=(), captured=0)
    for _ in range(2):
        janitor.nightly(klarna)
    with reading() as session:
        gone = sa.select(KlarnaBreak.difference_minor).where(KlarnaBreak.kind == BreakKind.OBJECT_MISSING)
        assert sorted(session.scalars(gone)) == [100, 200]


@pytest.mark.parametrize("day", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z"])
def test_a_day_beyond_the_calendar_is_not_read(
    books: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch, day: str
) -> None:
    """Catalogue row 68: words, never a 500."""
    order = one_order(klarna, sandbox)
    real: Read = looks.read
    monkeypatch.setattr(looks, "read", lambda content, at: real({**content, "expires_at": day}, at))
    with pytest.raises(NotReached, match="could not be read"):
        reservations.look_at(klarna, order.id)


def test_an_answer_is_never_lost_for_its_letters(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a surrogate pair and NUL in a refusal: kept, readable, and the document is refused, not left hanging."""
    assert _parsed('{"error_messages": ["a\\ud800b\\u0000", "\\ud83d\\ude00"]}') == {
        "error_messages": ["a\ufffdb\ufffd", "😀"]
    }
    order = one_order(klarna, sandbox)
    real = KlarnaClient._answer
    text = (
        '{"error_code": "CAPTURE_NOT_ALLOWED", "error_messages": ["nej \\ud800\\u0000"], "correlation_id": "\\udfff"}'
    )

    def answer(response: Any, _text: str, duration_ms: int) -> Any:
        if response.request.method == "GET":
            return real(response, _text, duration_ms)
        response.status_code = 403
        return real(response, text, duration_ms)

    monkeypatch.setattr(KlarnaClient, "_answer", staticmethod(answer))
    assert an_invoice(klarna, order).state is DocState.REFUSED


# --- Rows of nothing, goods that never left ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "vouchers"),
    [
        ([row("A", 10_000), row("Rabatt", -10_000, kind=LineKind.DISCOUNT)], 1),
        ([row("A", 10_000), row("Rabatt", -10_000, kind=LineKind.DISCOUNT, rate=1200)], 1),
        ([row("Prov", 0)], 0),
    ],
)
def test_an_invoice_of_nothing_is_booked_as_far_as_it_has_figures(
    books: Any, klarna: Any, lines: Any, vouchers: int
) -> None:
    """A3: sales and discount that even out are booked; rows without a figure have nothing to book."""
    with writing() as session:
        order = an_order(session, lines=lines)
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    assert (invoice.state, invoice.gross_minor, invoice.open_minor) == (DocState.ISSUED, 0, 0)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Voucher)) == vouchers
    assert findings("A1", "A2", "A3", "A9") == []


def test_no_more_goods_come_back_than_have_gone(books: Any, klarna: Any, sandbox: Any, finance: Any) -> None:
    """S3: an invoice made before delivery; one of two has left, so one comes back, once."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=SHIRTS)
        a_delivery(session, order, {order.lines[0].id: 1000})
    invoice = an_invoice(klarna, order, kind=DocType.FINAL)
    for back in (1000, 0):
        draft_id, _ = draft_of(finance, invoice)
        with writing() as session:
            (line,) = credit_drafts.set_options(
                session, finance, draft_id, restock=True, warehouse_id=None, without_klarna=False, reason=""
            ).lines
            credit_drafts.set_quantity(session, finance, draft_id, line.id, "1")
            assert line.restock_milli == back
            with pytest.raises(BadInput, match="has been delivered" if not back else "what is credited"):
                credit_drafts.set_restock(session, finance, draft_id, line.id, "2" if back else "1")
        reservations.credit(klarna, finance, draft_id, a_money_form(49_900))
        assert the_document(draft_id).state is DocState.ISSUED
    with reading() as session:
        assert session.scalar(sa.select(sa.func.sum(StockMovement.quantity_milli))) == 100_000
    assert findings("S1", "S3") == []
