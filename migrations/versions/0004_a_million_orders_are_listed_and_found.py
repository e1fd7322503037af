"""A million orders are listed, sorted and found as quickly as a thousand.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DAY = sa.Text().with_variant(sa.Date(), "postgresql")

LISTED = {
    "listed_on": "coalesce(issue_date, number_date, '9999-12-31')",
    "listed_basis": "coalesce(order_id, 0)",
    "listed_paid": (
        "CASE WHEN state <> 'issued' THEN 0 WHEN open_minor = 0 THEN 3"
        " WHEN kind = 'invoice' AND (open_minor < 0 OR open_minor > gross_minor) THEN 4"
        " WHEN kind = 'credit_note' AND (open_minor > 0 OR -open_minor > gross_minor) THEN 4"
        " WHEN abs(open_minor) = gross_minor THEN 1 ELSE 2 END"
    ),
    "listed_klarna": (
        "CASE WHEN state = 'issued' AND issued_by_op_id IS NOT NULL THEN CASE WHEN kind = 'invoice' THEN 3 ELSE 4 END"
        " WHEN with_klarna = 0 THEN 0 WHEN state = 'refused' THEN 2 WHEN state = 'pending' THEN 1 ELSE 0 END"
    ),
}
"""Columns that follow from others of their row, so that a list can be sorted by them through an index."""
SORTED = ("listed_on", "listed_basis", "listed_method", "type", "open_minor", "listed_paid", "listed_klarna")
METHOD = "coalesce((SELECT payment_method_id FROM sales_order WHERE id = {order}), 0)"


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.add_column("sales_order", sa.Column("total_minor", BIG, server_default=sa.text("0"), nullable=False))
    op.execute(
        "UPDATE sales_order SET total_minor = coalesce((SELECT sum((abs(quantity_milli * unit_price_minor) + 500) / 1000"
        " * CASE WHEN quantity_milli * unit_price_minor < 0 THEN -1 ELSE 1 END - discount_minor)"
        " FROM sales_order_line WHERE order_id = sales_order.id), 0)"
    )
    op.add_column("document", sa.Column("listed_method", BIG, server_default=sa.text("0"), nullable=False))
    op.execute(f"UPDATE document SET listed_method = {METHOD.format(order='document.order_id')}")
    for name, written in LISTED.items():
        kind = (
            ("DATE" if is_postgresql else "TEXT") if name == "listed_on" else ("BIGINT" if is_postgresql else "INTEGER")
        )
        kept = "STORED" if is_postgresql else "VIRTUAL"
        op.execute(f"ALTER TABLE document ADD COLUMN {name} {kind} GENERATED ALWAYS AS ({written}) {kept}")
    op.create_table(
        "klarna_day",
        sa.Column("day", DAY, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("activated_minor", BIG, nullable=False),
        sa.Column("credited_minor", BIG, nullable=False),
        sa.PrimaryKeyConstraint("day", "currency", name=op.f("pk_klarna_day")),
        sqlite_strict=True,
    )
    op.execute(
        "INSERT INTO klarna_day (day, currency, activated_minor, credited_minor)"
        " SELECT issue_date, currency, sum(CASE WHEN kind = 'invoice' THEN gross_minor ELSE 0 END),"
        " sum(CASE WHEN kind = 'invoice' THEN 0 ELSE gross_minor END)"
        " FROM document WHERE state = 'issued' AND issued_by_op_id IS NOT NULL GROUP BY issue_date, currency"
    )
    _indexes()
    if is_postgresql:
        _follow_postgresql()
    else:
        _follow_sqlite()


def _indexes() -> None:
    op.create_index(op.f("ix_customer_name_id"), "customer", ["name", "id"])
    for columns in (["total_minor", "id"], ["icon", "id"], ["source", "id"]):
        op.create_index(op.f(f"ix_sales_order_{'_'.join(columns)}"), "sales_order", columns)
    for name, column, where in (
        ("ix_sales_order_held", "held_at", "hold_reason IS NOT NULL"),
        ("ix_sales_order_cancelled", "id", "state = 'cancelled'"),
    ):
        op.create_index(name, "sales_order", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    for column in SORTED:
        op.create_index(op.f(f"ix_document_{column}_id"), "document", [column, "id"])
    unpaid = sa.text("open_minor <> 0")
    op.create_index(
        "ix_document_owed",
        "document",
        ["kind", "with_klarna", "listed_on", "currency", "open_minor"],
        sqlite_where=unpaid,
        postgresql_where=unpaid,
    )
    op.create_index(op.f("ix_payout_payment_reference"), "payout", ["payment_reference"])


SHAPE = {
    "ix_document_state_kind": "1000000 300000 200000",
    "ix_document_kind_id": "1000000 500000 1",
    "ix_document_type_id": "1000000 300000 1",
    "ix_document_listed_paid_id": "1000000 300000 1",
    "ix_document_listed_klarna_id": "1000000 300000 1",
    "ix_document_listed_method_id": "1000000 500000 1",
}
"""What SQLite is told of the documents, as ANALYZE would find them after years: rows, and rows per value of each column.

Untold, it takes every index for one that finds ten rows, and reads all issued documents to find those of one order.
"""
ADDED = "SELECT {row}.issue_date, {row}.currency, CASE WHEN {row}.kind = 'invoice' THEN {row}.gross_minor ELSE 0 END, \
CASE WHEN {row}.kind = 'invoice' THEN 0 ELSE {row}.gross_minor END"
SUMMED = (
    "INSERT INTO klarna_day (day, currency, activated_minor, credited_minor) {added} WHERE true"
    " ON CONFLICT (day, currency) DO UPDATE SET activated_minor = klarna_day.activated_minor + excluded.activated_minor,"
    " credited_minor = klarna_day.credited_minor + excluded.credited_minor"
)
ISSUED = "NEW.state = 'issued' AND NEW.issued_by_op_id IS NOT NULL"
NEWLY = f"{ISSUED} AND (OLD.state <> 'issued' OR OLD.issued_by_op_id IS NULL)"


def _follow_sqlite() -> None:
    summed = SUMMED.format(added=ADDED.format(row="NEW"))
    op.execute(f"CREATE TRIGGER document_issued AFTER UPDATE ON document WHEN {NEWLY} BEGIN {summed}; END")
    op.execute(f"CREATE TRIGGER document_made_issued AFTER INSERT ON document WHEN {ISSUED} BEGIN {summed}; END")
    op.execute(
        "CREATE TRIGGER document_method AFTER INSERT ON document WHEN NEW.order_id IS NOT NULL BEGIN"
        f" UPDATE document SET listed_method = {METHOD.format(order='NEW.order_id')} WHERE id = NEW.id; END"
    )
    # Analysing an empty table makes the table that is told to.
    op.execute("ANALYZE job_lease")
    op.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'document'")
    for index, rows in SHAPE.items():
        op.execute(f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('document', '{index}', '{rows}')")
    op.execute("CREATE VIRTUAL TABLE customer_search USING fts5(name, tokenize = 'trigram', detail = 'full')")
    op.execute("INSERT INTO customer_search (rowid, name) SELECT id, name FROM customer")
    op.execute(
        "CREATE TRIGGER customer_search_new AFTER INSERT ON customer BEGIN"
        " INSERT INTO customer_search (rowid, name) VALUES (NEW.id, NEW.name); END"
    )
    op.execute(
        "CREATE TRIGGER customer_search_changed AFTER UPDATE OF name ON customer BEGIN"
        " UPDATE customer_search SET name = NEW.name WHERE rowid = NEW.id; END"
    )
    op.execute(
        "CREATE TRIGGER customer_search_gone AFTER DELETE ON customer BEGIN"
        " DELETE FROM customer_search WHERE rowid = OLD.id; END"
    )


def _follow_postgresql() -> None:
    summed = SUMMED.format(added=ADDED.format(row="NEW"))
    op.execute(
        "CREATE FUNCTION kvitta_sum_klarna_day() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN {summed}; RETURN NULL; END $$"
    )
    function = "FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION kvitta_sum_klarna_day()"
    op.execute(f"CREATE TRIGGER document_issued AFTER UPDATE ON document {function.format(when=NEWLY)}")
    op.execute(f"CREATE TRIGGER document_made_issued AFTER INSERT ON document {function.format(when=ISSUED)}")
    op.execute(
        "CREATE FUNCTION kvitta_list_method() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN NEW.listed_method := {METHOD.format(order='NEW.order_id')}; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER document_method BEFORE INSERT ON document FOR EACH ROW WHEN (NEW.order_id IS NOT NULL)"
        " EXECUTE FUNCTION kvitta_list_method()"
    )
    # Three letters at a time, as pg_trgm would; that extension is not everywhere, and not everybody may switch it on.
    op.execute(
        "CREATE FUNCTION kvitta_fold(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE"
        " RETURN lower(translate($1, 'ÅÄÖÆØÉÈÊËÜÛÙÁÀÂÍÌÎÏÓÒÔÚÑÇ', 'åäöæøéèêëüûùáàâíìîïóòôúñç'))"
    )
    op.execute(
        "CREATE FUNCTION kvitta_trigrams(text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE"
        " RETURN (SELECT coalesce(array_agg(DISTINCT substr(kvitta_fold($1), place, 3)), '{}')"
        " FROM generate_series(1, length($1) - 2) AS place)"
    )
    op.execute("CREATE INDEX ix_customer_trigrams ON customer USING gin (kvitta_trigrams(name))")
