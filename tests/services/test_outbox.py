"""The outbox: queued with the act it follows, sent once, tried again with pauses, and left to a person in the end (X6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import clock
from db import reading, transact, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from models import Document, Installation, Outbox, SenderLease
from rights import Actor
from services import audit, documents, invoices, mail_settings, orders, outbox, postman, verify, worklists
from services.mail import PLAIN, SAID, Letter
from services.mail_settings import Facts
from services.postman import Postman
from states import DocState, DocType
from tests.builders import a_delivery, an_invoice, an_order
from tests.conftest import CREDENTIALS_KEY
from tests.post_office import PostOffice
from tests.threads import in_threads

TO = "kund@example.com"


class Later:
    """Lets time pass."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now, self._passed = now, timedelta()

    def on(self, passed: timedelta) -> None:
        """So much later."""
        self._passed += passed

    def now(self) -> datetime:
        """What the clock says."""
        return self._now() + self._passed


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Later:
    later = Later(clock.now)
    monkeypatch.setattr(clock, "now", later.now)
    return later


class Words:
    """Whoever draws letters, for tests that are about sending them."""

    def letter(self, document_id: int, language: str, *, copy: bool) -> Letter:
        return Letter(f"{document_id} {language} {'copy' if copy else 'original'}", "Hej\n")


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with PostOffice() as running:
        yield running


@pytest.fixture
def carrier(books: Flask, office: PostOffice, admin: Actor) -> Postman:
    """A postman whose server is the office."""
    with writing() as session:
        facts = Facts("127.0.0.1", office.port, PLAIN, "", "order@example.com", "Provbolaget AB")
        mail_settings.save(session, admin, CREDENTIALS_KEY, facts, "")
    return Postman(CREDENTIALS_KEY, books.extensions["klarna"], Words())


@pytest.fixture
def invoice(books: Flask, klarna) -> Document:
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
    return an_invoice(klarna, order, kind=DocType.DELIVERY)


def ask(document: Document, actor: Actor, to: str = TO, *, again: bool = False) -> None:
    with writing() as session:
        outbox.queue_mail(session, actor, session.get_one(Document, document.id), to, again=again)


def the_mails(document: Document, actor: Actor) -> list[outbox.Mail]:
    with reading() as session:
        return list(outbox.of_document(session, actor, document.id))


def test_a_mail_is_queued_once_per_document_and_address_and_sent_once(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor
) -> None:
    for _ in range(3):
        ask(invoice, clerk)
    ask(invoice, clerk, "Kund@Example.com")
    assert postman.run(carrier) == 1
    assert postman.run(carrier) == 0
    (letter,) = office.letters
    assert letter["To"] == TO
    assert letter["Subject"] == f"{invoice.id} sv original"
    (kept,) = the_mails(invoice, clerk)
    assert (kept.state, kept.to, kept.asked_by) == ("sent", TO, clerk.name)
    assert kept.at is not None
    ask(invoice, clerk)
    assert postman.run(carrier) == 0


def test_asked_for_again_after_it_was_sent_it_goes_again_as_a_copy(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor
) -> None:
    """B23: what has been sent before is marked «Kopia»; what still waits is not queued twice."""
    ask(invoice, clerk)
    ask(invoice, clerk, again=True)
    assert postman.run(carrier) == 1
    ask(invoice, clerk, again=True)
    ask(invoice, clerk, "annan@example.com")
    assert postman.run(carrier) == 2
    subjects = [letter["Subject"].split()[-1] for letter in office.letters]
    assert subjects == ["original", "copy", "copy"]
    assert len({letter["Message-ID"] for letter in office.letters}) == 3


def test_one_form_is_one_mail(carrier: Postman, invoice: Document, clerk: Actor, viewer: Actor) -> None:
    def press(nonce: str, actor: Actor = clerk) -> None:
        with writing() as session:
            outbox.queue_by_form(session, actor, session.get_one(Document, invoice.id), TO, nonce)

    press("0" * 32)
    assert postman.run(carrier) == 1
    press("0" * 32)
    assert postman.run(carrier) == 0
    press("1" * 32)
    assert postman.run(carrier) == 1
    with pytest.raises(NotAllowed):
        press("2" * 32, viewer)


@pytest.mark.parametrize("to", ["", "kund", f"{TO}, b@example.com", f"{TO}\nBcc: b@example.com"])
def test_what_is_not_one_address_is_refused(invoice: Document, clerk: Actor, to: str) -> None:
    """Catalogue 45, 93."""
    with pytest.raises(BadInput, match="one e-mail address"):
        ask(invoice, clerk, to)
    assert the_mails(invoice, clerk) == []


def test_a_document_that_is_not_issued_is_not_mailed(books: Flask, clerk: Actor) -> None:
    """Catalogue 93."""
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
        proposal = invoices.propose(session, order, DocType.DELIVERY)
        draft = invoices.create(session, clerk, proposal)
        with pytest.raises(Refusal, match="Only an issued document can be e-mailed"):
            outbox.queue_mail(session, clerk, draft, TO)


def test_the_mail_wished_for_with_the_invoice_is_queued_in_the_transaction_that_issues_it(
    books: Flask, clerk: Actor
) -> None:
    """F18: no mail without the wish, and none without the invoice."""

    def make(to: str | None) -> int:
        def work(session) -> int:
            order = an_order(session)
            a_delivery(session, order)
            draft = invoices.create(session, clerk, invoices.propose(session, order, DocType.DELIVERY))
            draft.mail_to = to
            documents.number_and_freeze(session, draft, DocState.ISSUED, clerk)
            invoices.issue(session, clerk, draft, None, clock.now())
            orders.refresh(session, order.id)
            return draft.id

        return transact(work)

    def queued() -> list[int | None]:
        with reading() as session:
            return list(session.scalars(sa.select(Outbox.document_id)))

    make(None)
    assert queued() == []
    wished = make(TO)
    assert queued() == [wished]
    with pytest.raises(RuntimeError), writing() as session:
        outbox.follow(session, clerk, session.get_one(Document, wished))
        session.get_one(Document, wished).mail_to = "annan@example.com"
        session.flush()
        outbox.follow(session, clerk, session.get_one(Document, wished))
        raise RuntimeError
    assert queued() == [wished]


def test_an_address_that_cannot_be_stops_its_mail_and_never_the_invoice(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor
) -> None:
    with writing() as session:
        document = session.get_one(Document, invoice.id)
        document.mail_to = f"{TO}\r\nBcc: x@example.com"
        session.flush()
        outbox.follow(session, clerk, document)
    assert postman.run(carrier) == 0
    assert the_mails(invoice, clerk)[0].state == "gave_up"
    assert office.letters == []


def test_a_worker_that_dies_after_sending_sends_at_most_once_more_under_the_same_id(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor, moved: Later
) -> None:
    """Fault 50: at least once, with a stable Message-ID; nobody else sends it while the first may still be at it."""

    ask(invoice, clerk)
    with reading() as session:
        (job_id,) = outbox.due(session)
    job = transact(lambda session: outbox.take(session, job_id))
    assert job is not None
    postman._send(carrier, job)
    assert postman.run(carrier) == 0, "the first still has it"
    assert transact(lambda session: outbox.take(session, job_id)) is None
    moved.on(outbox.LEASE + timedelta(seconds=1))
    assert postman.run(carrier) == 1
    first, second = office.letters
    assert first["Message-ID"] == second["Message-ID"]
    assert postman.run(carrier) == 0


def test_a_server_that_is_down_is_tried_with_pauses_and_then_left_to_a_person(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor, viewer: Actor, moved: Later
) -> None:
    """X6: within a day it is in the work list; «Försök igen» sends it."""
    office.refuse[TO] = "450 4.3.0 try later"
    ask(invoice, clerk)
    began = clock.now()
    for tried, pause in enumerate(outbox.PAUSES, start=1):
        assert postman.run(carrier) == 0
        (kept,) = the_mails(invoice, clerk)
        assert (kept.state, kept.tries) == ("waiting", tried)
        assert kept.why is not None and (kept.why.message, kept.why.values["reason"]) == (SAID, "450 4.3.0 try later")
        moved.on(pause - timedelta(seconds=5))
        assert postman.run(carrier) == 0
        assert the_mails(invoice, clerk)[0].tries == tried, "not before the pause is over"
        moved.on(timedelta(seconds=6))
    postman.run(carrier)
    (kept,) = the_mails(invoice, clerk)
    assert kept.state == "gave_up"
    assert clock.now() - began < timedelta(days=1)
    with reading() as session:
        (waiting,) = [each for each in worklists.today(session) if each.name == "mails"]
        assert (waiting.count, waiting.items[0].document_id) == (1, invoice.id)
        assert not [one for each in verify.run(session, ["X6"]) for one in each.findings]
    with pytest.raises(NotAllowed), writing() as session:
        outbox.retry(session, viewer, kept.id)
    office.refuse.clear()
    with writing() as session:
        assert outbox.retry(session, clerk, kept.id) == invoice.id
    assert postman.run(carrier) == 1
    with pytest.raises(Refusal, match="does not wait for a decision"), writing() as session:
        outbox.drop(session, clerk, kept.id)


def test_a_refused_recipient_is_left_to_a_person_at_once_who_may_drop_it(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor
) -> None:
    office.refuse[TO] = "550 5.1.1 no such mailbox"
    ask(invoice, clerk)
    postman.run(carrier)
    (kept,) = the_mails(invoice, clerk)
    assert kept.state == "gave_up"
    assert kept.why is not None and (kept.why.message, kept.why.values["reason"]) == (SAID, "550 5.1.1 no such mailbox")
    with writing() as session:
        outbox.drop(session, clerk, kept.id)
    assert the_mails(invoice, clerk)[0].state == "dropped"
    office.refuse.clear()
    assert postman.run(carrier) == 0
    with pytest.raises(NotFound), writing() as session:
        outbox.drop(session, clerk, 999_999)


def test_one_letter_that_cannot_be_made_does_not_hold_up_the_next(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor
) -> None:
    class Broken(Words):
        def letter(self, document_id: int, language: str, *, copy: bool) -> Letter:
            if not copy:
                raise ZeroDivisionError
            return super().letter(document_id, language, copy=copy)

    ask(invoice, clerk)
    ask(invoice, clerk, "annan@example.com")
    carrier.letters = Broken()
    assert postman.run(carrier) == 1
    assert [each.state for each in the_mails(invoice, clerk)] == ["sent", "waiting"]
    assert (
        str(the_mails(invoice, clerk)[1].why) == "The letter could not be made (ZeroDivisionError). The log says more."
    )


@pytest.mark.parametrize("why", ["switched off", "another host"])
def test_a_copied_or_restored_database_mails_nobody(
    carrier: Postman, office: PostOffice, invoice: Document, clerk: Actor, moved: Later, why: str
) -> None:
    """Fault 44, operations 15: and after a day that nothing was sent is in the work list."""
    ask(invoice, clerk)
    with writing() as session:
        if why == "switched off":
            session.execute(sa.update(Installation).values(sending_enabled=False, sending_reason="restored"))
        else:
            now = clock.now()
            session.add(
                SenderLease(host_id="x", host_name="y", approved_by="z", approved_at=now, process="", until=now)
            )
    assert postman.run(carrier) == 0
    moved.on(outbox.UNTOUCHED + timedelta(minutes=1))
    with reading() as session:
        assert [one for each in verify.run(session, ["X6"]) for one in each.findings], "nobody has looked at it"
    assert postman.run(carrier) == 0
    assert office.letters == []
    assert the_mails(invoice, clerk)[0].state == "gave_up"


def test_who_may_not_see_addresses_sees_that_it_was_sent_and_not_to_whom(
    carrier: Postman, invoice: Document, clerk: Actor, viewer: Actor
) -> None:
    """Security 2, 38: and no address is in the log."""
    ask(invoice, clerk)
    postman.run(carrier)
    (kept,) = the_mails(invoice, viewer)
    assert (kept.state, kept.to) == ("sent", None)
    with reading() as session:
        lines = audit.listing(session, object=f"document:{invoice.id}")
        told = [line.action for line in lines]
        assert {"mail.queued", "mail.sent"} <= set(told)
        assert TO not in json.dumps([line.detail for line in lines])


def test_a_customer_abroad_is_written_to_in_english(books: Flask, klarna, clerk: Actor) -> None:
    for country, language in (("SE", "sv"), ("FI", "en"), ("NO", "en")):
        with writing() as session:
            order = an_order(session)
            order.party = json.dumps({**json.loads(order.party), "country": country})
            a_delivery(session, order)
        document = an_invoice(klarna, order, kind=DocType.DELIVERY)
        ask(document, clerk)
        with reading() as session:
            (job_id,) = outbox.due(session)
        job = transact(lambda session, job_id=job_id: outbox.take(session, job_id))
        assert job is not None
        assert job.language == language
        transact(lambda session, job=job: outbox.sent(session, job))


def test_two_who_ask_for_the_same_mail_at_the_same_moment_ask_for_one(
    books: Flask, invoice: Document, clerk: Actor
) -> None:
    """Catalogue 93: one document, one address, one mail; nobody is told of a failure."""

    def ask(number: int) -> None:
        def work(session: Session) -> None:
            document = documents.get_numbered(session, invoice.id)
            outbox.queue_by_form(session, clerk, document, TO, f"{number:x}" * 32)

        transact(work)

    assert in_threads(books, ask, 4) == []
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Outbox)) == 1
