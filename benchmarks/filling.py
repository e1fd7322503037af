"""Many orders at once, put in by Core and not through the services: what a company has after some years.

All but a few hundred orders are delivered, invoiced, captured and paid; the open ones are the newest, since that is what
years leave behind. Foreign keys are off meanwhile, so that a document's rows can come before its number (they are frozen after).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from benchmarks.loading import Blocks, unguarded
from db import Base

BLOCK = 20_000
WORDS = "Björk Ek Al Gran Tall Lind Ask Alm Rönn Hägg Sälg Asp Bok Lönn Idegran Hassel Oxel Fläder Syren Olvon".split()  # noqa: SIM905
FIRST_DOCUMENT = 42_580
UNPAID = 500
"""The newest invoices, which Klarna has not paid out yet."""
NAMESPACE = uuid.UUID("5f0c2b8e-3a51-4c6e-9a0a-0f2f5a3b7c11")

PARTY = json.dumps(
    {"name": "Kund %d", "street": "Stårgatan 1", "postal_code": "12345", "city": "Ankeborg", "country": "SE"},
    ensure_ascii=False,
)

Row = dict[str, Any]


def identity(kind: str, number: int) -> str:
    """A UUID that is the same in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}{number}"))


def fill(
    engine: Engine,
    orders: int,
    *,
    still_open: int | None = None,
    books: bool = False,
    to_capture: int = 0,
    varied: bool = False,
) -> None:
    """Put in this many orders. ``still_open`` of them are not done; ``books`` writes the vouchers of the invoices, too.

    ``to_capture`` orders come on top, with the highest ids, delivered and not invoiced, one row each. ``varied`` orders are
    what years leave behind: some cancelled, credited, overpaid or never paid, from the shop and by hand.
    """
    still_open = max(30, min(orders * 3 // 10, 5_000 if varied else 1_500)) if still_open is None else still_open
    with unguarded(engine) as connection:
        known = _known(connection) | {"paid_to": orders - still_open - UNPAID, "varied": varied, "document": 0}
        blocks = Blocks(connection)
        customers = max(50, orders // 5)
        for number in range(1, customers + 1):
            _customer(blocks, number, known)
        for number in range(1, orders + to_capture + 1):
            _order(blocks, number, orders, still_open, customers, known, books)
            blocks.write(BLOCK)
        blocks.write()
        last = FIRST_DOCUMENT + max(orders, known["document"])
        made = [("order", 0, 1001 + orders + to_capture), ("customer", 0, customers + 1), ("F", 0, last)]
        if books:
            made.append(("V:F", known["year"], orders + 1))
        series = Base.metadata.tables["number_series"]
        for code, year, following in made:
            this = (series.c.code == code, series.c.fiscal_year == year)
            connection.execute(sa.delete(series).where(*this))
            row = {
                "code": code,
                "fiscal_year": year,
                "first_no": 1,
                "next_no": following,
                "last_date": None,
                "head_hash": "",
            }
            connection.execute(sa.insert(series), [row])


def _known(connection: Connection) -> Row:
    """What the company's furniture gave."""
    tables = Base.metadata.tables

    def first(name: str, *where: Any) -> Any:
        table = tables[name]
        column = next(iter(table.primary_key.columns))
        return connection.execute(sa.select(column).where(*where).order_by(column)).scalar()

    day = datetime.now(UTC).date()
    method, year = tables["payment_method"], tables["fiscal_year"]
    account = first("klarna_account")
    if account is None:
        connection.execute(
            sa.insert(tables["klarna_account"]),
            [
                {
                    "name": "Butiken", "store_id": "K000001", "environment": "sandbox", "sandbox_url": "http://127.0.0.1:9",
                    "username": "K000001_user", "secret": b"", "provider": "klarna", "region": "eu", "active": True,
                    "buyer": "Klarna Bank AB (publ), 556737-0431",
                }
            ],
        )  # fmt: skip
        account = first("klarna_account")
    return {
        "account": account,
        "methods": (
            first("payment_method", method.c.kind == "klarna"),
            first("payment_method", method.c.kind != "klarna") or first("payment_method"),
        ),
        "warehouse": first("warehouse"),
        "year": first("fiscal_year", year.c.starts <= day, year.c.ends >= day),
        "today": day,
        "now": datetime.now(UTC).replace(microsecond=0),
    }


def _customer(blocks: Blocks, number: int, known: Row) -> None:
    first, last, rest = WORDS[number % 20], WORDS[number // 20 % 20], WORDS[number // 400 % 20].lower()
    blocks.add(
        "customer", id=number, number=number, name=f"{first} {last}{rest if known['varied'] else 'gård'}",
        email=f"kund{number}@example.com", phone="+46765260000", street="Stårgatan 1", street2="", postal_code="12345",
        city="Ankeborg", country="SE", note="", created_at=known["now"],
    )  # fmt: skip


OPEN_STAGES = ("reserved", "reserved", "reserved", "delivered", "partly", "refused", "waiting", "cancelled")


def _stage(n: int, orders: int, still_open: int, varied: bool) -> str:
    """How far an order has come."""
    if n > orders:
        return "delivered"
    if n > orders - still_open:
        stage = OPEN_STAGES[n % 8]
        if n % 8 in (5, 6) and n % 64 not in (5, 6):
            return "half" if varied and n % 32 == 13 else "reserved"
        return stage
    if n % 50 == 0:
        return "credited"
    if varied and n % 100 == 7:
        return "cancelled"
    return "captured"


def _source(n: int) -> str:
    """Most orders come from the shop, some from a file or another system, few are taken by hand."""
    return "csv" if n % 10 == 3 else "api" if n % 20 == 4 else "hand" if n % 100 == 11 else "klarna"


def _order(blocks: Blocks, n: int, orders: int, still_open: int, customers: int, known: Row, books: bool) -> None:
    to_capture, varied = n > orders, known["varied"]
    age = timedelta(minutes=7 * (orders - n)) if not to_capture else timedelta()
    at: datetime = known["now"] - age - timedelta(days=1)
    # Not in step with anything that goes by the order's number.
    customer = 1 if varied and n % 200 == 1 else n * 7_919 % (customers - 1) + 1
    prices = [49_900] if to_capture else [49_900 + n % 7 * 1_000, 19_900, 4_900]
    if varied:
        prices[0] += n % 1_009 * 100
    gross = sum(prices)
    stage = _stage(n, orders, still_open, varied)
    gone = "none" if stage in ("reserved", "waiting", "cancelled") else "part" if stage in ("partly", "half") else "all"
    done = stage in ("captured", "credited")
    captured = gross if done else prices[0] if stage == "half" else 0
    reserved = stage in ("reserved", "delivered", "partly", "waiting", "refused")
    held = varied and stage == "reserved" and n % 100 == 1
    icons = {"delivered": "reserved", "waiting": "unknown", "partly": "reserved", "half": "partly"}
    blocks.add(
        "sales_order", id=n, number=1000 + n, version=1, state="cancelled" if varied and stage == "cancelled" else "open",
        shop_number=f"W{1000 + n}", customer_id=customer, payment_method_id=known["methods"][n % 16 == 9 and varied],
        currency="SEK", ordered_at=at, party=PARTY % customer, note="", delivered=gone,
        invoiced="all" if done or stage in ("waiting", "refused") else "part" if stage == "half" else "none",
        icon=icons.get(stage, stage), account_id=known["account"], klarna_order_id=identity("order", n),
        klarna_reference=f"K{n:07X}",
        klarna_status={"cancelled": "CANCELLED", "half": "PART_CAPTURED"}.get(stage, "CAPTURED" if done else "AUTHORIZED"),
        fraud_status="ACCEPTED", klarna_method="INVOICE", authorized_minor=gross, captured_minor=captured,
        refunded_minor=gross if stage == "credited" else 0, remaining_minor=gross - captured if reserved or captured else 0,
        expires_at=at + timedelta(days=28), klarna_read_at=known["now"], total_minor=gross,
        source=_source(n) if varied else "klarna", hold_reason="fraud" if held else None, held_at=at if held else None,
    )  # fmt: skip
    for place, price in enumerate(prices, start=1):
        blocks.add(
            "sales_order_line", id=n * 3 + place, order_id=n, position=place, kind="article" if place < 3 else "freight",
            article_id=None, article_number=f"ART-{place}", name=("T-shirt", "Mössa", "Frakt")[place - 1], unit="st",
            quantity_milli=1000, unit_price_minor=price, discount_minor=0, vat_rate=2500,
        )  # fmt: skip
    if gone != "none":
        blocks.add(
            "delivery", id=n, order_id=n, ordinal=1, warehouse_id=known["warehouse"], carrier="Posten", tracking_number=f"SE{n}",
            tracking_uri="", delivered_at=at, delivered_by="Handläggaren",
        )  # fmt: skip
        for place in range(1, 2 if gone == "part" or to_capture else 3):
            blocks.add(
                "delivery_line", id=n * 3 + place, delivery_id=n, order_line_id=n * 3 + place, quantity_milli=1000
            )
    if done or stage in ("waiting", "refused", "half"):
        _invoice(blocks, n, stage, prices[:1] if stage == "half" else prices, customer, at, known, books)
    if varied and done:
        _credit(blocks, n, stage, prices, customer, at, known)


def _invoice(
    blocks: Blocks, n: int, stage: str, prices: list[int], customer: int, at: datetime, known: Row, books: bool
) -> None:
    gross = sum(prices)
    state = {"waiting": "pending", "refused": "refused"}.get(stage, "issued")
    paid = state == "issued" and not books and n <= known["paid_to"]
    left = 0 if paid or state != "issued" else gross
    if known["varied"] and paid:
        # Some paid too much, some have never paid.
        left = -100 if n % 500 == 1 else gross if n % 1_000 == 3 else gross // 2 if n % 1_000 == 5 else 0
    _document(blocks, n, "invoice", state, prices, customer, at, known, books=books, left=left, paid=paid and left <= 0)


def _credit(blocks: Blocks, n: int, stage: str, prices: list[int], customer: int, at: datetime, known: Row) -> None:
    """The credit note of a credited order; of some others one that was never finished or was refused."""
    if stage == "credited":
        _document(blocks, n, "credit_note", "issued", prices, customer, at, known, left=-100 if n % 5_000 == 0 else 0)
    elif n % 5_000 == 11 or n > known["paid_to"] and n % 25 == 11:
        _document(blocks, n, "credit_note", "draft", prices[:1], customer, at, known)
    elif n % 10_000 == 21 or n > known["paid_to"] and n % 100 == 21:
        _document(blocks, n, "credit_note", "refused", prices[:1], customer, at, known)


def _document(
    blocks: Blocks,
    n: int,
    kind: str,
    state: str,
    prices: list[int],
    customer: int,
    at: datetime,
    known: Row,
    *,
    books: bool = False,
    left: int = 0,
    paid: bool = False,
) -> None:
    """A document with its rows, the act at Klarna behind it and, with ``books``, its voucher."""
    invoice, varied = kind == "invoice", known["varied"]
    known["document"] += 1
    own = known["document"] if varied else n
    number: int | None = FIRST_DOCUMENT + own - 1
    op = identity("op" if invoice else "refund", n)
    if invoice:
        known["invoice"] = own
    without = varied and not invoice and n % 1_000 == 50
    day: date = min((at if invoice else at + timedelta(days=9)).date(), known["today"])
    if state == "draft":
        number = None
    issued = state == "issued"
    vats = [round(price / 5) for price in prices]
    gross = sum(prices)
    for place, price in enumerate(prices, start=1):
        blocks.add(
            "document_line", id=own * 3 + place, document_id=own, position=place, kind="article" if place < 3 else "freight",
            order_line_id=n * 3 + place, article_number=f"ART-{place}", name=("T-shirt", "Mössa", "Frakt")[place - 1], unit="st",
            quantity_milli=1000, unit_price_minor=price, discount_minor=0, gross_minor=price, vat_rate=2500,
            vat_minor=vats[place - 1], restock_milli=0, restock_condition="", removed=False,
        )  # fmt: skip
    numbered = number is not None
    blocks.add(
        "document", id=own, kind=kind, type="final" if invoice else "credit", state=state, version=1, order_id=n,
        customer_id=customer, currency="SEK", original_id=None if invoice else known["invoice"], with_klarna=not without,
        without_klarna_reason="credited_in_portal" if without else None, portal_refund_confirmed=without,
        series="F" if numbered else None, number=number, number_text=str(number) if numbered else None,
        number_date=day if numbered else None, issue_date=day if issued else None, snapshot="{}" if numbered else None,
        snapshot_sha256="0" * 64 if numbered else None, party=PARTY % customer if numbered else None,
        party_sha256="0" * 64 if numbered else None, gross_minor=gross if numbered else None,
        vat_minor=sum(vats) if numbered else None, open_minor=left, paid_at=day if paid else None,
        paid_reference=str(900_100_001 + n // 200 if varied else 900_100_001) if paid else None,
        refusal_kind="klarna" if state == "refused" else None, issued_by_op_id=op if issued and not without else None,
        restock=False, created_by="Handläggaren", created_by_id=2, created_at=at, changed_at=at,
        listed_method=known["methods"][n % 16 == 9 and varied],
    )  # fmt: skip
    if numbered and not without:
        blocks.add(
            "klarna_op", id=op, kind="CAPTURE" if invoice else "REFUND", origin="app", account_id=known["account"],
            environment="sandbox", installation_id="x", order_id=n, klarna_order_id=identity("order", n), try_no=1,
            amount_minor=gross, currency="SEK", method="POST", path="/ordermanagement/v1/orders", body=b"{}",
            body_sha256="0" * 64, idempotency_key=op, reference=str(number), accepted_difference_minor=0,
            created_by="Handläggaren", created_by_id=2, created_at=at, document_id=own,
            klarna_object_id=identity("capture" if invoice else "refunded", n) if issued else None, klarna_event_at=at,
            klarna_short_ref=f"K{n:07X}-{1 if invoice else 2}",
            state={"issued": "CONFIRMED", "pending": "UNKNOWN", "refused": "REJECTED"}[state], version=1, attempts=1,
            refused_on_retry=False, record_failures=0, first_sent_at=at, next_run_at=known["now"] + timedelta(days=1),
        )  # fmt: skip
    if books:
        blocks.add(
            "voucher", id=n, series="F", fiscal_year_id=known["year"], number=n, day=day, text=f"Faktura {number}",
            source=f"invoice:{number}", currency="SEK", document_id=n, created_at=at, created_by="Handläggaren", previous_hash="",
            hash="0" * 64,
        )  # fmt: skip
        for place, (account, amount) in enumerate(
            ((1510, gross), (3001, sum(vats) - gross), (2611, -sum(vats))), start=1
        ):
            blocks.add(
                "posting", id=n * 3 + place, voucher_id=n, position=place, account=account, amount_minor=amount, text="",
                document_id=n if account == 1510 else None,
            )  # fmt: skip
