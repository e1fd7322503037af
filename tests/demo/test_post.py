"""The demo's mail server: a letter sent by Kvitta's own means lies in the folder, and nobody's own server is replaced."""

from __future__ import annotations

import email
import smtplib
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from db import reading, writing
from demo import post
from rights import Actor
from services import mail_settings
from tests.conftest import CREDENTIALS_KEY


def test_a_letter_is_kept_as_a_file(tmp_path: Path) -> None:
    with post.office(tmp_path / "e-mails") as port, smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("butiken@example.com", ["kund@example.com"], "Subject: Faktura 42580\r\n\r\nHej\r\n")
    (letter,) = (tmp_path / "e-mails").glob("*.eml")
    assert email.message_from_bytes(letter.read_bytes())["Subject"] == "Faktura 42580"


@pytest.mark.only_on("sqlite")
def test_it_is_used_at_every_start_unless_a_person_has_chosen_another(books: Flask, admin: Actor) -> None:
    with writing() as session:
        facts = replace(mail_settings.facts(session), sender="butiken@example.com")
        mail_settings.save(
            session, admin, CREDENTIALS_KEY, replace(facts, host="127.0.0.1", port=25, security="none"), ""
        )
    for port in (1025, 1026):
        post.use(books, admin, CREDENTIALS_KEY, port)
        with reading() as session:
            found = mail_settings.facts(session)
        assert (found.host, found.port, found.security) == ("127.0.0.1", port, "none")
    with writing() as session:
        mail_settings.save(session, admin, CREDENTIALS_KEY, replace(facts, host="smtp.example.com", security="tls"), "")
    post.use(books, admin, CREDENTIALS_KEY, 1027)
    with reading() as session:
        assert mail_settings.facts(session).host == "smtp.example.com"
