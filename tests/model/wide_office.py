"""What else people do about money: advances, acts on the reservation, exchanges, notes kept from Klarna made into refunds, goods
that come back later, the portal's acts adopted, credits put before Finance, payouts read.

Turns are drawn as those of ``back_office``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

import clock
from db import reading, writing
from errors import Refusal
from models import Article, Document
from rights import Actor
from services import (
    adoption,
    adoption_form,
    approvals,
    authorizations,
    breaks,
    converting,
    credit_drafts,
    credit_rows,
    decisions,
    exchange,
    goods_returns,
    invoices,
    order_amending,
    orders,
    replacement,
    reservations,
    settings,
    settlements,
    settling,
)
from services.adoption_rows import ROW, Rest, Wish
from services.authorizations import AmendForm
from services.exchange import Plan, Way
from services.invoices import Choices
from services.replacement import Out
from services.reservations import MoneyForm
from states import Condition, DocKind, DocState, DocType, LineKind, Role
from tests import builders
from tests.builders import CLERK, FINANCE
from tests.model.back_office import CODES, TURNS, WELL, BackOffice, Turn

LIMIT = "70000"
"""What a clerk may credit: one shirt, not two."""
RESERVATION_CODES = {
    "update_authorization": "UPDATE_NOT_ALLOWED",
    "release_remaining_authorization": "NOT_ALLOWED",
    "cancel": "CANCEL_NOT_ALLOWED",
    "extend_authorization_time": "NOT_ALLOWED",
}


class WideOffice(BackOffice):
    """The back office with everything that touches a credit."""

    codes = CODES | RESERVATION_CODES

    def two_orders(self) -> None:
        """As narrower offices have them; a clerk's limit that matters, and an article to exchange a cap for."""
        super().two_orders()
        with writing() as session:
            settings.change(session, builders.actor(Role.ADMIN), "refund_limit.clerk", LIMIT, clock.today())
            builders.an_article(session, "Halsduk", 19_900)
        self.paid_out = 0

    def nonce(self) -> str:
        return secrets.token_hex(16)

    # --- The order and its reservation

    def charge_in_advance(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        order_id, percent = self.an_order(at), (1000, 3000, 3333, 10_000)[n % 4]
        try:
            with reading() as session:
                order = orders.get(session, order_id)
                shown = invoices.propose(session, order, DocType.ADVANCE, percent).gross_minor
        except Refusal:
            return
        form = self.form(shown, order_id)
        chosen = Choices(percent=percent)
        self.under(
            mood, lambda: reservations.invoice(self.klarna, who, order_id, DocType.ADVANCE, form, choices=chosen)
        )

    def act_on_the_reservation(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        order_id, act = self.an_order(at), ("amend", "extend", "release", "amend", "cancel")[n % 5]
        with reading() as session:
            order = orders.get(session, order_id)
            left = order.remaining_minor or 0
            rows = order_amending.rows_of(order)
            version = order.version
        if act == "amend":
            more = 1000 if n % 2 else -1000
            rows[0] = replace(rows[0], quantity_milli=max(rows[0].quantity_milli + more, 1000))
            amended = AmendForm(self.nonce(), sum(row.gross_minor for row in rows), version=version, rows=rows)
            self.under(mood, lambda: authorizations.amend(self.klarna, who, order_id, amended))
            return
        form = MoneyForm(self.nonce(), left)
        self.under(mood, lambda: getattr(authorizations, act)(self.klarna, who, order_id, form))

    def end_an_act(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        acts = [order_id for order_id, document, _ in self.open_ops if not document]
        order_id = acts[at % len(acts)]
        if n % 4 == 0:
            self.writing(lambda session: authorizations.withdraw(session, who, order_id))
        elif n % 4 == 1:
            self.under(mood, lambda: authorizations.send_now(self.klarna, who, order_id))
        elif n % 4 == 2:
            self.under(mood, lambda: decisions.reservation_changed(self.klarna, FINANCE, order_id))
        else:
            self.under(mood, lambda: decisions.reservation_unchanged(self.klarna, FINANCE, order_id, "inget skett"))

    # --- Credits of every kind

    def credit_what_is_left(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """All of an invoice, an advance's too, with a row of one's own or return freight where that was drawn."""
        invoice = self.creditable(at)
        drafted: list[int] = []

        def work(session: Any) -> None:
            draft = credit_drafts.start(session, who, invoice.id)
            if n % 4 == 1:
                credit_rows.add_return_freight(session, who, draft.id, "49,00", "Returfrakt")
            elif n % 4 == 2:
                credit_rows.add_free(
                    session, who, draft.id, credit_rows.Typed("1", "-0,01" if n > 3 else "33,33", "Pris", "2500")
                )
            drafted.append(draft.id)

        self.writing(work)
        for key in drafted:
            form = self.form_of(key)
            self.under(mood, lambda key=key, form=form: reservations.credit(self.klarna, who, key, form))

    def exchange_a_piece(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """One or two go out: for the same price all at once, for a lower one on the note, or a draft alone for a dearer one."""
        invoice = self.creditable(at)
        drafted: list[int] = []

        def work(session: Any) -> None:
            draft = credit_drafts.start(session, who, invoice.id)
            article = session.scalars(sa.select(Article).where(Article.name == "Halsduk")).one()
            line = next((each for each in draft.lines if each.kind is LineKind.ARTICLE), None)
            if line is None:
                return
            price = (line.unit_price_minor, 10_000, 999_900)[n % 3]
            parts = (price // 3, price - price // 3) if n > 3 and price > 2 else (price,)
            out = [Out(article.id, 1000, part, place) for place, part in enumerate(parts)]
            plan = Plan({line.id: 1000}, out, draft.restock_warehouse_id)
            way = exchange.weigh(session, draft, plan).way
            if way is Way.EVEN:
                exchange.carry_out(session, who, self.nonce(), draft.id, plan)
            else:
                exchange.prepare(session, who, draft.id, plan, way=way)
                drafted.append(draft.id)

        self.writing(work)
        for key in drafted:
            form = self.form_of(key)
            self.under(mood, lambda key=key, form=form: reservations.credit(self.klarna, who, key, form))

    def replace_a_note(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        notes = self.kept_notes()

        def work(session: Any) -> None:
            note = notes[at % len(notes)]
            article = session.scalars(sa.select(Article).where(Article.name == "Halsduk")).one()
            out = [Out(article.id, 1000, note.gross_minor or 1)]
            place = builders.the_warehouse(session).id
            replacement.replace(session, who, self.nonce(), note.id, out, place)

        if notes:
            self.writing(work)

    def convert_a_note(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        notes = self.kept_notes()
        if notes:
            key, nonce = notes[at % len(notes)].id, self.nonce()
            if n % 4 == 0:
                self.writing(lambda session: converting.tie(session, FINANCE, key, nonce))
            else:
                self.under(mood, lambda: converting.convert(self.klarna, FINANCE, key, nonce))

    def kept_notes(self) -> list[Document]:
        issued = self.all(DocKind.CREDIT_NOTE, DocState.ISSUED)
        return [note for note in issued if note.issued_by_op_id is None and note.open_minor]

    def goods_come_back(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        issued = self.all(DocKind.CREDIT_NOTE, DocState.ISSUED)
        note = issued[at % len(issued)]
        condition = (Condition.WHOLE, Condition.WHOLE, Condition.DAMAGED, Condition.NEVER)[n % 4]

        def work(session: Any) -> None:
            waiting = goods_returns.goods(session, who, note.id).waiting
            typed = {
                row.id: goods_returns.Typed("1" if n > 3 else str(row.most_milli // 1000), condition.value)
                for row in waiting[:1]
            }
            goods_returns.receive(session, who, note.id, self.nonce(), None, typed, "kunden skriver")

        self.writing(work)

    def put_before_finance(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        drafts = self.all(DocKind.CREDIT_NOTE, DocState.DRAFT)
        key = drafts[at % len(drafts)].id
        act = approvals.take_back if n == 7 else approvals.ask
        self.writing(lambda session: act(session, CLERK, key))
        if n % 2:
            form = self.form_of(key)
            self.under(mood, lambda: reservations.credit(self.klarna, FINANCE, key, form))

    # --- Klarna's side

    def settle_a_difference(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        """Adopt it as it is proposed or with a row of its own, explain it, or take note of it; else it stays open."""
        for order_id in self.orders:
            self.under(WELL, lambda order_id=order_id: reservations.look_at(self.klarna, order_id))
        with reading() as session:
            found = [each for order_id in self.orders for each in breaks.open_of(session, order_id)]
            if not found:
                return
            one = found[at % len(found)]
            fitting = settling.acts_of(session, one)
            form = adoption_form.form(session, one.id, None) if one.kind in adoption.ACTS else None
        nonce = self.nonce()
        if one.kind in settling.STANDING:
            self.writing(lambda session: settling.take_note(session, FINANCE, one.id, nonce))
        elif form is not None and n % 4:
            chosen = {each.id: each.proposed_milli for each in form.rows if each.proposed_milli}
            rest = Rest(ROW, "enligt Klarna", 2500) if n % 4 > 1 else None
            refused = form.refused[0][0] if form.refused and n > 3 else None
            wish = Wish(refused, form.invoice_id, chosen, rest, restock=n == 7)
            self.under(mood, lambda: adoption.adopt(self.klarna, FINANCE, one.id, wish, nonce))
        elif breaks.EXPLAIN in fitting and n == 0:
            self.writing(lambda session: settling.explain(session, FINANCE, one.id, "", "avtalat", nonce))

    def klarna_pays_out(self, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        self.paid_out += 1
        self.sandbox.pay_out()
        self.under(WELL, lambda: settlements.fetch_all(self.klarna, FINANCE))


def _can_credit(office: BackOffice) -> bool:
    return office.is_free() and office.has(DocState.ISSUED, kinds=(DocKind.INVOICE,))


WIDE: Sequence[Turn] = (
    *TURNS,
    (2, "charge_in_advance", lambda office: office.is_free()),
    (2, "act_on_the_reservation", lambda office: office.is_free()),
    (3, "end_an_act", lambda office: any(not document for _, document, _ in office.open_ops)),
    (3, "credit_what_is_left", _can_credit),
    (3, "exchange_a_piece", _can_credit),
    (2, "replace_a_note", lambda office: office.kept > 0),
    (2, "convert_a_note", lambda office: office.kept > 0),
    (2, "goods_come_back", lambda office: office.has(DocState.ISSUED, kinds=(DocKind.CREDIT_NOTE,))),
    (2, "put_before_finance", lambda office: office.has(DocState.DRAFT)),
    (3, "settle_a_difference", lambda office: office.by_hand > 0),
    (1, "klarna_pays_out", lambda office: _can_credit(office) and office.paid_out < 3),
)
