"""A letter on the wire: what it looks like, what cannot be put into it, and what the mail server may answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import BadInput
from services import mail
from services.mail import Letter, NotMailed, Server
from tests.post_office import LOGIN, PASSWORD, PostOffice, certificate

AT = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
LETTER = Letter("Faktura 42580 från Provbolaget AB", "Hej,\n\nåäö\n", "faktura-42580.pdf", b"%PDF-1.7 nothing")


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with PostOffice() as running:
        yield running


def server_of(office: PostOffice, **fields: object) -> Server:
    plain = Server("127.0.0.1", office.port, mail.PLAIN, "", "", "order@example.com", "Provbolaget AB")
    return replace(plain, **fields)


def hand_over(server: Server, to: str = "kund@example.com", letter: Letter = LETTER) -> None:
    mail.hand_over(server, mail.compose(server, to, letter, "<one@example.com>", AT))


def test_a_letter_arrives_with_its_words_its_file_and_its_id(office: PostOffice) -> None:
    hand_over(server_of(office, sender_name="Åkes Öl & Mjöd, AB"))
    (letter,) = office.letters
    assert letter["From"].addresses[0].display_name == "Åkes Öl & Mjöd, AB"
    assert letter["From"].addresses[0].addr_spec == "order@example.com"
    assert letter["To"] == "kund@example.com"
    assert letter["Subject"] == LETTER.subject
    assert letter["Message-ID"] == "<one@example.com>"
    assert letter["Date"].datetime == AT
    assert letter.get_body(("plain",)).get_content().replace("\r\n", "\n") == LETTER.text
    (file,) = letter.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("faktura-42580.pdf", "application/pdf")
    assert file.get_content() == LETTER.content
    assert letter.envelope_to == ["kund@example.com"]


WRONG = [
    "kund@example.com\nBcc: alla@example.com",
    "kund@example.com\r\nSubject: x",
    "a@example.com, b@example.com",
    "a@example.com;b@example.com",
    "Kund <kund@example.com>",
    "kund",
    "kund@localhost",
    "kund@exämple.com",
    "kund@" + "a" * 320 + ".com",
    "",
    "kund@example.com\x00",
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_is_not_one_plain_address_is_refused(office: PostOffice, text: str) -> None:
    """Catalogue 45: line breaks, lists, over 320 characters, international domains."""
    with pytest.raises(BadInput, match="Write one e-mail address"):
        mail.check_address(text)
    with pytest.raises(NotMailed) as refused:
        hand_over(server_of(office), to=text)
    assert refused.value.for_good
    assert office.letters == []


@given(name=st.text(max_size=60), subject=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_name_and_no_subject_writes_a_header_of_its_own(name: str, subject: str) -> None:
    """Security, mail header injection: whatever they hold, the letter has the headers we gave it and no others."""
    name, subject = f"{name}\r\nBcc: x@example.com", f"{subject}\nX-Other: 1"
    server = Server("127.0.0.1", 25, mail.PLAIN, "", "", "order@example.com", name)
    try:
        written = mail.compose(server, "kund@example.com", Letter(subject, "x\n"), "<a@b.se>", AT).as_bytes()
    except NotMailed:
        return
    head = written.partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")}
    assert names == {
        b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted", b"content-type",
        b"content-transfer-encoding", b"mime-version",
    }  # fmt: skip


def test_a_refused_recipient_is_refused_for_good_and_a_full_mailbox_is_not(office: PostOffice) -> None:
    office.refuse = {"kund@example.com": "550 5.1.1 no such mailbox", "full@example.com": "452 4.2.2 mailbox full"}
    with pytest.raises(NotMailed, match=r"550 5.1.1 no such mailbox") as refused:
        hand_over(server_of(office))
    assert refused.value.for_good
    with pytest.raises(NotMailed, match=r"452 4.2.2 mailbox full") as refused:
        hand_over(server_of(office), to="full@example.com")
    assert not refused.value.for_good


def test_a_refused_letter_is_refused_for_good(office: PostOffice) -> None:
    office.refuse = {"": "554 5.7.1 looks like spam"}
    with pytest.raises(NotMailed, match=r"554 5.7.1 looks like spam") as refused:
        hand_over(server_of(office))
    assert refused.value.for_good


def test_a_server_that_is_down_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = Server("127.0.0.1", taken.getsockname()[1], mail.STARTTLS, "", "", "order@example.com", "P")
        with pytest.raises(NotMailed, match="ConnectionRefusedError") as down:
            hand_over(server)
    assert not down.value.for_good


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("security", [mail.STARTTLS, mail.TLS])
def test_a_letter_and_a_password_go_through_an_encrypted_line(monkeypatch: pytest.MonkeyPatch, security: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate()))
    with PostOffice(security, login=True) as office:
        hand_over(server_of(office, security=security, username=LOGIN, password=PASSWORD))
        assert len(office.letters) == 1
        with pytest.raises(NotMailed, match=r"535") as wrong:
            hand_over(server_of(office, security=security, username=LOGIN, password="fel"))
        assert not wrong.value.for_good, "a wrong password is mended in the settings"
        with pytest.raises(NotMailed, match="password"):
            hand_over(server_of(office, security=security, username=LOGIN, password="lösenord"))
        assert len(office.letters) == 1


def test_without_the_demanded_encryption_nothing_is_sent(office: PostOffice) -> None:
    """STARTTLS wanted, not offered: neither the letter nor the password leaves."""
    with pytest.raises(NotMailed, match="STARTTLS"):
        hand_over(server_of(office, security=mail.STARTTLS, username=LOGIN, password=PASSWORD))
    assert office.letters == []


@pytest.mark.parametrize("security", [mail.STARTTLS, mail.TLS])
def test_a_certificate_nobody_vouches_for_is_not_believed(security: str) -> None:
    with PostOffice(security) as office:
        with pytest.raises(NotMailed, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            hand_over(server_of(office, security=security))
        assert office.letters == []


def test_a_password_is_not_sent_unencrypted_to_another_machine() -> None:
    server = Server("192.0.2.1", 25, mail.PLAIN, LOGIN, PASSWORD, "order@example.com", "P")
    with pytest.raises(NotMailed, match="without encryption") as refused:
        hand_over(server)
    assert refused.value.for_good
    assert PASSWORD not in repr(server)
