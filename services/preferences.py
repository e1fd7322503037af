"""A person's own suggestions, «Mina inställningar»: what is ticked from the start, and where one lands after logging in (B22).

A document that Klarna is paid for is never suggested for printing or mailing, whatever is set here (F17, F18).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput
from models import UserPreference
from rights import Actor
from services import audit
from states import DocKind

START_PAGES = (
    "start.index",
    "orders.index",
    "invoices.index",
    "credit_notes.index",
    "settlements.index",
    "books.vouchers",
    "stock.index",
)
"""Pages a person may begin at, by endpoint; the first is where everybody begins who has chosen nothing."""
KINDS = (DocKind.INVOICE, DocKind.CREDIT_NOTE)
"""The types of document that can be suggested for printing and mailing."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What one person has chosen; the defaults suggest nothing and begin at the overview."""

    print_after: frozenset[DocKind] = frozenset()
    mail_after: frozenset[DocKind] = frozenset()
    show_rest: bool = False
    start_page: str = START_PAGES[0]

    def prints(self, kind: DocKind, *, klarna: bool) -> bool:
        """Whether printing is suggested after such a document is made; never for one that Klarna is paid for (F17)."""
        return not klarna and kind in self.print_after

    def mails(self, kind: DocKind, *, klarna: bool) -> bool:
        """Whether mailing is suggested after such a document is made; never for one that Klarna is paid for (F18)."""
        return not klarna and kind in self.mail_after


def of(session: Session, user_id: int | None) -> Preferences:
    """The preferences of a user; the defaults for whom has chosen nothing, and for nobody."""
    if user_id is None:
        return Preferences()
    rows = session.execute(
        sa.select(UserPreference.name, UserPreference.value).where(UserPreference.user_id == user_id)
    )
    found: Mapping[str, str] = {row.name: row.value for row in rows}
    start = found.get("start_page", "")
    return Preferences(
        print_after=_kinds(found.get("print_after", "")),
        mail_after=_kinds(found.get("mail_after", "")),
        show_rest=found.get("show_rest") == "1",
        start_page=start if start in START_PAGES else START_PAGES[0],
    )


def _kinds(text: str) -> frozenset[DocKind]:
    return frozenset(kind for kind in KINDS if kind.value in text.split())


def save(session: Session, actor: Actor, chosen: Preferences) -> None:
    """Keep what a person has chosen, for that person alone. Raises BadInput for a page that is not offered."""
    assert actor.id is not None
    if chosen.start_page not in START_PAGES:
        raise BadInput(N_("Choose one of the values in the list."), field="start_page")
    texts = {
        "print_after": " ".join(sorted(chosen.print_after)),
        "mail_after": " ".join(sorted(chosen.mail_after)),
        "show_rest": "1" if chosen.show_rest else "0",
        "start_page": chosen.start_page,
    }
    if chosen == of(session, actor.id):
        return
    for name, value in texts.items():
        kept = session.get(UserPreference, (actor.id, name), with_for_update=True)
        if kept is None:
            session.add(UserPreference(user_id=actor.id, name=name, value=value))
        else:
            kept.value = value
    session.flush()
    audit.write(session, actor, "preferences.change", f"user:{actor.id}", texts)
