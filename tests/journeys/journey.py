"""One person's way through the pages, from an order to its payout, station by station; tests lay what they like in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from db import writing
from klarna_sandbox.control import Control
from models import Order
from services import janitor
from services.gateway import Gateway
from tests.builders import an_account, an_order
from tests.journeys.conftest import Calendar
from tests.journeys.stations import (
    ALL_INVOICED,
    FEE_PERCENT,
    FIRST_INVOICED,
    FIRST_PART,
    JACKET,
    NOTHING,
    ONE_CREDITED,
    PAID,
    RETURNED,
    ROWS,
    SECOND_PART,
    SHIRT,
    TOTAL,
    VOUCHERS,
    Balance,
    at_klarna,
    documents,
    quantity_field,
    require_station,
    stock,
)
from tests.journeys.words import Words
from tests.web_client import Page, WebClient

CAPTURE, REFUND = "create_capture", "create_refund"
SENTENCE_OF = {CAPTURE: "capture", REFUND: "refund"}
NOT_ALLOWED = {CAPTURE: "CAPTURE_NOT_ALLOWED", REFUND: "REFUND_NOT_ALLOWED"}

LOOK_LOST_TOO = ("42581", "42582")
"""Where the janitor's look is lost as well, so that it sends the same bytes under the same key once more."""

Press = Callable[[], Page]


class Journey:
    """The order of E1 on its way. ``trouble`` does the pressing of the buttons that move money at Klarna."""

    def __init__(self, client: WebClient, sandbox: Control, klarna: Gateway, calendar: Calendar, words: Words) -> None:
        self.client, self.sandbox, self.klarna, self.calendar, self.say = client, sandbox, klarna, calendar, words
        self.balance: Balance = NOTHING
        self.booked = 0
        with writing() as session:
            account = an_account(session, sandbox, klarna)
            sandbox.merchant(
                account.store_id, account.username, f"hemlighet-{account.store_id}", name=account.name,
                fee_percent=FEE_PERCENT, fee_fixed=0,
            )  # fmt: skip
            self.order: Order = an_order(session, sandbox, lines=ROWS, account=account)

    # --- People and looks ------------------------------------------------------------------------------------------------

    def log_in(self, name: str) -> None:
        """Somebody sits down and reads the pages in the language of the journey."""
        self.client.log_in(name)
        self.client.post("/language", {"lang": self.say.language, "next": "/"})

    def station(self, balance: Balance, booked: int) -> None:
        """What the books must show from here on."""
        self.balance, self.booked = balance, booked
        self.require_books()

    def require_books(self) -> None:
        """The books are as at the last station."""
        require_station(self.client, self.balance, self.booked)

    def klarna_shows(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Captures and refunds at the sandbox."""
        return at_klarna(self.sandbox.state(self.order.klarna_order_id or ""))

    # --- Money buttons ---------------------------------------------------------------------------------------------------

    def press(self, operation: str, number: str, amount: int, button: Press) -> Page:
        """Press a button that moves money at Klarna; every answer comes."""
        return button()

    # --- The stations ----------------------------------------------------------------------------------------------------

    def invoice_the_jacket(self) -> Page:
        """Deliver a part, see that it waits, and invoice it (F5, F20, F21, F10, F14, F15, F22)."""
        self.client.get(f"/orders/{self.order.id}/deliver")
        assert self.client.page is not None
        shirts = quantity_field(self.client.page, SHIRT)
        page = self.client.submit("#deliver form", press="then=deliver", **{shirts: "0"})
        assert self.say("not_invoiced") in page.text, page.text
        assert (stock(JACKET), stock(SHIRT)) == (-1, 0) and not self.sandbox.posts()
        self.require_books()
        waiting = self.client.get("/").find("#to_invoice")
        assert str(self.order.number) in waiting.text and self.say("expires_in") in waiting.text, waiting.text
        return self._invoice("42580", FIRST_PART)

    def invoice_the_rest(self) -> Page:
        """Deliver what is left and go on to the invoice in one press (F5, F26, F28)."""
        self.client.get(f"/orders/{self.order.id}/deliver")
        page = self.client.submit("#deliver form", press="then=invoice")
        assert self.say("activate_button", amount=SECOND_PART) in page.text, page.text
        assert (stock(JACKET), stock(SHIRT)) == (-1, -2)
        page = self._invoice("42581", SECOND_PART)
        order = self.client.get(f"/orders/{self.order.id}")
        assert self.say("all_invoiced") in order.text and order.has("#klarna .state-icon.captured")
        return page

    def _invoice(self, number: str, amount: int) -> Page:
        step = self.client.get(f"/orders/{self.order.id}/invoice")
        reference = self.order.klarna_reference
        for sentence in (
            self.say("will_activate", reference=reference, amount=amount),
            self.say("activate_button", amount=amount),
            self.say("sold"),
        ):
            assert sentence in step.text, sentence
        page = self.press(CAPTURE, number, amount, lambda: self.client.submit("#last-step form"))
        klarna = f"{reference}-{int(number) - 42579}"
        assert self.say("activated", number=number, amount=amount, klarna=klarna) in page.text, page.text
        assert page.has(".aside .state-icon.captured")
        return page

    def credit_a_shirt(self) -> Page:
        """One of two shirts comes back and goes into stock (K2, K5, K8, K10, K12, K13, K23, K24)."""
        row = next(each for each in self.client.get("/invoices").all("tbody tr") if "42581" in each.text)
        page = self.client.submit(row.find("form")["action"])
        assert self.say("begin_in_original") in page.text
        assert self.say("refers_to", number="42581", klarna=f"{self.order.klarna_reference}-2") in page.text
        field = quantity_field(page, SHIRT)
        page = self.client.submit(f"#row-{field.removeprefix('quantity-')}", **{field: "1"})
        page = self.client.submit("#boxes", restock=True)
        assert self.say("credit_button", amount=RETURNED) in page.text, page.text
        page = self.press(REFUND, "42582", RETURNED, lambda: self.client.submit("#sum"))
        assert self.say("credited", number="42582", amount=RETURNED) in page.text, page.text
        assert page.has(".aside .state-icon.credited") and stock(SHIRT) == -1
        return page

    def fetch_the_payout(self) -> Page:
        """«Hämta nu», and the green ticks (K47, K48)."""
        self.client.get("/settlements")
        page = self.client.submit("/settlements/fetch")
        assert self.say("one_payout") in page.text, page.text
        (payout,) = self.sandbox.payouts()
        rows = self.client.get("/invoices?view=all").all("tbody tr")
        assert [each.all(".state-icon.paid-full") != [] for each in rows] == [True, True, True]
        for number, amount in (("42580", FIRST_PART), ("42581", SECOND_PART), ("42582", RETURNED)):
            row = next(each for each in rows if each.all("a")[0].text == number)
            paid = self.client.get(row.all("a")[0]["href"])
            assert self.say("paid", amount=amount) in paid.text and payout["payment_reference"] in paid.text
        return page

    def travel(self) -> None:
        """All of it, a day or more between the stations."""
        self.log_in("clerk")
        self.station(NOTHING, 0)
        self.invoice_the_jacket()
        self.station(FIRST_INVOICED, 1)
        self.calendar.move(days=1)
        self.log_in("clerk")
        self.invoice_the_rest()
        self.station(ALL_INVOICED, 2)
        self.calendar.move(days=4)
        self.log_in("clerk")
        self.credit_a_shirt()
        self.station(ONE_CREDITED, 3)
        self.calendar.move(days=8)
        self.log_in("finance")
        self.require_books()
        self.fetch_the_payout()
        self.station(PAID, len(VOUCHERS))
        self.arrive()

    def arrive(self) -> None:
        """Each document once, the same at Klarna, and the same bytes under the same key however often they were sent."""
        assert [(number, kind, gross) for number, kind, gross, _ in documents(self.order)] == [
            ("42580", "invoice", FIRST_PART),
            ("42581", "invoice", SECOND_PART),
            ("42582", "credit_note", RETURNED),
        ]
        assert {state.value for *_, state in documents(self.order)} == {"issued"}
        assert self.klarna_shows() == ([("42580", FIRST_PART), ("42581", SECOND_PART)], [("42582", RETURNED)])
        state = self.sandbox.state(self.order.klarna_order_id or "")
        assert (state["captured_amount"], state["refunded_amount"]) == (TOTAL, RETURNED)
        assert len(self.sandbox.writes()) == 3 and not self.sandbox.warnings()


class LostAnswers(Journey):
    """Every look and every answer of Klarna is lost once. The first is then proved by a look, the others by asking again."""

    def press(self, operation: str, number: str, amount: int, button: Press) -> Page:
        """A lost look leaves all as it was; a lost answer is «Okänt svar» until the janitor has asked again."""
        before = documents(self.order)
        self.sandbox.fault("drop_after", operation="get_order")
        page = button()
        lost = "draft_kept" if operation == "create_refund" else "not_reached"
        assert page.status == 409 and self.say(lost) in page.text, page.text
        assert documents(self.order) == before and not self._sent(number)
        self.sandbox.fault("drop_after", operation=operation)
        page = button()
        self.require_unknown(page, operation, amount)
        self.require_books()
        self.nothing_else_meanwhile(operation, number)
        self.calendar.move(seconds=6)
        if number in LOOK_LOST_TOO:
            self.sandbox.fault("drop_after", operation="get_order")
        assert janitor.run(self.klarna) == 1
        assert len(self._sent(number)) == (2 if number in LOOK_LOST_TOO else 1)
        return self.client.get(page.url)

    def _sent(self, number: str) -> list[dict[str, Any]]:
        return [each for each in self.sandbox.posts() if each["body"]["reference"] == number]

    def require_unknown(self, page: Page, operation: str, amount: int) -> None:
        """«Okänt svar» with its sentence, the dotted icon, and not a word of failure (F25, K14)."""
        assert page.status == 200 and page.find("h1").text.find(self.say("unknown")) > 0, page.find("h1").text
        assert self.say(f"{SENTENCE_OF[operation]}_unknown", amount=amount) in page.text, page.text
        assert page.has(".state-icon.unknown")
        self.say.calm(page.find("main").text)

    def nothing_else_meanwhile(self, operation: str, number: str) -> None:
        """The order's page says it too and offers nothing new; the work list waits five minutes (operations 11)."""
        order = self.client.get(f"/orders/{self.order.id}")
        self.say.calm(order.find("main").text)
        wait = "wait_for_invoice" if operation == CAPTURE else "wait_for_credit"
        assert self.say(wait, number=number) in order.text, order.text
        assert number not in self.client.get("/").find("#unknown").text

    def arrive(self) -> None:
        super().arrive()
        for number in LOOK_LOST_TOO:
            first, again = self._sent(number)
            assert again["replayed"] and not first["replayed"]
            assert (first["idempotency_key"], first["body"]) == (again["idempotency_key"], again["body"])


class Refused(Journey):
    """Every act is refused once by Klarna and then tried again."""

    def press(self, operation: str, number: str, amount: int, button: Press) -> Page:
        """Klarna's own words, nothing booked, and «Försök igen» under the same number (F25, K14, K16, K18)."""
        refusal = self.sandbox.fault(
            "refuse", operation=operation, error_code=NOT_ALLOWED[operation], messages=["Not allowed today."]
        )
        page = button()
        said: Any = self.sandbox.log(operation=operation)[-1]
        assert refusal["number"] and page.status == 200 and self.say("refused") in page.find("h1").text
        assert self.say(f"{SENTENCE_OF[operation]}_refused", number=number) in page.text, page.text
        for shown in (NOT_ALLOWED[operation], "Not allowed today.", said["correlation_id"], number):
            assert shown in page.find("#outcome").text, shown
        assert page.has(".state-icon.refused")
        self.require_books()
        assert number in self.client.get("/").find("#refused").text
        self.client.get(page.url)
        return self.client.submit("/retry")

    def arrive(self) -> None:
        super().arrive()
        for operation, effects in ((CAPTURE, 2), (REFUND, 1)):
            posts = self.sandbox.posts(operation=operation)
            # A new operation has a key of its own, and the same bytes.
            assert len({each["idempotency_key"] for each in posts}) == len(posts) == 2 * effects
            assert [each["body"] for each in posts[::2]] == [each["body"] for each in posts[1::2]]
