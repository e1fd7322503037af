"""The worker finds the acts at Klarna of the last days without reading all there ever were, four times a minute.

Never edited once landed.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_klarna_op_created_at"), "klarna_op", ["created_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError
