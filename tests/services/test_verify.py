"""The test of the test: each check is quiet over honest books and complains when its rule is broken on purpose."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pysqlite3
import pytest
import sqlalchemy as sa
from flask import Flask

import clock
import db
from db import reading, writing
from errors import BadInput
from klarna_sandbox.control import Control
from models import Article, Document, Offset, Order, Payout, PayoutRow, ReadingFile, ReadingPart, RowMatch
from services import credit_drafts, credit_notes, ledger, reservations, stock_booking, verify
from services.gateway import Gateway
from services.ledger import Entry
from services.verify import CheckState
from states import DocState, PayoutState, Pile, WithoutKlarna
from tests import builders
from tests.builders import CLERK, FINANCE
from tests.databases import CannotBeHad, Databases


@dataclass(frozen=True)
class World:
    """Ids of one of each: what the books of a small company hold after a few days."""

    invoice: int
    credit: int
    reversed: int
    refused: int
    plain: int
    payout: int


def a_credit(klarna: Gateway, invoice: Document, *, rows: int, without: bool = False, restock: bool = True) -> Document:
    with writing() as session:
        draft = credit_drafts.start(session, CLERK, invoice.id)
        for line in list(draft.lines)[rows:]:
            credit_drafts.remove_row(session, CLERK, draft.id, line.id)
        credit_drafts.set_options(
            session,
            CLERK,
            draft.id,
            restock=restock,
            warehouse_id=builders.the_warehouse(session).id,
            without_klarna=without,
            reason=WithoutKlarna.EVEN_EXCHANGE.value if without else "",
        )
        total = credit_drafts.figures(session, draft).gross_minor
        key = draft.id
    return builders.the_document(reservations.credit(klarna, CLERK, key, builders.a_money_form(total)))


def a_payout(invoice: Document, credit: Document) -> int:
    """A booked payout of the invoice and the credit note, with a fee, VAT and a withheld part, written row by row."""
    rows = [
        ("SALE", invoice.gross_minor or 0, 0, invoice.number_text, None, invoice.id),
        ("RETURN", -(credit.gross_minor or 0), 0, None, credit.number_text, credit.id),
        ("FEE", -1_000, -250, None, None, None),
        ("HOLDBACK", -2_000, 0, None, None, None),
    ]
    net = sum(amount + vat for _, amount, vat, *_ in rows)
    content = b"a report"
    with writing() as session:
        order = session.get_one(Order, invoice.order_id)
        at = clock.now()
        file = ReadingFile(
            sha256=hashlib.sha256(content).hexdigest(),
            source="upload",
            file_name="r.csv",
            received_at=at,
            received_by="x",
        )
        session.add_all((file, ReadingPart(sha256=file.sha256, part_no=1, content=content)))
        session.flush()
        payout = Payout(
            file_id=file.id,
            account_id=order.account_id,
            payment_reference="P1",
            payout_date=at,
            currency="SEK",
            settlement_type="NET",
            totals="{}",
            settlement_minor=net,
            opening_debt_minor=0,
            closing_debt_minor=0,
            rows_hash="",
            row_count=len(rows),
            state=PayoutState.READY,
        )
        session.add(payout)
        session.flush()
        for number, (kind, amount, vat, capture, refund, document_id) in enumerate(rows, start=1):
            row = PayoutRow(
                payout_id=payout.id,
                row_no=number,
                row_key=str(number),
                type=kind,
                detailed_type="",
                amount_minor=amount,
                vat_minor=vat,
                capture_reference=capture,
                refund_reference=refund,
            )
            session.add(row)
            session.flush()
            session.add(RowMatch(row_id=row.id, pile=Pile.MATCHED, document_id=document_id))
        made = ledger.post(
            session,
            FINANCE,
            series="I",
            day=clock.today(),
            text="Återläsning Klarna P1",
            source="payout:P1",
            payout_id=payout.id,
            entries=[
                Entry(1930, net),
                Entry(6060, 1_000),
                Entry(2641, 250),
                Entry(1686, 2_000),
                Entry(1510, -(invoice.gross_minor or 0), document_id=invoice.id),
                Entry(1510, credit.gross_minor or 0, document_id=credit.id),
            ],
        )
        payout.state, payout.voucher_id, payout.booked_at, payout.booked_by = PayoutState.BOOKED, made.id, at, "x"
        return payout.id


def an_offset() -> None:
    """An ordinary invoice and its credit note, closed against each other."""
    klarna = Gateway(bytes(32), Path(tempfile.mkdtemp(prefix="kvitta-data-")), "x")
    with writing() as session:
        order = builders.an_order(session)
        builders.a_delivery(session, order)
    invoice = builders.an_invoice(klarna, order)
    credit = a_credit(klarna, invoice, rows=1, restock=False)
    amount = credit.gross_minor or 0
    with writing() as session:
        made = ledger.post(
            session,
            FINANCE,
            series="K",
            day=clock.today(),
            text="Kvittning",
            source="offset:1",
            entries=[Entry(1510, amount, document_id=credit.id), Entry(1510, -amount, document_id=invoice.id)],
        )
        session.add(
            Offset(
                invoice_id=invoice.id,
                credit_note_id=credit.id,
                amount_minor=amount,
                voucher_id=made.id,
                at=clock.now(),
                by="x",
            )
        )


def a_world(sandbox: Control) -> World:
    """Everything through the real services; only the payout and the offset are written row by row."""
    klarna = Gateway(bytes(32), Path(tempfile.mkdtemp(prefix="kvitta-data-")), "x")
    lines = [
        builders.row("T-shirt", 49_900, pieces=2),
        builders.row("Jacka", 139_900),
        builders.row("Frakt", 3_800, kind=builders.FREIGHT),
    ]
    invoice = builders.a_captured_invoice(klarna, sandbox, lines=lines)
    with writing() as session:
        session.execute(sa.update(Article).values(cost_minor=21_000))
        worth = stock_booking.value(session)
        stock_booking.begin(session, FINANCE, secrets.token_hex(16), worth - 1, worth)
    credit = a_credit(klarna, invoice, rows=1)
    undone = a_credit(klarna, invoice, rows=2, without=True)
    with writing() as session:
        credit_notes.reverse(session, FINANCE, undone.id, "fel kund")
    with writing() as session:
        order = builders.an_order(session, sandbox)
        builders.a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    refused = builders.an_invoice(klarna, order)
    sandbox.clear_faults()
    with writing() as session:
        plain_order = builders.an_order(session)
        builders.a_delivery(session, plain_order)
    plain = builders.an_invoice(klarna, plain_order)
    assert [each.state for each in (invoice, credit, undone, refused, plain)] == [
        DocState.ISSUED,
        DocState.ISSUED,
        DocState.ISSUED,
        DocState.REFUSED,
        DocState.ISSUED,
    ]
    an_offset()
    return World(invoice.id, credit.id, undone.id, refused.id, plain.id, a_payout(invoice, credit))


WORLDS: dict[str, World] = {}


@pytest.fixture
def database(request: pytest.FixtureRequest, all_databases: Databases, sandbox: Control) -> Iterator[str]:
    """A copy of the world, made once per database."""
    try:
        kind = all_databases.of(request.param)
    except CannotBeHad as error:
        pytest.skip(str(error))

    def furnish() -> None:
        WORLDS[request.param] = a_world(sandbox)

    kind.template("world", builders.furnish_company, furnish)
    wanted = "world"
    if request.node.get_closest_marker("without_walls"):
        wanted = "world without walls"
        kind.template(wanted, take_down_walls, upon="world")
    url = kind.make(wanted)
    yield url
    kind.give_back(url)


@pytest.fixture
def world(request: pytest.FixtureRequest, books: Flask) -> World:
    """What the copy holds."""
    return WORLDS["sqlite" if db.is_sqlite(db.db.engine) else "postgres"]


def failed(*ids: str) -> dict[str, list[str]]:
    with reading() as session:
        return {
            result.id: [str(found) for found in result.findings]
            for result in verify.run(session, ids or None)
            if result.state is CheckState.FAILED
        }


def test_honest_books_have_no_findings(world: World) -> None:
    assert failed() == {}


# --- Breaking the rules -------------------------------------------------------------------------------------------------


PARTIAL = ("uq_klarna_op_open_order", "uq_klarna_op_open_document", "uq_klarna_op_confirmed_document")


def take_down_walls() -> None:
    """Every wall that can be taken down: triggers, checks, partial unique indexes."""
    engine = db.db.engine
    if db.is_sqlite(engine):
        # Checks stay and are not heeded; nor are foreign keys.
        raw = pysqlite3.dbapi2.connect(engine.url.database, isolation_level=None)
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        for index in PARTIAL:
            raw.execute(f"DROP INDEX {index}")
        raw.close()
        return
    with engine.begin() as connection:
        checks = "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
        for table, name in connection.exec_driver_sql(checks).all():
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for index in PARTIAL:
            connection.exec_driver_sql(f"DROP INDEX {index}")
        for name, table in connection.exec_driver_sql(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")


def break_by(statements: Sequence[str], values: Mapping[str, int]) -> None:
    """Run SQL where the walls are down, and past foreign keys and checks."""
    engine = db.db.engine
    if db.is_sqlite(engine):
        raw = pysqlite3.dbapi2.connect(engine.url.database, isolation_level=None)
        for pragma in ("foreign_keys = 0", "ignore_check_constraints = 1"):
            raw.execute(f"PRAGMA {pragma}")
        for statement in statements:
            raw.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
        raw.close()
        return
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in statements:
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(sa.text(statement), used)


NEW_VOUCHER = (
    "INSERT INTO voucher (id, series, fiscal_year_id, number, day, text, source, currency, document_id, payout_id, reverses_id,"
    " created_at, created_by, previous_hash, hash) SELECT {id}, {series}, fiscal_year_id, {number}, day, text, 'new:{id}',"
    " currency, {document}, payout_id, {reverses}, created_at, created_by, '', 'x{id}' FROM voucher WHERE {of}"
)
COPY_POSTINGS = (
    "INSERT INTO posting (voucher_id, position, account, amount_minor, text, document_id, vat_rate)"
    " SELECT {id}, position, account, {sign} amount_minor, text, document_id, vat_rate FROM posting WHERE voucher_id = {of}"
)
OF_INVOICE = "(SELECT id FROM voucher WHERE document_id = :invoice AND series = 'F')"
OF_REVERSED = "(SELECT id FROM voucher WHERE document_id = :reversed AND series = 'F')"
CAPTURE = "(SELECT issued_by_op_id FROM document WHERE id = :invoice)"
REFUND = "(SELECT issued_by_op_id FROM document WHERE id = :credit)"
REFUSED_OP = "(SELECT id FROM klarna_op WHERE document_id = :refused)"
NEW_OP = (
    "INSERT INTO klarna_op (id, kind, origin, account_id, environment, installation_id, order_id, klarna_order_id, try_no,"
    " amount_minor, currency, method, path, body, body_sha256, idempotency_key, reference, accepted_difference_minor,"
    " created_by, created_at, document_id, state, version, attempts, refused_on_retry, record_failures)"
    " SELECT 'new', kind, origin, account_id, environment, installation_id, order_id, klarna_order_id, {try_no},"
    " amount_minor, currency, method, path, body, body_sha256, 'new', reference, 0, created_by, created_at, {document},"
    " '{state}', 1, 0, 0, 0 FROM klarna_op WHERE id = {of}"
)

BREAKS: dict[str, tuple[str, ...]] = {
    # What is broken: a piece of what verify says, and the SQL that breaks it.
    "A1 a row less": (
        "rows that sum to",
        "DELETE FROM posting WHERE id = (SELECT min(id) FROM posting)",
    ),
    "A1 one öre more": (
        "rows that sum to",
        "UPDATE posting SET amount_minor = amount_minor + 1 WHERE id = (SELECT min(id) FROM posting)",
    ),
    "A1 a row of nothing": (
        "rows that sum to",
        (
            "INSERT INTO posting (voucher_id, position, account, amount_minor, text)"
            " SELECT id, 99, 1930, 0, '' FROM voucher WHERE document_id = :invoice"
        ),
    ),
    "A1 another currency": (
        "in EUR books a document in SEK",
        "UPDATE voucher SET currency = 'EUR' WHERE document_id = :invoice",
    ),
    "A2 a year that is off": (
        "its vouchers sum to",
        "UPDATE posting SET amount_minor = amount_minor - 7 WHERE account = 3520",
    ),
    "A3 an issued document without its voucher": (
        "is issued and has",
        f"UPDATE voucher SET document_id = NULL WHERE id = {OF_INVOICE}",
    ),
    "A3 a refused document that is booked": (
        "is refused and has",
        NEW_VOUCHER.format(
            id=901, series="'F'", number=901, document=":refused", reverses="NULL", of=f"id = {OF_INVOICE}"
        ),
    ),
    "A3 a reversed document without its reversal": (
        "is issued and has",
        f"UPDATE voucher SET reverses_id = NULL WHERE reverses_id = {OF_REVERSED}",
    ),
    "A3 a claim that is off": (
        "and was booked as a claim of",
        f"UPDATE posting SET amount_minor = 1 WHERE voucher_id = {OF_INVOICE} AND account = 1510",
    ),
    "A3 VAT that is off": (
        "was booked as",
        f"UPDATE posting SET amount_minor = -1 WHERE voucher_id = {OF_INVOICE} AND account = 2611",
    ),
    "A4 rows that do not add up": (
        "the rows add up to",
        "UPDATE document_line SET gross_minor = gross_minor + 1 WHERE document_id = :invoice",
    ),
    "A4 VAT that does not add up": (
        "the rows add up to",
        "UPDATE document SET vat_minor = vat_minor + 1 WHERE id = :invoice",
    ),
    "A4 VAT outside the rule": (
        "VAT at rate",
        "UPDATE document_line SET vat_minor = vat_minor + 500 WHERE document_id = :plain",
        "UPDATE document SET vat_minor = vat_minor + 500 WHERE id = :plain",
    ),
    "A4 a rounded Klarna document": (
        "is at Klarna and was rounded by",
        (
            "INSERT INTO posting (voucher_id, position, account, amount_minor, text)"
            " SELECT id, 98, 3740, 1, '' FROM voucher WHERE document_id = :invoice"
        ),
    ),
    "A5 a counter that ran ahead": (
        "different ones",
        "UPDATE number_series SET next_no = next_no + 1 WHERE code = 'F'",
    ),
    "A5 a voucher number left out": (
        "different ones",
        f"UPDATE voucher SET number = 77 WHERE id = {OF_INVOICE}",
    ),
    "A5 a series without counter": (
        "numbers without a series",
        "DELETE FROM number_series WHERE code = 'V:F'",
    ),
    "A5 a date that went back": (
        "the number before it",
        "UPDATE document SET number_date = '2000-01-01' WHERE id = :plain",
    ),
    "A5 a draft with a number": (
        "in state draft",
        "UPDATE document SET state = 'draft' WHERE id = :plain",
    ),
    "A6 a period that was locked": (
        "when the books were locked through",
        "INSERT INTO period_lock (locked_through, at, by, reason) VALUES ('2099-01-01', '2020-01-01T00:00:00.000Z', 'x', 'y')",
    ),
    "A6 a day outside its year": (
        "outside its financial year",
        f"UPDATE voucher SET day = '2001-01-01' WHERE id = {OF_INVOICE}",
    ),
    "A6 years with a gap": (
        "the year before ends",
        "UPDATE fiscal_year SET ends = '2025-12-30' WHERE starts = '2025-01-01'",
    ),
    "A7 a reversal of something else": (
        "which is not there or is a reversal itself",
        f"UPDATE voucher SET reverses_id = 9999 WHERE reverses_id = {OF_REVERSED}",
    ),
    "A7 a reversal of a reversal": (
        "which is not there or is a reversal itself",
        NEW_VOUCHER.format(
            id=902, series="'K'", number=902, document="NULL", reverses="id", of=f"reverses_id = {OF_REVERSED}"
        ),
    ),
    "A7 a reversal that leaves something": (
        "on account",
        (
            "UPDATE posting SET amount_minor = amount_minor * 2 WHERE voucher_id ="
            f" (SELECT id FROM voucher WHERE reverses_id = {OF_REVERSED})"
        ),
    ),
    "A8 a year that opens with something else": (
        "closed with",
        f"UPDATE voucher SET day = '2025-06-01' WHERE id = {OF_INVOICE}",
        "UPDATE account SET kind = 'S' WHERE number = 3001",
        "DELETE FROM fiscal_year WHERE starts > '2025-12-31'",
        "INSERT INTO fiscal_year (id, starts, ends) VALUES (99, '2024-01-01', '2024-06-30')",
        "UPDATE voucher SET day = '2024-09-01' WHERE id = (SELECT voucher_id FROM payout WHERE id = :payout)",
    ),
    "A9 what remains is off": (
        "remains, its postings add up to",
        "UPDATE document SET open_minor = open_minor + 1 WHERE id = :plain",
    ),
    "A9 a receivable without document": (
        "without a document",
        "UPDATE posting SET document_id = NULL WHERE account = 1510",
    ),
    "A10 a changed text": (
        "is not as it was written",
        f"UPDATE voucher SET text = 'x' WHERE id = {OF_INVOICE}",
    ),
    "A10 a changed amount": (
        "is not as it was written",
        "UPDATE posting SET amount_minor = -amount_minor WHERE account IN (3001, 2611)",
    ),
    "A10 a voucher taken out": (
        "does not follow the voucher before it",
        "DELETE FROM voucher WHERE id = (SELECT min(id) FROM voucher)",
    ),
    "A10 the last voucher taken off": (
        "the last voucher is not the one the series knows",
        "DELETE FROM voucher WHERE id = (SELECT max(id) FROM voucher WHERE series = 'I')",
    ),
    "A11 an account that is not there": (
        "which is not in the chart",
        "DELETE FROM account WHERE number = 3520",
    ),
    "A11 another rate than the account's": (
        "the row is of rate",
        "UPDATE posting SET vat_rate = 600 WHERE account = 2611",
    ),
    "A11 another rate than the original's": (
        "its original",
        "UPDATE document_line SET vat_rate = 600 WHERE document_id = :credit",
    ),
    "A12 a voucher on a day of another year": (
        "in its SIE file",
        f"UPDATE voucher SET day = '2024-09-01' WHERE id = {OF_INVOICE}",
    ),
    "A12 a voucher that does not add up": (
        "does not sum to 0.00",
        "UPDATE posting SET amount_minor = amount_minor + 1 WHERE id = (SELECT min(id) FROM posting)",
    ),
    "A13 two customers": (
        "does not join an issued invoice and credit note of one customer and currency",
        'UPDATE document SET customer_id = customer_id + 1 WHERE id = (SELECT credit_note_id FROM "offset")',
    ),
    "A13 another amount than booked": (
        "on the invoice and",
        'UPDATE "offset" SET amount_minor = amount_minor + 1',
    ),
    "A13 before the reading": (
        "was made before the reading that covers",
        f'UPDATE document SET issued_by_op_id = {REFUSED_OP} WHERE id = (SELECT invoice_id FROM "offset")',
        "UPDATE payout SET state = 'ready'",
    ),
    "A14 the bank is off": (
        "bank is stated as",
        "UPDATE payout SET settlement_minor = settlement_minor + 1",
    ),
    "A14 VAT that was computed": (
        "VAT on fees is stated as",
        "UPDATE posting SET amount_minor = 251 WHERE account = 2641",
    ),
    "A14 withheld that is off": (
        "withheld amount is stated as",
        "UPDATE posting SET amount_minor = 1999 WHERE account = 1686",
    ),
    "A14 a debt that is not booked": (
        "debt is stated as",
        "UPDATE payout SET closing_debt_minor = 100",
    ),
    "A14 VAT on fees from abroad that is not booked": (
        "the VAT on what comes from abroad is booked as 0 (reverse_output)",
        "UPDATE payout SET fees_from = 'eu_country'",
    ),
    "A14 VAT of abroad on fees from Sweden": (
        "the VAT on what comes from abroad is booked as 250 (reverse_input)",
        "UPDATE posting SET account = 2645 WHERE account = 2641",
    ),
    "A15 more deducted than advanced": (
        "more is deducted than advanced",
        "UPDATE document_line SET kind = 'advance_deduction', gross_minor = -gross_minor WHERE document_id = :plain",
    ),
    "A15 an advance account that is off": (
        "the advance account holds",
        "UPDATE posting SET account = 2420 WHERE id = (SELECT min(id) FROM posting WHERE account = 3001)",
    ),
    "I1 credited twice": (
        "thousandths and",
        "UPDATE document_line SET quantity_milli = 9000 WHERE document_id = :credit",
    ),
    "I1 credited for more": (
        "thousandths and",
        "UPDATE document_line SET gross_minor = 900000 WHERE document_id = :credit",
    ),
    "I1 invoiced twice": (
        "thousandths, invoiced are",
        "UPDATE sales_order_line SET quantity_milli = 1",
    ),
    "I2 of another customer": (
        "refers to no issued invoice of its customer and currency, or is dated before it",
        "UPDATE document SET customer_id = customer_id + 1 WHERE id = :credit",
    ),
    "I2 dated before its invoice": (
        "refers to no issued invoice of its customer and currency, or is dated before it",
        "UPDATE document SET issue_date = '2000-01-01' WHERE id = :credit",
    ),
    "I2 a free-standing one with an operation": (
        "is free-standing and has an original or an operation",
        "UPDATE document SET type = 'free_credit' WHERE id = :credit",
    ),
    "I3 a changed snapshot": (
        "its frozen content has been changed",
        "UPDATE document SET snapshot = '{}' WHERE id = :invoice",
    ),
    "I3 a changed party": (
        "its frozen name and address have been changed",
        "UPDATE document SET party = 'x' WHERE id = :invoice",
    ),
    "I4 issued by nothing": (
        "proven operations, issued by None",
        "UPDATE document SET issued_by_op_id = NULL WHERE id = :invoice",
    ),
    "I4 void with an open operation": (
        "proven operations, issued by None",
        "UPDATE document SET state = 'void' WHERE id = :refused",
        f"UPDATE klarna_op SET state = 'UNKNOWN' WHERE id = {REFUSED_OP}",
    ),
    "I4 pending with none": (
        "proven operations, issued by None",
        "UPDATE document SET state = 'pending' WHERE id = :refused",
    ),
    "I6 half a number": (
        "things that come with a number",
        "UPDATE document SET series = NULL WHERE id = :plain",
    ),
    "I7 a state nobody gave": (
        "is void, its last event says refused",
        "UPDATE document SET state = 'void', void_reason = 'x' WHERE id = :refused",
    ),
    "I7 a move that is not listed": (
        "went from issued to draft",
        (
            "INSERT INTO document_event (document_id, seq, from_state, to_state, at, actor, reason)"
            " SELECT document_id, 90, 'issued', 'draft', at, actor, '' FROM document_event WHERE document_id = :plain AND seq = 1"
        ),
    ),
    "I7 a chain with a hole": (
        "begins in refused, the one before it ended in pending",
        "UPDATE document_event SET from_state = 'refused' WHERE document_id = :invoice AND from_state = 'pending'",
    ),
    "I7 void without who": (
        "is void without who",
        "UPDATE document SET state = 'void' WHERE id = :plain",
    ),
    "I8 refused, and the operation is open": (
        "is refused (klarna), its last operation is REVIEW",
        f"UPDATE klarna_op SET state = 'REVIEW' WHERE id = {REFUSED_OP}",
    ),
    "I8 refused without a code": (
        "is refused by Klarna and holds no answer with a code",
        "UPDATE klarna_answer SET error_code = NULL",
    ),
    "I8 pending on the same rows": (
        "is pending on the same rows",
        "UPDATE document SET state = 'pending' WHERE id = :plain",
        (
            "UPDATE document_line SET order_line_id = (SELECT min(order_line_id) FROM document_line WHERE document_id = :refused)"
            " WHERE document_id = :plain"
        ),
    ),
    "I9 without a reason": (
        "was issued without Klarna and without a reason",
        "UPDATE document SET without_klarna_reason = NULL WHERE id = :plain",
    ),
    "I9 a Klarna order called ordinary": (
        "of an order paid with Klarna was issued as an ordinary one",
        "UPDATE document SET issued_by_op_id = NULL, without_klarna_reason = 'ordinary' WHERE id = :invoice",
    ),
    "I10 another amount at Klarna": (
        "stands at Klarna as",
        f"UPDATE klarna_op SET amount_minor = 1 WHERE id = {CAPTURE}",
    ),
    "I10 another number at Klarna": (
        "stands at Klarna as",
        f"UPDATE klarna_op SET reference = '1' WHERE id = {CAPTURE}",
    ),
    "I10 one reference on two rows": (
        "reference X stands on",
        "UPDATE document_line SET klarna_reference = 'X' WHERE document_id = :invoice",
    ),
    "I10 a refund of another row": (
        "refers to X, captured as",
        "UPDATE document_line SET klarna_reference = 'X' WHERE document_id = :credit",
    ),
    "I10 a new row named as a captured one": (
        "has reference AR",
        "UPDATE document_line SET original_line_id = NULL WHERE document_id = :credit",
    ),
    "I11 reversed and paid": (
        "is reversed, and is paid, offset or at Klarna",
        "UPDATE document SET paid_at = '2026-01-01' WHERE id = :reversed",
    ),
    "I11 stock left behind": (
        "is reversed, and row",
        "DELETE FROM stock_movement WHERE kind = 'return_reversed'",
    ),
    "I12 issued before numbered": (
        "numbered",
        "UPDATE document SET issue_date = '2000-01-01' WHERE id = :plain",
    ),
    "I12 booked on another day": (
        "booked",
        f"UPDATE voucher SET day = '2025-01-01' WHERE id = {OF_INVOICE}",
    ),
    "S1 a movement without its cause": (
        "thousandths, its delivery row is of",
        "UPDATE stock_movement SET quantity_milli = quantity_milli - 1 WHERE kind = 'delivery'",
    ),
    "S1 a return of another size": (
        "thousandths, its credit row puts back",
        "UPDATE stock_movement SET quantity_milli = 7 WHERE kind = 'return'",
    ),
    "S1 goods that came in and are fewer": (
        "thousandths has no article or place, or the wrong sign",
        "UPDATE stock_movement SET kind = 'goods_in', delivery_line_id = NULL WHERE kind = 'delivery'",
    ),
    "S1 a wrong sign": (
        "thousandths has no article or place, or the wrong sign",
        "UPDATE stock_movement SET quantity_milli = -quantity_milli",
    ),
    "S2 below zero": (
        "thousandths in warehouse",
        "DELETE FROM stock_movement WHERE kind = 'adjustment'",
    ),
    "S3 delivered twice": (
        "thousandths, delivered are",
        "UPDATE delivery_line SET quantity_milli = quantity_milli * 2",
    ),
    "S3 a row of another order": (
        "holds a row of order",
        "UPDATE delivery SET order_id = 999 WHERE id = (SELECT min(id) FROM delivery)",
    ),
    "S3 a refused credit that moved stock": (
        "comes from a document that is refused",
        "UPDATE document SET state = 'refused' WHERE id = :credit",
    ),
    "S3 put back and not moved": (
        "thousandths, and nothing moved",
        "DELETE FROM stock_movement WHERE kind = 'return'",
    ),
    "S3 more returned than delivered": (
        "thousandths, returned",
        "DELETE FROM delivery_line",
    ),
    "S4 a cost that nobody has booked": (
        ", and the stock is worth",
        "UPDATE article SET cost_minor = cost_minor + 1",
    ),
    "X7 a list that lies about deliveries": (
        "says delivered none, invoiced all; delivered are",
        "UPDATE sales_order SET delivered = 'none'",
    ),
    "X7 a list that lies about invoices": (
        "says delivered all, invoiced part; delivered are",
        "UPDATE sales_order SET invoiced = 'part'",
    ),
    "M1 more than authorised": (
        "authorised",
        "UPDATE sales_order SET authorized_minor = 1",
    ),
    "M1 more refunded than captured": (
        "refunds",
        f"UPDATE klarna_op SET amount_minor = 100000000 WHERE id = {REFUND}",
    ),
    "M1 a negative figure": (
        "a figure of Klarna's is negative, or more is refunded than captured",
        "UPDATE sales_order SET remaining_minor = -1 WHERE account_id IS NOT NULL",
    ),
    "M2 two open acts": (
        "open operations",
        f"UPDATE klarna_op SET state = 'UNKNOWN' WHERE id IN ({CAPTURE}, {REFUND})",
    ),
    "M3 a state nobody gave": (
        "is REVIEW, its last event says CONFIRMED",
        f"UPDATE klarna_op SET state = 'REVIEW' WHERE id = {CAPTURE}",
    ),
    "M3 a move after the end": (
        "went from CONFIRMED to REJECTED",
        (
            "INSERT INTO klarna_op_event (op_id, seq, from_state, to_state, at, actor, evidence, note)"
            f" SELECT id, 90, 'CONFIRMED', 'REJECTED', created_at, '', '', '' FROM klarna_op WHERE id = {CAPTURE}"
        ),
    ),
    "M3 a chain with a hole": (
        "begins in SENDING, the one before it ended in PREPARED",
        f"DELETE FROM klarna_op_event WHERE op_id = {CAPTURE} AND to_state = 'SENDING'",
    ),
    "M4 other bytes": (
        "its bytes have been changed",
        f"UPDATE klarna_op SET body_sha256 = 'x' WHERE id = {CAPTURE}",
    ),
    "M4 another key": (
        "its key does not follow",
        f"UPDATE klarna_op SET idempotency_key = 'x' WHERE id = {CAPTURE}",
    ),
    "M4 sent before it was written": (
        "is too early, too late, or of another content or key",
        "UPDATE klarna_attempt SET permitted_at = '2000-01-01T00:00:00.000Z'",
    ),
    "M4 sent after the window": (
        "is too early, too late, or of another content or key",
        "UPDATE klarna_op SET first_sent_at = '2000-01-01T00:00:00.000Z'",
    ),
    "M4 an attempt too few": (
        "attempts, there are",
        f"UPDATE klarna_op SET attempts = 2 WHERE id = {CAPTURE}",
    ),
    "M5 confirmed without proof": (
        "is confirmed without proof",
        "UPDATE klarna_answer SET http_status = 500",
    ),
    "M5 rejected although it happened": (
        "is REJECTED, Klarna answered",
        f"UPDATE klarna_op SET state = 'REJECTED' WHERE id = {CAPTURE}",
    ),
    "M5 a row with a rejected number": (
        "is REJECTED, and settlement row",
        "UPDATE payout_row SET capture_reference = (SELECT number_text FROM document WHERE id = :refused) WHERE type = 'SALE'",
    ),
    "M6 sending for ever": (
        "has been SENDING for too long: the janitor does not run",
        f"UPDATE klarna_op SET state = 'SENDING', lease_until = '2020-01-01T00:00:00.000Z' WHERE id = {REFUSED_OP}",
    ),
    "M6 unknown for ever": (
        "has been UNKNOWN for too long: the janitor does not run",
        (
            "UPDATE klarna_op SET state = 'UNKNOWN', post_allowed_until = '2020-01-01T00:00:00.000Z'"
            f" WHERE id = {REFUSED_OP}"
        ),
    ),
    "M8 a booked row without partner": (
        "SALE is booked without a partner or a break",
        "DELETE FROM row_match",
    ),
    "M8 one number on two rows": (
        "stands on",
        (
            "INSERT INTO payout_row (payout_id, row_no, row_key, type, detailed_type, amount_minor, vat_minor, capture_reference)"
            " SELECT payout_id, 90, '90', type, '', amount_minor, 0, capture_reference FROM payout_row WHERE type = 'SALE'"
        ),
    ),
    "M8 sold and never paid": (
        "has no settlement row and no break",
        "DELETE FROM row_match",
        f"UPDATE klarna_op SET klarna_event_at = '2020-01-01T00:00:00.000Z' WHERE id = {CAPTURE}",
        "UPDATE payout SET state = 'ready'",
    ),
    "M9 rows that do not add up": (
        "with a movement of debt of",
        "UPDATE payout_row SET amount_minor = amount_minor + 1 WHERE type = 'FEE'",
    ),
    "M9 another amount on the bank": (
        "on the bank account are",
        "UPDATE posting SET account = 1910 WHERE account = 1930",
    ),
    "M10 a try left out": (
        "tries, the last is",
        f"UPDATE klarna_op SET try_no = 2 WHERE id = {REFUSED_OP}",
    ),
    "M10 a try before the last was closed": (
        "was made before the one before it was closed",
        NEW_OP.format(try_no=2, document=":invoice", state="REJECTED", of=CAPTURE),
    ),
    "M11 sent without a look": (
        "on a look of None",
        "UPDATE klarna_attempt SET look_at = NULL",
    ),
    "M11 sent on an old look": (
        "was first sent",
        "UPDATE klarna_attempt SET look_at = '2020-01-01T00:00:00.000Z'",
    ),
    "M12 left after its permission": (
        "(ANSWER) began at",
        "UPDATE klarna_attempt SET permitted_until = '2020-01-01T00:00:00.000Z'",
    ),
    "M12 an answer to nothing sent": (
        "(ANSWER) began at None, permitted until",
        "UPDATE klarna_answer SET first_byte_at = NULL",
    ),
    "M14 another environment": (
        "was made for live, its account is sandbox, or it is of another installation",
        f"UPDATE klarna_op SET environment = 'live' WHERE id = {CAPTURE}",
    ),
    "M14 a live account in test books": (
        "was made for sandbox, its account is live, or it is of another installation",
        "UPDATE klarna_account SET environment = 'live'",
    ),
    "M14 another account": (
        "an operation of it to",
        "UPDATE klarna_op SET account_id = 99",
    ),
    "M14 a typed address elsewhere": (
        "the typed address http://example.com is not this machine's own",
        "UPDATE klarna_account SET sandbox_url = 'http://example.com'",
    ),
    "M15 made elsewhere and unsettled": (
        "made elsewhere has neither document nor break",
        NEW_OP.format(try_no=1, document="NULL", state="EXTERNAL", of=CAPTURE),
    ),
    "M15 closed without why": (
        "totals_differ was closed without how, why, who or when",
        (
            "INSERT INTO klarna_break (kind, expected, found, difference_minor, currency, opened_at, found_by, state, resolution)"
            " VALUES ('totals_differ', '', '', 0, 'SEK', '2026-01-01T00:00:00.000Z', 'x', 'closed', 'explain')"
        ),
    ),
    "M16 a faulty row that is booked": (
        "is faulty in booked payout",
        "UPDATE row_match SET pile = 'faulty'",
    ),
    "M16 handled by nobody": (
        "was handled without a name, a time or a note",
        "UPDATE row_match SET pile = 'handled'",
    ),
    "M16 a row too many": (
        "was read with",
        "UPDATE payout SET row_count = 9",
    ),
    "M16 another file": (
        "its bytes are not those that came",
        "UPDATE reading_file SET sha256 = 'x'",
    ),
    "X1 a row that refers to nothing": (
        "refers to a row of customer that is not there",
        "UPDATE sales_order SET customer_id = 999",
    ),
    "X1 a row that breaks the second rule of its table": (
        "article",
        "UPDATE article SET cost_minor = -1",
    ),
    "X2 a row without a name": (
        "lacks who, what or object",
        "UPDATE audit SET actor = ''",
    ),
    "X2 a document nobody made": (
        "has no row in the audit log",
        "DELETE FROM audit WHERE object LIKE 'document:%'",
    ),
    "X4 a changed row": (
        "is not as it was written",
        "UPDATE audit SET detail = '{}' WHERE id = (SELECT min(id) FROM audit)",
    ),
    "X4 a row taken out": (
        "does not follow the row before it",
        "DELETE FROM audit WHERE id = (SELECT min(id) + 1 FROM audit)",
    ),
    "X4 the last row taken off": (
        "rows were written, there are",
        "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
    ),
    "X8 an order's sum that is off": (
        ", its rows add up to",
        "UPDATE sales_order SET total_minor = total_minor + 1",
    ),
    "X8 a day's sum that is off": (
        "activated 1, the invoices add up to",
        "UPDATE klarna_day SET activated_minor = 1",
    ),
    "X8 a day that is not summed": (
        "activated 0, the invoices add up to",
        "DELETE FROM klarna_day",
    ),
    "X9 a name that has come back": (
        "its card is not empty",
        "UPDATE customer SET anonymised_at = created_at WHERE id = (SELECT min(id) FROM customer)",
    ),
    "A4 a rounding that does not round": (
        "has a rounding of 3 that does not round it",
        (
            "INSERT INTO document_line (document_id, position, kind, name, unit, quantity_milli, unit_price_minor,"
            " discount_minor, gross_minor, vat_rate, vat_minor, restock_milli, restock_condition, removed)"
            " VALUES (:invoice, 99, 'rounding', 'x', 'st', 1000, 3, 0, 3, 0, 0, 0, '', 0)"
        ),
    ),
    "A10 a voucher that was there at a lock": (
        "the last voucher of F 2026-01-01 at the lock is no longer there",
        (
            "INSERT INTO audit (at, actor, action, object, detail, previous_hash, hash) VALUES"
            " ('2026-01-01T00:00:00.000Z', 'x', 'period.lock', 'period_lock',"
            """ '{"heads":{"F 2026-01-01":"gone"}}', '', '')"""
        ),
    ),
    "A11 an account that was closed": (
        "which was closed then",
        (
            "INSERT INTO account_change (account, name, payment_account, receivable, active, at, by)"
            " VALUES (6060, 'Kreditförsäljningskostnader', 0, 0, 0, '2020-01-01T00:00:00.000Z', 'x')"
        ),
    ),
    "A11 an account changed behind its history": (
        "was left as «x» and is",
        (
            "INSERT INTO account_change (account, name, payment_account, receivable, active, at, by)"
            " VALUES (1910, 'x', 1, 0, 1, '2020-01-01T00:00:00.000Z', 'x')"
        ),
    ),
    "M17 a deposit tied twice": (
        "is tied 2 times",
        (
            "INSERT INTO bank_tie (entry_id, payout_id, how, reason, at, by) VALUES"
            " (1, :payout, 'hand', 'x', '2020-01-01T00:00:00.000Z', 'x'),"
            " (2, :payout, 'hand', 'x', '2020-01-01T00:00:00.000Z', 'x')"
        ),
    ),
    "M17 another's tie untied": (
        "unties",
        (
            "INSERT INTO bank_tie (id, entry_id, payout_id, undoes_id, how, reason, at, by) VALUES"
            " (1, 1, :payout, NULL, 'hand', 'x', '2020-01-01T00:00:00.000Z', 'x'),"
            " (2, 2, :payout, 1, 'hand', 'x', '2020-01-01T00:00:00.000Z', 'x')"
        ),
    ),
    "M18 paid without a link": (
        "its rows, payments and offsets leave",
        "DELETE FROM row_match WHERE document_id = :invoice",
    ),
    "M18 parts that are not the whole": (
        "and its parts come to",
        (
            "INSERT INTO row_share (row_id, document_id, amount_minor)"
            " SELECT m.row_id, m.document_id, 1 FROM row_match m WHERE m.document_id = :invoice"
        ),
    ),
    "M18 a part that was lost": (
        "and its parts come to",
        (
            "INSERT INTO row_share (row_id, document_id, amount_minor) SELECT m.row_id, m.document_id, r.amount_minor - 1"
            " FROM row_match m JOIN payout_row r ON r.id = m.row_id WHERE m.document_id = :invoice AND r.type = 'SALE'"
        ),
        "UPDATE row_match SET document_id = NULL, pile = 'handled' WHERE document_id = :invoice",
    ),
    "X5 walls taken away": ("trigger audit_no_delete is missing",),
    "X6 a job forgotten": (
        "mail has waited for more than a day after",
        (
            "INSERT INTO outbox (kind, payload, message_id, created_at, created_by, attempts)"
            " VALUES ('mail', '{}', 'm', '2020-01-01T00:00:00.000Z', 'x', 3)"
        ),
    ),
}


@pytest.mark.without_walls
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_seen(world: World, name: str) -> None:
    check = name.split(maxsplit=1)[0]
    told, *statements = BREAKS[name]
    break_by(statements, asdict(world))
    assert any(told in finding for finding in failed(check)[check])


@pytest.mark.without_walls
@pytest.mark.only_on("sqlite")
def test_a_customer_that_cannot_be_found_is_seen(world: World) -> None:
    """X8: PostgreSQL keeps its index of names by itself."""
    break_by(["UPDATE customer_search SET name = 'x' WHERE rowid = (SELECT min(id) FROM customer)"], {})
    assert any("cannot be found by the name it has" in finding for finding in failed("X8")["X8"])


@pytest.mark.only_on("sqlite")
def test_a_customer_that_another_process_added_is_no_damage(books: Flask) -> None:
    """X1: SQLite compares the index of names with what this connection last read of it, unless it is read just before."""
    with reading() as session:
        assert not list(verify.CHECKS["X1"](session)), "this connection has read the index"
    with pysqlite3.connect(db.db.engine.url.database) as other:
        other.execute("INSERT INTO customer_search (rowid, name) VALUES (4711, 'Björk Ekal')")
    other.close()
    with reading() as session:
        assert not list(verify.CHECKS["X1"](session))


def test_every_check_is_broken_here() -> None:
    assert {name.split()[0] for name in BREAKS} == set(verify.CHECKS)


@pytest.mark.without_walls
def test_a_constraint_that_is_gone_is_missed(world: World) -> None:
    """X5."""
    said = failed("X5")["X5"]
    assert said
    with reading() as session:
        (result,) = verify.run(session, ["X5"])
    assert result.more
    with db.db.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_voucher_day")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'x'")
    with reading() as session:
        everything = [str(found) for found in verify.CHECKS["X5"](session)]
    assert "schema: ix_voucher_day is missing" in everything
    assert "schema: uq_klarna_op_open_order is missing" in everything
    assert any("revision x" in each for each in everything)


@pytest.mark.without_walls
def test_at_most_twenty_findings_are_named(world: World) -> None:
    with reading() as session:
        (result,) = verify.run(session, ["X5"])
    assert (len(result.findings), result.more, result.state) == (20, True, CheckState.FAILED)


def test_what_the_database_cannot_answer_says_why(world: World) -> None:
    with reading() as session:
        results = list(verify.run(session, ["M13", "M7", "A1"]))
    assert [(result.id, result.state) for result in results] == [
        ("M13", CheckState.NOT_APPLICABLE),
        ("M7", CheckState.NOT_APPLICABLE),
        ("A1", CheckState.OK),
    ]
    assert all(result.because for result in results[:2])
    assert verify.title("A1").startswith("a voucher sums to 0")


def test_an_unknown_check_is_refused(world: World) -> None:
    with reading() as session, pytest.raises(BadInput):
        list(verify.run(session, ["A99"]))


def test_every_check_has_a_sentence() -> None:
    assert all(verify.title(check) for check in verify.CHECKS)
    assert not set(verify.CHECKS) & set(verify.NOT_COVERED)
