"""Invoices: what one made now would hold, its rows' VAT, its references, its limits (F1, F10, F11, F13-F16, F26)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import money
from db import reading, writing
from errors import BadInput, Refusal
from services import documents, invoice_form, invoices, order_page, orders
from services.documents import Row
from states import DocState, DocType, LineKind, WithoutKlarna
from tests import builders
from tests.builders import DISCOUNT, FREIGHT, a_captured_invoice, a_delivery, an_invoice, an_order, row, the_document


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 600, 1200, 2500]), st.integers(-500_000, 2_000_000)), min_size=1, max_size=20
    )
)
def test_the_vat_of_the_rows_adds_up_to_the_vat_of_each_rate(given_rows: list[tuple[int, int]]) -> None:
    """A4: to the öre, per rate, with discounts too."""
    rows = [Row(LineKind.ARTICLE, "x", 1000, gross, 0, gross, rate) for rate, gross in given_rows]
    documents.spread_vat(rows)
    for part in documents.vat_sums(rows):
        assert part.vat_minor == money.vat_of_gross(part.gross_minor, part.rate)


def test_the_suggested_type_follows_what_is_delivered(books: Any, klarna: Any, sandbox: Any) -> None:
    """F10, F11: freight goes with the first delivery invoice, exactly the delivered rows."""
    with writing() as session:
        order = an_order(
            session, sandbox, klarna, lines=[row("A", 10_000), row("B", 20_000), row("Frakt", 500, kind=FREIGHT)]
        )
        assert invoices.suggested_type(session, order) is DocType.FINAL
        a_delivery(session, order, {order.lines[0].id: 1000})
        assert invoices.suggested_type(session, order) is DocType.DELIVERY
        proposal = invoices.propose(session, order)
        assert [r.name for r in proposal.rows] == ["A", "Frakt"] and proposal.gross_minor == 10_500
        assert invoices.propose(session, order, DocType.FINAL).gross_minor == 30_500


def test_types_made_elsewhere_are_not_proposed(books: Any, klarna: Any, sandbox: Any) -> None:
    with writing() as session, pytest.raises(BadInput):
        invoices.propose(session, an_order(session, sandbox, klarna), DocType.ADVANCE)


def test_nothing_delivered_and_nothing_left_have_their_own_sentences(books: Any, klarna: Any, sandbox: Any) -> None:
    """F3."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)
        with pytest.raises(Refusal, match="Nothing that has been delivered"):
            invoices.propose(session, order, DocType.DELIVERY)
    invoice = a_captured_invoice(klarna, sandbox)
    with reading() as session, pytest.raises(Refusal, match="Everything on the order has been invoiced"):
        invoices.propose(session, orders.get(session, invoice.order_id or 0))


def test_nothing_is_sent_without_a_link_for_nothing_and_for_less(books: Any, klarna: Any, sandbox: Any) -> None:
    """F2, F16, K42."""
    with writing() as session:
        assert invoices.why_not_sent(an_order(session), 100) is WithoutKlarna.ORDINARY
        order = an_order(session, sandbox, klarna)
        assert invoices.why_not_sent(order, 0) is WithoutKlarna.NOTHING_TO_PAY
        assert invoices.why_not_sent(order, -1) is WithoutKlarna.NEGATIVE_ORDER
        assert invoices.why_not_sent(order, 1) is None


def test_an_order_to_be_paid_with_klarna_is_not_invoiced_before_it_has_its_reservation(
    books: Any, klarna: Any, clerk: Any
) -> None:
    """F2: nothing would be sent and nobody would pay it."""
    with writing() as session:
        order = an_order(session, lines=[row("A", 10_000)])
        order.payment_method = builders.a_payment_method(session)
        a_delivery(session, order)
    with pytest.raises(Refusal, match="has no reservation"):
        an_invoice(klarna, order)
    with reading() as session:
        assert "has no reservation" in str(invoice_form.last_step(session, clerk, order.id).refusal)
        assert "has no reservation" in str(order_page.why_not_invoice(session, orders.get(session, order.id)))


def test_references_are_unique_within_the_klarna_order(books: Any, klarna: Any, sandbox: Any) -> None:
    """Ground rules, K6: the article number once, else with its running position; text rows TEXT#position."""
    invoice = a_captured_invoice(
        klarna, sandbox, lines=[row("A", 10_000), row("Rabatt", -1_000, kind=DISCOUNT), row("Frakt", 500, kind=FREIGHT)]
    )
    references = [line.klarna_reference for line in the_document(invoice.id).lines]
    assert references == ["ART-1", "TEXT#2", "TEXT#3"] and len(set(references)) == 3


def test_the_last_step_gives_what_klarna_last_showed(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, viewer: Any
) -> None:
    """F14: what remains after this invoice; off with the role's reason for a reader."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("A", 10_000), row("B", 20_000)])
        a_delivery(session, order, {order.lines[0].id: 1000})
    with reading() as session:
        step = invoice_form.last_step(session, clerk, order.id)
        assert step.reservation is not None and step.refusal is None
        assert (step.reservation.left_minor, step.reservation.after_minor) == (30_000, 20_000)
        assert step.deliveries == [1] and step.types == [DocType.DELIVERY, DocType.FINAL]
        assert invoice_form.last_step(session, viewer, order.id).refusal is not None


def test_a_part_that_discounts_outweigh_is_not_invoiced_alone(books: Any, klarna: Any, sandbox: Any) -> None:
    """F1, K42: discounts go along with the first invoice; a negative one would leave more to capture than is reserved."""
    with writing() as session:
        order = an_order(
            session,
            sandbox,
            klarna,
            lines=[row("Skosnöre", 1_00), row("Skor", 500_00), row("Rabatt", -100_00, kind=LineKind.DISCOUNT)],
        )
        a_delivery(session, order, {order.lines[0].id: 1000})
    with pytest.raises(Refusal, match=r"would come to SEK -99\.00"):
        an_invoice(klarna, order)
    whole = an_invoice(klarna, order, kind=DocType.FINAL)
    assert (whole.state, whole.gross_minor, whole.with_klarna) == (DocState.ISSUED, 401_00, True)
    assert sandbox.state(order.klarna_order_id)["captured_amount"] == 401_00
