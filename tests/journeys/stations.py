"""The stations from order to paid, with what the books show at each: the order of E1 in the parts of E2, E4a, and its payout.

Amounts are minor units, debit positive. The last station is the sample of accounting 9: 1 890,34 is paid out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

import clock
from db import reading
from models import Article, Document, Order, StockMovement
from services import verify
from services.orders import NewLine
from services.verify import CheckState
from states import DocState, MovementKind
from tests.builders import FIRST_YEAR, FREIGHT, row
from tests.web_client import Page, WebClient

JACKET, SHIRT = "Jacka", "T-shirt"
ROWS: Sequence[NewLine] = (
    row(JACKET, 1_399_00),
    row(SHIRT, 499_00, pieces=2),
    row("Frakt", 38_00, kind=FREIGHT),
)
TOTAL, FIRST_PART, SECOND_PART, RETURNED = 2_435_00, 1_437_00, 998_00, 499_00
FEE_PERCENT = 150
"""1,50 %: 21,56 and 14,97 make the 36,53 of E7, with 5,39 and 3,74 of VAT its 9,13."""

Balance = Mapping[int, int]
NOTHING: Balance = {}
FIRST_INVOICED: Balance = {1510: 1_437_00, 2611: -287_40, 3001: -1_119_20, 3520: -30_40}
ALL_INVOICED: Balance = {1510: 2_435_00, 2611: -487_00, 3001: -1_917_60, 3520: -30_40}
ONE_CREDITED: Balance = {1510: 1_936_00, 2611: -387_20, 3001: -1_518_40, 3520: -30_40}
PAID: Balance = {1930: 1_890_34, 2611: -387_20, 2641: 9_13, 3001: -1_518_40, 3520: -30_40, 6060: 36_53}


@dataclass(frozen=True)
class Voucher:
    """A row of the voucher list: its name, its sum, the document's number."""

    name: str
    sum_minor: int
    document: str


VOUCHERS = (
    Voucher("F1", 1_437_00, "42580"),
    Voucher("F2", 998_00, "42581"),
    Voucher("F3", 499_00, "42582"),
    # Bank, fee, its VAT and the credit note in debit; the two invoices in credit.
    Voucher("I1", 2_435_00, ""),
)


def minor(text: str) -> int:
    """An amount as any page prints it, in minor units; nothing is 0."""
    digits = "".join(sign for sign in text if sign.isdigit())
    return int(digits or 0) * (-1 if text.strip().startswith(("−", "-")) else 1)


def balances(client: WebClient) -> dict[int, int]:
    """The closing balances of the trial balance's page, accounts at 0 left out. Its own sums must agree."""
    last = clock.today().year + 1
    page = client.get(f"/books/trial-balance?from={FIRST_YEAR}-01-01&to={last}-12-31")
    rows = [[cell.text for cell in each.all("td")] for each in page.all("#trial-balance tbody tr")]
    assert sum(minor(cells[3]) - minor(cells[4]) for cells in rows) == 0, "debit and credit differ"
    for cells in rows:
        assert minor(cells[2]) + minor(cells[3]) - minor(cells[4]) == minor(cells[5]), cells
    return {int(cells[0]): minor(cells[5]) for cells in rows if minor(cells[5])}


def vouchers(client: WebClient) -> list[Voucher]:
    """The voucher list, the oldest first."""
    rows = [[cell.text for cell in each.all("td")] for each in client.get("/books").all("#vouchers tbody tr")]
    return [Voucher(cells[0], minor(cells[3]), cells[4]) for cells in rows][::-1]


def require_whole() -> None:
    """Every invariant that the database can be asked holds."""
    with reading() as session:
        found = [result for result in verify.run(session) if result.state is CheckState.FAILED]
        assert not found, "\n".join(f"{result.id} {finding}" for result in found for finding in result.findings)


def require_station(client: WebClient, balance: Balance, booked: int) -> None:
    """The trial balance to the öre, so many vouchers in the list, and every invariant."""
    assert balances(client) == dict(balance)
    assert vouchers(client) == list(VOUCHERS[:booked])
    require_whole()


def stock(name: str) -> int:
    """Whole pieces of an article that moved since it came in."""
    with reading() as session:
        query = (
            sa.select(sa.func.sum(StockMovement.quantity_milli))
            .join(Article, Article.id == StockMovement.article_id)
            .where(StockMovement.kind != MovementKind.ADJUSTMENT, Article.name == name)
        )
        return int(session.scalar(query) or 0) // 1000


def documents(order: Order) -> list[tuple[str, str, int, DocState]]:
    """Number, kind, sum and state of every document of an order, the oldest first."""
    with reading() as session:
        query = sa.select(Document).where(Document.order_id == order.id).order_by(Document.id)
        return [
            (each.number_text or "", each.kind.value, each.gross_minor or 0, each.state)
            for each in session.scalars(query)
        ]


def at_klarna(state: Mapping[str, Any]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Reference and amount of every capture and refund of an order of the sandbox."""
    return (
        [(each["reference"], each["captured_amount"]) for each in state["captures"]],
        [(each["reference"], each["refunded_amount"]) for each in state["refunds"]],
    )


def quantity_field(page: Page, name: str) -> str:
    """The name of a row's quantity field, found by the row's description."""
    found = [each for each in page.all("tbody tr") if name in each.text]
    assert len(found) == 1, f"{len(found)} rows hold {name!r}"
    return next(each["name"] for each in found[0].all("input") if each.get("name", "").startswith("quantity"))
