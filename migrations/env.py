"""Runs the migrations on the connection that schema.py hands over."""

from typing import Any, Literal

from alembic import context

from columns import BigInt, Day, EnumText, Flag, UtcTime
from models import Document


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our column types as plain ones, so that a landed migration never depends on today's code."""
    if kind != "type":
        return False
    if isinstance(item, UtcTime):
        return "TIME"
    if isinstance(item, Day):
        return "DAY"
    if isinstance(item, EnumText):
        return "sa.Text()"
    if isinstance(item, Flag):
        return "sa.Integer()"
    if item is BigInt or getattr(item, "_variant_mapping", None):
        return "BIG"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Document.metadata,
    render_item=render_item,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
