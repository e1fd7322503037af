"""Exchanges of several articles for several: exact to the öre, per VAT rate, whole or not at all (K30, K43-K46; E5, E6)."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from typing import Any

import pytest

from db import reading, writing
from errors import BadInput, Refusal
from models import Article, Document
from services import credit_drafts, credit_notes, exchange, replacement
from services.exchange import Plan, Way
from services.replacement import Out
from tests.blueprints.document_pages import booked
from tests.builders import a_captured_invoice, an_article, row, the_document, the_warehouse
from tests.services.settlement_parts import worker
from tests.services.test_credit_rows import all_is_well, create
from tests.services.test_exchange import a_draft, on_hand, the_document_of

__all__ = ("worker",)

ACCOUNTS = {2500: (3001, 2611), 1200: (3002, 2621), 600: (3003, 2631)}


def articles(*rates: int, price: int = 10_000, **fields: Any) -> list[int]:
    with writing() as session:
        return [an_article(session, f"Ny {at}", price, rate=rate, **fields).id for at, rate in enumerate(rates)]


def carry_out(actor: Any, draft_id: int, plan: Plan, nonce: str | None = None) -> Document:
    with writing() as session:
        return the_document_of(
            session, exchange.carry_out(session, actor, nonce or secrets.token_hex(16), draft_id, plan)
        )


def replacement_of(actor: Any, note: Document) -> Document:
    with reading() as session:
        (partner,) = exchange.story(session, actor, note.id).partners
    return the_document(partner.id)


def the_place() -> int:
    with reading() as session:
        return the_warehouse(session).id


def test_stock_that_is_short_of_one_row_stops_the_exchange_whole(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """S2: also where the same article stands in two rows that only together are too many."""
    draft_id, line_id, _ = a_draft(klarna, sandbox, clerk)
    (few,) = articles(2500, stock_milli=1000, may_go_negative=False)
    plan = Plan({line_id: 1000}, [Out(few, 1000, 40_000), Out(few, 1000, 9_900)], the_place())
    with pytest.raises(Refusal, match="is in stock"):
        carry_out(clerk, draft_id, plan)
    assert the_document(draft_id).number_text is None and on_hand(few) == 1000
    all_is_well()


def test_a_cheaper_exchange_puts_each_new_article_on_the_draft_as_a_row_of_its_own(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K44, I10: minus before each price, the article's own or another, also of an article without one; a reference for each."""
    draft_id, line_id, _ = a_draft(klarna, sandbox, clerk)
    (cap,) = articles(2500)
    (free,) = articles(1200, price=0, number="UTAN")
    plan = Plan({line_id: 2000}, [Out(cap, 1000, 29_900), Out(free, 3000, 3_333), Out(cap, 1000, 19_900)])
    with writing() as session:
        draft = exchange.prepare(session, clerk, draft_id, plan, way=Way.CHEAPER)
        assert [line.gross_minor for line in draft.lines] == [99_800, -29_900, -9_999, -19_900]
        assert not draft.restock and draft.with_klarna
    note = create(klarna, clerk, draft_id)
    assert note.gross_minor == 40_001
    with reading() as session:
        assert [each.milli for each in exchange.story(session, clerk, note.id).adjust] == [2000, -1000, -3000, -1000]
    references = [line.klarna_reference for line in the_document(note.id).lines]
    assert len(set(references)) == len(references)
    all_is_well()


@pytest.mark.parametrize(
    ("spoilt", "field"),
    [
        (Out(0, 1000, 9_900, 4), "article-4"),
        (Out(-1, 1000, 0, 4), "price-4"),
        (Out(-1, 1000, 5_000, 4), "price-4"),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused_beside_the_row_of_the_form(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, spoilt: Out, field: str
) -> None:
    """K30: the row that is wrong by itself, or the last one where all together are; the rows before it are left in peace."""
    draft_id, line_id, _ = a_draft(klarna, sandbox, clerk)
    (cap,) = articles(2500, stock_milli=9000)
    with writing() as session:
        draft = exchange.prepare(session, clerk, draft_id, Plan({line_id: 1000}, []), way=Way.EVEN)
        credit_notes.issue_without_klarna(session, clerk, draft, portal_confirmed=False, external=None)
    out = [Out(cap, 1000, 40_000, 1), replace(spoilt, article_id=cap) if spoilt.article_id else spoilt]
    with pytest.raises(BadInput) as refused, writing() as session:
        replacement.replace(session, clerk, secrets.token_hex(16), draft_id, out, the_warehouse(session).id)
    assert refused.value.field == field and on_hand(cap) == 9000


def test_an_article_that_a_cheaper_exchange_cannot_take_is_told_beside_its_row(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K44: closed since the page was drawn."""
    draft_id, line_id, _ = a_draft(klarna, sandbox, clerk)
    good, closed = articles(2500, 1200)
    with writing() as session:
        session.get_one(Article, closed).active = False
    plan = Plan({line_id: 2000}, [Out(good, 1000, 9_900, 1), Out(closed, 1000, 9_900, 3)])
    with pytest.raises(BadInput) as refused, writing() as session:
        exchange.prepare(session, clerk, draft_id, plan, way=Way.CHEAPER)
    assert refused.value.field == "article-3"


def _rows_out(by: random.Random, sum_minor: int, ids: dict[int, int]) -> list[Out]:
    """Some rows that come to no more than this, of any rate and with decimals of a piece."""
    rows: list[Out] = []
    for _ in range(by.randint(1, 4)):
        out = Out(ids[by.choice(list(ids))], by.choice([1000, 2000, 1333, 500]), by.randint(1_001, 30_000))
        if sum(each.gross_minor for each in rows) + out.gross_minor < sum_minor:
            rows.append(out)
    return rows


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_refunded_and_what_goes_out_is_what_came_back_to_the_ore_and_per_rate(
    books: Any, klarna: Any, sandbox: Any, finance: Any, seed: int, even: bool
) -> None:
    """K30, K43, K44; E5, E6: for any rows back and out, at Klarna and in the books, where each rate's sales and VAT end right."""
    by = random.Random(seed)
    lines = [row(f"R{rate}", by.randint(5_000, 60_000), pieces=by.randint(1, 4), rate=rate) for rate in ACCOUNTS]
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    ids = dict(zip(ACCOUNTS, articles(*ACCOUNTS), strict=True))
    with writing() as session:
        draft = credit_drafts.start(session, finance, invoice.id)
        back = {line.id: 1000 * by.randint(1, line.quantity_milli // 1000) for line in draft.lines}
        prices = {line.id: (line.vat_rate, line.unit_price_minor) for line in draft.lines}
    came = {rate: quantity // 1000 * price for key, quantity in back.items() for rate, price in [prices[key]]}
    rows = _rows_out(by, sum(came.values()), ids)
    left = sum(came.values()) - sum(each.gross_minor for each in rows)
    if even:
        rows.append(Out(ids[by.choice(list(ids))], 1000, left))
        left = 0
    with reading() as session:
        weighed = exchange.weigh(session, session.get_one(Document, draft.id), Plan(back, rows))
    assert (weighed.back_minor, weighed.difference_minor) == (sum(came.values()), left)
    went = {rate: sum(each.gross_minor for each in rows if each.article_id == key) for rate, key in ids.items()}
    if even:
        note = carry_out(finance, draft.id, Plan(back, rows, the_place()))
        papers = [f"credit_note:{note.number_text}", f"invoice:{replacement_of(finance, note).number_text}"]
    else:
        with writing() as session:
            exchange.prepare(session, finance, draft.id, Plan(back, rows), way=Way.CHEAPER)
        note = create(klarna, finance, draft.id)
        papers = [f"credit_note:{note.number_text}"]
        assert note.gross_minor == left
    total: dict[int, int] = {}
    for paper in papers:
        for account, minor in booked(paper).items():
            total[account] = total.get(account, 0) + minor
    assert total.get(1510, 0) == -left and sum(total.values()) == 0
    for rate, (sales, vat) in ACCOUNTS.items():
        net = came[rate] - went[rate]
        assert total.get(sales, 0) + total.get(vat, 0) == net
        assert abs(total.get(vat, 0) * (10_000 + rate) - net * rate) <= 10_000 + rate, "VAT of a rate, to the öre"
    assert len(sandbox.posts(operation="create_refund")) == (0 if even else 1)
    all_is_well()
