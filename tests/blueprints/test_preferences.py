"""«Mina inställningar» in the browser, and the page one lands on after logging in (B22)."""

from __future__ import annotations

import clock
from db import writing
from models import Document
from services import credit_drafts, preferences, reservations, settings
from services.preferences import Preferences
from states import DocKind, DocType
from tests.builders import FINANCE, PASSWORD, a_captured_invoice, a_delivery, a_money_form, an_invoice, an_order
from tests.web_client import WebClient


def test_the_page_has_its_labels_and_keeps_what_is_ticked(client: WebClient) -> None:
    page = client.log_in("clerk").get("/me/settings")
    assert page.text.count("Föreslå utskrift efter skapande") == 2
    assert page.text.count("Föreslå skicka e-post efter skapande") == 2
    assert "Föreslå visa resterande orderbelopp" in page.text
    page = client.submit(print_invoice="y", show_rest="y", start_page="orders.index")
    assert "Dina inställningar är sparade." in page.text
    assert page.find("#print_invoice").get("checked") is not None
    assert page.find("#mail_invoice").get("checked") is None


def test_a_page_that_is_not_in_the_list_is_refused_and_the_ticks_stay(client: WebClient) -> None:
    client.log_in("clerk").get("/me/settings")
    page = client.post("/me/settings", {"print_invoice": "y", "start_page": "login.out"})
    assert page.status == 422
    assert "Välj ett av värdena i listan." in page.text
    assert page.find("#print_invoice").get("checked") is not None


def test_one_lands_at_ones_own_start_page_unless_another_page_was_asked_for(client: WebClient) -> None:
    client.log_in("clerk").get("/me/settings")
    client.submit(start_page="stock.index")
    client.submit("/logout")
    client.get("/login")
    assert client.submit(login="clerk", password=PASSWORD).url.endswith("/stock")
    client.submit("/logout")
    client.get("/login?next=/orders?view=expiring")
    assert client.submit(login="clerk", password=PASSWORD).url.endswith("/orders?view=expiring")


def test_a_credit_note_one_has_just_made_is_suggested_for_printing_and_mail_unless_klarna_is_paid_for_it(
    client: WebClient, klarna, sandbox, admin
) -> None:
    """B22; F17, F18 for the one that goes through Klarna. No e-mail is suggested while there is no mail server."""
    with writing() as session:
        settings.change(session, admin, "mail.host", "smtp.example.com", clock.today())
        both = frozenset({DocKind.CREDIT_NOTE})
        preferences.save(session, FINANCE, Preferences(print_after=both, mail_after=both))
        order = an_order(session)
        a_delivery(session, order)
    ordinary = an_invoice(klarna, order, kind=DocType.DELIVERY)
    sold = a_captured_invoice(klarna, sandbox)

    def credited(invoice: Document) -> str:
        with writing() as session:
            draft = credit_drafts.start(session, FINANCE, invoice.id)
        made = reservations.credit(klarna, FINANCE, draft.id, a_money_form(invoice.gross_minor or 0))
        return f"/credit-notes/{made}"

    ours, klarnas = credited(ordinary), credited(sold)
    page = client.log_in("finance").get(ours)
    links = {each.text: each["href"] for each in page.all("a.button")}
    (printed,) = (href for text, href in links.items() if text.startswith("Skriv ut kreditfaktura"))
    assert "copy" not in printed, "the first time it is the original"
    assert any(text.startswith("E-posta kreditfaktura") for text in links)
    assert "E-posta kreditfaktura" not in client.get(klarnas).text
    assert "Skriv ut kreditfaktura" not in client.get(klarnas).text
    assert "E-posta kreditfaktura" not in client.log_in("clerk").get(ours).text, "somebody else's"
    with writing() as session:
        settings.change(session, admin, "mail.host", "", clock.today())
    page = client.log_in("finance").get(ours)
    assert "Skriv ut kreditfaktura" in page.text and "E-posta kreditfaktura" not in page.text


def test_what_the_keyboard_does_has_a_name_of_its_own(client: WebClient) -> None:
    """One word for one thing: «Nycklar» are what programs log in with."""
    page = client.log_in("clerk").get("/")
    assert "Kortkommandon" in page.find("#keys").text and "Kortkommandon" in page.find("[data-open-keys]").text
    assert "Nycklar" not in page.text
