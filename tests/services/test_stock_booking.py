"""Perpetual booking of stock: its account says what it is worth, whatever moves and whatever it costs (E4c, E11c, S4)."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from models import Account, Article, Document, Order, Setting, Voucher
from rights import Actor
from services import (
    costs,
    credit_drafts,
    credit_notes,
    goods_in,
    goods_returns,
    replacement,
    reservations,
    stock,
    stock_booking,
    stocktake_report,
    stocktakes,
    verify,
)
from services import settings as company_settings
from services.goods_in import Arrival
from services.goods_returns import Typed
from services.replacement import Out
from services.verify import CheckState
from states import DocState
from tests import builders
from tests.builders import CLERK, FINANCE, a_captured_invoice, a_money_form, an_article, row
from tests.threads import while_open

SERVICES = Path(stock_booking.__file__).parent


def begin(stated_minor: int = 0, *, seen_minor: int | None = None, nonce: str = "", actor: Actor = FINANCE) -> int:
    with writing() as session:
        seen = stock_booking.value(session) if seen_minor is None else seen_minor
        return stock_booking.begin(session, actor, nonce or secrets.token_hex(16), stated_minor, seen)


def s4() -> verify.Result:
    with reading() as session:
        (result,) = verify.run(session, ["S4"])
    return result


def vouchers() -> list[tuple[str, dict[int, int]]]:
    """What has been booked in the stock's own series: text, and amount per account."""
    with reading() as session:
        found = session.scalars(sa.select(Voucher).where(Voucher.series == "L").order_by(Voucher.number))
        return [(each.text, {row.account: row.amount_minor for row in each.postings}) for each in found]


def without_klarna(draft_id: int, *, restock: bool = True) -> Document:
    with writing() as session:
        draft = credit_drafts.set_options(
            session, FINANCE, draft_id, restock=restock, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
        amount = credit_drafts.figures(session, draft).gross_minor
    reservations.credit(None, FINANCE, draft_id, a_money_form(amount))  # type: ignore[arg-type]
    return builders.the_document(draft_id)


@pytest.fixture
def invoice(books: Any, klarna: Any, sandbox: Any) -> Document:
    """Two T-shirts of 499,00 that cost 210,00 apiece, delivered and invoiced, from when stock is booked as it moves."""
    with writing() as session:
        shirt = an_article(session, "T-shirt", 49_900, stock_milli=10_000, cost_minor=21_000)
    begin()
    return a_captured_invoice(klarna, sandbox, lines=[row(article=shirt, pieces=2)])


def test_what_is_credited_and_put_back_is_booked_and_reversed_to_the_ore(
    invoice: Document, klarna: Any, clerk: Actor
) -> None:
    """E4c and E11c, golden vouchers: 210,00 debit 1460, credit 4960, and the other way about."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        credit_drafts.set_quantity(session, FINANCE, draft.id, draft.lines[0].id, "1")
    note = without_klarna(draft.id)
    before = vouchers()
    assert before[-1] == (f"Lager, kreditfaktura {note.number_text}", {1460: 21_000, 4960: -21_000})
    with writing() as session:
        credit_notes.reverse(session, FINANCE, note.id, "fel kund")
    (undone,) = vouchers()[len(before) :]
    assert undone == (f"Lager, kreditfaktura {note.number_text} återförd", {1460: -21_000, 4960: 21_000})
    assert s4().state is CheckState.OK


def test_the_books_begin_with_what_the_stock_is_worth_less_what_stands_there(books: Any) -> None:
    """S4: a value that another program has booked already is not booked again."""
    with writing() as session:
        an_article(session, stock_milli=10_000, cost_minor=21_000)
    assert s4().state is CheckState.NOT_APPLICABLE
    nonce = secrets.token_hex(16)
    assert begin(200_000, nonce=nonce) == 10_000
    assert begin(200_000, nonce=nonce, seen_minor=210_000) == 10_000, "the same form begins once"
    assert vouchers() == [("Löpande lagerbokföring börjar", {1460: 10_000, 4960: -10_000})]
    with reading() as session:
        now = stock_booking.standing(session)
    assert (now.on, now.value_minor, now.ledger_minor, now.elsewhere_minor) == (True, 210_000, 10_000, 200_000)
    assert s4().state is CheckState.OK
    with pytest.raises(Refusal, match="already"):
        begin(200_000)


def test_where_all_of_it_stands_there_nothing_is_booked(books: Any) -> None:
    with writing() as session:
        an_article(session, stock_milli=1_000, cost_minor=21_000)
    assert begin(21_000) == 0
    assert vouchers() == [] and s4().state is CheckState.OK


def test_a_value_that_is_not_the_one_shown_is_not_booked(books: Any) -> None:
    with pytest.raises(Stale):
        begin(0, seen_minor=1)
    with pytest.raises(NotAllowed):
        begin(actor=CLERK)
    with reading() as session:
        assert session.scalar(sa.select(Setting.id).where(Setting.name.startswith("stock."))) is None


def test_when_it_has_ended_movements_are_booked_no_more_and_it_can_begin_again(books: Any) -> None:
    with writing() as session:
        article = an_article(session, stock_milli=1_000, cost_minor=10_000)
    begin()
    for actor, refusal in ((CLERK, NotAllowed), (FINANCE, None), (FINANCE, Refusal)):
        if refusal is None:
            with writing() as session:
                stock_booking.end(session, actor)
            continue
        with pytest.raises(refusal), writing() as session:
            stock_booking.end(session, actor)
    with writing() as session:
        stock.adjust(session, CLERK, article.id, builders.the_warehouse(session).id, 1_000, "fler")
    assert len(vouchers()) == 1 and s4().state is CheckState.NOT_APPLICABLE
    assert begin(10_000) == 10_000
    assert s4().state is CheckState.OK


def test_what_stands_in_other_books_is_remembered_for_who_begins_again(books: Any) -> None:
    """S4: else what stands there would be booked a second time by whoever takes the proposal."""
    with writing() as session:
        an_article(session, stock_milli=10_000, cost_minor=21_000)
    begin(200_000)
    with writing() as session:
        stock_booking.end(session, FINANCE)
    with reading() as session:
        now = stock_booking.standing(session)
    assert (now.on, now.ledger_minor, now.elsewhere_minor, now.booked_minor) == (False, 10_000, 200_000, 210_000)
    assert begin(now.booked_minor) == 0 and len(vouchers()) == 1


def test_whatever_moves_stock_is_booked_once(invoice: Document, klarna: Any, sandbox: Any, clerk: Actor) -> None:
    """S4: deliveries, returns at once and later, exchanges, adjustments, goods in, stocktakes, and another cost."""
    with writing() as session:
        place = builders.the_warehouse(session)
        shirt = session.scalars(sa.select(Article)).one()
        cap = an_article(session, "Keps", 49_900, stock_milli=5_000, cost_minor=9_900)

    def booked(minor: int) -> None:
        """The last voucher is of this amount, and the account is right."""
        assert vouchers()[-1][1] == {1460: minor, 4960: -minor}
        result = s4()
        assert result.state is CheckState.OK, result.findings

    with reading() as session:
        number = session.get_one(Order, invoice.order_id).number
    assert vouchers()[1] == (f"Lager, order {number}, leverans 1", {1460: -42_000, 4960: 42_000})
    booked(49_500)  # the caps
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        credit_drafts.set_quantity(session, FINANCE, draft.id, draft.lines[0].id, "1")
    note = without_klarna(draft.id, restock=False)
    booked(49_500)
    with writing() as session:
        typed = {note.lines[0].id: Typed("1", "whole")}
        goods_returns.receive(session, FINANCE, note.id, secrets.token_hex(16), place.id, typed, "")
    booked(21_000)
    with writing() as session:
        replacement.replace(session, FINANCE, secrets.token_hex(16), note.id, [Out(cap.id, 1_000, 49_900)], place.id)
    booked(-9_900)
    with writing() as session:
        stock.adjust(session, CLERK, cap.id, place.id, -1_000, "trasig")
    booked(-9_900)
    with writing() as session:
        rows = [Arrival(cap.number, 2_000, ""), Arrival(shirt.number, 1_000, "")]
        goods_in.take_in_once(session, CLERK, secrets.token_hex(16), place.id, "FS 1", rows)
    booked(2 * 9_900 + 21_000)
    with writing() as session:
        costs.change(session, CLERK, cap.id, 10_000, "dyrare", 9_900)
    booked(5 * 100)
    with writing() as session:
        costs.change(session, CLERK, cap.id, 9_000, "billigare", 10_000)
    booked(5 * -1_000)
    with writing() as session:
        stocktake = stocktakes.start(session, CLERK, secrets.token_hex(16), place.id)
        stocktakes.count(session, CLERK, secrets.token_hex(16), stocktake, shirt.number, 12_000)
    with reading() as session:
        shown = stocktake_report.report(session, stocktake_report.get(session, stocktake))
        held = stock.balance(session, shirt.id)
    with writing() as session:
        stocktakes.book(session, CLERK, secrets.token_hex(16), stocktake, shown.seen)
    booked((12_000 - held) // 1_000 * 21_000)


def test_who_moves_stock_sees_to_its_booking() -> None:
    """S4: a module that comes to move stock and forgets it is found here, whether its tests have booking on or not."""
    moving = re.compile(r"\bstock\.move\(|insert\(StockMovement\)")
    movers = [path for path in SERVICES.glob("*.py") if moving.search(path.read_text(encoding="utf-8"))]
    forgot = [
        path.name for path in movers if not re.search(r"\b(follow|booked_back)\(", path.read_text(encoding="utf-8"))
    ]
    assert len(movers) >= 6 and forgot == []


def test_where_it_is_off_nothing_is_booked(books: Any, klarna: Any, sandbox: Any) -> None:
    a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", pieces=2)])
    with writing() as session:
        article = session.scalars(sa.select(Article)).one()
        costs.change(session, CLERK, article.id, 10_000, "ny lista", article.cost_minor)
    assert vouchers() == []


MOVES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4_999, 9_999).filter(bool), st.none() | st.integers(0, 99_999)),
    max_size=12,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(MOVES)
def test_the_account_says_what_the_stock_is_worth_whatever_the_fractions(
    books: Any, moves: list[tuple[int, int, int | None]]
) -> None:
    """S4: thousandths of a unit, costs that do not divide, and balances below zero: never an öre apart."""
    with writing() as session:
        place = builders.the_warehouse(session).id
        articles = [
            an_article(session, stock_milli=1_234, cost_minor=cost, may_go_negative=True).id for cost in (333, 10_001)
        ]
        if stock_booking.is_on(session):
            stock_booking.end(session, FINANCE)
    begin(17)
    for which, milli, cost in moves:
        with writing() as session:
            stock.adjust(session, CLERK, articles[which], place, milli, "prov")
            article = session.get_one(Article, articles[which])
            if cost is not None and cost != article.cost_minor:
                costs.change(session, CLERK, article.id, cost, "prov", article.cost_minor)
    assert s4().state is CheckState.OK


def test_it_does_not_begin_on_an_account_that_will_be_another(books: Any, admin: Actor) -> None:
    tomorrow = clock.today() + timedelta(days=1)
    with writing() as session:
        company_settings.change(session, admin, "account.stock", "1580", tomorrow)
    with pytest.raises(Refusal, match="Another stock account"):
        begin()
    with writing() as session:
        company_settings.change(session, admin, "account.stock", "1460", tomorrow)
    assert begin() == 0


def test_the_account_stays_while_stock_is_booked_on_it(books: Any, admin: Actor) -> None:
    begin()
    with pytest.raises(BadInput, match="End that first"), writing() as session:
        company_settings.change(session, admin, "account.stock", "1580", clock.today())


@pytest.mark.parametrize(
    ("account", "as_it_is", "sentence"),
    [
        (1460, {"active": False}, "closed"),
        (4960, {"active": False}, "closed"),
        (1460, {"receivable": True}, "wrong kind"),
        (1460, {"payment_account": True}, "nothing else"),
    ],
)
def test_it_does_not_begin_on_an_account_that_cannot_be_booked_on(
    books: Any, account: int, as_it_is: dict[str, bool], sentence: str
) -> None:
    """S4: books from before stock had accounts. Also where nothing is to be booked the first day."""
    with writing() as session:
        session.execute(sa.update(Account).where(Account.number == account).values(**as_it_is))
    with pytest.raises(Refusal, match=sentence) as no:
        begin()
    assert no.value.link == ("settings.group", {"group": "accounts"})
    with reading() as session:
        assert not stock_booking.is_on(session)


def test_klarna_is_not_asked_for_a_refund_whose_goods_could_not_be_booked(
    invoice: Document, klarna: Any, sandbox: Any
) -> None:
    """T1, E4c: what could not be recorded afterwards is not begun. Seen red without the question: refunded, and not issued."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        credit_drafts.set_options(
            session, FINANCE, draft.id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
        amount = credit_drafts.figures(session, draft).gross_minor
        session.execute(sa.update(Account).where(Account.number == 4960).values(active=False))
    with pytest.raises(Refusal, match="4960"):
        reservations.credit(klarna, FINANCE, draft.id, a_money_form(amount))
    assert sandbox.posts(operation="create_refund") == []
    assert builders.the_document(draft.id).state is DocState.DRAFT
    with writing() as session:
        session.execute(sa.update(Account).where(Account.number == 4960).values(active=True))
    reservations.credit(klarna, FINANCE, draft.id, a_money_form(amount))
    assert builders.the_document(draft.id).state is DocState.ISSUED and s4().state is CheckState.OK


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize("what", ["movement", "cost"])
def test_it_begins_behind_what_moves_just_then(books: Flask, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: who reads that it is off and moves stock is waited for. Without the lock that movement is never booked."""
    with writing() as session:
        article, place = (
            an_article(session, stock_milli=1_000, cost_minor=10_000).id,
            builders.the_warehouse(session).id,
        )

    def change(session: Any) -> None:
        if what == "movement":
            stock.adjust(session, CLERK, article, place, 1_000, "just då")
        else:
            costs.change(session, CLERK, article, 20_000, "just då", 10_000)

    def starts(session: Any) -> None:
        stock_booking.begin(session, FINANCE, secrets.token_hex(16), 0, 10_000)

    assert isinstance(while_open(books, change, starts), Stale), "it did not wait"
    monkeypatch.setattr(stock_booking, "_hold_still", lambda _session: None)
    with writing() as session:
        shown = stock_booking.value(session)
    what = "movement"

    def unheld(session: Any) -> None:
        stock_booking.begin(session, FINANCE, secrets.token_hex(16), 0, shown)

    assert while_open(books, change, unheld) is None
    assert s4().state is CheckState.FAILED, "the lock guards nothing"
    with writing() as session:
        stock_booking.end(session, FINANCE)


@pytest.mark.only_on("postgres")
def test_it_begins_behind_who_chooses_another_account_just_then(books: Flask, admin: Actor) -> None:
    """S4: booked on one account and held against another otherwise, and no way out that is not refused."""

    def chooses(session: Any) -> None:
        company_settings.change(session, admin, "account.stock", "1580", clock.today())

    def starts(session: Any) -> None:
        stock_booking.begin(session, FINANCE, secrets.token_hex(16), 0, stock_booking.value(session))

    with writing() as session:
        an_article(session, stock_milli=1_000, cost_minor=10_000)
    assert while_open(books, chooses, starts) is None
    with reading() as session:
        assert stock_booking.standing(session).account == 1580
    assert vouchers()[0][1] == {1580: 10_000, 4960: -10_000}
    with writing() as session:
        stock_booking.end(session, FINANCE)

    def back(session: Any) -> None:
        company_settings.change(session, admin, "account.stock", "1460", clock.today())

    refused = while_open(books, starts, back)
    assert isinstance(refused, BadInput) and "End that first" in str(refused)
