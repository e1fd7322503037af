"""Goods come back later than the credit, drafts are shared and put before Finance.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")


def upgrade() -> None:
    op.create_table(
        "goods_return",
        sa.Column("id", BIG, nullable=False),
        sa.Column("document_line_id", BIG, nullable=False),
        sa.Column("quantity_milli", BIG, nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("warehouse_id", BIG, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goods_return")),
        sa.UniqueConstraint("document_line_id", name=op.f("uq_goods_return_document_line_id")),
        sa.ForeignKeyConstraint(
            ["document_line_id"], ["document_line.id"], name=op.f("fk_goods_return_document_line_id")
        ),
        sa.ForeignKeyConstraint(["warehouse_id"], ["warehouse.id"], name=op.f("fk_goods_return_warehouse_id")),
        sa.CheckConstraint("condition IN ('whole','damaged','never')", name=op.f("ck_goods_return_condition")),
        sa.CheckConstraint(
            "quantity_milli >= 0 AND (quantity_milli = 0) = (condition = 'never')",
            name=op.f("ck_goods_return_quantity"),
        ),
        sa.CheckConstraint(
            "(warehouse_id IS NOT NULL) = (condition = 'whole')", name=op.f("ck_goods_return_warehouse")
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "draft_visit",
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("document_id", "user_id", name=op.f("pk_draft_visit")),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_draft_visit_document_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_draft_visit_user_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "approval_request",
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_by_id", BIG, nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("gross_minor", BIG, nullable=False),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_approval_request")),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_approval_request_document_id"), ondelete="CASCADE"
        ),
        sqlite_strict=True,
    )
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for what in ("update", "delete"):
        head = f'CREATE TRIGGER goods_return_no_{what} BEFORE {what.upper()} ON "goods_return" '
        if is_postgresql:
            op.execute(head + "FOR EACH ROW EXECUTE FUNCTION kvitta_refuse('goods_return is append-only')")
        else:
            op.execute(head + "BEGIN SELECT RAISE(ABORT, 'goods_return is append-only'); END")
