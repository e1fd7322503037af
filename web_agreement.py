"""Differences against Klarna as pages show them: the sentence, and a link per act that fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import url_for

from errors import N_, Refusal
from services.agreement import Difference
from services.settling import STANDING
from states import BreakKind
from web_words import gettext, say

ACTS = {
    "adopt": (N_("Adopt"), "adoption.adopt_page"),
    "note": (N_("Accept"), "agreement.note_page"),
    "explain": (N_("Explain"), "agreement.explain_page"),
    "ignore": (N_("Ignore"), "agreement.ignore_page"),
}
"""The acts on a difference, in the words of operations 13, and where each is done."""


ENDED = {
    "adopt": N_("Adopted"),
    "explain": N_("Explained"),
    "ignore": N_("Ignored"),
    "gone": N_("No longer there"),
}


def ended(kind: BreakKind, resolution: str) -> str:
    """How a difference was settled; where there was nothing to book, what Klarna shows was taken note of."""
    if resolution == "adopt" and kind in STANDING:
        return gettext(N_("Taken note of"))
    return gettext(ENDED[resolution])


def shown(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    """Each difference with its sentence in the reader's language and the addresses of what can be done about it."""
    return [
        {
            "text": say(Refusal(each.message, **each.values)),
            "id": each.break_id,
            "acts": [
                {"name": act, "label": gettext(ACTS[act][0]), "url": url_for(ACTS[act][1], break_id=each.break_id)}
                for act in each.acts
            ],
        }
        for each in differences
    ]
