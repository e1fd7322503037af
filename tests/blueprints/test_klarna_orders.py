"""A Klarna order's life from its page: the panel's buttons, the rows in place, what Klarna said, and what moves no money."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from models import KlarnaCall, KlarnaOp, Order
from services import orders
from states import CallOutcome, OpKind, OpState, OrderState
from tests import builders
from tests.blueprints.document_pages import in_english
from tests.builders import a_delivery, an_article, an_invoice, an_order, row
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def an_open_order(klarna: Any, sandbox: Any, **fields: Any) -> Order:
    fields = {"lines": [row(pieces=2)], "expires_at": clock.now() + timedelta(days=7), **fields}
    with writing() as session:
        return an_order(session, sandbox, klarna, **fields)


def an_activated_invoice(klarna: Any, sandbox: Any) -> Any:
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, carrier="PostNord", tracking_number="123SE")
    return an_invoice(klarna, order)


def order_now(order: Order) -> Order:
    with reading() as session:
        found = session.get_one(Order, order.id)
        assert found.lines is not None
        session.expunge_all()
        return found


def act_now(order: Order) -> KlarnaOp:
    with reading() as session:
        return session.scalars(sa.select(KlarnaOp).where(KlarnaOp.order_id == order.id)).one()


def panel_of(client: WebClient, order: Order) -> Page:
    return client.get(f"/orders/{order.id}")


# --- The panel ---------------------------------------------------------------------------------------------------------------


def test_the_panel_offers_what_is_allowed_and_greys_the_rest_with_its_reason(
    clerk_client: WebClient, klarna: Any, sandbox: Any, app: Any
) -> None:
    """Screens, Orders; F27, B31: extend, release, cancel, refresh; a viewer is told which role it takes."""
    order = an_open_order(klarna, sandbox)
    page = panel_of(clerk_client, order)
    assert page.has("#klarna form[action$=/extend]") and page.has("#klarna form[action$=/look]")
    assert "Only after an activation can the rest be released." in page.find("#klarna").text
    page = clerk_client.submit("#klarna form[action$=/extend]")
    assert "Klarna has extended the reservation. It expires on" in page.find("#operation").text
    sandbox.expire(order.klarna_order_id)
    page = clerk_client.submit("#klarna form[action$=/look]", page=page)
    assert "Ask Klarna whether it can be renewed." in page.find("#klarna").text
    assert not page.has("#klarna form[action$=/extend]")
    page = in_english(WebClient(app), "viewer").get(f"/orders/{order.id}")
    assert "Requires Clerk or Finance." in page.find("#klarna").text and not page.has("#klarna form")


def test_an_order_is_cancelled_from_its_page_once_it_is_said_what_that_does(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B18: with the goods that have left; twice the same form is one cancellation."""
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, {order_now(order).lines[0].id: 1000})
    drawn = clerk_client.get(f"/orders/{order.id}/cancel")
    assert "Goods have left on the order and are not invoiced." in drawn.text
    for _ in range(2):
        page = clerk_client.submit("form[action$=/cancel]", page=drawn)
        assert "The order has been cancelled, and the purchase at Klarna with it." in page.text
    assert "nobody pays for them" in page.text and "The order was cancelled" in page.find("#order-body").text
    assert len(sandbox.posts(operation="cancel")) == 1 and order_now(order).state is OrderState.CANCELLED
    order = an_open_order(klarna, sandbox)
    drawn = clerk_client.get(f"/orders/{order.id}/cancel")
    with writing() as session:
        a_delivery(session, order, {order_now(order).lines[0].id: 1000})
    answer = clerk_client.submit("form[action$=/cancel]", page=drawn)
    assert answer.status == 409 and "The order has changed since the page was drawn." in answer.text
    assert "Goods have left on the order" in answer.text and len(sandbox.posts(operation="cancel")) == 1
    stale = clerk_client.get(f"/orders/{an_open_order(klarna, sandbox).id}/cancel")
    answer = clerk_client.submit("form[action$=/cancel]", page=stale, shown="1")
    assert answer.status == 409 and "What is left of the reservation has changed" in answer.text


def test_the_rest_is_released_from_its_page(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """«Släpp resten»: what is left is named before and gone after."""
    order = an_open_order(klarna, sandbox)
    with writing() as session:
        a_delivery(session, order, {order_now(order).lines[0].id: 1000})
    an_invoice(klarna, order)
    drawn = clerk_client.get(f"/orders/{order.id}/release")
    assert "SEK 499.00 is left of reservation" in drawn.text
    with writing() as session:
        a_delivery(session, order, {order_now(order).lines[0].id: 1000})
    stale = clerk_client.submit("form[action$=/release]", page=drawn)
    assert stale.status == 409 and "The order has changed since the page was drawn." in stale.text
    clerk_client.get(f"/orders/{order.id}/release")
    page = clerk_client.submit("form[action$=/release]")
    assert (
        "The rest of the reservation has been released at Klarna." in page.text
        and order_now(order).remaining_minor == 0
    )


def test_only_an_administrator_removes_and_only_what_never_came_to_anything(
    app: Any, clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B18."""
    with writing() as session:
        bare = an_order(session)
    linked = an_open_order(klarna, sandbox)
    assert clerk_client.get(f"/orders/{bare.id}/remove").status == 403
    admin = in_english(WebClient(app), "admin")
    page = admin.get(f"/orders/{linked.id}/remove")
    assert "The order has a reservation at Klarna. Cancel it instead." in page.text
    admin.get(f"/orders/{bare.id}/remove")
    page = admin.submit("form[action$=/remove]")
    assert f"Order {bare.number} has been removed." in page.text
    assert admin.get(f"/orders/{bare.id}").status == 404


# --- What Klarna said ----------------------------------------------------------------------------------------------------------


def test_klarnas_no_stands_on_the_order_with_everything_klarna_asks_for(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B21, operations 11: code, words, correlation id, the usual cause, and the way on."""
    order = an_open_order(klarna, sandbox)
    panel_of(clerk_client, order)
    sandbox.fault("refuse", operation="extend_authorization_time", messages=["Authorization time cannot be extended."])
    page = clerk_client.submit("#klarna form[action$=/extend]")
    told = page.find("#operation").text
    for text in (
        "Klarna did not extend the reservation. Nothing has changed.",
        "NOT_ALLOWED",
        "Authorization time cannot be extended.",
        "Correlation id",
        "Klarna extends neither card payments",
    ):
        assert text in told, text
    assert page.has("[data-copy-from=refusal]")
    page = clerk_client.submit("#operation form[action$=/extend]")
    assert "Klarna has extended the reservation." in page.find("#operation").text
    keys = {each["idempotency_key"] for each in sandbox.posts(operation="extend_authorization_time")}
    assert len(keys) == 2, "a new try is a new operation under a new key"


def test_an_unknown_answer_polls_blocks_and_can_be_asked_about(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Operations 11: the panel asks for itself, says what must not be done, and names what is open on every button."""
    order = an_open_order(klarna, sandbox)
    panel_of(clerk_client, order)
    sandbox.fault("drop_before", operation="extend_authorization_time")
    page = clerk_client.submit("#klarna form[action$=/extend]")
    assert "We do not know yet whether Klarna has extended the reservation." in page.find("#operation").text
    assert "Do not do it again, here or in Klarna's portal." in page.find("#operation strong").text
    assert "Wait for Klarna's answer about the extension" in page.find("#order-menu").text
    mark = page.find("#operation-poll input[name=mark]")["value"]
    same = clerk_client.post(f"/orders/{order.id}/reservation/attend", {"mark": mark}, htmx="operation")
    assert same.status == 204 and "HX-Redirect" not in same.headers
    other = clerk_client.post(f"/orders/{order.id}/reservation/attend", {"mark": ""}, htmx="operation")
    assert other.status == 200 and other.has("#operation")
    page = clerk_client.submit("#operation form[action$=/ask]", page=page)
    with writing() as session:
        session.execute(sa.update(KlarnaOp).values(next_run_at=KlarnaOp.created_at))
    settled = clerk_client.post(f"/orders/{order.id}/reservation/attend", {"mark": mark}, htmx="operation")
    assert settled.headers["HX-Redirect"].endswith(f"/orders/{order.id}")
    assert act_now(order).state is OpState.CONFIRMED


def test_what_was_not_sent_is_sent_or_withdrawn_and_what_nobody_knows_is_decided(
    app: Any, clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Operations 9 to 11: every state has a way out on the order's page."""
    order = an_open_order(klarna, sandbox)
    panel_of(clerk_client, order)
    sandbox.fault("too_many", operation="extend_authorization_time", retry_after=3000)
    page = clerk_client.submit("#klarna form[action$=/extend]")
    with writing() as session:
        session.execute(sa.update(KlarnaOp).values(next_run_at=None, hold_reason="unreachable"))
    page = panel_of(clerk_client, order)
    assert "The extension has not been sent: Klarna could not be reached." in page.find("#operation").text
    page = clerk_client.submit("#operation form[action$=/withdraw]")
    assert act_now(order).state is OpState.NOT_EXECUTED and not page.has("#operation")
    other = an_open_order(klarna, sandbox)
    panel_of(clerk_client, other)
    sandbox.fault("drop_before", operation="extend_authorization_time")
    clerk_client.submit("#klarna form[action$=/extend]")
    with writing() as session:
        past = clock.now() - timedelta(minutes=1)
        session.execute(
            sa.update(KlarnaOp).where(KlarnaOp.order_id == other.id).values(post_allowed_until=past, next_run_at=past)
        )
    clerk_client.post(f"/orders/{other.id}/reservation/attend", {})
    assert "Finance has to decide whether the reservation was extended." in panel_of(clerk_client, other).text
    finance = in_english(WebClient(app), "finance")
    finance.get(f"/orders/{other.id}/reservation/decide")
    answer = finance.submit("form[action$=/happened]")
    assert answer.status == 409 and "Nothing has been decided." in answer.text
    answer = finance.submit("form[action$=/did-not-happen]", page=answer, reason="")
    assert answer.status == 422
    page = finance.submit("form[action$=/did-not-happen]", page=answer, reason="syns inte")
    assert "the reservation was not extended. Reason: syns inte." in page.find("#operation").text


# --- The rows -------------------------------------------------------------------------------------------------------------------


def test_rows_are_changed_added_and_removed_in_place(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """B19: adding and taking away stores nothing; what is typed stays; the order changes when Klarna has agreed."""
    order = an_open_order(klarna, sandbox, lines=[row(pieces=2), row("Keps", 9_900)])
    with writing() as session:
        an_article(session, "Mugg", 12_900, number="MUGG", gtin="7310865004703")
    assert clerk_client.get(f"/orders/{order.id}").has("#order-rows a[href$=/rows]")
    page = clerk_client.get(f"/orders/{order.id}/rows")
    page = clerk_client.submit(
        "form[action$=/rows]", page=page, press="then=article", quantity_0="nej", new_article="saknas"
    )
    assert (
        page.status == 422
        and "There is no article «saknas»." in page.text
        and page.find("#quantity_0")["value"] == "nej"
    )
    page = clerk_client.submit("form[action$=/rows]", page=page, press="then=article", new_article="7310865004703")
    page = clerk_client.submit("form[action$=/rows]", page=page, press="then=free")
    assert page.find("#price_2")["value"] == "129.00" and page.find("#quantity_0")["value"] == "nej"
    page = clerk_client.submit("form[action$=/rows]", page=page, press="then=remove-1")
    assert page.find("#price_1")["value"] == "129.00" and not page.has("#quantity_3")
    page = clerk_client.submit("form[action$=/rows]", page=page, press="then=save")
    assert page.status == 422 and page.has("#quantity_0-error") and page.has("#name_2-error")
    page = clerk_client.submit(
        "form[action$=/rows]",
        page=page,
        press="then=count",
        quantity_0="1",
        name_2="Gravyr",
        price_2="50",
        quantity_2="1.5",
    )
    page = clerk_client.submit("form[action$=/rows]", page=page, press="then=save")
    assert "Klarna has agreed to the change. The reservation is now SEK 703.00." in page.text
    assert [line.name for line in order_now(order).lines] == ["T-shirt", "Mugg", "Gravyr"]
    assert "The rows were changed: from SEK 1,097.00 to SEK 703.00" in page.text


def test_a_refused_change_leaves_the_order_and_can_be_looked_through_again(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B19: in Klarna's own words; the form opens again with what was asked for."""
    order = an_open_order(klarna, sandbox)
    clerk_client.get(f"/orders/{order.id}/rows")
    sandbox.fault("risk_refusal", operation="update_authorization")
    clerk_client.submit("form[action$=/rows]", press="then=count", quantity_0="5")
    page = clerk_client.submit("form[action$=/rows]", press="then=save")
    assert "Klarna did not accept the change. The order is as it was." in page.find("#operation").text
    assert "Update not allowed." in page.find("#refusal").text and orders.total(order_now(order)) == 99_800
    link = page.find("#operation a[href*=from=refused]")["href"]
    assert clerk_client.get(link).find("#quantity_0")["value"] == "5"


def _told(page: Any) -> dict[str, str]:
    """The sums above the button; an answer to somebody typing holds nothing else."""
    sums = page.find("dl") if page.element.tag != "html" else page.find("#new-sum dl")
    return {each.find("dt").text: each.find("dd").text for each in sums.all("div")}


@pytest.mark.parametrize(
    ("quantity", "new", "difference"),
    [("5", "SEK 2,495.00", "+1,497.00"), ("1", "SEK 499.00", "−499.00"), ("2", "SEK 998.00", "0.00"), ("x", "–", None)],
)  # fmt: skip
def test_the_new_sum_stands_beside_what_is_reserved_before_anything_is_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any, quantity: str, new: str, difference: str | None
) -> None:
    """B19: with a press, and while somebody types; neither stores nor sends anything."""
    order = an_open_order(klarna, sandbox)
    page = clerk_client.get(f"/orders/{order.id}/rows")
    assert _told(page) == {"Reserved at Klarna": "SEK 998.00", "New sum": "SEK 998.00", "Difference": "0.00"}
    price = page.find("#price_0")["value"]
    typed = f"part=sum&count=1&quantity_0={quantity}&price_0={price}&discount_0="
    part = clerk_client.get(f"/orders/{order.id}/rows?{typed}", htmx=True)
    clerk_client.get(f"/orders/{order.id}/rows")
    whole = clerk_client.submit("form[action$=/rows]", press="then=count", quantity_0=quantity)
    expected = {"Reserved at Klarna": "SEK 998.00", "New sum": new, "Difference": difference}
    for drawn in (part, whole):
        assert _told(drawn) == {name: each for name, each in expected.items() if each is not None}
    assert not part.has("#quantity_0") and whole.find("#quantity_0")["value"] == quantity
    assert whole.has("#quantity_0-error") == (quantity == "x")
    assert not sandbox.posts(operation="update_authorization") and orders.total(order_now(order)) == 99_800


@pytest.mark.parametrize(("count", "live"), [(60, True), (61, False)])
def test_the_sum_of_more_rows_than_an_address_holds_is_told_at_a_press(
    clerk_client: WebClient, klarna: Any, count: int, live: bool
) -> None:
    """B19."""
    with writing() as session:
        order = an_order(session, lines=[row(f"Skruv {place}", 100) for place in range(count)])
    page = clerk_client.get(f"/orders/{order.id}/rows")
    assert page.has("#new-sum[hx-get]") == live and page.has("noscript") == live
    page = clerk_client.submit("form[action$=/rows]", press="then=count", quantity_0="2")
    assert _told(page)["New sum"] == f"SEK {count + 1}.00"


def test_what_is_no_list_of_rows_has_no_sum(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 10, 19."""
    order = an_open_order(klarna, sandbox)
    for count, status in (("x", 400), ("99999", 400), ("", 400), ("3", 200)):
        assert clerk_client.get(f"/orders/{order.id}/rows?part=sum&count={count}", htmx=True).status == status
    assert clerk_client.get(f"/orders/{order.id}/rows?part=sum&count=1").has("form[action$=/rows]")


def test_rows_whose_sum_was_not_shown_are_told_before_they_are_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B19: the button sends what stands above it; without a script the first press shows it and the second sends it."""
    order = an_open_order(klarna, sandbox)
    clerk_client.get(f"/orders/{order.id}/rows")
    page = clerk_client.submit("form[action$=/rows]", press="then=save", quantity_0="1")
    assert page.status == 409
    assert "The rows now come to SEK 499.00. Nothing has been changed yet: look at the new sum" in page.text
    assert _told(page)["Difference"] == "−499.00" and page.find("#quantity_0")["value"] == "1"
    assert not sandbox.posts(operation="update_authorization")
    page = clerk_client.submit("form[action$=/rows]", press="then=save")
    assert "Klarna has agreed to the change. The reservation is now SEK 499.00." in page.text


def test_an_order_without_klarna_shows_its_sum_now_beside_the_new_one(clerk_client: WebClient, klarna: Any) -> None:
    """B19."""
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2)])
    clerk_client.get(f"/orders/{order.id}/rows")
    page = clerk_client.submit("form[action$=/rows]", press="then=count", quantity_0="3", discount_0="97")
    assert _told(page) == {"The order now": "SEK 998.00", "New sum": "SEK 1,400.00", "Difference": "+402.00"}
    clerk_client.submit("form[action$=/rows]", press="then=save")
    assert orders.total(order_now(order)) == 140_000


@pytest.mark.parametrize(
    ("typed", "status"),
    [({"count": "x"}, 400), ({"line_0": "999"}, 400), ({"version": "1; DROP"}, 400), ({"quantity_0": "1e3"}, 422),
     ({"price_0": "-5"}, 422), ({"discount_0": "99999999999"}, 422)],
)  # fmt: skip
def test_rows_that_cannot_be_read_change_nothing(
    clerk_client: WebClient, klarna: Any, sandbox: Any, typed: dict[str, str], status: int
) -> None:
    """Catalogue 1-10: a sentence beside the field or a form that is not ours; never half done."""
    order = an_open_order(klarna, sandbox)
    clerk_client.get(f"/orders/{order.id}/rows")
    assert clerk_client.submit("form[action$=/rows]", press="then=save", **typed).status == status
    assert not sandbox.posts(operation="update_authorization")


# --- What moves no money --------------------------------------------------------------------------------------------------


def test_tracking_letter_and_later_due_date_go_from_the_invoices_page(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Screens, Invoice page: prefilled from the delivery; the fee is shown before; each is listed with Klarna's answer."""
    invoice = an_activated_invoice(klarna, sandbox)
    assert clerk_client.get(f"/invoices/{invoice.id}").has("#klarna a[href$=/klarna]")
    page = clerk_client.get(f"/documents/{invoice.id}/klarna")
    assert page.find("#number")["value"] == "123SE"
    page = clerk_client.submit("form[action$=/tracking]", number="456SE")
    assert "Klarna has received it." in page.text and "Received by Klarna" in page.text
    page = clerk_client.submit("form[action$=/letter]", page=page)
    page = clerk_client.get(f"/documents/{invoice.id}/due-date")
    assert "10 days, fee SEK 10.00" in page.text
    assert clerk_client.submit("form[action$=/due-date]", page=page).status == 422
    assert clerk_client.submit("form[action$=/due-date]", page=page, option="10:1").status == 409
    page = clerk_client.submit("form[action$=/due-date]", page=page, option="10:1000")
    assert "Later due date" in page.text and len(sandbox.writes(operation="extend_due_date")) == 1


def test_an_order_gets_its_numbers_tracking_and_address_at_klarna(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Reference 2.8: our number and the shop's; the address of the order follows Klarna's; a refusal stands in Klarna's words."""
    order = an_open_order(klarna, sandbox)
    page = clerk_client.get(f"/orders/{order.id}/klarna")
    page = clerk_client.submit("form[action$=/references]", page=page)
    state = sandbox.state(order.klarna_order_id)
    assert (state["merchant_reference1"], state["merchant_reference2"]) == (str(order.number), order.shop_number)
    bad = clerk_client.submit("form[action$=/address]", page=page, **{"a-street": "", "a-country": "XX"})
    assert bad.status == 422 and "Write the country with its two letters" in bad.text
    page = clerk_client.submit("form[action$=/address]", page=page, **{"a-street": "Nygatan 2", "a-city": "Lund"})
    assert (
        sandbox.state(order.klarna_order_id)["shipping_address"]["city"] == "Lund"
        and '"Lund"' in order_now(order).party
    )
    sandbox.fault("drop_before", operation="add_order_shipping_info")
    page = clerk_client.submit("form[action$=klarna/tracking]", page=page, **{"t-number": "789SE"})
    assert "Klarna's answer is unknown." in page.text
    page = clerk_client.submit("form[action$=/again]", page=page)
    assert "Klarna has received it." in page.text
    keys = {each["idempotency_key"] for each in sandbox.posts(operation="add_order_shipping_info")}
    assert len(keys) == 1, "the same request under the same key"
    with reading() as session:
        outcomes = session.scalars(sa.select(KlarnaCall.outcome).order_by(KlarnaCall.id)).all()
    # Each begins as unclear, so that one that dies on its way is known to be.
    done, unclear = [CallOutcome.UNCLEAR, CallOutcome.DONE], [CallOutcome.UNCLEAR, CallOutcome.UNCLEAR]
    assert outcomes == [*done, *done, *unclear, *done]


def test_a_cancelled_order_says_why_nothing_can_be_told_to_klarna(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B31, reference 2.8."""
    order = an_open_order(klarna, sandbox)
    sandbox.portal_cancel(order.klarna_order_id)
    panel_of(clerk_client, order)
    clerk_client.submit("#klarna form[action$=/look]")
    page = clerk_client.get(f"/orders/{order.id}/klarna")
    assert page.text.count("The purchase is cancelled at Klarna.") >= 2
    assert builders.CLERK.name in panel_of(clerk_client, order).text
    assert OpKind.CANCEL not in {each["operation"] for each in sandbox.posts()}
