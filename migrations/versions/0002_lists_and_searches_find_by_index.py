"""Lists and searches find by index.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_customer_name"), "customer", ["name"], postgresql_ops={"name": "text_pattern_ops"})
    op.drop_index(op.f("ix_sales_order_expires_at"), "sales_order")
    op.create_index(op.f("ix_sales_order_klarna_status_expires_at"), "sales_order", ["klarna_status", "expires_at"])
    op.create_index(op.f("ix_document_paid_reference"), "document", ["paid_reference"])
    op.drop_index(op.f("ix_document_kind_number"), "document")
    op.create_index(op.f("ix_document_kind_id"), "document", ["kind", "id"])
    op.drop_index("ix_document_open", "document")
    op.create_index(
        "ix_document_open",
        "document",
        ["number"],
        sqlite_where=sa.text("open_minor <> 0"),
        postgresql_where=sa.text("open_minor <> 0"),
    )
    op.create_index(op.f("ix_klarna_op_klarna_object_id"), "klarna_op", ["klarna_object_id"])
    op.create_index(op.f("ix_klarna_op_klarna_short_ref"), "klarna_op", ["klarna_short_ref"])
