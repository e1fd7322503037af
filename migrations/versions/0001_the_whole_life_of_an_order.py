"""The whole life of an order.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
DAY = sa.Text().with_variant(sa.Date(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("vat_rate", BIG, nullable=True),
        sa.Column("payment_account", sa.Integer(), nullable=False),
        sa.Column("receivable", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('T','S','K','I')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("number BETWEEN 1000 AND 9999", name=op.f("ck_account_number")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_account")),
        sqlite_strict=True,
    )
    op.create_table(
        "article",
        sa.Column("id", BIG, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("number_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gtin", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("price_minor", BIG, nullable=False),
        sa.Column("cost_minor", BIG, nullable=False),
        sa.Column("vat_class", sa.Text(), nullable=False),
        sa.Column("stock_kept", sa.Integer(), nullable=False),
        sa.Column("may_go_negative", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.CheckConstraint("cost_minor >= 0", name=op.f("ck_article_cost")),
        sa.CheckConstraint("price_minor >= 0", name=op.f("ck_article_price")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_article")),
        sa.UniqueConstraint("gtin", name=op.f("uq_article_gtin")),
        sa.UniqueConstraint("number_key", name=op.f("uq_article_number_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_hash")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_object"), ["object"], unique=False)

    op.create_table(
        "customer",
        sa.Column("id", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organisation_number", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("street", sa.Text(), nullable=False),
        sa.Column("street2", sa.Text(), nullable=False),
        sa.Column("postal_code", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("anonymised_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("number", name=op.f("uq_customer_number")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("customer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_email"), ["email"], unique=False)
        batch_op.create_index(batch_op.f("ix_customer_organisation_number"), ["organisation_number"], unique=False)

    op.create_table(
        "fiscal_year",
        sa.Column("id", BIG, nullable=False),
        sa.Column("starts", DAY, nullable=False),
        sa.Column("ends", DAY, nullable=False),
        sa.CheckConstraint("starts < ends", name=op.f("ck_fiscal_year_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fiscal_year")),
        sa.UniqueConstraint("ends", name=op.f("uq_fiscal_year_ends")),
        sa.UniqueConstraint("starts", name=op.f("uq_fiscal_year_starts")),
        sqlite_strict=True,
    )
    op.create_table(
        "form_use",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("values_sha256", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("used_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_form_use")),
        sqlite_strict=True,
    )
    op.create_table(
        "installation",
        sa.Column("id", BIG, nullable=False),
        sa.Column("installation_id", sa.Text(), nullable=False),
        sa.Column("environment_class", sa.Text(), nullable=True),
        sa.Column("sending_enabled", sa.Integer(), nullable=False),
        sa.Column("sending_reason", sa.Text(), nullable=True),
        sa.Column("restored_at", TIME, nullable=True),
        sa.Column("backup_taken_at", TIME, nullable=True),
        sa.Column("numbering_frozen", sa.Integer(), nullable=False),
        sa.CheckConstraint("environment_class IN ('live','test')", name=op.f("ck_installation_class")),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
        sqlite_strict=True,
    )
    op.create_table(
        "job_lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_lease")),
        sqlite_strict=True,
    )
    op.create_table(
        "klarna_account",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("sandbox_url", sa.Text(), nullable=True),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("breaker", sa.Text(), nullable=True),
        sa.Column("breaker_until", TIME, nullable=True),
        sa.Column("settlements_read_at", TIME, nullable=True),
        sa.Column("settlements_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(environment = 'sandbox') = (sandbox_url IS NOT NULL)", name=op.f("ck_klarna_account_sandbox_url")
        ),
        sa.CheckConstraint(
            "environment IN ('live','playground','sandbox')", name=op.f("ck_klarna_account_environment")
        ),
        sa.CheckConstraint("provider IN ('klarna','kustom')", name=op.f("ck_klarna_account_provider")),
        sa.CheckConstraint("region IN ('eu','na','oc')", name=op.f("ck_klarna_account_region")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_account")),
        sa.UniqueConstraint("store_id", name=op.f("uq_klarna_account_store_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "login_attempt",
        sa.Column("id", BIG, nullable=False),
        sa.Column("login_hash", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_attempt")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("login_attempt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_attempt_address_at"), ["address", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_login_attempt_login_hash_at"), ["login_hash", "at"], unique=False)

    op.create_table(
        "number_series",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("fiscal_year", BIG, nullable=False),
        sa.Column("first_no", BIG, nullable=False),
        sa.Column("next_no", BIG, nullable=False),
        sa.Column("last_date", DAY, nullable=True),
        sa.Column("head_hash", sa.Text(), nullable=False),
        sa.CheckConstraint("next_no >= 1", name=op.f("ck_number_series_next_no")),
        sa.PrimaryKeyConstraint("code", "fiscal_year", name=op.f("pk_number_series")),
        sqlite_strict=True,
    )
    op.create_table(
        "payment_method",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name_sv", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("heading_sv", sa.Text(), nullable=False),
        sa.Column("heading_en", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_method")),
        sqlite_strict=True,
    )
    op.create_table(
        "period_lock",
        sa.Column("id", BIG, nullable=False),
        sa.Column("locked_through", DAY, nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_period_lock")),
        sqlite_strict=True,
    )
    op.create_table(
        "reading_file",
        sa.Column("id", BIG, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("received_by", sa.Text(), nullable=False),
        sa.CheckConstraint("source IN ('api','upload','folder')", name=op.f("ck_reading_file_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_file")),
        sa.UniqueConstraint("sha256", name=op.f("uq_reading_file_sha256")),
        sqlite_strict=True,
    )
    op.create_table(
        "sender_lease",
        sa.Column("host_id", sa.Text(), nullable=False),
        sa.Column("host_name", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_at", TIME, nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_sender_lease")),
        sqlite_strict=True,
    )
    op.create_table(
        "setting",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("valid_from", DAY, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setting")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("setting", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_setting_name_valid_from"), ["name", "valid_from"], unique=False)

    op.create_table(
        "user_account",
        sa.Column("id", BIG, nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("login", name=op.f("uq_user_account_login")),
        sqlite_strict=True,
    )
    op.create_table(
        "vat_rate",
        sa.Column("vat_class", sa.Text(), nullable=False),
        sa.Column("valid_from", DAY, nullable=False),
        sa.Column("rate", BIG, nullable=False),
        sa.CheckConstraint("rate BETWEEN 0 AND 10000", name=op.f("ck_vat_rate_rate")),
        sa.PrimaryKeyConstraint("vat_class", "valid_from", name=op.f("pk_vat_rate")),
        sqlite_strict=True,
    )
    op.create_table(
        "warehouse",
        sa.Column("id", BIG, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warehouse")),
        sa.UniqueConstraint("code", name=op.f("uq_warehouse_code")),
        sqlite_strict=True,
    )
    op.create_table(
        "login_session",
        sa.Column("id_hash", sa.Text(), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_login_session_user_id")),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_login_session")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("login_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_session_user_id"), ["user_id"], unique=False)

    op.create_table(
        "payout",
        sa.Column("id", BIG, nullable=False),
        sa.Column("file_id", BIG, nullable=False),
        sa.Column("account_id", BIG, nullable=False),
        sa.Column("payment_reference", sa.Text(), nullable=False),
        sa.Column("payout_date", TIME, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("settlement_type", sa.Text(), nullable=False),
        sa.Column("totals", sa.Text(), nullable=False),
        sa.Column("settlement_minor", BIG, nullable=False),
        sa.Column("opening_debt_minor", BIG, nullable=False),
        sa.Column("closing_debt_minor", BIG, nullable=False),
        sa.Column("rows_hash", sa.Text(), nullable=False),
        sa.Column("row_count", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("parked_because", sa.Text(), nullable=True),
        sa.Column("booked_at", TIME, nullable=True),
        sa.Column("booked_by", sa.Text(), nullable=True),
        sa.Column("voucher_id", BIG, nullable=True),
        sa.CheckConstraint("(state = 'booked') = (voucher_id IS NOT NULL)", name=op.f("ck_payout_booked")),
        sa.ForeignKeyConstraint(["account_id"], ["klarna_account.id"], name=op.f("fk_payout_account_id")),
        sa.ForeignKeyConstraint(["file_id"], ["reading_file.id"], name=op.f("fk_payout_file_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_payout_voucher_id"), use_alter=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
        sa.UniqueConstraint("account_id", "payment_reference", name=op.f("uq_payout_account_id_payment_reference")),
        sa.UniqueConstraint("voucher_id", name=op.f("uq_payout_voucher_id")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("payout", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_payout_file_id"), ["file_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_payout_payout_date_id"), ["payout_date", "id"], unique=False)

    op.create_table(
        "sales_order",
        sa.Column("id", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("shop_number", sa.Text(), nullable=True),
        sa.Column("customer_id", BIG, nullable=False),
        sa.Column("payment_method_id", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("ordered_at", TIME, nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("delivered", sa.Text(), nullable=False),
        sa.Column("invoiced", sa.Text(), nullable=False),
        sa.Column("icon", sa.Text(), nullable=True),
        sa.Column("account_id", BIG, nullable=True),
        sa.Column("klarna_order_id", sa.Text(), nullable=True),
        sa.Column("klarna_reference", sa.Text(), nullable=True),
        sa.Column("klarna_status", sa.Text(), nullable=True),
        sa.Column("fraud_status", sa.Text(), nullable=True),
        sa.Column("klarna_method", sa.Text(), nullable=True),
        sa.Column("authorized_minor", BIG, nullable=True),
        sa.Column("captured_minor", BIG, nullable=True),
        sa.Column("refunded_minor", BIG, nullable=True),
        sa.Column("remaining_minor", BIG, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("klarna_read_at", TIME, nullable=True),
        sa.CheckConstraint("delivered IN ('none','part','all')", name=op.f("ck_sales_order_delivered")),
        sa.CheckConstraint("invoiced IN ('none','part','all')", name=op.f("ck_sales_order_invoiced")),
        sa.CheckConstraint("(klarna_order_id IS NULL) = (account_id IS NULL)", name=op.f("ck_sales_order_klarna_link")),
        sa.ForeignKeyConstraint(["account_id"], ["klarna_account.id"], name=op.f("fk_sales_order_account_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_sales_order_customer_id")),
        sa.ForeignKeyConstraint(
            ["payment_method_id"], ["payment_method.id"], name=op.f("fk_sales_order_payment_method_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order")),
        sa.UniqueConstraint("klarna_order_id", name=op.f("uq_sales_order_klarna_order_id")),
        sa.UniqueConstraint("number", name=op.f("uq_sales_order_number")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("sales_order", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sales_order_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_sales_order_delivered_invoiced_id"), ["delivered", "invoiced", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_sales_order_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_sales_order_klarna_reference"), ["klarna_reference"], unique=False)
        batch_op.create_index(batch_op.f("ix_sales_order_ordered_at_id"), ["ordered_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_sales_order_shop_number"), ["shop_number"], unique=False)

    op.create_table(
        "user_role",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_user_role_user_id")),
        sa.PrimaryKeyConstraint("user_id", "role", name=op.f("pk_user_role")),
        sqlite_strict=True,
    )
    op.create_table(
        "delivery",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("ordinal", BIG, nullable=False),
        sa.Column("warehouse_id", BIG, nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("tracking_number", sa.Text(), nullable=False),
        sa.Column("tracking_uri", sa.Text(), nullable=False),
        sa.Column("delivered_at", TIME, nullable=False),
        sa.Column("delivered_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_delivery_order_id")),
        sa.ForeignKeyConstraint(["warehouse_id"], ["warehouse.id"], name=op.f("fk_delivery_warehouse_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("order_id", "ordinal", name=op.f("uq_delivery_order_id_ordinal")),
        sqlite_strict=True,
    )
    op.create_table(
        "document",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=True),
        sa.Column("customer_id", BIG, nullable=False),
        sa.Column("original_id", BIG, nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("with_klarna", sa.Integer(), nullable=False),
        sa.Column("without_klarna_reason", sa.Text(), nullable=True),
        sa.Column("without_klarna_note", sa.Text(), nullable=True),
        sa.Column("portal_refund_confirmed", sa.Integer(), nullable=False),
        sa.Column("series", sa.Text(), nullable=True),
        sa.Column("number", BIG, nullable=True),
        sa.Column("number_text", sa.Text(), nullable=True),
        sa.Column("number_date", DAY, nullable=True),
        sa.Column("issue_date", DAY, nullable=True),
        sa.Column("snapshot", sa.Text(), nullable=True),
        sa.Column("snapshot_sha256", sa.Text(), nullable=True),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("party_sha256", sa.Text(), nullable=True),
        sa.Column("gross_minor", BIG, nullable=True),
        sa.Column("vat_minor", BIG, nullable=True),
        sa.Column("open_minor", BIG, nullable=False),
        sa.Column("paid_at", DAY, nullable=True),
        sa.Column("paid_reference", sa.Text(), nullable=True),
        sa.Column("advance_percent", BIG, nullable=True),
        sa.Column("restock", sa.Integer(), nullable=False),
        sa.Column("restock_warehouse_id", BIG, nullable=True),
        sa.Column("refusal_kind", sa.Text(), nullable=True),
        sa.Column("issued_by_op_id", sa.Text(), nullable=True),
        sa.Column("void_by", sa.Text(), nullable=True),
        sa.Column("void_at", TIME, nullable=True),
        sa.Column("void_reason", sa.Text(), nullable=True),
        sa.Column("reversed_by", sa.Text(), nullable=True),
        sa.Column("reversed_at", TIME, nullable=True),
        sa.Column("reversed_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_by_id", BIG, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.CheckConstraint("(number IS NULL) = (state = 'draft')", name=op.f("ck_document_number")),
        sa.CheckConstraint("(state = 'issued') = (issue_date IS NOT NULL)", name=op.f("ck_document_issue_date")),
        sa.CheckConstraint("(state = 'void') = (void_reason IS NOT NULL)", name=op.f("ck_document_void_reason")),
        sa.CheckConstraint("issued_by_op_id IS NULL OR state = 'issued'", name=op.f("ck_document_op_only_issued")),
        sa.CheckConstraint(
            "kind <> 'credit_note' OR type IN ('credit','free_credit')", name=op.f("ck_document_credit_type")
        ),
        sa.CheckConstraint(
            "kind <> 'invoice' OR type IN ('delivery','final','advance','replacement')",
            name=op.f("ck_document_invoice_type"),
        ),
        sa.CheckConstraint(
            "state <> 'issued' OR issued_by_op_id IS NOT NULL OR without_klarna_reason IS NOT NULL",
            name=op.f("ck_document_issued_by_something"),
        ),
        sa.CheckConstraint("state <> 'refused' OR refusal_kind IS NOT NULL", name=op.f("ck_document_refusal_kind")),
        sa.CheckConstraint("type <> 'credit' OR original_id IS NOT NULL", name=op.f("ck_document_original")),
        sa.CheckConstraint(
            "(number IS NULL) = (series IS NULL) AND (number IS NULL) = (number_text IS NULL) AND (number IS NULL) = (number_date IS NULL) AND (number IS NULL) = (snapshot IS NULL) AND (number IS NULL) = (snapshot_sha256 IS NULL) AND (number IS NULL) = (party_sha256 IS NULL)",
            name=op.f("ck_document_numbered_whole"),
        ),
        sa.CheckConstraint(
            "issue_date IS NULL OR issue_date >= number_date", name=op.f("ck_document_issued_after_number")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_document_customer_id")),
        sa.ForeignKeyConstraint(
            ["issued_by_op_id"], ["klarna_op.id"], name=op.f("fk_document_issued_by_op_id"), use_alter=True
        ),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_document_order_id")),
        sa.ForeignKeyConstraint(["original_id"], ["document.id"], name=op.f("fk_document_original_id")),
        sa.ForeignKeyConstraint(
            ["restock_warehouse_id"], ["warehouse.id"], name=op.f("fk_document_restock_warehouse_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("issued_by_op_id", name=op.f("uq_document_issued_by_op_id")),
        sa.UniqueConstraint("number_text", name=op.f("uq_document_number_text")),
        sa.UniqueConstraint("series", "number", name=op.f("uq_document_series_number")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("document", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_document_kind_number"), ["kind", "number"], unique=False)
        batch_op.create_index(
            "ix_document_open",
            ["kind", "number"],
            unique=False,
            sqlite_where=sa.text("open_minor <> 0"),
            postgresql_where=sa.text("open_minor <> 0"),
        )
        batch_op.create_index(batch_op.f("ix_document_order_id"), ["order_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_document_original_id"), ["original_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_document_state_kind"), ["state", "kind"], unique=False)

    op.create_table(
        "payout_row",
        sa.Column("id", BIG, nullable=False),
        sa.Column("payout_id", BIG, nullable=False),
        sa.Column("row_no", BIG, nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("detailed_type", sa.Text(), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("vat_minor", BIG, nullable=False),
        sa.Column("vat_rate", BIG, nullable=True),
        sa.Column("klarna_order_id", sa.Text(), nullable=True),
        sa.Column("short_order_id", sa.Text(), nullable=True),
        sa.Column("capture_id", sa.Text(), nullable=True),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("merchant_reference1", sa.Text(), nullable=True),
        sa.Column("merchant_reference2", sa.Text(), nullable=True),
        sa.Column("capture_reference", sa.Text(), nullable=True),
        sa.Column("refund_reference", sa.Text(), nullable=True),
        sa.Column("happened_at", TIME, nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_payout_row_payout_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_row")),
        sa.UniqueConstraint("payout_id", "row_no", name=op.f("uq_payout_row_payout_id_row_no")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("payout_row", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_payout_row_capture_reference"), ["capture_reference"], unique=False)
        batch_op.create_index(batch_op.f("ix_payout_row_klarna_order_id"), ["klarna_order_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_payout_row_refund_reference"), ["refund_reference"], unique=False)

    op.create_table(
        "sales_order_line",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("article_id", BIG, nullable=True),
        sa.Column("article_number", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("quantity_milli", BIG, nullable=False),
        sa.Column("unit_price_minor", BIG, nullable=False),
        sa.Column("discount_minor", BIG, nullable=False),
        sa.Column("vat_rate", BIG, nullable=False),
        sa.CheckConstraint("discount_minor >= 0", name=op.f("ck_sales_order_line_discount")),
        sa.CheckConstraint("quantity_milli > 0", name=op.f("ck_sales_order_line_quantity")),
        sa.CheckConstraint("vat_rate BETWEEN 0 AND 10000", name=op.f("ck_sales_order_line_vat_rate")),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_sales_order_line_article_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_sales_order_line_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales_order_line")),
        sa.UniqueConstraint("order_id", "position", name=op.f("uq_sales_order_line_order_id_position")),
        sqlite_strict=True,
    )
    op.create_table(
        "delivery_line",
        sa.Column("id", BIG, nullable=False),
        sa.Column("delivery_id", BIG, nullable=False),
        sa.Column("order_line_id", BIG, nullable=False),
        sa.Column("quantity_milli", BIG, nullable=False),
        sa.CheckConstraint("quantity_milli > 0", name=op.f("ck_delivery_line_quantity")),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_delivery_line_delivery_id")),
        sa.ForeignKeyConstraint(
            ["order_line_id"], ["sales_order_line.id"], name=op.f("fk_delivery_line_order_line_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_line")),
        sa.UniqueConstraint("delivery_id", "order_line_id", name=op.f("uq_delivery_line_delivery_id_order_line_id")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("delivery_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_line_order_line_id"), ["order_line_id"], unique=False)

    op.create_table(
        "document_event",
        sa.Column("id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_event_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_event")),
        sa.UniqueConstraint("document_id", "seq", name=op.f("uq_document_event_document_id_seq")),
        sqlite_strict=True,
    )
    op.create_table(
        "document_line",
        sa.Column("id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order_line_id", BIG, nullable=True),
        sa.Column("original_line_id", BIG, nullable=True),
        sa.Column("deducts_id", BIG, nullable=True),
        sa.Column("article_id", BIG, nullable=True),
        sa.Column("article_number", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("quantity_milli", BIG, nullable=False),
        sa.Column("unit_price_minor", BIG, nullable=False),
        sa.Column("discount_minor", BIG, nullable=False),
        sa.Column("gross_minor", BIG, nullable=False),
        sa.Column("vat_rate", BIG, nullable=False),
        sa.Column("vat_minor", BIG, nullable=False),
        sa.Column("klarna_reference", sa.Text(), nullable=True),
        sa.Column("restock_milli", BIG, nullable=False),
        sa.Column("restock_condition", sa.Text(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity_milli >= 0", name=op.f("ck_document_line_quantity")),
        sa.CheckConstraint("restock_milli BETWEEN 0 AND quantity_milli", name=op.f("ck_document_line_restock")),
        sa.CheckConstraint("vat_rate BETWEEN 0 AND 10000", name=op.f("ck_document_line_vat_rate")),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_document_line_article_id")),
        sa.ForeignKeyConstraint(["deducts_id"], ["document.id"], name=op.f("fk_document_line_deducts_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_line_document_id")),
        sa.ForeignKeyConstraint(
            ["order_line_id"], ["sales_order_line.id"], name=op.f("fk_document_line_order_line_id")
        ),
        sa.ForeignKeyConstraint(
            ["original_line_id"], ["document_line.id"], name=op.f("fk_document_line_original_line_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_line")),
        sa.UniqueConstraint("document_id", "position", name=op.f("uq_document_line_document_id_position")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("document_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_line_order_line_id"), ["order_line_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_document_line_original_line_id"), ["original_line_id"], unique=False)

    op.create_table(
        "klarna_op",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("account_id", BIG, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("installation_id", sa.Text(), nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("klarna_order_id", sa.Text(), nullable=False),
        sa.Column("try_no", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("form_nonce", sa.Text(), nullable=True),
        sa.Column("accepted_difference_minor", BIG, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_by_id", BIG, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("klarna_object_id", sa.Text(), nullable=True),
        sa.Column("klarna_event_at", TIME, nullable=True),
        sa.Column("klarna_short_ref", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("second_by", sa.Text(), nullable=True),
        sa.Column("decided_reason", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("first_sent_at", TIME, nullable=True),
        sa.Column("last_sent_at", TIME, nullable=True),
        sa.Column("post_allowed_until", TIME, nullable=True),
        sa.Column("refused_on_retry", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("next_run_at", TIME, nullable=True),
        sa.Column("asked_at", TIME, nullable=True),
        sa.Column("record_failures", BIG, nullable=False),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind NOT IN ('CAPTURE','REFUND') OR amount_minor IS NOT NULL", name=op.f("ck_klarna_op_amount_given")
        ),
        sa.CheckConstraint(
            "kind NOT IN ('CAPTURE','REFUND') OR document_id IS NOT NULL OR state = 'EXTERNAL'",
            name=op.f("ck_klarna_op_document"),
        ),
        sa.CheckConstraint(
            "amount_minor BETWEEN 1 AND 200000000 OR amount_minor IS NULL", name=op.f("ck_klarna_op_amount")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["klarna_account.id"], name=op.f("fk_klarna_op_account_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_klarna_op_document_id")),
        sa.ForeignKeyConstraint(["form_nonce"], ["form_use.nonce"], name=op.f("fk_klarna_op_form_nonce")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_klarna_op_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_op")),
        sa.UniqueConstraint(
            "account_id", "kind", "klarna_object_id", name=op.f("uq_klarna_op_account_id_kind_klarna_object_id")
        ),
        sa.UniqueConstraint("document_id", "try_no", name=op.f("uq_klarna_op_document_id_try_no")),
        sa.UniqueConstraint("form_nonce", name=op.f("uq_klarna_op_form_nonce")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_klarna_op_idempotency_key")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("klarna_op", schema=None) as batch_op:
        batch_op.create_index(
            "ix_klarna_op_open",
            ["next_run_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
            postgresql_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
        )
        batch_op.create_index(batch_op.f("ix_klarna_op_order_id"), ["order_id"], unique=False)
        batch_op.create_index(
            "uq_klarna_op_confirmed_document",
            ["document_id"],
            unique=True,
            sqlite_where=sa.text("state = 'CONFIRMED'"),
            postgresql_where=sa.text("state = 'CONFIRMED'"),
        )
        batch_op.create_index(
            "uq_klarna_op_open_document",
            ["document_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
            postgresql_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
        )
        batch_op.create_index(
            "uq_klarna_op_open_order",
            ["klarna_order_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
            postgresql_where=sa.text("state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"),
        )

    op.create_table(
        "outbox",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("done_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_outbox_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_done_at_created_at"), ["done_at", "created_at"], unique=False)

    op.create_table(
        "voucher",
        sa.Column("id", BIG, nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("fiscal_year_id", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("day", DAY, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("payout_id", BIG, nullable=True),
        sa.Column("reverses_id", BIG, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_voucher_document_id")),
        sa.ForeignKeyConstraint(["fiscal_year_id"], ["fiscal_year.id"], name=op.f("fk_voucher_fiscal_year_id")),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_voucher_payout_id")),
        sa.ForeignKeyConstraint(["reverses_id"], ["voucher.id"], name=op.f("fk_voucher_reverses_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_voucher_reverses_id")),
        sa.UniqueConstraint("series", "fiscal_year_id", "number", name=op.f("uq_voucher_series_fiscal_year_id_number")),
        sa.UniqueConstraint("source", name=op.f("uq_voucher_source")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("voucher", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_voucher_day"), ["day"], unique=False)
        batch_op.create_index(batch_op.f("ix_voucher_document_id"), ["document_id"], unique=False)

    op.create_table(
        "klarna_attempt",
        sa.Column("id", BIG, nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("permitted_at", TIME, nullable=False),
        sa.Column("permitted_until", TIME, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("look_at", TIME, nullable=True),
        sa.Column("look_status", sa.Text(), nullable=True),
        sa.Column("look_captured", BIG, nullable=True),
        sa.Column("look_refunded", BIG, nullable=True),
        sa.Column("look_remaining", BIG, nullable=True),
        sa.ForeignKeyConstraint(["op_id"], ["klarna_op.id"], name=op.f("fk_klarna_attempt_op_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_attempt")),
        sa.UniqueConstraint("op_id", "n", name=op.f("uq_klarna_attempt_op_id_n")),
        sqlite_strict=True,
    )
    op.create_table(
        "klarna_break",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", BIG, nullable=True),
        sa.Column("order_id", BIG, nullable=True),
        sa.Column("op_id", sa.Text(), nullable=True),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("payout_id", BIG, nullable=True),
        sa.Column("row_id", BIG, nullable=True),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("difference_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("voucher_id", BIG, nullable=True),
        sa.CheckConstraint("(state = 'closed') = (resolution IS NOT NULL)", name=op.f("ck_klarna_break_resolution")),
        sa.ForeignKeyConstraint(["account_id"], ["klarna_account.id"], name=op.f("fk_klarna_break_account_id")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_klarna_break_document_id")),
        sa.ForeignKeyConstraint(["op_id"], ["klarna_op.id"], name=op.f("fk_klarna_break_op_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"], name=op.f("fk_klarna_break_order_id")),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_klarna_break_payout_id")),
        sa.ForeignKeyConstraint(["row_id"], ["payout_row.id"], name=op.f("fk_klarna_break_row_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_klarna_break_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_break")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("klarna_break", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_klarna_break_order_id"), ["order_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_klarna_break_state_opened_at"), ["state", "opened_at"], unique=False)

    op.create_table(
        "klarna_op_event",
        sa.Column("id", BIG, nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("evidence_kind", sa.Text(), nullable=True),
        sa.Column("evidence_ref", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["op_id"], ["klarna_op.id"], name=op.f("fk_klarna_op_event_op_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_op_event")),
        sa.UniqueConstraint("op_id", "seq", name=op.f("uq_klarna_op_event_op_id_seq")),
        sqlite_strict=True,
    )
    op.create_table(
        "offset",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("credit_note_id", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("voucher_id", BIG, nullable=False),
        sa.Column("override_reason", sa.Text(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_offset_amount")),
        sa.ForeignKeyConstraint(["credit_note_id"], ["document.id"], name=op.f("fk_offset_credit_note_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["document.id"], name=op.f("fk_offset_invoice_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_offset_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offset")),
        sa.UniqueConstraint("voucher_id", name=op.f("uq_offset_voucher_id")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("offset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_offset_credit_note_id"), ["credit_note_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_offset_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "payment",
        sa.Column("id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("day", DAY, nullable=False),
        sa.Column("account", BIG, nullable=False),
        sa.Column("voucher_id", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_payment_amount")),
        sa.ForeignKeyConstraint(["account"], ["account.number"], name=op.f("fk_payment_account")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_payment_document_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_payment_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("voucher_id", name=op.f("uq_payment_voucher_id")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("payment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_payment_document_id"), ["document_id"], unique=False)

    op.create_table(
        "posting",
        sa.Column("id", BIG, nullable=False),
        sa.Column("voucher_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("account", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("vat_rate", BIG, nullable=True),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_posting_amount")),
        sa.ForeignKeyConstraint(["account"], ["account.number"], name=op.f("fk_posting_account")),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_posting_document_id")),
        sa.ForeignKeyConstraint(["voucher_id"], ["voucher.id"], name=op.f("fk_posting_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posting")),
        sa.UniqueConstraint("voucher_id", "position", name=op.f("uq_posting_voucher_id_position")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_posting_account_voucher_id"), ["account", "voucher_id"], unique=False)
        batch_op.create_index(
            "ix_posting_document",
            ["document_id"],
            unique=False,
            sqlite_where=sa.text("document_id IS NOT NULL"),
            postgresql_where=sa.text("document_id IS NOT NULL"),
        )

    op.create_table(
        "row_match",
        sa.Column("row_id", BIG, autoincrement=False, nullable=False),
        sa.Column("pile", sa.Text(), nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("op_id", sa.Text(), nullable=True),
        sa.Column("because", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("handled_by", sa.Text(), nullable=True),
        sa.Column("handled_at", TIME, nullable=True),
        sa.CheckConstraint(
            "pile <> 'handled' OR (handled_by IS NOT NULL AND handled_at IS NOT NULL)",
            name=op.f("ck_row_match_handled"),
        ),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_row_match_document_id")),
        sa.ForeignKeyConstraint(["op_id"], ["klarna_op.id"], name=op.f("fk_row_match_op_id")),
        sa.ForeignKeyConstraint(["row_id"], ["payout_row.id"], name=op.f("fk_row_match_row_id")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_row_match")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("row_match", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_row_match_document_id"), ["document_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_row_match_pile"), ["pile"], unique=False)

    op.create_table(
        "stock_movement",
        sa.Column("id", BIG, nullable=False),
        sa.Column("article_id", BIG, nullable=False),
        sa.Column("warehouse_id", BIG, nullable=False),
        sa.Column("quantity_milli", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("delivery_line_id", BIG, nullable=True),
        sa.Column("document_line_id", BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind <> 'delivery' OR delivery_line_id IS NOT NULL", name=op.f("ck_stock_movement_delivery")
        ),
        sa.CheckConstraint("kind <> 'return' OR document_line_id IS NOT NULL", name=op.f("ck_stock_movement_return")),
        sa.CheckConstraint("quantity_milli <> 0", name=op.f("ck_stock_movement_quantity")),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_stock_movement_article_id")),
        sa.ForeignKeyConstraint(
            ["delivery_line_id"], ["delivery_line.id"], name=op.f("fk_stock_movement_delivery_line_id")
        ),
        sa.ForeignKeyConstraint(
            ["document_line_id"], ["document_line.id"], name=op.f("fk_stock_movement_document_line_id")
        ),
        sa.ForeignKeyConstraint(["warehouse_id"], ["warehouse.id"], name=op.f("fk_stock_movement_warehouse_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_movement")),
        sa.UniqueConstraint("delivery_line_id", name=op.f("uq_stock_movement_delivery_line_id")),
        sa.UniqueConstraint("document_line_id", "kind", name=op.f("uq_stock_movement_document_line_id_kind")),
        sqlite_strict=True,
    )
    with op.batch_alter_table("stock_movement", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_stock_movement_article_id_warehouse_id"), ["article_id", "warehouse_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_stock_movement_document_line_id"), ["document_line_id"], unique=False)

    op.create_table(
        "klarna_answer",
        sa.Column("id", BIG, nullable=False),
        sa.Column("attempt_id", BIG, nullable=False),
        sa.Column("first_byte_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=False),
        sa.Column("answer_class", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("http_status", BIG, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_messages", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("retry_after", BIG, nullable=True),
        sa.Column("duration_ms", BIG, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["klarna_attempt.id"], name=op.f("fk_klarna_answer_attempt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_klarna_answer")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_klarna_answer_attempt_id")),
        sqlite_strict=True,
    )

    if op.get_bind().dialect.name == "postgresql":
        op.create_foreign_key("fk_payout_voucher_id", "payout", "voucher", ["voucher_id"], ["id"])
        op.create_foreign_key("fk_document_issued_by_op_id", "document", "klarna_op", ["issued_by_op_id"], ["id"])
        _guard_postgresql()
    else:
        _guard_sqlite()


# The last wall: what is appended stays, what is set once stays, what is numbered or booked stays (operations 16.1, rule 5).

APPEND_ONLY = (
    "audit",
    "document_event",
    "form_use",
    "klarna_answer",
    "klarna_attempt",
    "klarna_op_event",
    "offset",
    "payment",
    "payout_row",
    "period_lock",
    "posting",
    "reading_file",
    "setting",
    "stock_movement",
    "voucher",
)
SET_ONCE = {
    "document": (
        "kind",
        "order_id",
        "customer_id",
        "original_id",
        "currency",
        "series",
        "number",
        "number_text",
        "number_date",
        "issue_date",
        "snapshot",
        "snapshot_sha256",
        "party_sha256",
        "gross_minor",
        "vat_minor",
        "issued_by_op_id",
        "void_by",
        "void_at",
        "void_reason",
        "reversed_by",
        "reversed_at",
        "reversed_reason",
    ),
    "klarna_op": (
        "id",
        "kind",
        "origin",
        "account_id",
        "environment",
        "installation_id",
        "order_id",
        "klarna_order_id",
        "try_no",
        "amount_minor",
        "currency",
        "method",
        "path",
        "body",
        "body_sha256",
        "idempotency_key",
        "reference",
        "form_nonce",
        "created_by",
        "created_at",
        "document_id",
        "klarna_object_id",
        "klarna_event_at",
        "klarna_short_ref",
        "decided_by",
        "second_by",
        "decided_reason",
    ),
}
FINAL_OPS = "('CONFIRMED','REJECTED','NOT_EXECUTED','EXTERNAL')"


def _guard_sqlite() -> None:
    def trigger(name: str, when: str, condition: str, sentence: str) -> None:
        op.execute(f"CREATE TRIGGER {name} {when} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{sentence}'); END")

    for table in APPEND_ONLY:
        trigger(f"{table}_no_update", f'BEFORE UPDATE ON "{table}"', "1", f"{table} is append-only")
        trigger(f"{table}_no_delete", f'BEFORE DELETE ON "{table}"', "1", f"{table} is append-only")
    for table, columns in SET_ONCE.items():
        changed = " OR ".join(f"(OLD.{c} IS NOT NULL AND NEW.{c} IS NOT OLD.{c})" for c in columns)
        trigger(f"{table}_set_once", f'BEFORE UPDATE ON "{table}"', changed, f"a column of {table} is set once")
    trigger("document_no_delete", "BEFORE DELETE ON document", "OLD.number IS NOT NULL", "a numbered document stays")
    trigger(
        "document_final",
        "BEFORE UPDATE ON document",
        "OLD.state IN ('issued','void') AND NEW.state <> OLD.state",
        "a final document state stays",
    )
    trigger("klarna_op_no_delete", "BEFORE DELETE ON klarna_op", "1", "an operation stays")
    trigger(
        "klarna_op_final",
        "BEFORE UPDATE ON klarna_op",
        f"OLD.state IN {FINAL_OPS} AND NEW.state <> OLD.state",
        "a final operation state stays",
    )
    numbered = "(SELECT number FROM document WHERE id = {}.document_id) IS NOT NULL"
    trigger(
        "document_line_no_insert",
        "BEFORE INSERT ON document_line",
        numbered.format("NEW"),
        "a numbered document is frozen",
    )
    trigger(
        "document_line_no_update",
        "BEFORE UPDATE ON document_line",
        numbered.format("OLD"),
        "a numbered document is frozen",
    )
    trigger(
        "document_line_no_delete",
        "BEFORE DELETE ON document_line",
        numbered.format("OLD"),
        "a numbered document is frozen",
    )
    trigger("payout_booked", "BEFORE UPDATE ON payout", "OLD.state = 'booked'", "a booked payout stays")
    trigger("payout_booked_delete", "BEFORE DELETE ON payout", "OLD.state = 'booked'", "a booked payout stays")
    trigger("klarna_break_no_delete", "BEFORE DELETE ON klarna_break", "1", "a break stays")


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION kvitta_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )

    def trigger(name: str, when: str, condition: str, sentence: str) -> None:
        op.execute(
            f"CREATE TRIGGER {name} {when} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION kvitta_refuse('{sentence}')"
        )

    for table in APPEND_ONLY:
        trigger(f"{table}_no_update", f'BEFORE UPDATE ON "{table}"', "true", f"{table} is append-only")
        trigger(f"{table}_no_delete", f'BEFORE DELETE ON "{table}"', "true", f"{table} is append-only")
    for table, columns in SET_ONCE.items():
        changed = " OR ".join(f"(OLD.{c} IS NOT NULL AND NEW.{c} IS DISTINCT FROM OLD.{c})" for c in columns)
        trigger(f"{table}_set_once", f'BEFORE UPDATE ON "{table}"', changed, f"a column of {table} is set once")
    trigger("document_no_delete", "BEFORE DELETE ON document", "OLD.number IS NOT NULL", "a numbered document stays")
    trigger(
        "document_final",
        "BEFORE UPDATE ON document",
        "OLD.state IN ('issued','void') AND NEW.state <> OLD.state",
        "a final document state stays",
    )
    trigger("klarna_op_no_delete", "BEFORE DELETE ON klarna_op", "true", "an operation stays")
    trigger(
        "klarna_op_final",
        "BEFORE UPDATE ON klarna_op",
        f"OLD.state IN {FINAL_OPS} AND NEW.state <> OLD.state",
        "a final operation state stays",
    )
    op.execute(
        "CREATE FUNCTION kvitta_refuse_numbered() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE line document_line; BEGIN "
        "IF TG_OP = 'INSERT' THEN line := NEW; ELSE line := OLD; END IF; "
        "IF (SELECT number FROM document WHERE id = line.document_id) IS NOT NULL THEN "
        "RAISE EXCEPTION 'a numbered document is frozen' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    )
    for what in ("insert", "update", "delete"):
        op.execute(
            f"CREATE TRIGGER document_line_no_{what} BEFORE {what.upper()} ON document_line "
            "FOR EACH ROW EXECUTE FUNCTION kvitta_refuse_numbered()"
        )
    trigger("payout_booked", "BEFORE UPDATE ON payout", "OLD.state = 'booked'", "a booked payout stays")
    trigger("payout_booked_delete", "BEFORE DELETE ON payout", "OLD.state = 'booked'", "a booked payout stays")
    trigger("klarna_break_no_delete", "BEFORE DELETE ON klarna_break", "true", "a break stays")
