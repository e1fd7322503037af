"""Who may do what: rights per role, and the person a service acts for. Source: security 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from errors import N_, NotAllowed
from states import Role


class Right(StrEnum):
    """A right; no role inherits silently."""

    READ = "read"
    SEE_PRIVATE = "see_private"
    WORK = "work"
    CREDIT = "credit"
    CREDIT_ABOVE_LIMIT = "credit_above_limit"
    VOID_OWN = "void_own"
    VOID_ANY = "void_any"
    KEEP_WITHOUT_KLARNA = "keep_without_klarna"
    REVERSE = "reverse"
    DECIDE = "decide"
    BOOKS = "books"
    OVERRIDE_OFFSET = "override_offset"
    ENABLE_SENDING = "enable_sending"
    LIFT_HOLD = "lift_hold"
    REMOVE_ORDER = "remove_order"
    ANONYMISE = "anonymise"
    ADMINISTER = "administer"
    READ_AUDIT = "read_audit"


_CLERK = frozenset({Right.READ, Right.SEE_PRIVATE, Right.WORK, Right.CREDIT, Right.VOID_OWN, Right.KEEP_WITHOUT_KLARNA})
RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.CLERK: _CLERK,
    Role.FINANCE: _CLERK
    | {
        Right.CREDIT_ABOVE_LIMIT,
        Right.VOID_ANY,
        Right.REVERSE,
        Right.DECIDE,
        Right.BOOKS,
        Right.OVERRIDE_OFFSET,
        Right.ENABLE_SENDING,
        Right.LIFT_HOLD,
        Right.ANONYMISE,
        Right.READ_AUDIT,
    },
    Role.ADMIN: frozenset(
        {Right.READ, Right.LIFT_HOLD, Right.REMOVE_ORDER, Right.ANONYMISE, Right.ADMINISTER, Right.READ_AUDIT}
    ),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or job a service acts for. ``name`` is what the log and the timeline show."""

    name: str
    id: int | None = None
    roles: frozenset[Role] = frozenset()

    def may(self, right: Right) -> bool:
        """Whether some role of this person carries the right."""
        return any(right in RIGHTS[role] for role in self.roles)

    def require(self, right: Right) -> None:
        """Let pass who has the right. Raises NotAllowed (B31)."""
        if not self.may(right):
            raise NotAllowed(N_("Requires %(roles)s."), roles=who_may(right))


def who_may(right: Right) -> tuple[Role, ...]:
    """The roles that carry a right, in the order of the ground rules."""
    return tuple(role for role in Role if right in RIGHTS[role])


JANITOR = Actor("janitor")
SYSTEM = Actor("system")
