"""The search box as a browser sees it: straight to the thing, a short list, or what can be searched for."""

from __future__ import annotations

import pytest
from flask import Flask

from db import writing
from tests.services.order_rows import a_row, an_order
from tests.web_client import WebClient

pytestmark = pytest.mark.untrue_books


def test_the_box_is_on_every_page_and_a_key_leads_straight_to_its_thing(client: WebClient) -> None:
    """B12, B13: the box has the key /."""
    with writing() as session:
        order = an_order(session, [a_row()], shop_number="W-99")
    client.log_in("viewer")
    box = client.get("/orders").find("form.search")
    assert box["action"] == "/search"
    assert box.find("input[name=q]")["id"] == "search"
    assert client.get("/search?q=W-99").url.endswith(f"/orders/{order.id}")


def test_several_hits_make_a_short_list_in_groups(client: WebClient) -> None:
    with writing() as session:
        orders = [an_order(session, [a_row()], name="Åsa Bergström") for _ in range(2)]
    shown = client.log_in("clerk").get("/search?q=bergstr")
    assert [each.text for each in shown.all("section h2")] == ["Ordrar", "Kunder"]
    assert all(shown.has(f"a[href=/orders/{order.id}]") for order in orders)
    assert shown.find("#search")["value"] == "bergstr"


@pytest.mark.parametrize(("role", "told"), [("clerk", True), ("viewer", False)])
def test_nothing_found_says_what_can_be_searched_for(client: WebClient, role: str, told: bool) -> None:
    shown = client.log_in(role).get("/search?q=finns+inte")
    assert "Inget hittades." in shown.text
    assert "OCR-nummer" in shown.text
    assert ("E-postadress" in shown.find("main").text) is told
    assert client.get("/search").status == 200


@pytest.mark.only_on("sqlite")
def test_a_personal_number_is_neither_shown_again_nor_logged(
    app: Flask, client: WebClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Security 47; catalogue 44."""
    caplog.set_level(0)
    shown = client.log_in("clerk").get("/search?q=811218-9876")
    assert "personnummer" in shown.find("main").text
    assert "9876" not in shown.html
    assert not shown.find("#search").get("value")
    said = caplog.text + "".join(capsys.readouterr())
    assert "811218" not in said
    assert "9876" not in said
