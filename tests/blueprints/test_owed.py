"""«Klarna är skyldigt oss» as a browser sees it: the figures, the lists with their age, and the way there (B9)."""

from __future__ import annotations

from typing import Any

from flask import Flask

from tests.services.test_offsets import sold
from tests.web_client import WebClient

__all__ = ("sold",)


def test_the_figure_stands_beside_the_ledger_and_each_list_has_its_page(
    app: Flask, client: WebClient, sold: Any
) -> None:
    """B9: the start page leads to the whole of each list; an address that makes no sense shows the first page."""
    page = client.log_in("viewer").get("/settlements/owed")
    assert "Klarna är skyldigt oss" in page.text and "1 936,00" in page.text and "Stämmer" not in page.text
    assert page.has("#ledger a[href$=?ledger=1]"), "without scripts it is a link"
    for htmx in (False, True):
        assert "Stämmer" in client.get("/settlements/owed?ledger=1", htmx=htmx).text
    assert "Aktiverat men inte utbetalt" in page.text and "0 dagar" in page.text
    assert page.has(f"a[href=/invoices/{sold[0].id}]")
    page = client.get("/settlements/owed?list=notes")
    assert page.has(f"a[href=/credit-notes/{sold[1].id}]")
    for name in ("returns", "sales", "withheld"):
        assert "Inget väntar här." in client.get(f"/settlements/owed?list={name}").text
    assert "Inget väntar här." in client.get("/settlements/owed?list=unpaid&late=1").text
    for odd in ("list=x", "after=5&day=x", "after=5", "list=unpaid&after=999999&day=2999-01-01"):
        assert client.get(f"/settlements/owed?{odd}").status == 200
