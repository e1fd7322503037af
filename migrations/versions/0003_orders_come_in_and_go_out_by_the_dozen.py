"""Orders come in, many at once, calls that move no money, and what an ordinary invoice needs.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
DAY = sa.Text().with_variant(sa.Date(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name=op.f("ck_api_token_revoked")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
        sqlite_strict=True,
    )
    op.create_table(
        "order_upload",
        sa.Column("id", BIG, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("received_by", sa.Text(), nullable=False),
        sa.Column("taken_at", TIME, nullable=True),
        sa.Column("taken_by", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_upload")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_order_upload_sha256"), "order_upload", ["sha256"], unique=False)

    op.create_table(
        "batch",
        sa.Column("id", BIG, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_by_id", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["user_account.id"], name=op.f("fk_batch_created_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_batch_ended_at_id"), "batch", ["ended_at", "id"], unique=False)

    op.create_table(
        "push",
        sa.Column("id", BIG, nullable=False),
        sa.Column("account_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("klarna_order_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("times", BIG, nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("next_run_at", TIME, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("handled_at", TIME, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('order','fraud')", name=op.f("ck_push_kind")),
        sa.ForeignKeyConstraint(["account_id"], ["klarna_account.id"], name=op.f("fk_push_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_push_handled_at_next_run_at"), "push", ["handled_at", "next_run_at"], unique=False)
    op.create_index(op.f("ix_push_klarna_order_id"), "push", ["klarna_order_id"], unique=False)

    op.create_table(
        "user_preference",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_user_preference_user_id")),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("pk_user_preference")),
        sqlite_strict=True,
    )
    op.create_table(
        "mail_secret",
        sa.Column("id", BIG, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_mail_secret_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_secret")),
        sqlite_strict=True,
    )
    op.create_table(
        "batch_row",
        sa.Column("id", BIG, nullable=False),
        sa.Column("batch_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=True),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("made_document_id", BIG, nullable=True),
        sa.Column("changed_at", TIME, nullable=False),
        sa.CheckConstraint("state IN ('waiting','running','done','refused','failed')", name=op.f("ck_batch_row_state")),
        sa.CheckConstraint("(order_id IS NULL) <> (document_id IS NULL)", name=op.f("ck_batch_row_subject")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_row_batch_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_batch_row_document_id")),
        sa.ForeignKeyConstraint(["made_document_id"], ["document.id"], name=op.f("fk_batch_row_made_document_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_batch_row_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_row")),
        sa.UniqueConstraint("batch_id", "position", name=op.f("uq_batch_row_batch_id_position")),
        sa.UniqueConstraint("nonce", name=op.f("uq_batch_row_nonce")),
        sqlite_strict=True,
    )
    op.create_table(
        "klarna_call",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("http_status", BIG, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_messages", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.CheckConstraint("outcome IN ('done','refused','unclear','not_sent')", name=op.f("ck_klarna_call_outcome")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_klarna_call_document_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_klarna_call_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_call")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_klarna_call_order_id"), "klarna_call", ["order_id"], unique=False)

    op.create_table(
        "order_hold",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.CheckConstraint("what IN ('held','lifted')", name=op.f("ck_order_hold_what")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_order_hold_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_hold")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_order_hold_order_id"), "order_hold", ["order_id"], unique=False)

    op.create_table(
        "order_amendment",
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["op_id"], ["klarna_op.id"], name=op.f("fk_order_amendment_op_id")),
        sa.PrimaryKeyConstraint("op_id", name=op.f("pk_order_amendment")),
        sqlite_strict=True,
    )
    for table, column in _columns():
        op.add_column(table, column)
    op.create_index(op.f("ix_document_ocr"), "document", ["ocr"], unique=True)
    op.create_index(op.f("ix_sales_order_source_key"), "sales_order", ["source_key"], unique=True)
    op.create_index(op.f("ix_sales_order_changed_at_id"), "sales_order", ["changed_at", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()
    op.create_index(
        "ix_document_replaces_id",
        "document",
        ["replaces_id"],
        unique=False,
        sqlite_where=sa.text("replaces_id IS NOT NULL"),
        postgresql_where=sa.text("replaces_id IS NOT NULL"),
    )


def _columns() -> list[tuple[str, sa.Column[object]]]:
    return [
        ("customer", sa.Column("payment_days", BIG, nullable=True)),
        ("document", sa.Column("due_date", DAY, nullable=True)),
        ("document", sa.Column("ocr", sa.Text(), nullable=True)),
        ("document", sa.Column("release_rest", sa.Integer(), server_default=sa.text("0"), nullable=False)),
        ("document", sa.Column("print_wanted", sa.Integer(), server_default=sa.text("0"), nullable=False)),
        ("document", sa.Column("mail_to", sa.Text(), nullable=True)),
        ("klarna_account", sa.Column("breaker_since", TIME, nullable=True)),
        ("klarna_account", sa.Column("tested_at", TIME, nullable=True)),
        ("klarna_account", sa.Column("test_result", sa.Text(), nullable=True)),
        ("outbox", sa.Column("next_run_at", TIME, nullable=True)),
        ("outbox", sa.Column("gave_up_at", TIME, nullable=True)),
        ("outbox", sa.Column("dropped_by", sa.Text(), nullable=True)),
        ("payment_method", sa.Column("document_name_sv", sa.Text(), server_default=sa.text("''"), nullable=False)),
        ("payment_method", sa.Column("document_name_en", sa.Text(), server_default=sa.text("''"), nullable=False)),
        ("sales_order", sa.Column("source_key", sa.Text(), nullable=True)),
        ("sales_order", sa.Column("hold_reason", sa.Text(), nullable=True)),
        ("sales_order", sa.Column("changed_at", TIME, nullable=True)),
    ]


APPEND_ONLY = ("klarna_call", "order_amendment", "order_hold")
SET_ONCE = ("due_date", "ocr", "replaces_id")
SOURCE = "source IN ('hand','klarna','csv','api')"
HELD = "(hold_reason IS NULL) = (held_at IS NULL)"


def _guard_sqlite() -> None:
    # A table is not made anew for a CHECK: that would take its triggers away. A new column brings its own.
    op.execute(
        "ALTER TABLE sales_order ADD COLUMN source TEXT DEFAULT 'hand' NOT NULL "
        f"CONSTRAINT ck_sales_order_source CHECK ({SOURCE})"
    )
    op.execute(f"ALTER TABLE sales_order ADD COLUMN held_at TEXT CONSTRAINT ck_sales_order_hold CHECK ({HELD})")
    op.execute(
        "ALTER TABLE document ADD COLUMN replaces_id INTEGER CONSTRAINT fk_document_replaces_id REFERENCES document(id)"
    )
    for table in APPEND_ONLY:
        for what in ("update", "delete"):
            op.execute(
                f'CREATE TRIGGER {table}_no_{what} BEFORE {what.upper()} ON "{table}" '
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    changed = " OR ".join(f"(OLD.{c} IS NOT NULL AND NEW.{c} IS NOT OLD.{c})" for c in SET_ONCE)
    op.execute(
        f"CREATE TRIGGER document_payment_set_once BEFORE UPDATE ON document WHEN {changed} "
        "BEGIN SELECT RAISE(ABORT, 'a column of document is set once'); END"
    )


def _guard_postgresql() -> None:
    op.add_column("sales_order", sa.Column("source", sa.Text(), server_default="hand", nullable=False))
    op.add_column("sales_order", sa.Column("held_at", TIME, nullable=True))
    op.add_column("document", sa.Column("replaces_id", BIG, nullable=True))
    op.create_foreign_key(op.f("fk_document_replaces_id"), "document", "document", ["replaces_id"], ["id"])
    op.create_check_constraint(op.f("ck_sales_order_source"), "sales_order", SOURCE)
    op.create_check_constraint(op.f("ck_sales_order_hold"), "sales_order", HELD)
    for table in APPEND_ONLY:
        for what in ("update", "delete"):
            op.execute(
                f'CREATE TRIGGER {table}_no_{what} BEFORE {what.upper()} ON "{table}" FOR EACH ROW '
                f"EXECUTE FUNCTION kvitta_refuse('{table} is append-only')"
            )
    changed = " OR ".join(f"(OLD.{c} IS NOT NULL AND NEW.{c} IS DISTINCT FROM OLD.{c})" for c in SET_ONCE)
    op.execute(
        f"CREATE TRIGGER document_payment_set_once BEFORE UPDATE ON document FOR EACH ROW WHEN ({changed}) "
        "EXECUTE FUNCTION kvitta_refuse('a column of document is set once')"
    )
