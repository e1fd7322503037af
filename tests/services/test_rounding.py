"""Öresavrundning: what is paid to us in whole kronor, where the company wants it; never what Klarna pays (B36, E12)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import clock
import money
from db import reading, writing
from errors import BadInput
from klarna_sandbox.control import Control
from models import Document, DocumentLine, Order, Voucher
from rights import Actor
from services import credit_drafts, reservations, settings
from services.gateway import Gateway
from states import DocState, LineKind
from tests.builders import a_captured_invoice, a_delivery, a_money_form, an_invoice, an_order, row, the_document
from tests.services.settlement_parts import all_is_well

pytestmark = pytest.mark.usefixtures("books")
LINES = [row("Bröd", 108_75, rate=600), row("Stekpanna", 549_50)]


def round_to_kronor(admin: Actor) -> None:
    with writing() as session:
        settings.change(session, admin, "payment.rounding", "krona", clock.today())


def an_ordinary_order() -> Order:
    with writing() as session:
        order = an_order(session, lines=LINES)
        a_delivery(session, order)
        return order


def voucher_of(document: Document) -> list[tuple[int, int]]:
    with reading() as session:
        found = session.scalars(sa.select(Voucher).where(Voucher.document_id == document.id)).one()
        return sorted((each.account, each.amount_minor) for each in found.postings)


def test_an_invoice_paid_to_us_comes_to_whole_kronor_and_its_credit_is_the_exact_opposite(
    klarna: Gateway, finance: Actor, admin: Actor
) -> None:
    """Golden voucher E12; a credit note uses the same rounding as its original."""
    exact = an_invoice(klarna, an_ordinary_order())
    assert exact.gross_minor == 658_25, "nothing is rounded until the company says so"
    round_to_kronor(admin)
    invoice = an_invoice(klarna, an_ordinary_order())
    assert (invoice.gross_minor, invoice.vat_minor, invoice.open_minor) == (658_00, 6_16 + 109_90, 658_00)
    golden = [(1510, 658_00), (2611, -109_90), (2631, -6_16), (3001, -439_60), (3003, -102_59), (3740, 25)]
    assert voucher_of(invoice) == golden
    with writing() as session:
        draft = credit_drafts.start(session, finance, invoice.id)
        assert [line.kind for line in draft.lines] == [LineKind.ARTICLE, LineKind.ARTICLE, LineKind.ROUNDING]
        total, key = credit_drafts.figures(session, draft).gross_minor, draft.id
    note = the_document(reservations.credit(klarna, finance, key, a_money_form(total)))
    assert (note.state, note.gross_minor) == (DocState.ISSUED, 658_00)
    assert voucher_of(note) == sorted((account, -minor) for account, minor in golden)
    all_is_well()


def test_what_is_credited_in_parts_comes_to_the_invoice_to_the_ore(
    klarna: Gateway, finance: Actor, admin: Actor
) -> None:
    """K38: the pan first, without the rounding; the rest takes it."""
    round_to_kronor(admin)
    invoice = an_invoice(klarna, an_ordinary_order())
    with writing() as session:
        draft = credit_drafts.start(session, finance, invoice.id)
        bread, _pan, rounding = draft.lines
        credit_drafts.remove_row(session, finance, draft.id, bread.id)
        assert rounding.removed, "it goes with the last row"
        credit_drafts.put_back_row(session, finance, draft.id, bread.id)
        assert not rounding.removed
        for act in (credit_drafts.remove_row, credit_drafts.put_back_row):
            with pytest.raises(BadInput, match="follows from the others"):
                act(session, finance, draft.id, rounding.id)
        with pytest.raises(BadInput, match="follows from the others"):
            credit_drafts.set_quantity(session, finance, draft.id, rounding.id, "0")
        credit_drafts.remove_row(session, finance, draft.id, bread.id)
        first = draft.id
    with writing() as session:
        total = credit_drafts.figures(session, session.get_one(Document, first)).gross_minor
    assert total == 549_50
    reservations.credit(klarna, finance, first, a_money_form(total))
    with writing() as session:
        draft = credit_drafts.start(session, finance, invoice.id)
        total, rest = credit_drafts.figures(session, draft).gross_minor, draft.id
    assert total == 108_50
    reservations.credit(klarna, finance, rest, a_money_form(total))
    with reading() as session:
        vouchers = session.scalars(sa.select(Voucher)).all()
        booked = [(each.account, each.amount_minor) for voucher in vouchers for each in voucher.postings]
        assert all(sum(minor for account, minor in booked if account == each) == 0 for each, _minor in booked)
    all_is_well()


def test_what_klarna_pays_is_never_rounded(klarna: Gateway, sandbox: Control, admin: Actor) -> None:
    """B36: a rounded claim would never match its payout."""
    round_to_kronor(admin)
    invoice = a_captured_invoice(klarna, sandbox, lines=LINES)
    assert invoice.gross_minor == 658_25
    with reading() as session:
        kinds = session.scalars(sa.select(DocumentLine.kind).where(DocumentLine.document_id == invoice.id)).all()
    assert LineKind.ROUNDING not in kinds
    all_is_well()


@given(st.integers(-(10**9), 10**9))
def test_rounding_is_symmetrical_and_less_than_a_krona(gross: int) -> None:
    """E12: −15,50 becomes −16,00."""
    whole = money.divide(gross, 100) * 100
    assert abs(whole - gross) <= 50 and whole == -money.divide(-gross, 100) * 100 and whole % 100 == 0
