"""«Mina inställningar» in the browser, and the page one lands on after logging in (B22)."""

from __future__ import annotations

from tests.builders import PASSWORD
from tests.web_client import WebClient


def test_the_page_has_its_labels_and_keeps_what_is_ticked(client: WebClient) -> None:
    page = client.log_in("clerk").get("/me/settings")
    assert page.text.count("Föreslå utskrift efter skapande") == 2
    assert page.text.count("Föreslå skicka e-post efter skapande") == 2
    assert "Föreslå visa resterande orderbelopp" in page.text
    page = client.submit(print_invoice="y", show_rest="y", start_page="orders.index")
    assert "Dina inställningar är sparade." in page.text
    assert page.find("#print_invoice").get("checked") is not None
    assert page.find("#mail_invoice").get("checked") is None


def test_a_page_that_is_not_in_the_list_is_refused_and_the_ticks_stay(client: WebClient) -> None:
    client.log_in("clerk").get("/me/settings")
    page = client.post("/me/settings", {"print_invoice": "y", "start_page": "login.out"})
    assert page.status == 422
    assert "Välj ett av värdena i listan." in page.text
    assert page.find("#print_invoice").get("checked") is not None


def test_one_lands_at_ones_own_start_page_unless_another_page_was_asked_for(client: WebClient) -> None:
    client.log_in("clerk").get("/me/settings")
    client.submit(start_page="stock.index")
    client.submit("/logout")
    client.get("/login")
    assert client.submit(login="clerk", password=PASSWORD).url.endswith("/stock")
    client.submit("/logout")
    client.get("/login?next=/orders?view=expiring")
    assert client.submit(login="clerk", password=PASSWORD).url.endswith("/orders?view=expiring")
