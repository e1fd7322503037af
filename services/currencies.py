"""The books are kept in kronor alone: what is in another currency is known at the door, and goes no further.

Kvitta has no exchange rates, and kronor and euro together are a sum of nothing. Rules alone. Source: bokföringslagen 4 kap.
6 §; catalogue row 69.
"""

from __future__ import annotations

from errors import N_, BadInput, Refusal

BOOKS = "SEK"
"""The currency that vouchers are written in."""


def _no(currency: str, sentence: str) -> Refusal | None:
    return None if currency == BOOKS else Refusal(sentence, currency=currency)


def why_not_booked(currency: str) -> Refusal | None:
    """Why nothing of this currency is booked; None of the books' own."""
    return _no(
        currency,
        N_(
            "It is in %(currency)s, and the books are kept in kronor (SEK). Kvitta does not convert currencies. "
            "Nothing has been booked."
        ),
    )


def why_not_invoiced(currency: str) -> Refusal | None:
    """Why an order in this currency is neither invoiced nor credited; None of the books' own."""
    return _no(
        currency,
        N_(
            "The order is in %(currency)s, and the books are kept in kronor (SEK). Kvitta does not convert currencies: "
            "activate, credit and book it outside Kvitta."
        ),
    )


def why_not_settled(currency: str) -> Refusal | None:
    """Why a payout in this currency is read but never booked; None of the books' own."""
    return _no(
        currency,
        N_(
            "The payout is in %(currency)s, and the books are kept in kronor (SEK). Kvitta does not convert currencies: "
            "book it outside Kvitta and say so here. Nothing has been booked."
        ),
    )


def require_taken_in(currency: str) -> None:
    """Let pass an order that can be invoiced and booked one day. Raises BadInput."""
    if currency != BOOKS:
        raise BadInput(
            N_(
                "The order is in %(currency)s, and the books are kept in kronor (SEK). Kvitta does not convert currencies: "
                "activate and book it outside Kvitta. Nothing has been taken in."
            ),
            field="currency",
            currency=currency,
        )
