"""Many documents e-mailed at once: what goes where, each once, from the list and from the result of a batch (F18; B23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from models import Document, Outbox
from services import batch_run, mail_settings, mailing, outbox, postman
from services.mail import PLAIN
from services.mail_settings import Facts
from states import DocType
from tests.builders import CLERK, a_customer, a_delivery, an_invoice, an_order, row
from tests.conftest import CREDENTIALS_KEY
from tests.post_office import PostOffice
from tests.threads import while_open
from tests.web_client import Page, WebClient

SEND = "form[action=/documents/mail]"


@pytest.fixture
def office(app: Flask, admin: Any) -> Iterator[PostOffice]:
    with PostOffice() as running:
        with writing() as session:
            facts = Facts("127.0.0.1", running.port, PLAIN, "", "order@example.com", "Provbolaget AB")
            mail_settings.save(session, admin, CREDENTIALS_KEY, facts, "")
        yield running


def an_ordinary_invoice(klarna: Any, email: str | None) -> Document:
    with writing() as session:
        order = an_order(session, customer=a_customer(session, email=email), lines=[row("Mugg", 10_000)])
        a_delivery(session, order)
    return an_invoice(klarna, order, kind=DocType.DELIVERY)


@pytest.fixture
def three(app: Flask, klarna: Any) -> list[Document]:
    """Two invoices to two addresses, and one that has none."""
    return [an_ordinary_invoice(klarna, email) for email in ("a@example.com", "b@example.com", None)]


def address(documents: list[Document]) -> str:
    return "/documents/mail?" + "&".join(f"selected={each.id}" for each in documents)


def queued() -> list[str]:
    with reading() as session:
        return [json.loads(each)["to"] for each in session.scalars(sa.select(Outbox.payload).order_by(Outbox.id))]


def ticked(page: Page) -> list[str]:
    return [str(each["value"]) for each in page.all("input[name=selected]") if each.get("checked") is not None]


def test_each_goes_to_its_own_address_once_and_those_without_one_say_so(
    app: Flask, client: WebClient, office: PostOffice, three: list[Document]
) -> None:
    page = client.log_in("clerk").get(address(three))
    assert ticked(page) == [str(each.id) for each in three[:2]]
    assert "a@example.com" in page.text and "Det står ingen e-postadress på den." in page.text
    assert queued() == []
    for _ in range(2):
        after = client.submit(SEND, page=page, selected=[str(each.id) for each in three[:2]])
    assert "2 brev är på väg ut." in after.text and queued() == ["a@example.com", "b@example.com"]
    assert ticked(after) == [] and after.text.count("Väntar på att skickas") == 2
    assert postman.run(app.extensions["postman"]) == 2
    assert sorted(each["To"] for each in office.letters) == ["a@example.com", "b@example.com"]
    assert client.get(address(three)).text.count("Skickat") >= 2


def test_one_that_was_sent_goes_again_only_when_it_is_ticked(
    app: Flask, client: WebClient, office: PostOffice, three: list[Document]
) -> None:
    client.log_in("clerk")
    client.submit(SEND, page=client.get(address(three)), selected=[str(three[0].id)])
    postman.run(app.extensions["postman"])
    page = client.get(address(three))
    assert ticked(page) == [str(three[1].id)]
    client.submit(SEND, page=page, selected=[str(three[0].id)])
    assert queued() == ["a@example.com", "a@example.com"]


def test_a_page_from_before_somebody_else_sent_sends_nothing(
    client: WebClient, office: PostOffice, three: list[Document]
) -> None:
    """Two who e-mail the same documents do not write to the customer twice without knowing."""
    page = client.log_in("clerk").get(address(three))
    with writing() as session:
        outbox.queue_mail(session, CLERK, session.get_one(Document, three[1].id), "b@example.com")
    stale = client.submit(SEND, page=page, selected=[str(each.id) for each in three[:2]])
    assert stale.status == 409 and f"Någon har skickat {three[1].number_text} under tiden." in stale.text
    assert queued() == ["b@example.com"]


def test_two_at_the_same_moment_write_to_each_customer_once(
    app: Flask, office: PostOffice, three: list[Document]
) -> None:
    """Whoever comes second has seen that nothing was sent, which is no longer true."""
    chosen = {each.id: "" for each in three[:2]}

    def send(nonce: str) -> Any:
        return lambda session: mailing.send(session, CLERK, nonce * 32, chosen)

    refused = while_open(app, send("1"), send("2"))
    assert "e-mailed" in str(refused) and queued() == ["a@example.com", "b@example.com"]


def test_what_cannot_be_is_said_and_nothing_is_sent(
    client: WebClient, office: PostOffice, three: list[Document]
) -> None:
    """Catalogue rows 11, 13: nothing chosen, no id, too many."""
    client.log_in("clerk")
    assert client.get("/documents/mail").status == 422
    assert client.get("/documents/mail?selected=x").status == 422
    many = ",".join(str(each) for each in range(1, mailing.MOST + 2))
    assert client.get(f"/documents/mail?ids={many}").status == 422
    page = client.get(address(three))
    none = client.submit(SEND, page=page, selected=[])
    assert none.status == 422 and "Välj först vad som ska skickas." in none.text and queued() == []
    assert client.get("/documents/mail?ids=999999").has(".empty")


def test_without_a_mail_server_the_button_says_why(client: WebClient, three: list[Document]) -> None:
    page = client.log_in("clerk").get(address(three))
    assert page.has("button[aria-disabled=true]")
    refused = client.submit(SEND, page=page, selected=[str(three[0].id)])
    assert refused.status == 409 and queued() == []


def test_who_may_not_see_addresses_does_not_see_them_here(
    client: WebClient, office: PostOffice, three: list[Document]
) -> None:
    """Security 4."""
    assert client.log_in("viewer").get(address(three)).status == 403


def test_the_result_of_a_batch_leads_to_printing_and_e_mailing_what_was_made(
    app: Flask, client: WebClient, office: PostOffice, klarna: Any
) -> None:
    """Screens, many at once: what was made is printed and sent from where it was made."""
    with writing() as session:
        orders = [
            an_order(session, customer=a_customer(session, email=f"{n}@example.com"), lines=[row(f"Tröja {n}", 10_000)])
            for n in range(2)
        ]
    client.log_in("clerk").get("/batches/new?" + "&".join(f"selected={each.id}" for each in orders))
    under_way = client.submit("form[action$=batches]")
    assert not under_way.has("a[href^=/documents/mail]")
    batch_run.run_all(klarna)
    page = client.get(under_way.url)
    printed = client.get(str(page.find("a[href^=/print]")["href"]))
    assert printed.status == 200 and printed.text.count("Tröja") >= 2
    mailed = client.get(str(page.find("a[href^=/documents/mail]")["href"]))
    assert len(ticked(mailed)) == 2 and "0@example.com" in mailed.text


def test_the_list_of_invoices_leads_there_with_what_is_ticked(client: WebClient, three: list[Document]) -> None:
    page = client.log_in("clerk").get("/invoices?view=all")
    assert page.has("#chosen button[formaction=/documents/mail]")
