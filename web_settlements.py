"""What the rooms of settlements share: how it is said what has come, and what is on its way."""

from __future__ import annotations

from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from rights import Right
from services import settlement_folder, settlements
from services.settlement_choice import Unseen
from web import may, say
from web_words import gettext as _


def came_and_booked(sentence: str, came: int, booked: int) -> str:
    """How many payouts have come, and how many of them are booked."""
    return sentence % {"n": came} + " " + _("Booked: %(booked)s.", booked=booked)


def arrivals(session: Session) -> dict[str, Any]:
    """Reports that are being loaded, and for whoever may act the files of the watched folder that could not be read."""
    folder = current_app.config["SETTLEMENT_FOLDER"]
    watched = folder is not None
    wrong = settlement_folder.wrong_files(session) if watched and may(Right.BOOKS) else ()
    return {
        "watched": watched,
        "folder_gone": watched and not settlement_folder.is_readable(folder),
        "loading": settlements.progress(session),
        "wrong": [(each, say(settlements.told(each.because or ""))) for each in wrong],
    }


def asked_of(unseen: Unseen) -> dict[str, Any]:
    """What is asked before a row goes to a document: the documents, and in what they are not the row's."""
    return {
        "choice": unseen.choice,
        "says": say(unseen),
        "differs": [[say(each) for each in part.differs] for part in unseen.choice.parts],
    }
