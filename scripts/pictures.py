"""Take the pictures of docs/images/ from the demo: ``.venv/bin/python -m scripts.pictures [--data FOLDER] [NAME ...]``.

Starts the demo in FOLDER, or in a new one that is thrown away, logs in as Finance and keeps every page in light and in dark.
Takes three minutes, most of it for making the demo company; the pictures of crediting want a new one.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Page, ViewportSize, sync_playwright

from demo.stack import Stack
from demo.start import BUILT, LOGINS, OURS, prepare
from klarna_sandbox.control import Control
from tests.browser import chromium

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH, TALLEST = 1280, 1400
WINDOW: ViewportSize = {"width": WIDTH, "height": 900}
CREDITED, REFUSED, UNKNOWN = 0, 1, 2
"""Rows of the list of what has been captured, each for a picture of its own."""
CHEAPER = "KLA-520"
WRONG_REPORT = """type;amount;currency_code;order_id;capture_id;merchant_capture_reference;capture_date;payment_reference
SALE;1.249,00;SEK;3f2a90c1-7b1e-4c58-9d42-5e6f708192a3;c1;42590;2026-11-16;300000099
SALE;12.345;SEK;3f2a90c1-7b1e-4c58-9d42-5e6f708192a4;c2;42591;2026-11-16;300000099
FEE;-36,53;SEK;3f2a90c1-7b1e-4c58-9d42-5e6f708192a3;c1;42590;2026-02-30;300000099
"""
COLOURS = 200
"""A page has far fewer; letters keep their soft edges."""


class Camera:
    """A window of the demo, logged in, and Klarna's stand-in behind it."""

    def __init__(self, page: Page, sandbox: Control) -> None:
        self.page = page
        self.sandbox = sandbox

    def log_in(self, name: str, phrase: str) -> None:
        """By the form, in Swedish."""
        self.page.goto("/login")
        self.page.locator("input[type=password]").fill(phrase)
        self.page.locator("form:has(input[type=password]) input:not([type=hidden]):not([type=password])").fill(name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def open_row(self, address: str, number: int = 0) -> str:
        """Open a row of a list, the first unless told otherwise; gives the address."""
        self.page.goto(address)
        found = self.page.locator("tbody tr [data-open]").nth(number).get_attribute("href") or ""
        self.page.goto(found)
        return found

    def keep(self, name: str) -> None:
        """The page in light and in dark, in a window as tall as it is, up to a limit."""
        self.page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
        self.page.mouse.move(0, 0)
        tall = self.page.evaluate("() => document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": WIDTH, "height": min(tall, TALLEST)})
        for scheme, mark in (("light", ""), ("dark", "-dark")):
            self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            file = IMAGES / f"{name}{mark}.png"
            shot = Image.open(io.BytesIO(self.page.screenshot(animations="disabled"))).convert("RGB")
            shot.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
            print(f"{file.relative_to(IMAGES.parent)}: {file.stat().st_size // 1000} kB")
        self.page.set_viewport_size(WINDOW)


def start(camera: Camera) -> None:
    """What needs a person today."""
    camera.page.goto("/")


def orders(camera: Camera) -> None:
    """The list, three of its rows ticked."""
    camera.page.goto("/orders")
    for number in (1, 2, 4):
        camera.page.locator("tbody input[name=selected]").nth(number).check()


def order(camera: Camera) -> None:
    """An order that has been invoiced in part."""
    camera.open_row("/orders?view=partly_invoiced")


def last_step(camera: Camera) -> None:
    """What has left and is not invoiced."""
    camera.page.goto(camera.open_row("/orders?view=not_invoiced", 1) + "/invoice")


def advance(camera: Camera) -> None:
    """An advance of 30 percent."""
    camera.page.goto(camera.open_row("/orders?view=to_deliver") + "/invoice?type=advance")
    camera.page.fill("#percent", "30")
    camera.page.wait_for_selector("#create-form input[name=percent][value='30']", state="attached")


def many(camera: Camera) -> None:
    """What would happen to the orders that were ticked."""
    camera.page.goto("/orders")
    for box in camera.page.locator("tbody input[name=selected]").all()[:9]:
        box.check()
    camera.page.click("#chosen button[value=both]")
    camera.page.wait_for_url(re.compile("/batches/new"))


def refused(camera: Camera) -> None:
    """An invoice to which Klarna has said no."""
    camera.open_row("/invoices?view=refused")


def unknown(camera: Camera) -> None:
    """An invoice whose answer was lost, and goes on being lost."""
    last_step(camera)
    camera.sandbox.fault("drop_after", operation="create_capture", times=0)
    camera.page.click("#create-form button[type=submit]")
    camera.page.wait_for_url(re.compile(r"/invoices/\d+"))


def _open_credit(camera: Camera, number: int) -> None:
    """«Kreditera» on an invoice of the list."""
    camera.open_row("/invoices?view=open", number)
    camera.page.locator("form[action$='/credit'] button").first.click()
    camera.page.wait_for_selector("#draft")


def _credit_a_piece(camera: Camera, number: int) -> None:
    """A draft that credits one piece of the first row and nothing else."""
    _open_credit(camera, number)
    rows = camera.page.locator("#draft table").first.locator("tbody tr")
    for at in reversed(range(1, rows.count())):
        rows.nth(at).locator("form[action$='/remove'] button").click()
        camera.page.wait_for_function(
            "left => document.querySelectorAll('#draft input.quantity-to-credit').length === left", arg=at
        )
    _type(camera, "1")


def _type(camera: Camera, pieces: str, row: int = 0) -> None:
    """So many of a row; the page is as it will stay once that has been answered."""
    field = camera.page.locator("input.quantity-to-credit").nth(row)
    if field.input_value() != pieces:
        with camera.page.expect_response(lambda answer: "/rows/" in answer.url):
            field.fill(pieces)


def credit(camera: Camera) -> None:
    """A draft of a credit note, a part of its last row, its goods back to stock."""
    _open_credit(camera, CREDITED)
    _type(camera, "1", -1)
    camera.page.check("#restock")
    camera.page.wait_for_selector("input[name^=restock-]")


def exchange(camera: Camera) -> None:
    """An exchange, weighed: what comes back, what goes out, which way fits."""
    _open_credit(camera, CREDITED)
    camera.page.click("a[href$='/exchange']")
    camera.page.locator("input[name^=back-]").first.fill("1")
    camera.page.fill("#article-0", CHEAPER)
    camera.page.click("#exchange button[value=look]")
    camera.page.wait_for_selector("#way")


def credit_note(camera: Camera) -> None:
    """A credit note that Klarna has carried out."""
    _open_credit(camera, CREDITED)
    camera.page.click("#credit-button")
    camera.page.wait_for_selector("#outcome .banner.ok")


def credit_refused(camera: Camera) -> None:
    """A credit note to which Klarna has said no."""
    _credit_a_piece(camera, REFUSED)
    camera.sandbox.fault(
        "refuse",
        operation="create_refund",
        error_code="REFUND_NOT_ALLOWED",
        messages=["Refund not allowed. Please contact merchant support."],
    )
    camera.page.click("#credit-button")
    camera.page.wait_for_selector("section.refused")


def credit_unknown(camera: Camera) -> None:
    """A credit note whose answer was lost, and goes on being lost."""
    _credit_a_piece(camera, UNKNOWN)
    camera.sandbox.fault("drop_after", operation="create_refund", times=0)
    camera.page.click("#credit-button")
    camera.page.wait_for_selector("#outcome[data-poll], #outcome")
    camera.page.wait_for_function("() => /\\d{5}/.test(document.querySelector('h1')?.innerText ?? '')")


def settlement(camera: Camera) -> None:
    """A payout that has been read and booked."""
    camera.open_row("/settlements")


# --- Settlements and books -------------------------------------------------------------------------------------------------


def _file(name: str, text: str) -> FilePayload:
    return {"name": name, "mimeType": "text/csv", "buffer": text.encode()}


def report_refused(camera: Camera) -> None:
    """A report in which amounts and a type cannot be right: each is named with its row, and nothing is read in."""
    camera.page.goto("/settlements/upload")
    camera.page.set_input_files("input[type=file]", _file("payout-2026-11.csv", WRONG_REPORT))
    camera.page.click("button[value=preview]")
    camera.page.wait_for_selector("#upload [role=alert], #upload .banner.bad, #upload .error-summary")


def settlement_rows(camera: Camera) -> None:
    """A payout that waits: a row that fits nothing, and what can be done with it."""
    camera.page.goto("/settlements")
    waits = camera.page.locator("tbody tr:has-text('Väntar') [data-open]").first
    camera.page.goto(waits.get_attribute("href") or "")


def offset(camera: Camera) -> None:
    """An invoice and its credit note: the offset is locked until the payout that covers both has been read."""
    camera.page.goto("/offsets")
    waits = camera.page.locator("tbody tr:has(.note.warn) [data-open]").first
    camera.page.goto(waits.get_attribute("href") or "")


def owed(camera: Camera) -> None:
    """What Klarna owes today, and what should have come."""
    camera.page.goto("/settlements/owed")


def flow(camera: Camera) -> None:
    """The month: reserved, activated, paid out, credited."""
    camera.page.goto("/settlements/flow")


def bank(camera: Camera) -> None:
    """The bank statement against the payouts: all but the newest have come. Wants a new demo: a statement is read once."""
    rows = camera.page.request.get("/settlements?as=csv").text().splitlines()
    head = rows[0].lstrip("\ufeff").split(";")
    found = [dict(zip(head, row.split(";"), strict=False)) for row in rows[2:]]
    lines = [
        f"{each['Utbetalningsdatum']};{each['Netto']};Klarna Bank AB;{each['Betalreferens']}" for each in found[1:]
    ]
    camera.page.goto("/bank/upload")
    statement = _file("kontoutdrag.csv", "\n".join(["Bokföringsdag;Belopp;Avsändare;Text", *lines]))
    camera.page.fill("input[name=account]", "5123-4567")
    for step in ("preview", "read"):
        camera.page.set_input_files("input[type=file]", statement)
        with camera.page.expect_response(lambda answer: answer.url.endswith("/bank/upload")):
            camera.page.click(f"button[value={step}]")
    camera.page.goto("/bank")
    camera.page.goto("/bank?view=found")


def closing(camera: Camera) -> None:
    """The month's end: what stands in the way of the lock, each with its way there."""
    camera.page.goto("/books/lock")


def vat(camera: Camera) -> None:
    """The VAT report of the month."""
    camera.page.goto("/books/vat")


PICTURES: dict[str, Callable[[Camera], None]] = {
    "start": start,
    "orders": orders,
    "order": order,
    "last-step": last_step,
    "advance": advance,
    "many": many,
    "refused": refused,
    "credit": credit,
    "exchange": exchange,
    "credit-note": credit_note,
    "credit-refused": credit_refused,
    "credit-unknown": credit_unknown,
    "settlement": settlement,
    "offset": offset,
    "report-refused": report_refused,
    "settlement-rows": settlement_rows,
    "owed": owed,
    "flow": flow,
    "bank": bank,
    "closing": closing,
    "vat": vat,
    "unknown": unknown,
}
"""What is shown, in the order it is taken: those of crediting and the last one leave a trace."""


def take(folder: Path, port: int, names: list[str]) -> None:
    """Start the demo in a folder, take these pictures, stop it."""
    stack = Stack(folder, port, port + 1, web_workers=1)
    try:
        stack.start_sandbox()
        prepare(stack)
        stack.start_kvitta()
        logins = dict(line.split("\t")[:2] for line in (folder / LOGINS).read_text(encoding="utf-8").splitlines())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGUMENTS))
            window = browser.new_context(
                base_url=stack.url,
                locale="sv-SE",
                timezone_id="Europe/Stockholm",
                viewport=WINDOW,
            )
            camera = Camera(window.new_page(), Control(stack.sandbox_url))
            camera.log_in("finance", logins["finance"])
            for name in names:
                PICTURES[name](camera)
                camera.keep(name)
            browser.close()
        Control(stack.sandbox_url).clear_faults()
    finally:
        stack.stop()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="keep the demo in this folder, for the next time")
    parser.add_argument(
        "--port", type=int, default=8310, help="the demo's port, and the next for Klarna; 8310 if not given"
    )
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(PICTURES)}")
    given = parser.parse_args()
    if wrong := [each for each in given.names if each not in PICTURES]:
        sys.exit(f"There is no picture called {wrong[0]}. There are: {', '.join(PICTURES)}")
    folder = (given.data or Path(tempfile.mkdtemp(prefix="kvitta-pictures-"))).absolute()
    if given.data and folder.exists() and not (folder / OURS).exists():
        sys.exit(f"{folder} holds something that is not the demo's.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / OURS).touch()
    try:
        take(folder, given.port, given.names or list(PICTURES))
    finally:
        if not given.data or not (folder / BUILT).exists():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
