"""Rounding to whole kronor as people see it: chosen in the settings, then before, on and after the invoice (B36, E12)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import writing
from tests.blueprints.document_pages import in_english
from tests.builders import a_delivery, an_order, row
from tests.web_client import WebClient


@pytest.mark.only_on("sqlite")
def test_rounding_is_chosen_and_then_stands_before_on_and_after_the_invoice(app: Flask) -> None:
    """B36: in the language of the page; the sum of the last step is what the invoice comes to."""
    admin = in_english(WebClient(app), "admin")
    admin.get("/settings/limits/edit")
    assert admin.submit("main form.form", rounding="krona").status == 200
    with writing() as session:
        order = an_order(session, lines=[row("Bread", 108_75, rate=600), row("Pan", 549_50)])
        a_delivery(session, order)
    clerk = in_english(WebClient(app), "clerk")
    step = clerk.get(f"/orders/{order.id}/invoice")
    told = step.find("main").text
    assert "Rounding" in told and "658.00" in told and "658.25" not in told
    page = clerk.submit(f"main form[action=/orders/{order.id}/invoice]")
    assert page.status == 200 and "Rounding" in page.find("main").text and "658.00" in page.find("main").text
    paper = clerk.get(page.url.split("?")[0].split("#")[0] + "/print")
    assert "Rounding" in paper.text and "−0.25" in paper.text and "0 %" not in paper.find("table.vat").text
    clerk.get(page.url)
    draft = clerk.submit(
        next(f"form[action={form['action']}]" for form in page.all("form") if form["action"].endswith("/credit"))
    )
    rows = draft.all("#draft table tbody tr")
    assert "Rounding" in rows[2].text and "Rounding goes with the last credit" in rows[2].text
    remove = next(form["action"] for form in rows[0].all("form") if form["action"].endswith("/remove"))
    draft = clerk.submit(f"form[action={remove}]")
    kept = draft.all("#draft table")[0].all("tbody tr")
    assert [(row.all("td")[1].text, row.find("span[id^=amount-]").text) for row in kept] == [
        ("Pan", "549.50"), ("Rounding", "0.00"),
    ], "its amount follows as one types"  # fmt: skip
    assert "SEK 549.50" in draft.find("main").text
