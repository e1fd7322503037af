"""Payment methods and their words: «Benämning», and on documents «Dokumentrubrik» and «Dokumentbenämning» (B32)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Order, PaymentMethod
from rights import Actor, Right
from services import audit
from states import PaymentKind

LONGEST = 100
MAX_ID = 2**62
WORDS = ("name_sv", "name_en", "heading_sv", "heading_en", "document_name_sv", "document_name_en")


@dataclass(frozen=True, slots=True)
class Facts:
    """A payment method. What is left empty is said as above it: English as Swedish, on documents as elsewhere."""

    kind: PaymentKind
    name_sv: str
    name_en: str = ""
    heading_sv: str = ""
    heading_en: str = ""
    document_name_sv: str = ""
    document_name_en: str = ""
    active: bool = True

    @property
    def fingerprint(self) -> str:
        """What a form carries to see that nobody else has changed the method meanwhile (catalogue row 73)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def facts_of(method: PaymentMethod) -> Facts:
    """A method as it stands."""
    return Facts(**{each.name: getattr(method, each.name) for each in fields(Facts)})


def listing(session: Session) -> list[PaymentMethod]:
    """All methods, those in use first."""
    return list(session.scalars(sa.select(PaymentMethod).order_by(PaymentMethod.active.desc(), PaymentMethod.id)))


def get(session: Session, method_id: int, *, lock: bool = False) -> PaymentMethod:
    """One method. Raises NotFound."""
    query = sa.select(PaymentMethod).where(PaymentMethod.id == method_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query) if 0 < method_id <= MAX_ID else None
    if found is None:
        raise NotFound
    return found


def is_used(session: Session, method_id: int) -> bool:
    """Whether an order is paid this way."""
    return bool(session.scalar(sa.select(sa.exists().where(Order.payment_method_id == method_id))))


def _checked(session: Session, method_id: int | None, facts: Facts) -> Facts:
    tidy: dict[str, Any] = {name: " ".join(getattr(facts, name).split()) for name in WORDS}
    facts = replace(facts, **tidy)
    if not facts.name_sv:
        raise BadInput(N_("Write a name."), field="name_sv")
    for name in WORDS:
        if len(getattr(facts, name)) > LONGEST:
            raise BadInput(N_("At most %(most)s characters."), field=name, most=LONGEST)
    same = sa.select(PaymentMethod.id).where(
        sa.func.lower(PaymentMethod.name_sv) == facts.name_sv.lower(), PaymentMethod.id != (method_id or 0)
    )
    if session.scalar(same.limit(1)) is not None:
        raise BadInput(N_("Another payment method has that name."), field="name_sv")
    return replace(facts, name_en=facts.name_en or facts.name_sv)


def save(session: Session, actor: Actor, method_id: int | None, facts: Facts, seen: str = "") -> PaymentMethod:
    """Add or change a method; documents keep the words they were made with.

    Raises NotAllowed, NotFound, BadInput, Stale, and Refusal when orders hold it to its kind.
    """
    actor.require(Right.ADMINISTER)
    method = PaymentMethod() if method_id is None else get(session, method_id, lock=True)
    before = facts_of(method) if method_id is not None else None
    if before is not None and before.fingerprint != seen:
        raise Stale(N_("Somebody else has changed the card. Reload the page and make the change again."))
    checked = _checked(session, method_id, facts)
    if method_id is not None and before is not None and checked.kind is not before.kind and is_used(session, method_id):
        raise Refusal(N_("Orders are paid this way, so the kind stays. Add another payment method."), field="kind")
    new = asdict(checked)
    for name, value in new.items():
        setattr(method, name, value)
    session.add(method)
    session.flush()
    old = asdict(before) if before is not None else {}
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    action = "payment_method.create" if before is None else "payment_method.change"
    audit.write(session, actor, action, f"payment_method:{method.id}", changed)
    return method


def on_documents(method: PaymentMethod) -> Mapping[str, str]:
    """The words a document freezes: the method's name there, and the heading it stands under; an empty heading is the usual."""
    return {
        "sv": method.document_name_sv or method.name_sv,
        "en": method.document_name_en or method.document_name_sv or method.name_en or method.name_sv,
        "heading_sv": method.heading_sv,
        "heading_en": method.heading_en or method.heading_sv,
    }
