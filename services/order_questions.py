"""What is asked about an order several times in every capture, as statements put together once.

Their parameter is ``order_id``, or another one where that is said.
"""

from __future__ import annotations

import sqlalchemy as sa

from models import Delivery, DeliveryLine, Document, DocumentLine, KlarnaOp
from states import OPEN_OPS, DocKind, DocState, DocType, OpKind, OpState

INVOICED = (DocState.PENDING, DocState.ISSUED)
"""Documents that hold what they invoice."""
_OF_THE_ORDER = (DocType.DELIVERY, DocType.FINAL)
_AT_KLARNA = (OpState.CONFIRMED, OpState.EXTERNAL)

_GONE = sa.select(DeliveryLine.order_line_id, sa.func.sum(DeliveryLine.quantity_milli)).group_by(
    DeliveryLine.order_line_id
)
DELIVERED = _GONE.join(Delivery, Delivery.id == DeliveryLine.delivery_id).where(
    Delivery.order_id == sa.bindparam("order_id")
)
"""Thousandths delivered per order row."""
DELIVERED_OF = _GONE.where(DeliveryLine.order_line_id.in_(sa.bindparam("lines", expanding=True)))
"""The same of the order rows ``lines``."""
_INVOICED = (
    sa.select(
        DocumentLine.order_line_id,
        sa.func.sum(DocumentLine.quantity_milli),
        sa.func.sum(DocumentLine.gross_minor),
        sa.func.sum(DocumentLine.discount_minor),
    )
    .join(Document, Document.id == DocumentLine.document_id)
    .where(
        Document.kind == DocKind.INVOICE,
        Document.type.in_(_OF_THE_ORDER),
        Document.state.in_(INVOICED),
        DocumentLine.order_line_id.is_not(None),
    )
    .group_by(DocumentLine.order_line_id)
)
HELD = _INVOICED.where(Document.order_id == sa.bindparam("order_id"))
"""What pending and issued invoices hold per order row; replacements hold none, and advances have no row of the order
(operations 5)."""
HELD_OF = _INVOICED.where(DocumentLine.order_line_id.in_(sa.bindparam("lines", expanding=True)))
"""The same of the order rows ``lines``."""
MOVED = (
    sa.select(KlarnaOp.kind, sa.func.sum(KlarnaOp.amount_minor))
    .where(
        KlarnaOp.order_id == sa.bindparam("order_id"),
        KlarnaOp.state.in_(_AT_KLARNA),
        KlarnaOp.amount_minor.is_not(None),
    )
    .group_by(KlarnaOp.kind)
)
"""Captured and refunded at Klarna as far as it is proved, minor units; what was made elsewhere counts."""
OPEN = sa.select(KlarnaOp).where(KlarnaOp.order_id == sa.bindparam("order_id"), KlarnaOp.state.in_(sorted(OPEN_OPS)))
"""The act at Klarna that is not settled yet; there is at most one per Klarna order (operations 2.1)."""
_REFUSED = sa.select(Document).where(Document.state == DocState.REFUSED).limit(1)
REFUSED_OF_ORDER = _REFUSED.where(Document.order_id == sa.bindparam("order_id"))
"""A document of the order that awaits a decision."""
REFUSED_INVOICE = REFUSED_OF_ORDER.where(Document.kind == DocKind.INVOICE)
"""An invoice of it that awaits a decision."""
REFUSED_CREDIT = _REFUSED.where(
    Document.original_id == sa.bindparam("original_id"), Document.kind == DocKind.CREDIT_NOTE
)
"""A credit note of the invoice ``original_id`` that awaits a decision."""
_ADVANCE = sa.select(Document.id).where(
    Document.order_id == sa.bindparam("order_id"), Document.type == DocType.ADVANCE, Document.state.in_(INVOICED)
)
STANDING = sa.select(
    OPEN.with_only_columns(KlarnaOp.state).limit(1).scalar_subquery().label("open_state"),
    REFUSED_OF_ORDER.with_only_columns(Document.id).exists().label("is_refused"),
    _ADVANCE.exists().label("has_advance"),
    *(
        sa.func.coalesce(
            MOVED.with_only_columns(sa.func.sum(KlarnaOp.amount_minor)).where(KlarnaOp.kind == kind).scalar_subquery(),
            0,
        ).label(name)
        for kind, name in ((OpKind.CAPTURE, "captured"), (OpKind.REFUND, "refunded"))
    ),
)
"""All in one row that ``orders.refresh`` asks of operations and documents: the state of what is not settled yet, whether a
document awaits a decision, whether there is an advance invoice, and what is captured and refunded, minor units."""
