"""«Kvittning» as a browser sees it: the pairs, the lock with its day and its reason, the override, the undo (K49-K51)."""

from __future__ import annotations

from typing import Any

from flask import Flask

from db import reading
from services import offsets
from tests.services.settlement_parts import fetched, payout_of
from tests.services.test_offsets import ordinary, sold, still_open
from tests.web_client import WebClient

__all__ = ("sold",)

FORM = "#offset-form"


def test_a_pair_waits_with_its_day_and_finance_lifts_the_lock_with_a_reason(
    app: Flask, client: WebClient, sold: Any
) -> None:
    """K50, K51 to the letter; the reason is asked for beside its field and stands on the voucher; then it is taken back."""
    with reading() as session:
        wait = offsets.pair(session, sold[0].id, sold[1].id).wait
        assert wait is not None
    sentence = f"Vänta: utbetalningen för perioden väntas {wait.expected} och är inte inläst."
    address = f"/offsets/{sold[0].id}/{sold[1].id}"
    client.log_in("clerk")
    assert client.get(f"/invoices/{sold[0].id}").has(f"a[href$=?q={sold[0].number_text}]")
    assert sentence in client.get("/offsets").text
    page = client.get(address)
    assert sentence in page.text and "Endast Ekonomi kan kvitta före inläsningen." in page.text
    assert client.post(address, {}).status == 403
    client.log_in("finance")
    page = client.get(address)
    assert page.form(FORM).values["amount"] == "499,00" and page.has("[aria-disabled=true]")
    assert "Kreditförsäljningskostnaden och dess moms kommer med inläsningen." in page.text
    locked = client.submit(FORM, page=page)
    assert (locked.status, sentence in locked.text) == (409, True)
    refused = client.submit(FORM, page=page, override="1", reason=" ")
    assert refused.status == 422 and refused.has("#reason[aria-invalid=true]")
    for _ in range(2):
        after = client.submit(FORM, page=page, override="1", reason="kunden väntar")
    assert "De två är kvittade och bokförda." in after.text and "Före inläsningen: kunden väntar" in after.text
    assert still_open(sold) == [1_936_00, 0]
    assert "före återläsningen: kunden väntar" in client.get(f"/invoices/{sold[0].id}").text
    page = client.get("/offsets")
    refused = client.submit("form[action$=take-back]", page=page, reason=" ")
    assert refused.status == 422 and refused.has("[aria-invalid=true]")
    after = client.submit("form[action$=take-back]", page=page, reason="utbetalningen kom")
    assert "Kvittningen är återtagen." in after.text and still_open(sold) == [2_435_00, -499_00]
    assert client.submit("form[action$=take-back]", page=page, reason="en gång till").status == 409


def test_a_payout_that_is_read_in_and_not_booked_is_named_with_the_way_there(
    app: Flask, klarna: Any, sandbox: Any, client: WebClient, sold: Any
) -> None:
    """K50: it is not waited for any more; its rows wait for a person."""
    sandbox.order(mid="K000001", order_amount=70_00, captures=[{"captured_amount": 70_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    sentence = f"Utbetalning {made['payment_reference']} är inläst men inte bokförd: red ut raderna först."
    way = f"a[href=/settlements/{payout_of(made).id}]"
    client.log_in("finance")
    for address in ("/offsets", f"/offsets/{sold[0].id}/{sold[1].id}"):
        page = client.get(address)
        assert sentence in page.text and page.has(way) and "väntas" not in page.find("main").text


def test_a_part_is_offset_and_a_stale_page_does_nothing(app: Flask, klarna: Any, client: WebClient) -> None:
    """K49: the page says what will remain, with and without scripts; what was typed stays beside its sentence."""
    pair = ordinary(klarna)
    address = f"/offsets/{pair[0].id}/{pair[1].id}"
    page = client.log_in("finance").get(address)
    assert "Båda stängs." in page.text
    assert "Därefter återstår 600,00 kr av fakturan" in client.get(f"{address}/after?amount=400,00", htmx=True).text
    assert "Båda stängs." in client.get(f"{address}/after?amount=x", htmx=True).text
    refused = client.submit(FORM, page=page, amount="1000,01")
    assert refused.status == 422 and refused.form(FORM).values["amount"] == "1000,01"
    assert client.submit(FORM, page=page, amount="400,00").status == 200
    stale = client.get(address)
    client.submit(FORM, page=client.get(address), amount="600,00")
    assert still_open(pair) == [0, 0]
    after = client.submit(FORM, page=stale, amount="600,00")
    assert after.status == 409 and "Inget återstår att kvitta" in after.text
    assert client.get(address).status == 409
    assert client.get("/offsets/4711/4712").status == 404
