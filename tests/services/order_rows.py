"""What order and delivery tests put in by hand, since no service of theirs makes it: documents and acts at Klarna."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlalchemy.orm import Session

import clock
from models import (
    Article,
    Customer,
    Delivery,
    Document,
    DocumentLine,
    KlarnaAccount,
    KlarnaOp,
    Order,
    PaymentMethod,
    Warehouse,
)
from rights import Actor
from services import orders
from services.orders import NewLine, OrderShare
from states import (
    DocKind,
    DocState,
    DocType,
    KlarnaStatus,
    LineKind,
    OpKind,
    OpState,
    Origin,
    PaymentKind,
    RefusalKind,
    Role,
    WithoutKlarna,
)

CLERK = Actor("Handläggare 1", 1, frozenset({Role.CLERK}))
_numbers = itertools.count(50_000)


def an_article(session: Session, number: str = "7001", *, stock_kept: bool = True, gtin: str | None = None) -> Article:
    """A T-shirt; its stock may go below zero, since stock has tests of its own."""
    article = Article(
        number=number,
        number_key=number.casefold(),
        name="T-shirt",
        gtin=gtin,
        price_minor=49_900,
        vat_class="standard",
        stock_kept=stock_kept,
        may_go_negative=True,
    )
    session.add(article)
    session.flush()
    return article


def a_warehouse(session: Session, code: str = "NORR", *, active: bool = True) -> Warehouse:
    """A place goods leave from."""
    warehouse = Warehouse(code=code, name=f"Lager {code}", active=active)
    session.add(warehouse)
    session.flush()
    return warehouse


def a_row(article: Article | None = None, *, milli: int = 1000, price: int = 49_900, discount: int = 0) -> NewLine:
    """A row of goods at 25 % VAT."""
    return NewLine(LineKind.ARTICLE, "T-shirt", milli, price, 2500, article, discount_minor=discount)


def freight(price: int = 4_900) -> NewLine:
    """Freight, which no delivery holds."""
    return NewLine(LineKind.FREIGHT, "Frakt", 1000, price, 2500)


def an_order(
    session: Session,
    lines: Sequence[NewLine],
    *,
    klarna: bool = False,
    name: str = "Anna Lind",
    shop_number: str | None = None,
) -> Order:
    """An order, with ``klarna`` on a reservation Klarna has accepted in full."""
    number = next(_numbers)
    customer = Customer(number=number, name=name, created_at=clock.now())
    kind = PaymentKind.KLARNA if klarna else PaymentKind.INVOICE
    method = PaymentMethod(kind=kind, name_sv="Klarna", name_en="Klarna")
    account = None
    if klarna:
        account = KlarnaAccount(
            name="Butiken", store_id=f"K{number}", environment="playground", username="u", secret=b"s"
        )
    order = orders.take(
        session,
        CLERK,
        customer=customer,
        payment_method=method,
        lines=lines,
        party={"name": name},
        shop_number=shop_number,
        account=account,
        klarna_order_id=f"id-{number}" if klarna else None,
        klarna_reference=f"K{number}" if klarna else None,
    )
    if klarna:
        order.klarna_status, order.fraud_status = KlarnaStatus.AUTHORIZED, "ACCEPTED"
        order.authorized_minor = order.remaining_minor = orders.total(order)
        order.captured_minor = order.refunded_minor = 0
        orders.refresh(session, order.id)
    return order


def a_document(
    session: Session,
    order: Order,
    shares: Sequence[OrderShare] = (),
    *,
    kind: DocKind = DocKind.INVOICE,
    type_: DocType = DocType.FINAL,
    state: DocState = DocState.PENDING,
    original: Document | None = None,
) -> Document:
    """A document over these shares, as it stands once its number is taken."""
    number = next(_numbers)
    document = Document(
        kind=kind,
        type=type_,
        state=DocState.DRAFT,
        order_id=order.id,
        customer_id=order.customer_id,
        original_id=original.id if original else None,
        currency="SEK",
        with_klarna=order.klarna_order_id is not None,
        created_by=CLERK.name,
        created_at=clock.now(),
        changed_at=clock.now(),
    )
    session.add(document)
    session.flush()
    for position, share in enumerate(shares, start=1):
        session.add(
            DocumentLine(
                document_id=document.id,
                position=position,
                kind=share.line.kind,
                order_line_id=share.line.id,
                name=share.line.name,
                quantity_milli=share.quantity_milli,
                unit_price_minor=share.line.unit_price_minor,
                discount_minor=share.discount_minor,
                gross_minor=share.gross_minor,
                vat_rate=share.line.vat_rate,
                vat_minor=0,
            )
        )
    session.flush()
    document.series, document.number, document.number_text = "F", number, str(number)
    document.number_date, document.snapshot = clock.today(), "{}"
    document.snapshot_sha256 = document.party_sha256 = "0"
    document.gross_minor, document.vat_minor = sum(share.gross_minor for share in shares), 0
    document.state = state
    if state is DocState.REFUSED:
        document.refusal_kind = RefusalKind.KLARNA
    elif state is DocState.VOID:
        document.void_reason = "fel antal"
    elif state is DocState.ISSUED:
        document.issue_date, document.without_klarna_reason = clock.today(), WithoutKlarna.ORDINARY
    session.flush()
    return document


def an_operation(
    session: Session,
    order: Order,
    state: OpState,
    *,
    kind: OpKind = OpKind.CAPTURE,
    amount: int | None = 49_900,
    document: Document | None = None,
) -> KlarnaOp:
    """An act at Klarna in this state."""
    number = str(next(_numbers))
    operation = KlarnaOp(
        id=number,
        kind=kind,
        origin=Origin.APP,
        account_id=order.account_id,
        environment="playground",
        installation_id="here",
        order_id=order.id,
        klarna_order_id=order.klarna_order_id,
        amount_minor=amount,
        currency="SEK",
        method="POST",
        path="/",
        body=b"{}",
        body_sha256="0",
        idempotency_key=number,
        created_by=CLERK.name,
        created_at=clock.now(),
        document_id=document.id if document else None,
        klarna_object_id=number,
        klarna_event_at=clock.now(),
        klarna_short_ref=f"{order.klarna_reference}-1",
        state=state,
    )
    session.add(operation)
    session.flush()
    return operation


def rows_of(delivery: Delivery) -> dict[int, int]:
    """Thousandths per order row of a delivery."""
    return {line.order_line_id: line.quantity_milli for line in delivery.lines}
