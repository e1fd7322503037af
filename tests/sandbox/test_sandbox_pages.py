"""The pages that stand in for the Merchant Portal, used by form alone."""

import re
from html.parser import HTMLParser

import pytest
import requests

VOID = {"meta", "link", "input", "br"}


class Checked(HTMLParser):
    """A page: tags closed, ids once, a label for every control."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.labelled, self.unlabelled = [], [], set(), []
        self.feed(text)
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        assert [each for each in self.unlabelled if each not in self.labelled] == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "label" and "for" in found:
            self.labelled.add(found["for"])
        if tag in ("input", "select") and found.get("type") != "hidden" and "label" not in self.open:
            self.unlabelled.append(found.get("id"))
        if tag == "script":
            raise AssertionError("a script")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def portal(sandbox):
    class Portal:
        session = requests.Session()

        def get(self, path, status=200):
            answer = self.session.get(f"{sandbox.url}/_sandbox/{path}", timeout=5)
            assert answer.status_code == status
            if answer.headers["Content-Type"].startswith("text/html"):
                Checked(answer.text)
            return answer.text

        def post(self, path, expected=200, /, **form):
            answer = self.session.post(f"{sandbox.url}/_sandbox/{path}", data=form, timeout=5)
            assert answer.status_code == expected
            Checked(answer.text)
            return answer.text

    return Portal()


def test_every_page_says_that_it_is_the_sandbox(sandbox, portal):
    order_id = sandbox.order(merchant_reference1="<b>SO-1</b>", captures=[{"captured_amount": 4000}])
    sandbox.portal_refund(order_id, 1000)
    sandbox.dispute(order_id, 100)
    reference = sandbox.pay_out()[0]["payment_reference"]
    sandbox.fault("hang", seconds=1)
    for path in ("", f"orders/{order_id}", "payouts", f"payouts/{reference}", "controls", "log"):
        text = portal.get(path)
        assert "This is not Klarna." in text
        assert "<b>SO-1</b>" not in text


def test_orders_are_found_by_reference_and_status(sandbox, portal):
    sandbox.orders(count=60)
    order_id = sandbox.order(merchant_reference1="SO-77")
    sandbox.portal_cancel(order_id)
    assert order_id in portal.get("?q=so-77")
    assert order_id in portal.get("?status=CANCELLED")
    assert order_id not in portal.get("?status=AUTHORIZED")
    assert "61 orders" in portal.get("?page=2")


def test_an_order_is_placed_captured_refunded_and_released_by_hand(sandbox, shop, portal):
    placed = portal.post("orders", mid="K000001", amount="1 234,50", merchant_reference1="SO-2")
    order_id = re.search(r"/orders/([0-9a-f-]{36})/capture", placed)[1]
    assert "The order was placed." in placed
    portal.post(f"orders/{order_id}/capture", amount="1000.00")
    portal.post(f"orders/{order_id}/refund", amount="0,50")
    portal.post(f"orders/{order_id}/release")
    order = shop.order(order_id)
    assert (order["order_amount"], order["captured_amount"], order["refunded_amount"]) == (123450, 100000, 50)
    assert order["status"] == "CAPTURED"
    assert "reference" not in order["captures"][0]


def test_klarnas_refusals_hold_on_the_pages_too(sandbox, portal):
    order_id = sandbox.order()
    text = portal.post(f"orders/{order_id}/refund", 409, amount="1")
    assert "Order has no captures. Refund not possible" in text
    assert "is not an amount" in portal.post(f"orders/{order_id}/capture", 400, amount="1.234")


def test_an_order_is_extended_expired_decided_on_and_closed_by_hand(sandbox, shop, portal):
    order_id = sandbox.order()
    sandbox.move_clock(days=1)
    portal.post(f"orders/{order_id}/extend")
    assert shop.order(order_id)["expires_at"] == "2026-03-31T00:00:00.000Z"
    portal.post(f"orders/{order_id}/expire")
    assert shop.order(order_id)["status"] == "EXPIRED"
    portal.post(f"orders/{order_id}/expire", at="2026-04-15T00:00:00Z")
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"]) == ("AUTHORIZED", 10000)
    portal.post(f"orders/{order_id}/fraud", status="STOPPED")
    assert shop.order(order_id)["fraud_status"] == "STOPPED"
    portal.post(f"orders/{order_id}/close")
    assert shop.order(order_id)["status"] == "CLOSED"


def test_a_payout_is_made_and_downloaded_under_both_names(sandbox, shop, portal):
    sandbox.portal_capture(sandbox.order())
    portal.post("payouts/next", mid="K000001", type="HOLDBACK", amount="10,00")
    assert "Paid out: 300000001." in portal.post("payouts", mid="")
    page = portal.get("payouts/300000001")
    own = portal.get("payouts/300000001/settlement.300000001.csv")
    assert portal.get("payouts/300000001/300000001_20260302T000000_0.csv") == own
    assert "300000001_20260302T000000_0.csv" in page
    assert own == shop.settlements("reports/payout-with-transactions", payment_reference="300000001").text
    assert portal.get("payouts/300000001/settlement.300000001.pdf").startswith("%PDF")
    portal.get("payouts/300000001/other.csv", 404)


def test_clock_faults_and_switches_are_set_by_form(sandbox, portal):
    portal.post("clock", step="86400")
    assert sandbox.now().isoformat() == "2026-03-03T10:00:00+00:00"
    portal.post("clock", set="2026-04-01T00:00:00Z")
    portal.post("clock", freeze="no")
    portal.post(
        "faults", kind="refuse", operation="create_capture", times="2", status="403", error_code="X", seconds=""
    )
    (fault,) = sandbox.faults()
    assert (fault["kind"], fault["times"], fault["status"]) == ("refuse", 2, 403)
    portal.post("faults/clear", number=str(fault["number"]))
    assert sandbox.faults() == []
    portal.post("switches", auth_401_body="json", rate_limit="7")
    assert (sandbox.switches()["auth_401_body"], sandbox.switches()["rate_limit"]) == ("json", "7")
    portal.post("switches", 400, auth_401_body="xml")


def test_requests_and_warnings_are_shown_and_emptied(sandbox, shop, portal):
    order_id = sandbox.order()
    shop.capture(order_id, 100, "not-a-uuid")
    text = portal.get("log?changed=1")
    assert "not-a-uuid is not a UUID" in text
    assert f"/orders/{order_id}/captures" in text
    portal.post("log/clear")
    assert sandbox.log() == sandbox.warnings() == []


def test_an_account_is_added_by_form(sandbox, portal):
    portal.post("merchants", mid="M1", username="M1-user", password="x", provider="kustom")
    assert sandbox.merchants()[-1]["provider"] == "kustom"


def test_only_this_machine_and_its_own_forms_are_heard(sandbox):
    url = f"{sandbox.url}/_sandbox/api/reset"
    assert requests.post(url, headers={"Origin": "http://elsewhere.example"}, timeout=5).status_code == 403
    assert requests.post(url, headers={"Host": "elsewhere.example"}, timeout=5).status_code == 403
    assert requests.get(sandbox.url, timeout=5).url.endswith("/_sandbox/")
