"""E-mails of a document, rows that deduct an advance and differences of an act at Klarna are found without reading them all.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_outbox_document_id"), "outbox", ["document_id"], unique=False)
    # A balance is a sum: with the quantity in it the index is all that is read.
    op.drop_index(op.f("ix_stock_movement_article_id_warehouse_id"), "stock_movement")
    op.create_index(
        op.f("ix_stock_movement_article_id_warehouse_id_quantity_milli"),
        "stock_movement",
        ["article_id", "warehouse_id", "quantity_milli"],
        unique=False,
    )
    op.create_index(op.f("ix_klarna_break_op_id"), "klarna_break", ["op_id"], unique=False)
    op.create_index(
        "ix_document_line_deducts",
        "document_line",
        ["deducts_id"],
        unique=False,
        sqlite_where=sa.text("deducts_id IS NOT NULL"),
        postgresql_where=sa.text("deducts_id IS NOT NULL"),
    )


def downgrade() -> None:
    raise NotImplementedError
