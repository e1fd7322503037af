"""What is done about a document after its number is taken, through its page (F25, K14-K20; operations 9, 11, 12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import current_app
from itsdangerous import URLSafeSerializer

import clock
from db import reading, writing
from models import Document, KlarnaAccount, KlarnaAnswer, KlarnaAttempt, KlarnaOp
from services import credit_drafts, credit_notes, reservations
from services.gateway import CREDENTIALS
from states import DocKind, DocState, OpState, RefusalKind, WithoutKlarna
from tests import builders
from tests.blueprints.document_pages import a_new_order, booked, count, in_english
from tests.builders import CLERK, a_captured_invoice, a_money_form, an_invoice, the_document
from tests.web_client import Page, WebClient

ACTS = ("retry", "void", "keep", "withdraw", "send", "ask", "attend", "reverse")


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


@pytest.fixture
def finance_client(app: Any) -> WebClient:
    return in_english(WebClient(app), "finance")


def an_invoice_met_by(sandbox: Any, klarna: Any, kind: str, **fault: Any) -> Document:
    """An invoice whose capture meets this fault."""
    order = a_new_order(sandbox, klarna, lines=[builders.row()])
    sandbox.fault(kind, operation="create_capture", **fault)
    return an_invoice(klarna, order)


def a_credit_note_met_by(sandbox: Any, klarna: Any, kind: str, **fault: Any) -> Document:
    """A credit note of 499,00 whose refund meets this fault."""
    invoice = a_captured_invoice(klarna, sandbox)
    with writing() as session:
        draft = credit_drafts.start(session, CLERK, invoice.id)
        draft_id, gross = draft.id, credit_drafts.figures(session, draft).gross_minor
    sandbox.fault(kind, operation="create_refund", **fault)
    return the_document(reservations.credit(klarna, CLERK, draft_id, a_money_form(gross)))


def page_of(client: WebClient, document: Document) -> Page:
    room = "invoices" if document.kind is DocKind.INVOICE else "credit-notes"
    return client.get(f"/{room}/{document.id}")


def change_op(document: Document, **values: Any) -> None:
    with writing() as session:
        session.execute(sa.update(KlarnaOp).where(KlarnaOp.document_id == document.id).values(**values))


# --- Refused ---------------------------------------------------------------------------------------------------------------


def test_a_refused_activation_shows_klarnas_words_and_goes_again_under_its_number(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """F25, K16, K18, B21: code, message, correlation id; a new key for the same number."""
    document = an_invoice_met_by(
        sandbox, klarna, "refuse", error_code="CAPTURE_NOT_ALLOWED", messages=["Capture not allowed."]
    )
    page = page_of(clerk_client, document)
    assert "Klarna did not accept the activation. Invoice 42580 remains, but nothing has been booked." in page.text
    for text in ("CAPTURE_NOT_ALLOWED", "Capture not allowed.", "Correlation id", "Klarna order id", "SEK 499.00"):
        assert text in page.find("#refusal").text, text
    assert page.has("[data-copy-from=refusal]") and page.has(".state-icon.refused") and not booked("invoice:42580")
    page = clerk_client.submit("form[action$=/retry]")
    assert "Invoice 42580 has been created and activated" in page.text and booked("invoice:42580")
    keys = [each["idempotency_key"] for each in sandbox.posts(operation="create_capture")]
    assert len(set(keys)) == 2 and len(sandbox.writes(operation="create_capture")) == 1


def test_trying_again_twice_is_one_try(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 12."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    drawn = page_of(clerk_client, document)
    for _ in range(2):
        assert clerk_client.submit("form[action$=/retry]", page=drawn, follow=False).status == 303
    part = clerk_client.submit("form[action$=/retry]", page=drawn, htmx="outcome")
    assert part.status == 204 and part.headers["HX-Redirect"].endswith(f"/invoices/{document.id}")
    assert len(sandbox.posts(operation="create_capture")) == 2


def test_a_refused_invoice_is_voided_with_a_reason_and_frees_the_order(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """F25, K15, catalogue 82: the number stays with who, when and why."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    drawn = page_of(clerk_client, document)
    for reason in ("", "   ", "x" * 501, "rad\x00"):
        answer = clerk_client.submit("form[action$=/void]", page=drawn, **{"void-reason": reason})
        assert (
            answer.status == 422 and answer.has("details[open]") and the_document(document.id).state is DocState.REFUSED
        )
    page = clerk_client.submit("form[action$=/void]", page=drawn, **{"void-reason": "fel antal"})
    assert f"Void since {clock.today()} by Handläggaren: fel antal. The number stays in the series." in page.text
    assert "Refused" not in page.find("h1").text and not page.has("#outcome form")
    assert clerk_client.get(f"/orders/{document.order_id}/invoice").has("#last-step form button.primary")
    answer = clerk_client.submit("form[action$=/void]", page=drawn, **{"void-reason": "igen"})
    assert answer.status == 409 and the_document(document.id).void_reason == "fel antal"


def test_a_refused_credit_note_is_kept_without_klarna_under_its_number(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K14, K17, K19, K20: the two steps; a reason is demanded, and a word where Klarna shows no refund."""
    document = a_credit_note_met_by(sandbox, klarna, "refuse", error_code="REFUND_NOT_ALLOWED")
    page = page_of(clerk_client, document)
    assert "Klarna's number of the original invoice" in page.find("#refusal").text
    assert "Credit SEK 499.00 in Klarna's portal." in page.text
    answer = clerk_client.submit("form[action$=/keep]")
    assert answer.status == 422 and "Choose why nothing is to be credited at Klarna." in answer.text
    answer = clerk_client.submit("form[action$=/keep]", page=page, reason="credited_in_portal")
    assert answer.status == 422 and "Klarna shows no credit of SEK 499.00" in answer.text
    page = clerk_client.submit("form[action$=/keep]", page=answer, reason="credited_in_portal", portal_confirmed=True)
    assert "Credit note 42581 has been created without Klarna." in page.text and booked("credit_note:42581")
    assert len(sandbox.posts(operation="create_refund")) == 1


def test_an_invoice_is_never_kept_without_klarna(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 9, catalogue 81."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    page = page_of(clerk_client, document)
    assert not page.has("form[action$=/keep]")
    sent = a_nonce("keep", document.id)
    answer = clerk_client.post(f"/documents/{document.id}/keep", {**sent, "reason": "even_exchange"})
    assert answer.status == 409 and the_document(document.id).state is DocState.REFUSED


def a_nonce(action: str, subject: int) -> dict[str, str]:
    """A nonce of the clerk's for an act that the page does not offer."""
    config = current_app.config
    signer = URLSafeSerializer([*config["SECRET_KEY_FALLBACKS"], config["SECRET_KEY"]], salt="form-nonce")
    return {"nonce": str(signer.dumps(["ab" * 16, CLERK.id, action, str(subject)]))}


@pytest.mark.parametrize("act", [each for each in ACTS if each not in ("attend", "reverse")])
def test_an_issued_document_refuses_every_act_with_a_sentence(
    clerk_client: WebClient, klarna: Any, sandbox: Any, act: str
) -> None:
    """Catalogue 81: 409 with the state's own sentence, and the page as it stands."""
    document = a_captured_invoice(klarna, sandbox)
    page_of(clerk_client, document)
    sent = a_nonce(act, document.id)
    answer = clerk_client.post(
        f"/documents/{document.id}/{act}", {**sent, "shown": "49900", "void-reason": "x", "reason": "even_exchange"}
    )
    assert answer.status == 409 and answer.has("#outcome .banner.bad"), act
    assert the_document(document.id).version == document.version


@pytest.mark.parametrize("act", ACTS)
def test_acts_are_posts_need_a_nonce_a_right_and_a_document(
    app: Any, clerk_client: WebClient, klarna: Any, sandbox: Any, act: str
) -> None:
    """Security 2, catalogue 15-18: 405, 400, 403, 404."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    url = f"/documents/{document.id}/{act}"
    assert clerk_client.get(url).status == 405
    if act not in ("attend", "reverse"):
        assert clerk_client.post(url, {"shown": "49900", "void-reason": "x"}).status == 400
        assert clerk_client.post(url, {"nonce": "x.y", "shown": "49900"}).status == 400
        reader = WebClient(app).log_in("viewer")
        assert reader.post(url).status == 403
    if act == "reverse":
        assert clerk_client.post(url).status == 403
    else:
        assert clerk_client.post(url, csrf=False).status == 400
    assert the_document(document.id).state is DocState.REFUSED


def test_only_the_maker_and_finance_void(finance_client: WebClient, app: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 9: a colleague's button is off with the sentence, and the server refuses."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    with writing() as session:
        session.get_one(Document, document.id).created_by_id = 99
    colleague = in_english(WebClient(app))
    page = page_of(colleague, document)
    assert "Only Finance, or whoever made it, can void it." in page.text and not page.has("form[action$=/void]")
    sent = a_nonce("void", document.id)
    assert colleague.post(f"/documents/{document.id}/void", {**sent, "void-reason": "x"}).status == 403
    page_of(finance_client, document)
    assert "Void since" in finance_client.submit("form[action$=/void]", **{"void-reason": "fel"}).text


def test_rows_credited_otherwise_since_leave_only_voiding(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 5, 9."""
    document = a_credit_note_met_by(sandbox, klarna, "refuse")
    with writing() as session:
        draft = credit_drafts.start(session, CLERK, document.original_id or 0)
        draft.with_klarna, draft.without_klarna_reason = False, WithoutKlarna.EVEN_EXCHANGE
        credit_notes.issue_without_klarna(session, CLERK, draft, portal_confirmed=False, external=None)
    page = page_of(clerk_client, document)
    assert "The rows of credit note 42581 have been credited otherwise since. It can only be voided." in page.text
    assert (
        not page.has("form[action$=/retry]") and not page.has("form[action$=/keep]") and page.has("form[action$=/void]")
    )


@pytest.mark.untrue_books("the kind of the refusal is written by hand")
def test_what_a_look_forbade_says_both_figures(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 9, drift: «Ej utförd» with the way to the difference, and again once it is settled."""
    document = an_invoice_met_by(sandbox, klarna, "refuse")
    with writing() as session:
        session.get_one(Document, document.id).refusal_kind = RefusalKind.DRIFT
    page = page_of(clerk_client, document)
    assert "Not carried out" in page.find("h1").text and "Not sent: the purchase had changed at Klarna." in page.text
    sandbox.portal_capture(sandbox.find_orders()[0], 19_900)
    reservations.look_at(klarna, document.order_id or 0)
    page = page_of(clerk_client, document)
    assert "Not sent: Klarna shows SEK 199.00 activated, Kvitta SEK 0.00. Settle the difference first." in page.text
    assert page.has(f"#outcome a[href=/orders/{document.order_id}]")


# --- Unanswered ------------------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_never_a_failure_and_settles_by_itself(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """F25, K14: the sentence with its warning; the panel asks, and the page comes when it is settled."""
    document = a_credit_note_met_by(sandbox, klarna, "drop_after")
    page = page_of(clerk_client, document)
    assert (
        "We do not know yet whether Klarna has credited SEK 499.00. "
        "Do not credit again, here or in Klarna's portal. We ask again at " in page.text
    )
    assert "and have asked once." in page.text and page.has("#outcome strong") and page.has(".state-icon.unknown")
    assert not page.has("form[action$=/retry]") and page.has("#outcome-poll[data-poll]")
    quiet = clerk_client.submit("form[action$=/attend]", htmx="outcome")
    assert quiet.status == 204 and "HX-Redirect" not in quiet.headers
    change_op(document, next_run_at=clock.now() - timedelta(seconds=1))
    settled = clerk_client.submit("form[action$=/attend]", htmx="outcome")
    assert settled.status == 204 and settled.headers["HX-Redirect"].endswith(f"/credit-notes/{document.id}")
    assert "has been created and credited at Klarna: SEK 499.00" in page_of(clerk_client, document).text
    assert len(sandbox.writes(operation="create_refund")) == 1


def test_waiting_works_without_a_script(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """The refresh button is a form of its own and leads back to the page."""
    document = an_invoice_met_by(sandbox, klarna, "drop_after")
    page_of(clerk_client, document)
    change_op(document, next_run_at=clock.now() - timedelta(seconds=1))
    page = clerk_client.submit("form[action$=/attend]")
    assert page.status == 200 and "Invoice 42580 has been created and activated" in page.text


def test_looking_at_the_page_asks_klarna_nothing(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """A GET changes nothing, though the answer is out and due."""
    document = an_invoice_met_by(sandbox, klarna, "drop_after")
    change_op(document, next_run_at=clock.now() - timedelta(seconds=1))
    sandbox.clear_log()
    page_of(clerk_client, document)
    assert clerk_client.get(f"/documents/{document.id}/panel", htmx=True).has("#outcome")
    assert clerk_client.get(f"/documents/{document.id}/panel").has("h1")
    assert not sandbox.log() and the_document(document.id).state is DocState.PENDING


def test_klarna_is_asked_at_once_and_at_most_once_a_minute(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 10."""
    document = an_invoice_met_by(sandbox, klarna, "drop_before")
    drawn = page_of(clerk_client, document)
    sandbox.fault("drop_before", operation="create_capture")
    clerk_client.submit("form[action$=/ask]")
    again = clerk_client.submit("form[action$=/ask]", page=drawn)
    assert again.status == 429 and "Klarna was asked less than a minute ago. Wait a moment." in again.text
    assert again.has("#outcome [aria-disabled=true]")


@pytest.mark.untrue_books("the attempt and its answer are written by hand")
def test_an_answer_kept_while_our_booking_failed_says_so(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 11: UNKNOWN with a recorded 2xx has nothing to press."""
    document = an_invoice_met_by(sandbox, klarna, "drop_after")
    with writing() as session:
        attempt = session.scalars(sa.select(KlarnaAttempt)).one()
        copy = KlarnaAttempt(
            **{c.name: getattr(attempt, c.name) for c in KlarnaAttempt.__table__.columns if c.name != "id"} | {"n": 2}
        )
        session.add(copy)
        session.flush()
        session.add(
            KlarnaAnswer(
                attempt_id=copy.id, ended_at=clock.now(), answer_class="ANSWER", http_status=201, duration_ms=1, body=""
            )
        )
    page = page_of(clerk_client, document)
    assert (
        "Klarna has activated SEK 499.00. Our booking failed and is being repeated; there is nothing for you to do."
        in page.text
    )
    assert not page.has("form[action$=/ask]")


@pytest.mark.untrue_books("the state is written by hand")
def test_a_document_in_review_says_who_decides(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 11."""
    document = an_invoice_met_by(sandbox, klarna, "drop_before")
    change_op(document, state=OpState.REVIEW)
    page = page_of(clerk_client, document)
    assert (
        "Klarna has not been able to tell for 23 hours. Finance has to decide whether SEK 499.00 was activated."
        in page.text
    )
    assert not page.has("[data-poll]")


# --- Not sent ------------------------------------------------------------------------------------------------------------------


def not_sent(sandbox: Any, klarna: Any, reason: str = "unreachable") -> Document:
    """An invoice that was numbered and never left."""
    document = an_invoice_met_by(sandbox, klarna, "unauthorized")
    assert document.state is DocState.PENDING
    with writing() as session:
        account = session.scalars(sa.select(KlarnaAccount)).one()
        if reason != CREDENTIALS:
            account.breaker = None
    change_op(document, hold_reason=reason)
    return document


def test_what_was_not_sent_is_sent_by_a_person(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 11, «Ej skickad»: nothing has happened at Klarna; send now."""
    document = not_sent(sandbox, klarna)
    page = page_of(clerk_client, document)
    assert "Invoice 42580 has not been sent: Klarna could not be reached. Nothing has happened at Klarna." in page.text
    assert "Not sent" in page.find("h1").text and not page.has("[data-poll]")
    sandbox.fault("drop_before", operation="get_order")
    answer = clerk_client.submit("form[action$=/send]", page=page)
    assert (
        answer.status == 409
        and "Klarna could not be reached. Nothing has been sent; try again in a while." in answer.text
    )
    page = clerk_client.submit("form[action$=/send]", page=page)
    assert "Invoice 42580 has been created and activated" in page.text


def test_what_was_not_sent_is_not_waited_for_and_its_history_says_that_klarna_did_not_take_it(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Operations 11: the order's page says what to do about it; no line of the history says that it is being sent."""
    document = not_sent(sandbox, klarna)
    order = clerk_client.get(f"/orders/{document.order_id}")
    assert "Send or withdraw invoice 42580 first." in order.text and "Wait for Klarna's answer" not in order.text
    history = page_of(clerk_client, document).find("section[aria-labelledby=history-h]").text
    assert "Tried to send; Klarna did not take it" in history and "Sending" not in history
    clerk_client.submit("form[action$=/send]")
    history = page_of(clerk_client, document).find("section[aria-labelledby=history-h]").text
    assert "Sending" in history and "Tried to send; Klarna did not take it" in history


def test_what_was_not_sent_can_be_withdrawn(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 4, «Återta»: void, with the reason in words; the order is free."""
    document = not_sent(sandbox, klarna)
    page_of(clerk_client, document)
    page = clerk_client.submit("form[action$=/withdraw]")
    assert "Void since" in page.text and "withdrawn before sending" in page.text
    assert (
        the_document(document.id).state is DocState.VOID
        and count(KlarnaOp, KlarnaOp.state == OpState.NOT_EXECUTED) == 1
    )


def test_refused_credentials_leave_only_withdrawing(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 11."""
    page = page_of(clerk_client, not_sent(sandbox, klarna, CREDENTIALS))
    assert (
        "Not sent: Klarna does not accept the store's credentials. An administrator has to correct them." in page.text
    )
    assert page.has("form[action$=/withdraw]") and not page.has("form[action$=/send]")


def test_what_has_left_cannot_be_withdrawn(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 9: SENDING and UNKNOWN have no way back."""
    document = an_invoice_met_by(sandbox, klarna, "drop_after")
    page = page_of(clerk_client, document)
    assert not page.has("form[action$=/withdraw]")
    sent = a_nonce("withdraw", document.id)
    answer = clerk_client.post(f"/documents/{document.id}/withdraw", sent)
    assert answer.status == 409 and "It has been sent and cannot be taken back." in answer.text


# --- Reversed --------------------------------------------------------------------------------------------------------------


def test_finance_reverses_a_credit_note_without_klarna(
    clerk_client: WebClient, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """E11, catalogue 81, 82: voucher negated, rows free again; not for a clerk, not twice, not without a reason."""
    invoice = a_captured_invoice(klarna, sandbox)
    clerk_client.get(f"/invoices/{invoice.id}")
    clerk_client.submit("/credit")
    clerk_client.submit("#boxes", without_klarna=True)
    clerk_client.submit("#boxes", reason="even_exchange")
    page = clerk_client.submit("#sum")
    assert not page.has("form[action$=/reverse]") and "Requires Finance." in page.text
    drawn = finance_client.get(page.url)
    assert finance_client.submit("form[action$=/reverse]", **{"reverse-reason": " "}).status == 422
    page = finance_client.submit("form[action$=/reverse]", page=drawn, **{"reverse-reason": "fel kund"})
    assert f"Reversed {clock.today()} by Ekonomen: fel kund." in page.text and "Reversed" in page.find("h1").text
    assert booked("credit_note_reversed:42581") == {1510: 49_900, 2611: -9_980, 3001: -39_920}
    assert finance_client.submit("form[action$=/reverse]", page=drawn, **{"reverse-reason": "igen"}).status == 409
    assert not finance_client.get(page.url).has("#payment-h .state-icon"), "it was settled by nobody"
    assert "42581" in finance_client.get("/credit-notes?view=all").text
    assert "42581" in finance_client.get("/invoices?view=all").text
    assert "42581" not in finance_client.get("/invoices?view=paid").text
    assert not finance_client.get("/credit-notes?view=all").has("#documents .state-icon")
    assert finance_client.get(f"/invoices/{invoice.id}").has(f"form[action=/invoices/{invoice.id}/credit]")


def test_what_went_to_klarna_is_not_reversed(finance_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 81."""
    document = a_credit_note_met_by(sandbox, klarna, "hang", seconds=0)
    page = page_of(finance_client, document)
    assert document.state is DocState.ISSUED and not page.has("form[action$=/reverse]")
    with reading() as session:
        assert session.get_one(Document, document.id).reversed_at is None


def test_what_klarna_has_not_answered_is_not_called_invoiced_or_credited(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """F3, F25, K8: the answer is waited for first, on the order, in the last step and on the invoice."""
    document = an_invoice_met_by(sandbox, klarna, "drop_after")
    page = clerk_client.get(f"/orders/{document.order_id}")
    assert "Wait for Klarna's answer about invoice 42580" in page.text
    assert "has been invoiced" not in page.text and "Something on the order" not in page.text
    badges = [each.text for each in page.all("h1 .pill")]
    assert badges == ["Delivered", "Waiting for Klarna"], "neither invoiced nor not"
    assert "Wait for Klarna's answer" in clerk_client.get(f"/orders/{document.order_id}/invoice").text
    note = a_credit_note_met_by(sandbox, klarna, "drop_after")
    page = clerk_client.get(f"/invoices/{note.original_id}")
    assert f"Wait for Klarna's answer about credit note {note.number_text}" in page.text
    assert "The whole invoice has been credited." not in page.text
    pressed = clerk_client.post(f"/invoices/{note.original_id}/credit", {})
    assert pressed.status == 409 and "Wait for Klarna's answer about credit note" in pressed.text
    assert "The whole invoice has been credited." not in clerk_client.get("/invoices?view=all").body.decode()


def test_a_note_that_klarna_knows_nothing_of_is_not_said_to_be_deducted_by_it(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K19, K20, K30: kept as an even exchange after Klarna's no; and one that the portal has refunded says just that."""
    document = a_credit_note_met_by(sandbox, klarna, "refuse")
    page_of(clerk_client, document)
    page = clerk_client.submit("form[action$=/keep]", reason="even_exchange")
    assert "the customer gets no money from there" in page.text and "still to be deducted" not in page.text
    document = a_credit_note_met_by(sandbox, klarna, "refuse")
    page_of(clerk_client, document)
    clerk_client.submit("form[action$=/keep]", reason="credited_in_portal")
    page = clerk_client.submit("form[action$=/keep]", reason="credited_in_portal", portal_confirmed=True)
    assert (
        "stands for what has already been credited in Klarna's portal" in page.text and "gets no money" not in page.text
    )
    assert "still to be deducted from a payout" in page.text
