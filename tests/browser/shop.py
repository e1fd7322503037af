"""Something of every kind to look at, for tests that walk the pages, and which pages there are."""

from __future__ import annotations

import secrets
from datetime import timedelta
from importlib import import_module
from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

import clock
from app import ROOMS, ShortNumber
from db import reading, writing
from models import Document, Order, Payout, PayoutRow, RowMatch
from rights import RIGHTS
from services import (
    batches,
    breaks,
    credit_drafts,
    free_credits,
    manual_vouchers,
    order_uploads,
    reservations,
    settlements,
    stocktakes,
    users,
)
from services.batches import Chosen
from states import DocType, Role
from tests.browser.conftest import House
from tests.builders import (
    CLERK,
    FINANCE,
    FREIGHT,
    a_captured_invoice,
    a_delivery,
    a_money_form,
    actor,
    an_article,
    an_invoice,
    an_order,
    row,
    the_warehouse,
)
from tests.route_rights import ROUTES
from tests.services.settlement_parts import a_refund
from tests.services.test_order_file import FILE

FILES = (".csv", "/file", "/pdf")
"""Addresses that give a file, not a page."""
NO_PAGES = {
    "invoices.change": "answers with a refusal, always",
    "klarna_orders.decide": "needs an act that nobody can prove; drawn in tests/blueprints/test_klarna_orders.py",
    "operations.panel": "a part of a document's page",
    "credit_rows.find": "a part of a draft's page",
    "offsets.after": "a part of a pair's page",
    "settlement_files.coming": "a part of the list of readings",
    "start.health": "not for people",
    "login.set_up": "only while nobody has an account; drawn in tests/journeys/test_first_start.py",
    "login.choose": "before one has logged in: walked by itself",
    "login.form": "before one has logged in: walked by itself",
}
"""GET addresses that no walk opens, with the reason."""


class Shop:
    """Orders, documents, differences, files and batches, one of each."""

    def __init__(self, house: House) -> None:
        jacket = [row("Vinterjacka med huva och dragkedja", 1_399_00, pieces=2), row("Frakt", 38_00, kind=FREIGHT)]
        with house.writing() as session:
            self.order: Order = an_order(session, house.sandbox, lines=jacket)
            a_delivery(session, self.order, {self.order.lines[0].id: 1000}, tracking_number="123SE", carrier="PostNord")
            self.held = an_order(session, house.sandbox)
            self.elsewhere = an_order(session, house.sandbox)
            self.ended = an_order(session, house.sandbox)
            self.longer = an_order(session, house.sandbox, expires_at=clock.now() + timedelta(days=9))
            self.by_hand = an_order(session, lines=[row("Mössa", 199_00)])
            a_delivery(session, self.by_hand)
            packed = an_order(session, house.sandbox)
            nonce, chosen = secrets.token_hex(16), [Chosen(packed.id, packed.version, 0, None)]
            self.batch_id = batches.start(session, CLERK, nonce, batches.DELIVER, chosen, the_warehouse(session).id)
            self.file_id = order_uploads.keep_file(session, CLERK, FILE.encode(), "order.csv")
            place = the_warehouse(session).id
            self.stocktake_id = stocktakes.start(session, CLERK, secrets.token_hex(16), place, "Årsskiftet")
            cap = an_article(session, "Keps med broderat märke", stock_milli=7_000)
            stocktakes.count(session, CLERK, secrets.token_hex(16), self.stocktake_id, cap.number, 5_500)
            newcomer = users.create(session, actor(Role.ADMIN), login="ny", name="Ny Person", roles=[Role.CLERK])
            self.newcomer_id = newcomer.id
            rows = (manual_vouchers.Row(6570, 1_250_00, None), manual_vouchers.Row(1930, None, 1_250_00))
            charge = manual_vouchers.Written(clock.today(), "Bankavgift", rows)
            self.voucher_id = manual_vouchers.write_once(session, FINANCE, secrets.token_hex(16), charge)
        with house.context():
            self.paid = self._invoice(house)
            self.note = a_refund(house.klarna, self._invoice(house))
            foreign = {"purchase_currency": "EUR", "captures": [{"captured_amount": 300_00}]}
            house.sandbox.order(mid=house.sandbox.merchants()[0]["mid"], order_amount=300_00, **foreign)
            house.sandbox.pay_out()
            settlements.fetch_all(house.klarna)
            with reading() as session:
                self.foreign_id = session.scalar(sa.select(Payout.id).where(Payout.currency == "EUR"))
                rows = sa.select(PayoutRow.payout_id).join(RowMatch, RowMatch.row_id == PayoutRow.id)
                self.payout_id = session.scalar(rows.where(RowMatch.document_id == self.paid.id).limit(1))
            self.invoice = self._invoice(house)
            self.ordinary = an_invoice(house.klarna, self.by_hand)
            self.credited = self._invoice(house)
            a_refund(house.klarna, self.credited)
            with writing() as session:
                self.draft_id = credit_drafts.start(session, CLERK, self.invoice.id).id
                self.free_id = free_credits.start(session, CLERK, self.order.customer_id).id
            self.refused = self._refused(house)
            house.sandbox.fraud(self.held.klarna_order_id or "", "STOPPED")
            reservations.look_at(house.klarna, self.held.id)
            house.sandbox.portal_capture(self.elsewhere.klarna_order_id or "", 199_00)
            reservations.look_at(house.klarna, self.elsewhere.id)
            house.sandbox.portal_cancel(self.ended.klarna_order_id or "")
            house.sandbox.portal_extend(self.longer.klarna_order_id or "")
            for each in (self.ended, self.longer):
                reservations.look_at(house.klarna, each.id)
            with reading() as session:
                self.captured_id = breaks.open_of(session, self.elsewhere.id)[-1].id
                self.cancelled_id = breaks.open_of(session, self.ended.id)[-1].id
                self.extended_id = breaks.open_of(session, self.longer.id)[-1].id

    def _invoice(self, house: House) -> Document:
        return a_captured_invoice(house.klarna, house.sandbox, lines=[row("T-shirt", 499_00, pieces=2)])

    def _refused(self, house: House) -> int:
        with writing() as session:
            order = an_order(session, house.sandbox)
            a_delivery(session, order)
        house.sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
        return reservations.invoice(house.klarna, CLERK, order.id, DocType.DELIVERY, a_money_form(499_00))

    def addresses(self, role: str) -> list[str]:
        """Where a walk begins: what no link leads to, and pages whose kind has more than one face."""
        order, invoice = self.order.id, self.invoice.id
        starts = [
            "/",
            *[f"/orders/{each.id}" for each in (self.order, self.held, self.elsewhere, self.by_hand)],
            *[f"/invoices/{each}" for each in (invoice, self.refused, self.ordinary.id)],
            *[f"/credit-notes/{each}" for each in (self.draft_id, self.note.id)],
            f"/credit-notes/{self.note.id}/print",
            "/invoices?view=all",
            f"/orders/{order}/invoice?type=advance",
            f"/orders/{order}/invoice",
            f"/batches/new?selected={order}&selected={self.held.id}",
            f"/batches/{self.batch_id}",
            f"/orders/files/{self.file_id}",
            f"/orders/{self.held.id}/cancel",
            f"/orders/{order}/release",
            f"/orders/{self.held.id}/remove",
            f"/orders/{self.held.id}/rows",
            f"/orders/{self.by_hand.id}/reservation",
            f"/documents/{invoice}/due-date",
            f"/documents/{self.ordinary.id}/payments",
            f"/documents/{self.ordinary.id}/surplus",
            f"/documents/mail?ids={self.ordinary.id},{self.refused}",
            "/mails",
            *[f"/settlements/{each}" for each in (self.payout_id, self.foreign_id)],
            f"/offsets?q={self.credited.number_text}",
            f"/orders/{self.held.id}/lift",
            f"/differences/{self.cancelled_id}/note",
            f"/differences/{self.captured_id}/adopt",
            f"/differences/{self.extended_id}/ignore",
            f"/credit-notes/{self.note.id}/replacement",
            f"/free-credits/{self.free_id}",
            f"/print?what=confirmations&ids={order},{self.held.id}",
            f"/stock/stocktakes/{self.stocktake_id}",
            f"/stock/stocktakes/{self.stocktake_id}/report",
            f"/stock/stocktakes/{self.stocktake_id}/report?as=print",
            f"/books/vouchers/{self.voucher_id}/reverse",
            "/orders/incoming",
            "/search",
            "/search?q=Testperson",
            "/confirm",
        ]
        may = endpoints(role)
        return [address for address in starts if endpoint(urlsplit(address).path) in may]


def endpoints(role: str) -> set[str]:
    """Every page a role may open."""
    rights = RIGHTS[Role(role)]
    return {
        rule.endpoint
        for rule in ADDRESSES.map.iter_rules()
        if "GET" in (rule.methods or ()) and ROUTES.get(rule.endpoint) in rights
        and not rule.rule.endswith(FILES) and rule.endpoint not in NO_PAGES
    }  # fmt: skip


def endpoint(path: str) -> str:
    """The page an address belongs to; nothing for one that is not there."""
    try:
        return str(ADDRESSES.match(path, method="GET")[0])
    except HTTPException:
        return ""


def _addresses() -> MapAdapter:
    bare = Flask("addresses")
    bare.url_map.converters["int"] = ShortNumber
    for name in ROOMS:
        bare.register_blueprint(import_module(f"blueprints.{name}").blueprint)
    return bare.url_map.bind("")


ADDRESSES = _addresses()
