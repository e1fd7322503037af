"""Many at once as a browser sees it: preview, start, result."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from models import Batch, Document, Order
from services import batch_run
from tests.builders import a_delivery, an_account, an_order, row
from tests.web_client import WebClient

START = "form[action$=batches]"


@pytest.fixture
def found(app: Flask, klarna: Any, sandbox: Any) -> list[Order]:
    with writing() as session:
        account = an_account(session, sandbox, klarna)
        made = [an_order(session, sandbox, account=account, lines=[row(f"Tröja {n}", 10_000)]) for n in range(2)]
        return [*made, an_order(session, sandbox, account=account, fraud_status="PENDING")]


def address(found: list[Order], **more: str) -> str:
    return "/batches/new?" + "&".join([f"selected={each.id}" for each in found] + [f"{k}={v}" for k, v in more.items()])


def count(table: type) -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_from_the_preview_to_a_result_per_row(found: list[Order], klarna: Any, client: WebClient) -> None:
    page = client.log_in("clerk").get(address(found))
    assert len(page.all("#plan input[type=checkbox]")) == 2
    assert "Klarna granskar köpet. Leverera och fakturera inte ännu." in page.text
    assert "Leverera och fakturera 2 ordrar" in page.text
    assert not count(Batch)
    for _ in range(2):
        after = client.submit(START, page=page)
    assert after.status == 200
    assert after.has("progress")
    assert after.has("[data-poll]")
    batch_run.run_all(klarna)
    after = client.get(after.url)
    assert not after.has("[data-poll]")
    assert [each.text for each in after.all("tbody tr td[data-label=Resultat]")] == ["Klart", "Klart"]
    assert (count(Batch), count(Document)) == (1, 2)
    assert client.get(f"{after.url}", htmx=True).has("#progress")
    listed = client.get("/batches")
    assert listed.has("tbody tr")


def test_choosing_another_act_shows_what_it_would_do(found: list[Order], client: WebClient) -> None:
    client.log_in("clerk")
    fragment = client.get(address(found, act="deliver"), htmx=True)
    assert fragment.has("#plan")
    assert "Leverera 2 ordrar" in fragment.text
    assert client.get(address(found, act="nonsense", warehouse_id="x")).status == 200


def test_button_and_sum_tell_what_is_ticked_and_it_stays_so(found: list[Order], client: WebClient) -> None:
    """What cannot be taken back is said as it will be done; another act, or nothing ticked, forgets nothing."""
    client.log_in("clerk")
    shown = [f"shown={each.id}" for each in found]
    asked = "/batches/new?" + "&".join([*shown, f"selected={found[1].id}"])
    for act, button in (("both", "Leverera och fakturera 1 order"), ("invoice", "Skapa 1 faktura")):
        part = client.get(f"{asked}&act={act}", htmx="plan")
        assert [each["value"] for each in part.all("input[name=selected][checked]")] == [str(found[1].id)]
        assert (
            len(part.all("input[name=selected]")) == 2
            and button in part.text
            and "100,00" in part.find(".actions").text
        )
        assert part.has("select[name=warehouse_id]") is (act == "both")
    page = client.submit(START, page=client.get(asked), press="look=1", act="deliver")
    assert page.status == 200 and "Leverera 1 order" in page.text and not count(Batch)
    page = client.submit(START, page=page, selected=[], shown=[str(each.id) for each in found])
    assert page.status == 422 and len(page.all("input[name=selected]")) == 2 and "Ingen order är ikryssad." in page.text
    with writing() as session:
        a_delivery(session, found[0])
    page = client.submit(START, page=client.get(address(found)), press="look=1", act="deliver")
    assert "Leverera 1 order" in page.text
    page = client.submit(START, page=page, press="look=1", act="both")
    assert "Leverera och fakturera 2 ordrar" in page.text, "what one act leaves out stays ticked for another"


def test_a_row_that_is_unticked_is_left_alone(found: list[Order], client: WebClient) -> None:
    page = client.log_in("clerk").get(address(found))
    after = client.submit(START, page=page, selected=[str(found[1].id)])
    assert [each.text for each in after.all("tbody tr a[data-open]")] == [str(found[1].number)]


@pytest.mark.parametrize("query", ["", "?selected=x", "?selected=" + "9" * 40])
def test_nothing_ticked_or_nonsense_gets_a_sentence(app: Flask, client: WebClient, query: str) -> None:
    page = client.log_in("clerk").get(f"/batches/new{query}")
    assert page.status == 422
    assert page.has("[role=alert]") or page.has(".banner")


def test_a_made_up_form_starts_nothing(found: list[Order], client: WebClient) -> None:
    page = client.log_in("clerk").get(address(found))
    nonce = page.form(START).values["nonce"]
    given = {"nonce": nonce, "act": "deliver", "warehouse_id": "1", "selected": str(found[0].id)}
    assert client.post("/batches", given).status == 400
    for shown in ("1.x.", "--1.0.", "1.-."):
        assert client.post("/batches", {**given, f"shown_{found[0].id}": shown}).status == 400
    assert client.post("/batches", {**given, f"shown_{found[0].id}": "1.0.final"}).status == 422
    assert client.post("/batches", {**given, "selected": "77", "shown_77": "1.0."}).status == 409
    assert client.get("/batches/99").status == 404
    assert not count(Batch)
