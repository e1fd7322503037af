"""Settlements, payments and the books are explained to the last row.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
DAY = sa.Text().with_variant(sa.Date(), "postgresql")


def upgrade() -> None:
    _lists_are_sorted_within_their_filters()
    _reports_are_kept_in_parts()
    _what_payments_are_and_where_rows_went()
    _what_came_to_the_bank()
    _accounts_change_and_have_their_box()


def _lists_are_sorted_within_their_filters() -> None:
    """A list's order beside its filter, so that neither has to be gathered and sorted, nor walked past what does not fit."""

    def index(table: str, name: str, columns: list[str], where: str) -> None:
        some = sa.text(where)
        op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=some, postgresql_where=some)

    for column in ("icon", "source"):
        op.create_index(op.f(f"ix_sales_order_{column}_ordered_at_id"), "sales_order", [column, "ordered_at", "id"])
    index("sales_order", "cancelled_ordered_at", ["ordered_at", "id"], "state = 'cancelled'")
    at_work = (
        "state = 'open' AND (delivered <> 'all' OR invoiced <> 'all')"
        " AND (icon IS NULL OR icon <> 'cancelled' OR invoiced = 'part')"
    )
    index("sales_order", "work", ["delivered", "invoiced", "id"], at_work)
    for column in ("ordered_at", "total_minor"):
        index("sales_order", f"work_{column}", [column, "id"], at_work)
    for column in ("listed_on", "listed_basis", "listed_method", "type", "open_minor", "listed_paid", "listed_klarna"):
        index("document", f"unpaid_{column}", [column, "id"], "open_minor <> 0")
        index("document", f"note_{column}", [column, "id"], "kind <> 'invoice'")
    index("document", "without", ["id"], "without_klarna_reason NOT IN ('ordinary','nothing_to_pay')")


AT_KLARNA = "open_minor <> 0 AND (issued_by_op_id IS NOT NULL OR without_klarna_reason = 'credited_in_portal')"


def _what_payments_are_and_where_rows_went() -> None:
    op.create_index(
        "ix_document_at_klarna",
        "document",
        ["kind", "listed_on", "currency", "open_minor"],
        unique=False,
        sqlite_where=sa.text(AT_KLARNA),
        postgresql_where=sa.text(AT_KLARNA),
    )
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    number = "BIGINT" if is_postgresql else "INTEGER"
    op.execute(
        "ALTER TABLE payment ADD COLUMN kind TEXT DEFAULT 'payment' NOT NULL"
        " CONSTRAINT ck_payment_kind CHECK (kind IN ('payment','surplus','residue'))"
    )
    op.execute(
        f"ALTER TABLE payment ADD COLUMN follows_id {number} CONSTRAINT fk_payment_follows_id REFERENCES payment (id)"
    )
    op.create_table(
        "row_share",
        sa.Column("row_id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.PrimaryKeyConstraint("row_id", "document_id", name=op.f("pk_row_share")),
        sa.ForeignKeyConstraint(["row_id"], ["row_match.row_id"], name=op.f("fk_row_share_row_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_row_share_document_id")),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_row_share_amount")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_row_share_document_id"), "row_share", ["document_id"], unique=False)
    op.create_table(
        "row_placing",
        sa.Column("id", BIG, nullable=False),
        sa.Column("row_id", BIG, nullable=False),
        sa.Column("from_document_id", BIG, nullable=True),
        sa.Column("to_document_id", BIG, nullable=True),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("voucher_id", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_placing")),
        sa.UniqueConstraint("voucher_id", name=op.f("uq_row_placing_voucher_id")),
        sa.ForeignKeyConstraint(["row_id"], ["payout_row.id"], name=op.f("fk_row_placing_row_id")),
        sa.ForeignKeyConstraint(["from_document_id"], ["document.id"], name=op.f("fk_row_placing_from_document_id")),
        sa.ForeignKeyConstraint(["to_document_id"], ["document.id"], name=op.f("fk_row_placing_to_document_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_row_placing_voucher_id")),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_row_placing_amount")),
        sa.CheckConstraint(
            "coalesce(from_document_id, 0) <> coalesce(to_document_id, 0)", name=op.f("ck_row_placing_moved")
        ),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_row_placing_row_id"), "row_placing", ["row_id"], unique=False)
    for what in ("update", "delete"):
        head = f'CREATE TRIGGER row_placing_no_{what} BEFORE {what.upper()} ON "row_placing" '
        if is_postgresql:
            op.execute(head + "FOR EACH ROW EXECUTE FUNCTION kvitta_refuse('row_placing is append-only')")
        else:
            op.execute(head + "BEGIN SELECT RAISE(ABORT, 'row_placing is append-only'); END")


BOXES = {
    5: (3001, 3002, 3003, 3106, 3520, 3540, 3730),
    10: (2611,), 11: (2621,), 12: (2631,), 30: (2614,), 35: (3108,), 36: (3105,), 42: (3004,), 48: (2641, 2645),
}  # fmt: skip
"""Which box of the VAT return the accounts belong to that a chart begins with."""


def _accounts_change_and_have_their_box() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(f"ALTER TABLE account ADD COLUMN vat_box {'BIGINT' if is_postgresql else 'INTEGER'}")
    for box, accounts in BOXES.items():
        op.execute(f"UPDATE account SET vat_box = {box} WHERE number IN ({', '.join(map(str, accounts))})")
    op.create_table(
        "account_change",
        sa.Column("id", BIG, nullable=False),
        sa.Column("account", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("vat_rate", BIG, nullable=True),
        sa.Column("vat_box", BIG, nullable=True),
        sa.Column("payment_account", sa.Integer(), nullable=False),
        sa.Column("receivable", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_change")),
        sa.ForeignKeyConstraint(["account"], ["account.number"], name=op.f("fk_account_change_account")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_account_change_account"), "account_change", ["account"], unique=False)
    for what in ("update", "delete"):
        head = f'CREATE TRIGGER account_change_no_{what} BEFORE {what.upper()} ON "account_change" '
        if is_postgresql:
            op.execute(head + "FOR EACH ROW EXECUTE FUNCTION kvitta_refuse('account_change is append-only')")
        else:
            op.execute(head + "BEGIN SELECT RAISE(ABORT, 'account_change is append-only'); END")


def _what_came_to_the_bank() -> None:
    op.create_table(
        "bank_statement",
        sa.Column("id", BIG, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("received_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_statement")),
        sa.UniqueConstraint("sha256", name=op.f("uq_bank_statement_sha256")),
        sa.CheckConstraint("kind IN ('camt','csv')", name=op.f("ck_bank_statement_kind")),
        sqlite_strict=True,
    )
    op.create_table(
        "bank_entry",
        sa.Column("id", BIG, nullable=False),
        sa.Column("statement_id", BIG, nullable=False),
        sa.Column("place", BIG, nullable=False),
        sa.Column("entry_key", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("day", DAY, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("bank_reference", sa.Text(), nullable=False),
        sa.Column("from_klarna", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_entry")),
        sa.UniqueConstraint("entry_key", name=op.f("uq_bank_entry_entry_key")),
        sa.ForeignKeyConstraint(["statement_id"], ["bank_statement.id"], name=op.f("fk_bank_entry_statement_id")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_bank_entry_amount")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_bank_entry_statement_id"), "bank_entry", ["statement_id"], unique=False)
    op.create_index(op.f("ix_bank_entry_amount_minor"), "bank_entry", ["amount_minor"], unique=False)
    op.create_index(op.f("ix_bank_entry_from_klarna_id"), "bank_entry", ["from_klarna", "id"], unique=False)
    op.create_table(
        "bank_tie",
        sa.Column("id", BIG, nullable=False),
        sa.Column("entry_id", BIG, nullable=False),
        sa.Column("payout_id", BIG, nullable=False),
        sa.Column("undoes_id", BIG, nullable=True),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_tie")),
        sa.UniqueConstraint("undoes_id", name=op.f("uq_bank_tie_undoes_id")),
        sa.ForeignKeyConstraint(["entry_id"], ["bank_entry.id"], name=op.f("fk_bank_tie_entry_id")),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_bank_tie_payout_id")),
        sa.ForeignKeyConstraint(["undoes_id"], ["bank_tie.id"], name=op.f("fk_bank_tie_undoes_id")),
        sa.CheckConstraint("how IN ('reference','hand')", name=op.f("ck_bank_tie_how")),
        sa.CheckConstraint("how = 'reference' OR reason <> ''", name=op.f("ck_bank_tie_reason")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_bank_tie_entry_id"), "bank_tie", ["entry_id"], unique=False)
    op.create_index(op.f("ix_bank_tie_payout_id"), "bank_tie", ["payout_id"], unique=False)
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("bank_statement", "bank_entry", "bank_tie"):
        for what in ("update", "delete"):
            head = f'CREATE TRIGGER {table}_no_{what} BEFORE {what.upper()} ON "{table}" '
            if is_postgresql:
                op.execute(head + f"FOR EACH ROW EXECUTE FUNCTION kvitta_refuse('{table} is append-only')")
            else:
                op.execute(head + f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def _reports_are_kept_in_parts() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "reading_part",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("part_no", BIG, autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "part_no", name=op.f("pk_reading_part")),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO reading_part (sha256, part_no, content) SELECT sha256, 1, content FROM reading_file")
    op.execute("ALTER TABLE reading_file DROP COLUMN content")
    op.create_table(
        "folder_file",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("modified_ns", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_folder_file")),
        sa.UniqueConstraint(
            "name", "size_bytes", "modified_ns", name=op.f("uq_folder_file_name_size_bytes_modified_ns")
        ),
        sa.CheckConstraint("state IN ('read','wrong','aside')", name=op.f("ck_folder_file_state")),
        sa.CheckConstraint("(state = 'read') = (because IS NULL)", name=op.f("ck_folder_file_because")),
        sqlite_strict=True,
    )
    for what in ("update", "delete"):
        head = f'CREATE TRIGGER reading_part_no_{what} BEFORE {what.upper()} ON "reading_part" '
        if is_postgresql:
            op.execute(head + "FOR EACH ROW EXECUTE FUNCTION kvitta_refuse('reading_part is append-only')")
        else:
            op.execute(head + "BEGIN SELECT RAISE(ABORT, 'reading_part is append-only'); END")


def downgrade() -> None:
    raise NotImplementedError
