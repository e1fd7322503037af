"""Finding things by what is known of them: the one search box, and what the lists search by (B12, B13).

A key is looked up exactly, one look into an index for each sort of key. A name is found by any part of three letters or more,
through an index of three letters at a time (migration 0004); a shorter one by its beginning. Nothing is read through, and what
fits more than a list can hold is cut off and said so. What was typed is neither logged nor kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Customer, Document, KlarnaOp, Order, Payout
from rights import Actor, Right
from services.card_checks import mask_personal_numbers
from services.keyset import among
from states import DocKind

MOST_NAMED = 100
"""Customers that a name may stand for; of more, only so many are taken, and the list says so."""
MOST_FOUND = 1_000
SHOWN = 10
"""Rows of each group that the search page shows."""
TRIGRAM = 3
LAST_SIGN = "\U0010ffff"
"""Sorts after every sign that a name can go on with."""
LONGEST_NUMBER = 15
CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Found:
    """What a list's search found: ids, and whether that is all of them."""

    ids: Sequence[int]
    whole: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found. ``key`` says by which of its keys, None by name; amounts in minor units."""

    sort: str
    id: int
    name: str
    key: str | None
    detail: str = ""
    amount_minor: int | None = None
    currency: str = "SEK"
    kind: DocKind | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer of the search box: ``the_one`` when a key fits exactly one thing; else what fits, in groups."""

    the_one: Hit | None
    hits: Sequence[Hit]
    more_names: bool = False
    personal: bool = False


# --- Customers by name ---------------------------------------------------------------------------------------------------


def customers_named(session: Session, text: str, most: int = MOST_NAMED) -> tuple[list[tuple[int, str]], bool]:
    """Customers in whose name every word of the text occurs, and whether that is all of them.

    Words of fewer than three letters narrow what longer ones have found; alone they are the beginning of a name.
    """
    words = text.casefold().split()
    long = [word for word in words if len(word) >= TRIGRAM]
    if not words:
        return [], True
    if not long:
        found = session.execute(_beginning(session, text).limit(most + 1)).all()
    else:
        rows = session.execute(_containing(session, long), {"most": CANDIDATES}).all()
        found = [row for row in rows if all(word in row[1].casefold() for word in words)]
        if len(rows) == CANDIDATES:
            return sorted(((row[0], row[1]) for row in found[:most]), key=lambda pair: pair[1]), False
    named = sorted(((row[0], row[1]) for row in found[:most]), key=lambda pair: pair[1])
    return named, len(found) <= most


def _beginning(session: Session, text: str) -> sa.Select[*tuple[Any, ...]]:
    """Both databases find it in the index: SQLite by a range, PostgreSQL, whose order is that of a language, by LIKE."""
    written = dict.fromkeys((text, text.lower(), text.upper(), text.title(), text.capitalize()))
    ways: list[sa.ColumnElement[bool]]
    if session.get_bind().dialect.name == "sqlite":
        ways = [Customer.name.between(each, each + LAST_SIGN) for each in written]
    else:
        ways = [Customer.name.startswith(each, autoescape=True) for each in written]
    return sa.select(Customer.id, Customer.name).where(sa.or_(*ways))


def _containing(session: Session, words: Sequence[str]) -> sa.TextClause:
    if session.get_bind().dialect.name == "sqlite":
        phrases = " AND ".join('"' + word.replace('"', '""') + '"' for word in words)
        query = "SELECT rowid, name FROM customer_search WHERE customer_search MATCH :words LIMIT :most"
        return sa.text(query).bindparams(words=phrases)
    parts = " AND ".join(
        f"kvitta_trigrams(name) @> kvitta_trigrams(:word{n}) AND position(kvitta_fold(:word{n}) IN kvitta_fold(name)) > 0"
        for n in range(len(words))
    )
    query = f"SELECT id, name FROM customer WHERE {parts} LIMIT :most"  # noqa: S608 - only numbers are put in
    return sa.text(query).bindparams(**{f"word{n}": word for n, word in enumerate(words)})


# --- What the lists search by ----------------------------------------------------------------------------------------------


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else None


def _readings(text: str) -> list[str]:
    """The text as it may be meant: as typed, then, of digits in groups, without the spaces (catalogue 92).

    As typed comes first, for a shop's own number may have a space in it. ``split`` knows the no-break spaces too.
    """
    words = text.split()
    joined = "".join(words)
    as_typed = " ".join(words)
    return [as_typed] if len(words) < 2 or not (joined.isascii() and joined.isdigit()) else [as_typed, joined]


def _orders_by_key(text: str) -> list[sa.Select[*tuple[Any, ...]]]:
    """Orders with this number, shop number, Klarna reference or id, each one look into an index."""
    ways = [
        sa.select(Order.id, sa.literal("shop")).where(Order.shop_number == text),
        sa.select(Order.id, sa.literal("reference")).where(Order.klarna_reference.in_(sorted({text, text.upper()}))),
        sa.select(Order.id, sa.literal("klarna_order")).where(Order.klarna_order_id == text.lower()),
        sa.select(Order.id, sa.literal("source")).where(Order.source_key == text),
    ]
    if (number := _number(text)) is not None:
        ways.append(sa.select(Order.id, sa.literal("order")).where(Order.number == number))
    return ways


def _documents_by_key(text: str) -> list[sa.Select[*tuple[Any, ...]]]:
    """Documents with this number, OCR number, payment reference, or Klarna's number or id of the act."""
    at_klarna = sa.select(KlarnaOp.document_id).where(KlarnaOp.document_id.is_not(None))
    return [
        sa.select(Document.id, sa.literal("number")).where(Document.number_text == text),
        sa.select(Document.id, sa.literal("ocr")).where(Document.ocr == text),
        sa.select(Document.id, sa.literal("paid")).where(Document.paid_reference == text),
        at_klarna.add_columns(sa.literal("external")).where(
            KlarnaOp.klarna_short_ref.in_(sorted({text, text.upper()}))
        ),
        at_klarna.add_columns(sa.literal("act")).where(KlarnaOp.klarna_object_id == text.lower()),
    ]


def _customers_by_key(text: str, private: bool) -> list[sa.Select[*tuple[Any, ...]]]:
    """Customers with this number, e-mail address or organisation number; the two last only for who may see them."""
    ways = []
    if (number := _number(text)) is not None:
        ways.append(sa.select(Customer.id, sa.literal("customer")).where(Customer.number == number))
    if private:
        digits = text.replace("-", "").replace(" ", "")
        ways.append(sa.select(Customer.id, sa.literal("email")).where(Customer.email.in_(sorted({text, text.lower()}))))
        if len(digits) == 10 and _number(digits) is not None:
            written = [f"{digits[:6]}-{digits[6:]}", digits]
            ways.append(
                sa.select(Customer.id, sa.literal("organisation")).where(Customer.organisation_number.in_(written))
            )
    return ways


def orders_found(session: Session, text: str) -> Found:
    """Orders that bear what is searched for, or whose customer does. Asked once per session, for the list and its counts.

    A search with a digit in it is no name, so that numbers never wait for names to be looked through.
    """
    ways = [way.with_only_columns(Order.id) for each in _readings(text) for way in _orders_by_key(each)]
    return _kept(session, "orders", text, Order.customer_id, ways)


def documents_found(session: Session, text: str) -> Found:
    """Documents that bear what is searched for, or whose order or customer does."""
    readings = _readings(text)
    orders = sa.union_all(*[way.with_only_columns(Order.id) for each in readings for way in _orders_by_key(each)])
    ways = [way.with_only_columns(way.selected_columns[0]) for each in readings for way in _documents_by_key(each)]
    ways.append(sa.select(Document.id).where(Document.order_id.in_(orders)))
    return _kept(session, "documents", text, Document.customer_id, ways)


def documents_with(field: str, text: str) -> sa.ColumnElement[bool]:
    """Documents with exactly this text in one of the fields of B12: a look into an index each."""
    if field in ("order", "customer"):
        table: Any = Order if field == "order" else Customer
        column = Document.order_id if field == "order" else Document.customer_id
        return column.in_(sa.select(table.id).where(table.number == _number(_readings(text)[-1])))
    if field == "external":
        written = sorted({text, text.upper()})
        acts = sa.select(KlarnaOp.document_id).where(
            KlarnaOp.klarna_short_ref.in_(written), KlarnaOp.document_id.is_not(None)
        )
        orders = sa.select(Document.id).where(
            Document.order_id.in_(sa.select(Order.id).where(Order.klarna_reference.in_(written)))
        )
        return Document.id.in_(sa.union_all(acts, orders))
    columns = {"number": Document.number_text, "ocr": Document.ocr, "reference": Document.paid_reference}
    return columns[field].in_(_readings(text))


def _kept(session: Session, what: str, text: str, of_customer: Any, ways: list[sa.Select[*tuple[Any, ...]]]) -> Found:
    kept: dict[tuple[str, str], Found] = session.info.setdefault("found", {})
    if (what, text) not in kept:
        customers: list[int] = []
        whole = True
        if (number := _number(_readings(text)[-1])) is not None:
            customers = list(session.scalars(sa.select(Customer.id).where(Customer.number == number)))
        elif not any(sign.isdigit() for sign in text):
            named, whole = customers_named(session, text)
            customers = [customer for customer, _ in named]
        if customers:
            ways = [*ways, sa.select(of_customer.class_.id).where(among(session, of_customer, customers))]
        found = session.scalars(sa.union_all(*ways).limit(MOST_FOUND + 1)).all()
        ids = sorted(set(found), reverse=True)
        kept[what, text] = Found(ids[:MOST_FOUND], whole and len(found) <= MOST_FOUND)
    return kept[what, text]


# --- The one search box ----------------------------------------------------------------------------------------------------


def everything(session: Session, actor: Actor, text: str) -> Hits:
    """What fits the text: the one thing with exactly this key, else what has it or has it in its name, in short groups."""
    text = " ".join(text.split())
    if not text:
        return Hits(None, [])
    hits: list[Hit] = []
    for each in _readings(text):
        hits = hits or _hits(session, _keys(session, actor, each))
    if len(hits) == 1:
        return Hits(hits[0], hits)
    if hits or any(sign.isdigit() for sign in text):
        personal = not hits and any(mask_personal_numbers(each)[1] for each in _readings(text))
        return Hits(None, hits, personal=personal)
    named, whole = customers_named(session, text)
    hits = list(_by_name(session, named[:SHOWN]))
    return Hits(None, hits, more_names=not whole or len(named) > SHOWN)


def _keys(session: Session, actor: Actor, text: str) -> dict[str, dict[int, str]]:
    """Ids per sort of thing, with the key that fitted; one question for them all."""
    sorts = {
        "order": _orders_by_key(text),
        "document": _documents_by_key(text),
        "customer": _customers_by_key(text, actor.may(Right.SEE_PRIVATE)),
        "payout": [sa.select(Payout.id, sa.literal("payout")).where(Payout.payment_reference == text)],
    }
    asked = []
    for sort, ways in sorts.items():
        for way in ways:
            some = way.limit(SHOWN + 1).subquery()
            asked.append(sa.select(sa.literal(sort), *some.c))
    found: dict[str, dict[int, str]] = {sort: {} for sort in sorts}
    for row in session.execute(sa.union_all(*asked)).all():
        found[row[0]].setdefault(row[1], row[2])
    if found["payout"]:
        # A payment reference is the payout's; the documents it paid stand on its page.
        found["document"] = {row_id: key for row_id, key in found["document"].items() if key != "paid"}
    return found


def _hits(session: Session, keys: dict[str, dict[int, str]]) -> list[Hit]:
    return [
        *_order_hits(session, keys["order"]),
        *_document_hits(session, keys["document"]),
        *_customer_hits(session, keys["customer"]),
        *_payout_hits(session, keys["payout"]),
    ]


def _order_hits(session: Session, keys: Mapping[int, str | None]) -> Iterator[Hit]:
    if not keys:
        return
    query = sa.select(Order.id, Order.number, Customer.name, Order.total_minor, Order.currency).join(Order.customer)
    for row in session.execute(query.where(Order.id.in_(keys)).order_by(Order.id.desc()).limit(SHOWN)):
        yield Hit("order", row.id, str(row.number), keys[row.id], row.name, row.total_minor, row.currency)


def _document_hits(session: Session, keys: dict[int, str]) -> Iterator[Hit]:
    if not keys:
        return
    query = sa.select(
        Document.id, Document.kind, Document.number_text, Customer.name, Document.gross_minor, Document.currency
    ).join(Document.customer)
    for row in session.execute(query.where(Document.id.in_(keys)).order_by(Document.id.desc()).limit(SHOWN)):
        yield Hit(
            "document", row.id, row.number_text or "", keys[row.id], row.name, row.gross_minor, row.currency, row.kind
        )


def _customer_hits(session: Session, keys: dict[int, str]) -> Iterator[Hit]:
    if not keys:
        return
    query = sa.select(Customer.id, Customer.number, Customer.name).where(Customer.id.in_(keys))
    for row in session.execute(query.order_by(Customer.name, Customer.id).limit(SHOWN)):
        yield Hit("customer", row.id, row.name, keys[row.id], str(row.number))


def _payout_hits(session: Session, keys: dict[int, str]) -> Iterator[Hit]:
    if not keys:
        return
    query = sa.select(Payout.id, Payout.payment_reference, Payout.settlement_minor, Payout.currency)
    for row in session.execute(query.where(Payout.id.in_(keys)).order_by(Payout.id.desc()).limit(SHOWN)):
        yield Hit("payout", row.id, row.payment_reference, keys[row.id], "", row.settlement_minor, row.currency)


def _by_name(session: Session, named: Sequence[tuple[int, str]]) -> Iterator[Hit]:
    """The customers, and the newest orders of theirs."""
    if not named:
        return
    customers = [customer for customer, _ in named]
    asked = session.execute(sa.select(Customer.id, Customer.number).where(Customer.id.in_(customers)))
    numbers = {row.id: row.number for row in asked}
    for customer, name in named:
        yield Hit("customer", customer, name, None, str(numbers[customer]))
    newest = [
        sa.select(Order.id).where(Order.customer_id == customer).order_by(Order.id.desc()).limit(SHOWN).subquery()
        for customer in customers
    ]
    ids = session.scalars(
        sa.select(sa.union_all(*[sa.select(each) for each in newest]).subquery()).order_by(sa.desc("id")).limit(SHOWN)
    ).all()
    yield from _order_hits(session, dict.fromkeys(ids))
