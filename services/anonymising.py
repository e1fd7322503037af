"""«Anonymisera kund»: the card is emptied, documents stay, and the number is never used again (B29).

What the books need is kept as the law says (bokföringslagen 7 kap. 2 §): documents with the name and address they were made with,
and the orders behind them, or behind a delivery or a capture, with theirs. What was written about the customer, on the card and
on orders, goes, and so do name and address of orders that came to nothing. The log of mail keeps the address beside the document
that has it too; a file of orders stays byte for byte, since it tells of many; Klarna's answers are stored without persons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, Refusal
from models import Customer, Delivery, Document, KlarnaOp, Order, Outbox
from rights import Actor, Right
from services import audit, register
from services.orders import document_link
from states import OPEN_OPS, DocState, OrderState

ACT = "customer.anonymise"
MOST = 50
"""Things of a kind that are named at a time."""
UNFINISHED = (DocState.DRAFT, DocState.PENDING, DocState.REFUSED)


def nameless(customer: Customer) -> str:
    """What stands where the name stood, in every language."""
    return f"#{customer.number}"


def in_the_way(session: Session, customer_id: int) -> list[Refusal]:
    """What is not finished with a customer, each with the way there, ``MOST`` of a kind at most; empty when nothing is."""
    return [*_orders_in_the_way(session, customer_id), *_documents_in_the_way(session, customer_id)]


def _orders_in_the_way(session: Session, customer_id: int) -> Iterator[Refusal]:
    mine = sa.select(Order.id, Order.number).where(Order.customer_id == customer_id).order_by(Order.id).limit(MOST)
    is_done = sa.and_(Order.delivered == "all", Order.invoiced == "all")
    unanswered = sa.exists().where(KlarnaOp.order_id == Order.id, KlarnaOp.state.in_(sorted(OPEN_OPS)))
    for fits, said in (
        (
            sa.and_(Order.state == OrderState.OPEN, ~is_done),
            N_("Order %(number)s is not delivered and invoiced, or cancelled."),
        ),
        (unanswered, N_("Klarna has not answered everything about order %(number)s yet.")),
    ):
        for order_id, number in session.execute(mine.where(fits)):
            yield Refusal(said, number=number, link=("orders.show", {"order_id": order_id}))


def _documents_in_the_way(session: Session, customer_id: int) -> Iterator[Refusal]:
    mine = sa.select(Document).where(Document.customer_id == customer_id).order_by(Document.id).limit(MOST)
    for fits, said in (
        (Document.state.in_(UNFINISHED), N_("Document %(number)s is not finished.")),
        (
            sa.and_(Document.state == DocState.ISSUED, Document.open_minor != 0),
            N_("Document %(number)s is not paid."),
        ),
        (
            sa.exists().where(Outbox.document_id == Document.id, Outbox.done_at.is_(None)),
            N_("A mail with document %(number)s waits to be sent."),
        ),
    ):
        for document in session.scalars(mine.where(fits)):
            yield Refusal(said, number=document.number_text or "–", link=document_link(document))


def anonymise(session: Session, actor: Actor, customer_id: int, typed_number: str, seen: str) -> None:
    """Empty a customer's card for good. ``typed_number`` is the customer's, typed to confirm; ``seen`` the card's fingerprint.

    Raises NotAllowed, NotFound, BadInput, Stale, and Refusal with what is in the way.
    """
    actor.require(Right.ANONYMISE)
    session.execute(sa.select(Customer.id).where(Customer.id == customer_id).with_for_update()).one_or_none()
    customer = register.get_customer(session, customer_id)
    if customer.anonymised_at is not None:
        raise Refusal(N_("The customer has been anonymised already."))
    register.require_fresh(seen, register.facts_of(customer).fingerprint)
    for refusal in in_the_way(session, customer_id):
        raise refusal
    if typed_number.strip() != str(customer.number):
        raise BadInput(
            N_("Type the customer's number, %(number)s, to confirm."), field="number", number=customer.number
        )
    customer.name = nameless(customer)
    customer.organisation_number = customer.email = customer.phone = customer.payment_days = None
    customer.street = customer.street2 = customer.postal_code = customer.city = customer.note = ""
    customer.country = "SE"
    customer.anonymised_at = clock.now()
    _empty_orders(session, customer)
    session.flush()
    audit.write(session, actor, ACT, f"customer:{customer.id}", {"number": customer.number})


def _empty_orders(session: Session, customer: Customer) -> None:
    """Notes go from every order; name and address from those that became nothing the books or the warehouse must show."""
    documents = sa.exists().where(Document.order_id == Order.id)
    delivered = sa.exists().where(Delivery.order_id == Order.id)
    captured = sa.func.coalesce(Order.captured_minor, 0) != 0
    kept = sa.or_(documents, delivered, captured)
    query = sa.select(Order, kept).where(Order.customer_id == customer.id, sa.or_(Order.note != "", ~kept))
    nobody = json.dumps({"name": nameless(customer)}, separators=(",", ":"))
    for order, stays in session.execute(query.order_by(Order.id).with_for_update(of=Order)).all():
        order.note = ""
        if not stays:
            order.party = nobody
        order.version += 1


def emptied_by(session: Session, customer_id: int) -> str:
    """Who anonymised a customer, as the log says; empty when it does not."""
    lines = audit.listing(session, object=f"customer:{customer_id}", action=ACT, limit=1)
    return lines[0].actor if lines else ""
