"""Everything Kvitta says no to, with its sentence and its HTTP status."""

from __future__ import annotations

from collections.abc import Mapping


def N_(message: str) -> str:  # noqa: N802 - the name gettext tools look for
    """Mark an English sentence for the catalogues without translating it here."""
    return message


class Refusal(Exception):
    """A no with its sentence: an English message id with ``%(name)s`` places, and the values that fill them.

    The edge translates the sentence and formats the values: ``money.Amount`` as money, ``datetime`` as a moment,
    ``date`` as a day. ``field`` names the form field the sentence belongs beside, ``link`` the endpoint and id of the
    thing that stands in the way. Source: architecture, "How a request flows".
    """

    status: int = 409

    def __init__(
        self,
        message: str,
        /,
        *,
        field: str | None = None,
        link: tuple[str, Mapping[str, object]] | None = None,
        **values: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.link = link
        self.values = values

    def __str__(self) -> str:
        """The sentence in English with raw values, for logs and commands."""
        try:
            return self.message % {name: str(value) for name, value in self.values.items()}
        except (KeyError, ValueError, TypeError):
            return self.message


class BadInput(Refusal):
    """What was typed cannot be read or is out of range: 422, with the form as it was."""

    status = 422


class Malformed(Refusal):
    """The request is not one our own pages would send: 400."""

    status = 400


class NotAllowed(Refusal):
    """The person lacks the right: 403, audited by the edge."""

    status = 403


class NotFound(Refusal):
    """Unknown, or not for this person: 404 with the same words."""

    status = 404

    def __init__(self) -> None:
        super().__init__(N_("There is no such page, or it is not yours to see."))


class UnsupportedFile(BadInput):
    """The content is of a kind that is never read: 415."""

    status = 415


class TooLarge(BadInput):
    """Over a stated limit: 413."""

    status = 413


class Throttled(Refusal):
    """Too many tries: 429 with the wait."""

    status = 429


class Busy(Refusal):
    """The write queue or the database did not answer in time: 503, nothing half done."""

    status = 503

    def __init__(self) -> None:
        super().__init__(N_("The program is busy. Nothing has been done; try again in a moment."))


class Stale(Refusal):
    """Somebody else changed the thing since the page was drawn: 409."""


class BrokenRule(AssertionError):
    """A rule of ours does not hold: a bug, never a user's mistake; the transaction rolls back."""
