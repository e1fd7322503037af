"""A person's own suggestions hold for that person alone, and never for what Klarna is paid for (B22, F17, F18)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from db import reading, writing
from errors import BadInput
from models import UserPreference
from rights import Actor
from services import audit, preferences
from services.preferences import Preferences
from states import DocKind

EVERYTHING = Preferences(frozenset(preferences.KINDS), frozenset(preferences.KINDS), True, "orders.index")


def test_who_has_chosen_nothing_is_suggested_nothing_and_begins_at_the_overview(books: Flask, clerk: Actor) -> None:
    with reading() as session:
        assert preferences.of(session, clerk.id) == Preferences()
        assert preferences.of(session, None) == Preferences()
    assert Preferences().start_page == "start.index"


def test_what_is_chosen_is_kept_for_that_person_alone_and_logged_once(
    books: Flask, clerk: Actor, finance: Actor
) -> None:
    for _ in range(2):
        with writing() as session:
            preferences.save(session, clerk, EVERYTHING)
    with writing() as session:
        preferences.save(session, clerk, replace(EVERYTHING, mail_after=frozenset({DocKind.INVOICE})))
    with reading() as session:
        assert preferences.of(session, clerk.id) == replace(EVERYTHING, mail_after=frozenset({DocKind.INVOICE}))
        assert preferences.of(session, finance.id) == Preferences()
        assert len(audit.listing(session, action="preferences.change")) == 2


def test_a_document_paid_through_klarna_is_never_suggested_for_printing_or_mail() -> None:
    """F17, F18: whatever the user's own setting."""
    for kind in preferences.KINDS:
        assert EVERYTHING.prints(kind, klarna=False)
        assert EVERYTHING.mails(kind, klarna=False)
        assert not EVERYTHING.prints(kind, klarna=True)
        assert not EVERYTHING.mails(kind, klarna=True)


def test_a_page_that_is_not_offered_is_refused_and_one_that_is_gone_is_the_overview(books: Flask, clerk: Actor) -> None:
    with pytest.raises(BadInput, match="Choose one of the values"), writing() as session:
        preferences.save(session, clerk, replace(EVERYTHING, start_page="https://example.com"))
    with writing() as session:
        session.add(UserPreference(user_id=clerk.id, name="start_page", value="room.that_was"))
    with reading() as session:
        assert preferences.of(session, clerk.id).start_page == "start.index"
