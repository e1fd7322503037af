"""«E-posta» on invoices and credit notes, and the settings of the mail server with a letter to try them (F18, F19)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from models import Document, MailSecret, Outbox
from services import audit, mail_settings, outbox, postman, settings
from services.mail import PLAIN, STARTTLS
from services.mail_settings import Facts
from states import DocType
from tests.builders import CLERK, a_captured_invoice, a_delivery, an_invoice, an_order
from tests.conftest import CREDENTIALS_KEY
from tests.post_office import LOGIN, PASSWORD, PostOffice, certificate
from tests.web_client import WebClient


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with PostOffice() as running:
        yield running


@pytest.fixture
def set_up(app: Flask, office: PostOffice, admin) -> PostOffice:
    with writing() as session:
        facts = Facts("127.0.0.1", office.port, PLAIN, "", "order@example.com", "Provbolaget AB")
        mail_settings.save(session, admin, CREDENTIALS_KEY, facts, "")
    return office


@pytest.fixture
def invoice(app: Flask, klarna) -> Document:
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
    return an_invoice(klarna, order, kind=DocType.DELIVERY)


def test_an_invoice_is_mailed_to_the_address_in_the_field_and_the_page_says_when_and_to_whom(
    app: Flask, client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    page = client.log_in("clerk").get(f"/invoices/{invoice.id}")
    assert page.find("#mail input#to")["value"] == "kund1@example.com"
    assert page.has("a[href=#mail]")
    page = client.submit(f"/documents/{invoice.id}/mail", to="annan@example.com")
    assert "Brevet är på väg ut." in page.text
    assert "Väntar på att skickas" in page.find("#mail").text
    again = client.page
    assert postman.run(app.extensions["postman"]) == 1
    page = client.get(f"/invoices/{invoice.id}")
    assert "Skickat" in page.find("#mail").text
    assert "annan@example.com" in page.find("#mail").text
    assert again is not None
    viewer = WebClient(app).log_in("viewer").get(f"/invoices/{invoice.id}")
    assert "annan@example.com" not in viewer.text
    assert "Adressen är dold för din roll." in viewer.text
    assert not viewer.has("#mail form")


def test_the_same_form_twice_is_one_mail(app: Flask, client: WebClient, set_up: PostOffice, invoice: Document) -> None:
    page = client.log_in("clerk").get(f"/invoices/{invoice.id}")
    for _ in range(2):
        client.submit(f"/documents/{invoice.id}/mail", page=page, to="a@example.com")
        postman.run(app.extensions["postman"])
    assert len(set_up.letters) == 1


def test_a_wrong_address_is_said_beside_its_field_and_what_was_typed_stays(
    client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    """Catalogue 45, 93."""
    shown = client.log_in("clerk").get(f"/invoices/{invoice.id}")
    for wrong in ("", "kund", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com"):
        page = client.submit(f"/documents/{invoice.id}/mail", page=shown, to=wrong)
        assert page.status == 422, wrong
        assert page.find("#to").get("aria-invalid") == "true"
        if wrong == "kund":
            assert page.find("#to")["value"] == "kund"
    with reading() as session:
        assert outbox.due(session) == []


def test_without_a_mail_server_the_button_is_off_and_says_who_sets_one_up(client: WebClient, invoice: Document) -> None:
    page = client.log_in("clerk").get(f"/invoices/{invoice.id}")
    assert "Ingen e-postserver är upplagd." in page.find("#mail").text
    assert not page.has("#mail form")


def test_klarnas_invoice_says_that_ours_is_not_to_be_paid(
    client: WebClient, set_up: PostOffice, klarna, sandbox
) -> None:
    """F19."""
    sold = a_captured_invoice(klarna, sandbox)
    page = client.log_in("clerk").get(f"/invoices/{sold.id}")
    assert "På vårt står att det inte ska betalas till oss." in page.find("#mail").text


def test_a_mail_that_was_refused_is_on_the_start_page_and_decided_on_the_document(
    app: Flask, client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    """X6."""
    set_up.refuse["a@example.com"] = "550 5.1.1 <a@example.com> no such mailbox"
    client.log_in("clerk").get(f"/invoices/{invoice.id}")
    client.submit(f"/documents/{invoice.id}/mail", to="a@example.com")
    postman.run(app.extensions["postman"])
    start = client.get("/")
    assert "E-post som inte kunde skickas" in start.text
    page = client.get(f"/invoices/{invoice.id}")
    assert "550 5.1.1 <a@example.com> no such mailbox" in page.find("#mail").text
    page = client.submit("/mails/1/retry")
    assert "Brevet skickas på nytt." in page.text
    postman.run(app.extensions["postman"])
    client.get(f"/invoices/{invoice.id}")
    page = client.submit("/mails/1/drop")
    assert "Brevet skickas inte." in page.text
    assert "Skickades aldrig" in page.find("#mail").text
    assert client.post("/mails/1/drop").status == 409
    assert client.post("/mails/99999/retry").status == 404


def test_what_went_wrong_is_said_in_the_readers_language_and_a_servers_words_stay_as_they_are(
    app: Flask, client: WebClient, set_up: PostOffice, invoice: Document, admin
) -> None:
    """X6: on the page, in the list and in its file; one try is told of in the singular."""
    client.log_in("clerk", language="sv").get(f"/invoices/{invoice.id}")
    client.submit(f"/documents/{invoice.id}/mail", to="a@example.com")
    with writing() as session:
        settings.change(session, admin, "mail.host", "", clock.today())
    postman.run(app.extensions["postman"])
    shown = client.get(f"/invoices/{invoice.id}").find("#mail").text
    assert "Ingen e-postserver är upplagd." in shown and "No mail server" not in shown
    assert "Försökt 1 gång, igen" in shown
    with writing() as session:
        settings.change(session, admin, "mail.host", "127.0.0.1", clock.today())
        outbox.wake_all(session)
    set_up.refuse["a@example.com"] = "550 5.1.1 no such mailbox"
    postman.run(app.extensions["postman"])
    said = "E-postservern tog inte emot brevet. Den sade: 550 5.1.1 no such mailbox"
    assert said in client.get(f"/invoices/{invoice.id}").find("#mail").text
    assert said in client.get("/mails").text
    assert said in client.get("/mails?format=csv").text
    with writing() as session:
        session.get_one(Outbox, 1).last_error = mail_settings.NOT_SET_UP
    assert "Ingen e-postserver är upplagd." in client.get("/mails").find("tbody").text, "kept by an earlier version"
    english = WebClient(app).log_in("clerk", language="en").get(f"/invoices/{invoice.id}").find("#mail").text
    assert "No mail server has been set up." in english and "Ingen" not in english


def test_who_may_set_up_a_mail_server_is_led_to_the_setting(app: Flask, client: WebClient, invoice: Document) -> None:
    """F18, B31."""
    for role, led in (("admin", True), ("clerk", False)):
        page = WebClient(app).log_in(role).get(f"/invoices/{invoice.id}")
        assert page.has("#mail a[href=/settings/mail]") is led, role
        assert "Ingen e-postserver är upplagd." in page.find("#mail").text, role
    assert client.log_in("admin").get("/mails").has("main a[href=/settings/mail]")


# --- The settings --------------------------------------------------------------------------------------------------------------


def fields(office: PostOffice, **more: object) -> dict[str, object]:
    plain = {"host": "127.0.0.1", "port": str(office.port), "security": PLAIN, "username": "", "password": ""}
    return {**plain, "sender": "order@example.com", "sender_name": "Provbolaget AB", **more}


def test_a_test_letter_goes_through_the_server_that_was_typed(client: WebClient, office: PostOffice) -> None:
    page = client.log_in("admin").get("/settings/mail")
    assert "Ingen e-postserver är upplagd än." in page.text
    assert page.find("#sender")["value"] == "order@example.com", "the company's own, until another is typed"
    page = client.submit("#server", **fields(office))
    assert "E-postservern är sparad." in page.text
    page = client.submit("#try", **{"try-to": "admin@example.com"})
    assert "E-postservern har tagit emot brevet till admin@example.com." in page.text
    assert office.letters[0]["Subject"] == "Provbrev från Kvitta"
    office.refuse["admin@example.com"] = "550 5.7.1 not for us"
    page = client.submit("#try", **{"try-to": "admin@example.com"})
    assert page.status == 409
    assert "E-postservern tog inte emot brevet. Den sade: 550 5.7.1 not for us" in page.text


def test_a_server_that_is_down_is_told_in_words(client: WebClient, office: PostOffice) -> None:
    client.log_in("admin").get("/settings/mail")
    client.submit("#server", **fields(office, port="1"))
    page = client.submit("#try", **{"try-to": "admin@example.com"})
    assert page.status == 409
    assert "E-postservern går inte att nå: ConnectionRefusedError" in page.text


WRONG = (
    ({"host": "smtp server"}, "host"),
    ({"host": "-x"}, "host"),
    ({"port": "0"}, "port"),
    ({"port": "65536"}, "port"),
    ({"security": "ssl3"}, "security"),
    ({"sender": "a@b.se, c@d.se"}, "sender"),
    ({"sender_name": "x\r\nBcc: y"}, "sender_name"),
    ({"host": "smtp.example.com", "username": "u", "password": "p"}, "security"),
    ({"username": "u"}, "password"),
    ({"username": "u", "password": "lösen"}, "password"),
    ({"username": "ü", "password": "p"}, "username"),
)


def test_a_setting_that_cannot_be_is_refused_beside_its_field(client: WebClient, office: PostOffice) -> None:
    shown = client.log_in("admin").get("/settings/mail")
    for changed, field in WRONG:
        page = client.submit("#server", page=shown, **fields(office, **changed))
        assert page.status == 422, changed
        assert page.find(f"#{field}").get("aria-invalid") == "true", changed
    with reading() as session:
        assert settings.value(session, "mail.host") == ""


def test_the_password_is_encrypted_never_shown_and_bound_to_its_server(
    client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Security 53, catalogue 66: left blank it stays; another server or name wants it typed again."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate()))
    with PostOffice(STARTTLS, login=True) as office:
        given = fields(office, security=STARTTLS, username=LOGIN)
        client.log_in("admin").get("/settings/mail")
        page = client.submit("#server", **{**given, "password": PASSWORD})
        assert "E-postservern är sparad." in page.text
        assert PASSWORD not in page.html
        page = client.submit("#server", **{**given, "sender_name": "Andra namnet"})
        assert "E-postservern är sparad." in page.text
        page = client.submit("#try", **{"try-to": "admin@example.com"})
        assert "har tagit emot brevet" in page.text
        assert office.letters[0]["From"].addresses[0].display_name == "Andra namnet"
        client.get("/settings/mail")
        page = client.submit("#server", **{**given, "host": "localhost"})
        assert page.status == 422
        assert page.find("#password").get("aria-invalid") == "true"
    with reading() as session:
        kept = session.get_one(MailSecret, 1)
        assert PASSWORD.encode() not in bytes(kept.sealed)
        assert PASSWORD not in repr(audit.listing(session))
        assert mail_settings.server(session, CREDENTIALS_KEY).password == PASSWORD
        other = bytes(32)
        with pytest.raises(mail_settings.Refusal, match="encrypted with another key"):
            mail_settings.server(session, other)


def test_the_button_that_mails_is_not_printed_with_the_page(invoice: Document, client: WebClient) -> None:
    """Screens, "Look": the page of an invoice is printed without what only a screen can do."""
    page = client.log_in("clerk").get(f"/invoices/{invoice.id}")
    assert page.has("#mail.no-print") and page.has("#mail div.no-print button")


# --- The list of what could not be sent ------------------------------------------------------------------------------------


def give_up(document: Document, count: int) -> None:
    """So many mails of a document that the mail server would not have."""
    with writing() as session:
        for n in range(count):
            outbox.queue_mail(session, CLERK, session.get_one(Document, document.id), f"kund{n:03}@example.com")
        for row in session.scalars(sa.select(Outbox)):
            row.gave_up_at, row.next_run_at, row.last_error = clock.now(), None, f"550 no {row.id}"


def test_the_start_page_leads_to_every_mail_that_could_not_be_sent(
    client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    """X6, screens: five oldest rows and a link; the sixth is reached, by pages, and all of them are in the file."""
    give_up(invoice, 53)
    start = client.log_in("clerk", language="sv").get("/")
    link = start.find("#mails a.button")["href"]
    assert link == "/mails"
    page = client.get(link)
    assert len(page.all("tbody tr")) == 50
    first = page.all("tbody tr")[0]
    assert all(
        part in first.text
        for part in (str(invoice.number_text), "kund000@example.com", "550 no 1", "Kunde inte skickas")
    )
    rest = client.get(page.find("a[rel=next]")["href"])
    assert [row.all("td")[1].text for row in rest.all("tbody tr")] == [
        "kund050@example.com",
        "kund051@example.com",
        "kund052@example.com",
    ]
    file = client.get("/mails?as=csv").body.decode("utf-8-sig")
    assert file.count("@example.com") == 53 and "550 no 53" in file


def test_a_mail_is_sent_again_or_let_be_from_the_list_and_the_person_stays_there(
    app: Flask, client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    give_up(invoice, 2)
    page = client.log_in("clerk", language="sv").get("/mails")
    page = client.submit("/mails/1/retry", page=page)
    assert page.has("h1") and page.find("h1").text == "E-post som inte kunde skickas"
    assert "Brevet skickas p\u00e5 nytt." in page.text and len(page.all("tbody tr")) == 1
    page = client.submit("/mails/2/drop", page=page)
    assert "Brevet skickas inte." in page.text and "Inget v\u00e4ntar." in page.find(".empty").text
    assert postman.run(app.extensions["postman"]) == 1 and len(set_up.letters) == 1


def test_a_viewer_sees_the_list_without_addresses_and_why_the_buttons_are_off(
    client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    """B31, security: who may not see what is private sees neither the address nor the server's words, which may hold it."""
    give_up(invoice, 1)
    page = client.log_in("viewer", language="sv").get("/mails")
    assert page.find("tbody tr") and "kund000" not in page.text and "550 no" not in page.text
    assert all(button["aria-disabled"] == "true" for button in page.all("tbody button"))
    file = client.get("/mails?as=csv").body.decode("utf-8-sig")
    assert str(invoice.number_text) in file and "kund000" not in file and "550 no" not in file


def test_a_mail_that_is_on_its_way_is_not_in_the_list_until_a_day_has_gone(
    client: WebClient, set_up: PostOffice, invoice: Document
) -> None:
    with writing() as session:
        outbox.queue_mail(session, CLERK, session.get_one(Document, invoice.id), "kund@example.com")
    assert not client.log_in("clerk").get("/mails").has("tbody tr")
    with writing() as session:
        session.execute(sa.update(Outbox).values(created_at=clock.now() - timedelta(days=1, minutes=1)))
    page = client.get("/mails")
    assert "kund@example.com" in page.find("tbody tr").text and not page.has("tbody form")
