"""What lies in a warehouse is counted, and its differences are booked once.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")


def upgrade() -> None:
    op.create_table(
        "stocktake",
        sa.Column("id", BIG, nullable=False),
        sa.Column("warehouse_id", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("uncounted_to_zero", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stocktake")),
        sa.ForeignKeyConstraint(["warehouse_id"], ["warehouse.id"], name=op.f("fk_stocktake_warehouse_id")),
        sa.CheckConstraint("state IN ('open','booked','discarded')", name=op.f("ck_stocktake_state")),
        sa.CheckConstraint("(state = 'open') = (ended_at IS NULL)", name=op.f("ck_stocktake_ended")),
        sa.CheckConstraint("uncounted_to_zero = 0 OR state = 'booked'", name=op.f("ck_stocktake_zero")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_stocktake_warehouse_id"),
        "stocktake",
        ["warehouse_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "stocktake_count",
        sa.Column("stocktake_id", BIG, nullable=False),
        sa.Column("article_id", BIG, nullable=False),
        sa.Column("counted_milli", BIG, nullable=False),
        sa.Column("balance_milli", BIG, nullable=False),
        sa.Column("counted_at", TIME, nullable=False),
        sa.Column("counted_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stocktake_id", "article_id", name=op.f("pk_stocktake_count")),
        sa.ForeignKeyConstraint(["stocktake_id"], ["stocktake.id"], name=op.f("fk_stocktake_count_stocktake_id")),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_stocktake_count_article_id")),
        sa.CheckConstraint("counted_milli >= 0", name=op.f("ck_stocktake_count_counted")),
        sqlite_strict=True,
    )
    kind = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    op.execute(
        f"ALTER TABLE stock_movement ADD COLUMN stocktake_id {kind}"
        " CONSTRAINT fk_stock_movement_stocktake_id REFERENCES stocktake (id)"
    )
    op.create_index(
        op.f("ix_stock_movement_stocktake_id_article_id"), "stock_movement", ["stocktake_id", "article_id"], unique=True
    )


def downgrade() -> None:
    raise NotImplementedError
