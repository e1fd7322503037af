"""Many orders at once, put in by Core and not through the services: what a company has after some years.

All but a few hundred orders are delivered, invoiced, captured and paid; the open ones are the newest, since that is what
years leave behind. Foreign keys are off meanwhile, so that a document's rows can come before its number (they are frozen after).
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from db import Base

BLOCK = 20_000
WORDS = "Björk Ek Al Gran Tall Lind Ask Alm Rönn Hägg Sälg Asp Bok Lönn Idegran Hassel Oxel Fläder Syren Olvon".split()  # noqa: SIM905
FIRST_DOCUMENT = 42_580
UNPAID = 500
"""The newest invoices, which Klarna has not paid out yet."""
NAMESPACE = uuid.UUID("5f0c2b8e-3a51-4c6e-9a0a-0f2f5a3b7c11")

Row = dict[str, Any]


@contextmanager
def unguarded(engine: Engine) -> Iterator[Connection]:
    """One transaction without foreign keys; on PostgreSQL without triggers, too."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=off")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
            connection.exec_driver_sql("SET statement_timeout = 0")
        yield connection
        connection.commit()
        if engine.dialect.name != "sqlite":
            connection.exec_driver_sql("SET session_replication_role = origin")
            connection.commit()
    engine.dispose()


class Blocks:
    """Rows of several tables, written when there are enough, in the order in which the tables were first named."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[Row]] = defaultdict(list)

    def add(self, table: str, **row: Any) -> None:
        self._rows[table].append(row)

    def write(self, least: int = 0) -> None:
        if max(map(len, self._rows.values()), default=0) <= least:
            return
        for name, rows in self._rows.items():
            if rows:
                self._connection.execute(sa.insert(Base.metadata.tables[name]), rows)
                rows.clear()


def identity(kind: str, number: int) -> str:
    """A UUID that is the same in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}{number}"))


def fill(
    engine: Engine, orders: int, *, still_open: int | None = None, books: bool = False, to_capture: int = 0
) -> None:
    """Put in this many orders. ``still_open`` of them are not done; ``books`` writes the vouchers of the invoices, too.

    ``to_capture`` orders come on top, with the highest ids, delivered and not invoiced, one row each.
    """
    still_open = max(30, min(orders * 3 // 10, 1_500)) if still_open is None else still_open
    with unguarded(engine) as connection:
        known = _known(connection) | {"paid_to": orders - still_open - UNPAID}
        blocks = Blocks(connection)
        customers = max(50, orders // 5)
        for number in range(1, customers + 1):
            _customer(blocks, number, known)
        for number in range(1, orders + to_capture + 1):
            _order(blocks, number, orders, still_open, customers, known, books)
            blocks.write(BLOCK)
        blocks.write()
        series = Base.metadata.tables["number_series"]
        made = {"order": 1001 + orders + to_capture, "customer": customers + 1, "F": FIRST_DOCUMENT + orders}
        for code, next_no in made.items():
            row = {
                "code": code,
                "fiscal_year": 0,
                "first_no": 1,
                "next_no": next_no,
                "last_date": None,
                "head_hash": "",
            }
            connection.execute(sa.delete(series).where(series.c.code == code))
            connection.execute(sa.insert(series), [row])
        if books:
            voucher = (series.c.code == "V:F", series.c.fiscal_year == known["year"])
            connection.execute(sa.delete(series).where(*voucher))
            row = {
                "code": "V:F",
                "fiscal_year": known["year"],
                "first_no": 1,
                "next_no": orders + 1,
                "last_date": None,
                "head_hash": "",
            }
            connection.execute(sa.insert(series), [row])
        if engine.dialect.name == "postgresql":
            _follow(connection)


def _follow(connection: Connection) -> None:
    """Let the counters of ids go on after what was put in, and the planner know of it."""
    for table in Base.metadata.sorted_tables:
        key = list(table.primary_key.columns)
        if len(key) == 1 and key[0].autoincrement and isinstance(key[0].type, sa.BigInteger):
            counter = connection.execute(
                sa.text(f"SELECT pg_get_serial_sequence('\"{table.name}\"', '{key[0].name}')")
            ).scalar()
            if counter:
                last = connection.execute(sa.select(sa.func.max(key[0]))).scalar()
                if last:
                    connection.execute(sa.text(f"SELECT setval('{counter}', {last})"))
    connection.exec_driver_sql("ANALYZE")


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
        "method": first("payment_method", method.c.kind == "klarna"),
        "warehouse": first("warehouse"),
        "year": first("fiscal_year", year.c.starts <= day, year.c.ends >= day),
        "today": day,
        "now": datetime.now(UTC).replace(microsecond=0),
    }


def _customer(blocks: Blocks, number: int, known: Row) -> None:
    first, last = WORDS[number % 20], WORDS[number // 20 % 20]
    blocks.add(
        "customer", id=number, number=number, name=f"{first} {last}gård", email=f"kund{number}@example.com", phone="+46765260000",
        street="Stårgatan 1", street2="", postal_code="12345", city="Ankeborg", country="SE", note="", created_at=known["now"],
    )  # fmt: skip


def _order(blocks: Blocks, n: int, orders: int, still_open: int, customers: int, known: Row, books: bool) -> None:
    to_capture = n > orders
    age = timedelta(minutes=7 * (orders - n)) if not to_capture else timedelta()
    at: datetime = known["now"] - age - timedelta(days=1)
    customer = n % customers + 1
    prices = [49_900] if to_capture else [49_900 + n % 7 * 1_000, 19_900, 4_900]
    gross = sum(prices)
    stage = "captured"
    if to_capture:
        stage = "delivered"
    elif n > orders - still_open:
        stage = ("reserved", "reserved", "reserved", "delivered", "partly", "refused", "waiting", "cancelled")[n % 8]
        if n % 8 in (5, 6) and n % 64 not in (5, 6):
            stage = "reserved"
    elif n % 50 == 0:
        stage = "credited"
    gone = "none" if stage in ("reserved", "waiting", "cancelled") else "part" if stage == "partly" else "all"
    done = stage in ("captured", "credited")
    captured = gross if done else 0
    party = {
        "name": f"Kund {customer}",
        "street": "Stårgatan 1",
        "postal_code": "12345",
        "city": "Ankeborg",
        "country": "SE",
    }
    party_text = json.dumps(party, ensure_ascii=False)
    reserved = stage in ("reserved", "delivered", "partly", "waiting", "refused")
    blocks.add(
        "sales_order", id=n, number=1000 + n, version=1, state="open", shop_number=f"W{1000 + n}", customer_id=customer,
        payment_method_id=known["method"], currency="SEK", ordered_at=at, party=party_text, note="", delivered=gone,
        invoiced="all" if done or stage in ("waiting", "refused") else "none",
        icon={"delivered": "reserved", "waiting": "unknown"}.get(stage, stage if stage != "partly" else "reserved"),
        account_id=known["account"], klarna_order_id=identity("order", n), klarna_reference=f"K{n:07X}",
        klarna_status="CANCELLED" if stage == "cancelled" else "CAPTURED" if done else "AUTHORIZED", fraud_status="ACCEPTED",
        klarna_method="INVOICE", authorized_minor=gross, captured_minor=captured,
        refunded_minor=gross if stage == "credited" else 0, remaining_minor=gross if reserved else 0,
        expires_at=at + timedelta(days=28), klarna_read_at=known["now"], total_minor=gross, source="klarna",
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
    if done or stage in ("waiting", "refused"):
        _invoice(blocks, n, stage, prices, customer, party_text, at, known, books)


def _invoice(
    blocks: Blocks,
    n: int,
    stage: str,
    prices: list[int],
    customer: int,
    party: str,
    at: datetime,
    known: Row,
    books: bool,
) -> None:
    gross, number = sum(prices), FIRST_DOCUMENT + n - 1
    op, state = identity("op", n), {"waiting": "pending", "refused": "refused"}.get(stage, "issued")
    vats = [round(price / 5) for price in prices]
    day: date = min(at.date(), known["today"])
    for place, price in enumerate(prices, start=1):
        blocks.add(
            "document_line", id=n * 3 + place, document_id=n, position=place, kind="article" if place < 3 else "freight",
            order_line_id=n * 3 + place, article_number=f"ART-{place}", name=("T-shirt", "Mössa", "Frakt")[place - 1], unit="st",
            quantity_milli=1000, unit_price_minor=price, discount_minor=0, gross_minor=price, vat_rate=2500,
            vat_minor=vats[place - 1], restock_milli=0, restock_condition="", removed=False,
        )  # fmt: skip
    paid = state == "issued" and not books and n <= known["paid_to"]
    blocks.add(
        "document", id=n, kind="invoice", type="final", state=state, version=1, order_id=n, customer_id=customer, currency="SEK",
        with_klarna=True, portal_refund_confirmed=False, series="F", number=number, number_text=str(number), number_date=day,
        issue_date=day if state == "issued" else None, snapshot="{}", snapshot_sha256="0" * 64, party=party,
        party_sha256="0" * 64,
        gross_minor=gross, vat_minor=sum(vats), open_minor=0 if paid or state != "issued" else gross,
        paid_at=day if paid else None, paid_reference="900100001" if paid else None,
        refusal_kind="klarna" if state == "refused" else None, issued_by_op_id=op if state == "issued" else None,
        restock=False, created_by="Handläggaren", created_by_id=2, created_at=at, changed_at=at,
    )  # fmt: skip
    blocks.add(
        "klarna_op", id=op, kind="CAPTURE", origin="app", account_id=known["account"], environment="sandbox", installation_id="x",
        order_id=n, klarna_order_id=identity("order", n), try_no=1, amount_minor=gross, currency="SEK", method="POST",
        path="/ordermanagement/v1/orders", body=b"{}", body_sha256="0" * 64, idempotency_key=op, reference=str(number),
        accepted_difference_minor=0, created_by="Handläggaren", created_by_id=2, created_at=at, document_id=n,
        klarna_object_id=identity("capture", n) if state == "issued" else None, klarna_event_at=at,
        klarna_short_ref=f"K{n:07X}-1",
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
