"""Customers who have been anonymised stay so (X9)."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from services.findings import Check, Finding, broken


def emptied_cards_are_empty(session: Session) -> Iterator[Finding]:
    """X9: a customer who has been anonymised has a number and nothing else (B29)."""
    yield from broken(
        session,
        "SELECT id FROM customer WHERE anonymised_at IS NOT NULL AND (name <> '#' || CAST(number AS TEXT)"
        " OR organisation_number IS NOT NULL OR email IS NOT NULL OR phone IS NOT NULL OR payment_days IS NOT NULL"
        " OR street <> '' OR street2 <> '' OR postal_code <> '' OR city <> '' OR note <> '')",
        "customer:{0}",
        "has been anonymised, and its card is not empty",
    )


CHECKS: dict[str, Check] = {"X9": emptied_cards_are_empty}
