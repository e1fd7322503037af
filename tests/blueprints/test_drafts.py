"""Two people on one draft see each other; a draft above the limit goes to Finance, and the document says who did what (B31)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import NotAllowed, Refusal
from models import ApprovalRequest, DraftVisit
from services import approvals, credit_drafts, draft_visits, reservations, worklists
from tests.blueprints.document_pages import in_english
from tests.builders import CLERK, FINANCE, a_captured_invoice, a_customer, a_money_form, row, the_document
from tests.web_client import WebClient


def a_draft(klarna: Any, sandbox: Any, price: int = 300_000) -> int:
    """The clerk's draft on an invoice of this much."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("Cykel", price)])
    with writing() as session:
        return credit_drafts.start(session, CLERK, invoice.id).id


def visits() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(DraftVisit)) or 0


def test_two_people_on_a_draft_see_each_other_and_nothing_is_kept(
    app: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Screens, "Credit": who and since when by the page's own short question; gone when they leave, and with the draft."""
    draft = f"/credit-notes/{a_draft(klarna, sandbox)}"
    clerk, finance = in_english(WebClient(app)), in_english(WebClient(app), "finance")
    page = clerk.get(draft)
    assert visits() == 0, "looking changes nothing"
    assert "Somebody else" not in clerk.submit("#presence form", htmx="presence", page=page).text
    seen = finance.submit("#presence form", htmx="presence", page=finance.get(draft))
    assert "load" in page.find("#presence form")["hx-trigger"] and seen.find("form")["hx-trigger"] == "every 15s"
    assert "Handläggaren since" in seen.text and "Handläggaren since" in finance.get(draft).text
    assert "Ekonomen since" in clerk.submit("#presence form", htmx="presence", page=page).text
    later = clock.now() + timedelta(seconds=46)
    monkeypatch.setattr(clock, "now", lambda: later)
    with reading() as session:
        assert draft_visits.others(session, CLERK, int(draft.rpartition("/")[2])) == []
    with writing() as session:
        draft_visits.visit(session, FINANCE, 999)
    assert visits() == 0
    finance.submit("#presence form", htmx="presence", page=finance.get(draft))
    clerk.get(draft)
    clerk.submit("/discard")
    assert visits() == 0


def test_a_draft_changed_underneath_is_told_and_nothing_is_sent(
    app: Any, klarna: Any, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 12: the poll says so, and the button of the old page sends nothing.

    A change of this moment may be the page's own, whose answer is not there yet: somebody who types at once is not warned.
    """
    draft_id = a_draft(klarna, sandbox, 100_000)
    clerk = in_english(WebClient(app))
    page = clerk.get(f"/credit-notes/{draft_id}")
    version = page.find("#sum [name=version]")["value"]
    with writing() as session:
        draft = credit_drafts.get_draft(session, FINANCE, draft_id)
        credit_drafts.remove_row(session, FINANCE, draft_id, draft.lines[0].id)
    ask, told = f"/drafts/{draft_id}/presence", "has been changed since this page was drawn"
    assert told not in clerk.post(ask, {"version": version}, htmx="presence").text
    later = clock.now() + timedelta(seconds=6)
    with monkeypatch.context() as moved:
        moved.setattr(clock, "now", lambda: later)
        assert told in clerk.post(ask, {"version": version}, htmx="presence").text
        for other in ("", "x", "9" * 30):
            assert told not in clerk.post(ask, {"version": other}, htmx="presence").text
    refused = clerk.submit("#sum", page=page)
    assert refused.status in (409, 422) and not sandbox.posts(operation="create_refund")


def test_a_draft_above_the_limit_is_put_before_finance_and_the_document_names_both(
    app: Any, klarna: Any, sandbox: Any
) -> None:
    """B31: off with its reason for the clerk; a work list for Finance; who asked and who approved stand on the credit note."""
    draft = f"/credit-notes/{a_draft(klarna, sandbox)}"
    clerk, finance = in_english(WebClient(app)), in_english(WebClient(app), "finance")
    page = clerk.get(draft)
    assert "is above your limit of" in page.find("#sum").text and "ask Finance to finish it" in page.find("#sum").text
    page = clerk.submit("#ask-form")
    assert "Handläggaren put this draft before Finance" in page.text and not page.has("[form=ask-form]")
    start = finance.get("/")
    assert "Drafts that await approval" in start.text and start.has(f'#approvals a[href="{draft}"]')
    other = a_draft(klarna, sandbox, 100_000)
    waiting = finance.get(start.find("#approvals a.button")["href"])
    assert waiting.has(f'main a[href="{draft}"]') and not waiting.has(f'main a[href="/credit-notes/{other}"]')
    assert finance.get("/credit-notes?view=drafts").has(f'main a[href="/credit-notes/{other}"]')
    page = finance.get(draft)
    assert "Handläggaren put this draft before Finance" in page.text
    page = finance.submit("#sum")
    assert "has been created and credited at Klarna: SEK 3,000.00" in page.text
    assert "Asked for by" in page.text and "Approved by" in page.text and "Ekonomen," in page.text
    for each in (page, finance.get(page.find("a[href^=/orders/]")["href"])):
        history = each.find("ol.timeline").text.casefold()
        assert -1 < history.index("approved and created") < history.index("was put before finance"), "the newest first"
    with reading() as session:
        assert {each.name: each.count for each in worklists.today(session)}["approvals"] == 0
    assert len(sandbox.posts(operation="create_refund")) == 1


def test_a_draft_that_passes_the_limit_of_the_day_says_what_counts_and_is_put_before_finance(
    app: Any, klarna: Any, sandbox: Any
) -> None:
    """B31, catalogue 83: chosen among the settings; two parts of what may not be credited in one."""
    admin, clerk = WebClient(app).log_in("admin"), in_english(WebClient(app))
    admin.get("/settings/limits/edit")
    admin.submit("form[action^=/settings/limits]", counts="day", clerk="3500")
    first, second = (f"/credit-notes/{a_draft(klarna, sandbox)}" for _ in range(2))
    clerk.get(first)
    clerk.submit("#sum")
    assert len(sandbox.posts(operation="create_refund")) == 1
    page = clerk.get(second)
    assert (
        "SEK 3,000.00, with the SEK 3,000.00 that you have credited today, is above your limit of SEK 3,500.00 a day"
        in (page.find("#sum").text)
    )
    page = clerk.submit("#ask-form")
    assert "Handläggaren put this draft before Finance" in page.text
    assert len(sandbox.posts(operation="create_refund")) == 1


def test_a_draft_is_not_put_before_finance_while_something_is_marked_wrong(app: Any, klarna: Any, sandbox: Any) -> None:
    """K21, B31: what was typed is not in the draft, so the button waits for the correction as the credit button does."""
    clerk = in_english(WebClient(app))
    page = clerk.get(f"/credit-notes/{a_draft(klarna, sandbox)}")
    name = page.find(".quantity-to-credit")["id"]
    assert page.has("#sum button[form=ask-form]")
    row = f"#row-{name.removeprefix('quantity-')}"
    for answer in (
        clerk.submit(row, page=page, **{name: "99"}),
        clerk.submit(row, page=page, htmx=name, **{name: "99"}),
    ):
        assert answer.status == 422 and not answer.has("#sum button[form=ask-form]")
        off = [each.text for each in answer.all("#sum [aria-disabled=true]")]
        assert len(off) == 2 and all("Correct the marked quantity first." in text for text in off), off
    assert clerk.submit(row, page=page, htmx=name, **{name: "1"}).has("#sum button[form=ask-form]")


def test_a_free_standing_draft_is_not_put_before_finance_while_something_is_marked_wrong(app: Any) -> None:
    """K42, B31: the same of a credit note that belongs to no invoice; both buttons say why."""
    clerk = in_english(WebClient(app))
    with writing() as session:
        customer_id = a_customer(session).id
    page = clerk.post(f"/customers/{customer_id}/free-credit", {}, follow=True)
    page = clerk.submit("/free-row", name="Goodwill", quantity="1", price="3000", vat_rate="2500")
    line = page.find("[id^=quantity-]")["id"].removeprefix("quantity-")
    assert page.has("#sum button[form=ask-form]")
    page = clerk.post(page.find(f"#new-{line}")["action"], {f"quantity-{line}": "två", f"price-{line}": "3000"})
    assert page.status == 422 and not page.has("#sum button[form=ask-form]")
    off = [each.text for each in page.all("#sum [aria-disabled=true]")]
    assert len(off) == 2 and all("Correct the marked quantity first." in text for text in off), off


def test_a_draft_that_is_changed_after_it_was_put_before_finance_says_so_and_shows_what_it_comes_to_now(
    app: Any, klarna: Any, sandbox: Any
) -> None:
    """B31: the work list's amount is the draft's own; the list and the draft tell that it is not what was put forward."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("Cykel", 300_000), row("Lampa", 50_000)])
    with writing() as session:
        draft_id = credit_drafts.start(session, CLERK, invoice.id).id
    draft = f"/credit-notes/{draft_id}"
    clerk, finance = in_english(WebClient(app)), in_english(WebClient(app), "finance")
    clerk.get(draft)
    clerk.submit("#ask-form")
    card, told = finance.get("/").find("#approvals").text, "changed since it was put before Finance"
    assert "3,500.00" in card and told not in card
    assert "It has been changed since" not in finance.get(draft).text
    with writing() as session:
        lamp = credit_drafts.get_draft(session, CLERK, draft_id).lines[1].id
        credit_drafts.remove_row(session, CLERK, draft_id, lamp)
    card = finance.get("/").find("#approvals").text
    assert "3,000.00" in card and "3,500.00" not in card and told in card
    assert "It has been changed since; it was SEK 3,500.00 then." in finance.get(draft).text
    assert "It has been changed since" not in finance.submit("#sum").text


def test_a_request_is_made_once_taken_back_and_goes_with_the_draft(
    books: Any, klarna: Any, sandbox: Any, viewer: Any
) -> None:
    """B31: within the limit there is nothing to ask; a viewer may not; a discarded draft leaves no request behind."""
    small, large = a_draft(klarna, sandbox, 100_000), a_draft(klarna, sandbox)
    with pytest.raises(Refusal, match="within your limit"), writing() as session:
        approvals.ask(session, CLERK, small)
    with pytest.raises(NotAllowed), writing() as session:
        approvals.ask(session, viewer, large)
    with writing() as session:
        approvals.ask(session, CLERK, large)
        approvals.ask(session, CLERK, large)
        assert approvals.on_draft(session, CLERK, large, 300_000, "SEK").may_take_back
        approvals.take_back(session, CLERK, large)
        assert approvals.of(session, large) is None
        approvals.ask(session, CLERK, large)
    with pytest.raises(NotAllowed):
        reservations.credit(klarna, CLERK, large, a_money_form(300_000))
    with writing() as session:
        credit_drafts.discard(session, CLERK, large)
        session.flush()
        assert session.scalar(sa.select(sa.func.count()).select_from(ApprovalRequest)) == 0
    assert the_document(small).number is None


def test_the_sentence_of_the_klarna_block_leads_to_the_credited_invoice(app: Any, klarna: Any, sandbox: Any) -> None:
    """K12: the number in the sentence is a link, and both numbers can be copied."""
    draft_id = a_draft(klarna, sandbox)
    invoice = the_document(draft_id).original_id
    block = in_english(WebClient(app)).get(f"/credit-notes/{draft_id}").find("#klarna-block")
    assert block.find("p a")["href"] == f"/invoices/{invoice}" and "Refers to invoice 42580, at Klarna" in block.text
    assert len(block.all("[data-copy]")) >= 2
