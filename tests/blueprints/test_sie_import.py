"""«Läs in SIE» as a browser sees it: looked at first, what is wrong told with its line, read in once (catalogue 62, 63)."""

from __future__ import annotations

import io
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from models import Voucher
from rights import Actor
from services import settings
from tests.services.test_sie_import import GOOD, HEAD, RENT, sie
from tests.web_client import Page, WebClient

FORM = "#upload form"


@pytest.fixture
def bookkeeper(client: WebClient, admin: Actor) -> WebClient:
    with writing() as session:
        settings.change(session, admin, "company.organisation_number", "556677-8899", clock.today())
    return client.log_in("finance", language="sv")


def send(client: WebClient, content: bytes, step: str = "preview", **more: Any) -> Page:
    client.get("/books/sie/read")
    return client.submit(FORM, press=f"step={step}", file=(io.BytesIO(content), "../../lön.si"), **more)


def read_in(client: WebClient, content: bytes, shown: str) -> Page:
    data = {"file": (io.BytesIO(content), "lön.si"), "step": "read", "shown": shown}
    answer = client.post("/books/sie/read", data)
    return client.get(answer.headers["Location"]) if answer.status == 303 else answer


def count() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Voucher)) or 0


def test_a_file_is_looked_at_and_then_read_in_once(bookkeeper: WebClient) -> None:
    """Catalogue row 63."""
    page = send(bookkeeper, GOOD)
    cells = [cell.text.replace("\xa0", " ") for cell in page.all("#planned tbody td")]
    assert cells[0] == "A12" and cells[4] == "125,50" and "135,50" in page.find("#planned tfoot").text
    assert "Löneboken" in page.text and count() == 0
    shown = page.find("#planned [name=shown]")["value"]
    page = read_in(bookkeeper, GOOD, shown)
    assert (
        "2 verifikationer har lästs in." in page.text and "A12 Avgift för bankkort, öre" in page.text and count() == 2
    )
    page = read_in(bookkeeper, GOOD, shown)
    assert page.status == 409 and "inläst" in page.find("#file-error").text and count() == 2
    assert "Inläst ur en SIE-fil" in bookkeeper.get("/books/vouchers/1").text
    assert bookkeeper.get("/books/vouchers/1").has(".menu a[href*=reverse]")


@pytest.mark.parametrize("htmx", [False, "upload"])
def test_what_is_wrong_is_told_with_its_line(bookkeeper: WebClient, htmx: Any) -> None:
    """Catalogue row 62."""
    page = send(bookkeeper, sie(HEAD, RENT.replace("-125.5", "-125.51"), encoding="cp1252"), htmx=htmx)
    assert page.status == 422 and not page.has("button[value=read]") and count() == 0
    cells = [cell.text for cell in page.all("#planned tbody td")]
    assert cells[0] == "2" and "PC8" in cells[1] and cells[2] == "15", "the page is told once"
    assert "Inget i filen läses in" in page.find("#planned").text


@pytest.mark.parametrize("content", [b"hej", b"", b"PK\x03\x04"])
def test_what_is_no_sie_file_is_said_beside_the_field(bookkeeper: WebClient, content: bytes) -> None:
    page = send(bookkeeper, content)
    assert page.status == 422 and "ingen SIE-fil" in page.find("#file-error").text


def test_another_file_than_was_shown_is_shown_first(bookkeeper: WebClient) -> None:
    shown = send(bookkeeper, GOOD).find("#planned [name=shown]")["value"]
    page = read_in(bookkeeper, sie(HEAD, RENT), shown)
    assert page.status == 409 and "inte filen som visades" in page.find("#file-error").text and count() == 0


def test_no_file_and_no_right(client: WebClient, app: Flask) -> None:
    """B31; security: rights, SIE."""
    page = client.log_in("clerk", language="sv").get("/books/sie")
    assert not page.has("a[href=/books/sie/read]") and client.get("/books/sie/read").status == 403
    client.log_in("finance", language="sv").get("/books/sie/read")
    page = client.submit(FORM, press="step=preview")
    assert page.status == 422 and "Välj en fil." in page.find("#file-error").text
