"""A real installation begins: from an empty migrated database, through pages only, to a first invoice paid by Klarna."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading
from klarna_sandbox.control import Control
from models import Document, Installation
from services import set_up, users
from states import DocState
from tests import builders
from tests.conftest import SECRET_KEY
from tests.web_client import Page, WebClient

PASSWORD = "grön låda över bron"
FORM = "main form.form"
STEPS = ["Företag", "Bokföring", "Betalsätt", "Klarnakonton", "Användare", "Lager"]


def left(page: Page) -> list[str]:
    """The steps of the checklist that are missing yet."""
    if not page.has("#steps-h"):
        return []
    rows = [row for row in page.all("section.important tbody tr") if "Saknas" in row.text]
    return [row.find("a").text for row in rows]


def logged_in(app: Flask, login: str) -> WebClient:
    client = WebClient(app)
    client.get("/login")
    client.submit(FORM, login=login, password=PASSWORD)
    return client


@pytest.mark.bare_database
def test_an_empty_installation_comes_to_its_first_invoice_through_its_pages(app: Flask, sandbox: Control) -> None:
    """B15, B32, B36: every step is on the checklist, each link leads to where it is done, and the list ends."""
    sandbox.merchant("K123456", "K123456_user", "hemligt")
    with reading() as session:
        token = users.set_up_token(session, SECRET_KEY)
    client = WebClient(app)
    client.get(f"/set-up/{token}")
    client.submit(FORM, name="Anna Admin", login="anna", password=PASSWORD)
    admin = logged_in(app, "anna")

    page = admin.get("/")
    assert left(page) == STEPS, "the start page says what is missing"
    links = {row.find("a").text: row.find("a")["href"] for row in page.all("section.important tbody tr")}

    admin.get(links["Företag"])
    admin.submit(
        FORM, name="Nya Butiken AB", organisation_number="556737-0431", vat_number="SE556737043101",
        street="Storgatan 1", postal_code="11122", city="Stockholm", registered_office="Stockholm", f_tax=True,
    )  # fmt: skip
    admin.get(links["Bokföring"])
    admin.submit("form[action$=open]")
    admin.get(links["Betalsätt"])
    admin.submit(FORM, kind="klarna", name_sv="Klarna", document_name_sv="Klarna Faktura")
    admin.get(links["Klarnakonton"])
    page = admin.submit(
        FORM, name="Butiken", store_id="K123456", environment="sandbox", address=sandbox.url,
        username="K123456_user", password="hemligt",
    )  # fmt: skip
    assert "Klarna godtar inloggningsuppgifterna." in page.text
    assert left(admin.get("/")) == STEPS[4:]

    admin.get(links["Användare"])
    page = admin.submit(FORM, name="Fia Finans", login="fia", role=["finance"])
    invitation = page.find(".copyable code").text.removeprefix("http://localhost")
    guest = WebClient(app)
    guest.get(invitation)
    guest.submit(FORM, password=PASSWORD)
    finance = logged_in(app, "fia")
    assert not finance.get("/").has("#steps-h"), "the list is for whoever can do it"
    finance.get("/register/warehouses/new")
    finance.submit(FORM, code="HL", name="Huvudlagret")
    assert left(admin.get("/")) == [] and left(admin.get("/settings")) == []

    finance.get("/register/articles/new")
    finance.submit(FORM, number="T1", name="T-tröja", price="499,00", vat_class="standard", stock_kept=True)
    finance.get("/stock/articles/1")
    finance.submit("#adjust", direction="in", quantity="10", reason="Ingående lager")
    bought = sandbox.order(
        mid="K123456", order_lines=[builders.klarna_line(builders.row("T-tröja"), "T1")], merchant_reference1="S-1"
    )
    finance.get("/orders/from-klarna")
    finance.submit(FORM, klarna_order_id=bought, press="step=look")
    page = finance.submit(FORM, press="step=take")
    order_id = int(page.url.rpartition("/")[2])
    finance.get(f"/orders/{order_id}/deliver")
    finance.submit("main form[action$=deliver]", press="then=invoice")
    page = finance.submit("main form[action$=invoice]")
    assert "aktiverad hos Klarna" in page.text

    with reading() as session:
        invoice = session.scalars(sa.select(Document)).one()
        installation = session.get_one(Installation, 1)
        assert set_up.missing(session) == []
    assert (invoice.state, invoice.gross_minor, invoice.issue_date) == (DocState.ISSUED, 49_900, clock.today())
    assert installation.environment_class == "test" and invoice.number_text == "42580"
    assert len(sandbox.writes(operation="create_capture")) == 1
    paper = finance.get(f"/invoices/{invoice.id}/print").text
    assert all(word in paper for word in ("Nya Butiken AB", "556737-0431", "Godkänd för F-skatt", "Klarna Faktura"))


@pytest.mark.bare_database
def test_the_books_are_opened_once_however_often_one_presses(app: Flask) -> None:
    with reading() as session:
        token = users.set_up_token(session, SECRET_KEY)
    client = WebClient(app)
    client.get(f"/set-up/{token}")
    client.submit(FORM, name="Anna Admin", login="anna", password=PASSWORD)
    admin = logged_in(app, "anna")
    first = admin.get("/settings/chart")
    for _press in range(2):
        assert admin.submit("form[action$=open]", page=first).status == 200
    assert not admin.get("/settings/chart").has("form[action$=open]")
    with reading() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM fiscal_year")) == 1
        assert set_up.Step.BOOKS not in set_up.missing(session)
