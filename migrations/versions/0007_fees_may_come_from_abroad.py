"""Fees may come from a company abroad, which leaves their VAT to the buyer.

Never edited once landed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("klarna_account", "payout"):
        op.add_column(table, sa.Column("fees_from", sa.Text(), server_default=sa.text("'sweden'"), nullable=False))


def downgrade() -> None:
    raise NotImplementedError
