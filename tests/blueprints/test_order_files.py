"""Order files as a browser sees them: preview, what is wrong row by row, reading in, the same file twice (B16; rows 47-56)."""

from __future__ import annotations

import io

import pytest
import sqlalchemy as sa

from db import reading
from models import Order
from services import order_uploads
from tests.services.test_order_file import FILE, HEAD
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


def choose(client: WebClient, text: str, name: str = "order.csv") -> Page:
    client.get("/orders/files")
    return client.submit("#choose", file=(io.BytesIO(text.encode()), name))


def made() -> list[Order]:
    with reading() as session:
        return list(session.scalars(sa.select(Order).order_by(Order.id)))


def test_a_file_is_shown_and_then_read_in(clerk_client: WebClient) -> None:
    page = choose(clerk_client, FILE)
    assert page.status == 200 and "447,50" in page.text and made() == []
    page = clerk_client.submit("/take")
    assert "Filen är inläst." in page.text
    assert [order.shop_number for order in made()] == ["W1", "W2"]
    assert not page.has("[data-poll]")
    assert "order.csv" in clerk_client.get("/orders/files").text


def test_wrong_rows_are_listed_with_their_reasons_and_nothing_can_be_read_in(clerk_client: WebClient) -> None:
    page = choose(clerk_client, f"{HEAD}\nW1;Anna;a@b.se;Vara;1,2345;10;25\nW2;Bo;b@b.se;Vara;1;10;25\n")
    (row,) = page.find("#plan-h") and page.all(".table-wrap tbody tr")[:1]
    assert row.text.startswith("2quantity / antalAntal får ha högst tre decimaler.")
    assert not page.has("form[action$='/take']")
    faulty, new = page.all(".table-wrap tbody tr")[1:]
    assert [each.all("td")[4].text for each in (faulty, new)] == ["", "10,00"]
    assert [each.all("td")[5].text for each in (faulty, new)] == ["Felaktig", "Ny order"]
    upload_id = page.url.rsplit("/", 1)[1]
    assert clerk_client.post(f"/orders/files/{upload_id}/take", {"seen": "x"}).status == 409
    assert made() == []


NO_FILES = [("", 422), ("PK\x03\x04", 415), ("order;article\nA;x", 422), (HEAD, 422)]


def test_what_is_no_order_file_is_refused_beside_the_field(clerk_client: WebClient) -> None:
    for content, status in NO_FILES:
        page = choose(clerk_client, content)
        assert page.status == status and page.has("#file-error")


def test_the_same_file_twice_is_told_with_the_way_to_the_first(clerk_client: WebClient) -> None:
    choose(clerk_client, FILE)
    clerk_client.submit("/take")
    page = choose(clerk_client, FILE, "annat namn.csv")
    assert page.status == 409 and "Just den här filen lästes in" in page.text
    assert "/orders/files/1" in page.html and len(made()) == 2


def test_a_large_file_is_gone_on_with_by_the_worker_and_the_page_follows(
    clerk_client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueprints.order_files.REQUEST_SECONDS", 0)
    rows = "".join(f"W{n};Kund {n};k{n}@example.com;Vara;1;10;25\n" for n in range(30))
    choose(clerk_client, f"{HEAD}\n{rows}")
    page = clerk_client.submit("/take")
    assert page.has("#progress[data-poll]") and len(made()) == 25
    order_uploads.run()
    assert not clerk_client.get(page.url, htmx="progress").has("[data-poll]")
    assert len(made()) == 30


STRANGE = ["../../x.csv", "\u202ecsv.exe", "<b>x</b>.csv", "å" * 400 + ".csv", "  "]


def test_a_strange_file_name_is_only_a_name(clerk_client: WebClient) -> None:
    """Catalogue row 61."""
    for name in STRANGE:
        page = choose(clerk_client, FILE, name)
        assert page.status in (200, 422) and "<b>x</b>" not in page.html
