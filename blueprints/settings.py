"""«Inställningar»: company, limits, default accounts and texts, each with its days; VAT rates, sending, and every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

import clock
import web_history
from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import accounts, audit, hosts, set_up, setting_groups, settings
from services.setting_groups import Entry, Kind
from web import (
    AmountField,
    ChoiceField,
    DayField,
    EmailField,
    Form,
    HiddenLineField,
    LineField,
    LinesField,
    TickField,
    WholeField,
    actor,
    done,
    gateway,
    needs,
    query_whole,
)
from web_history import setting_name, written
from web_settings import settings_page, step_rows
from web_words import gettext as _

blueprint = Blueprint("settings", __name__)

ROWS = 50
ABOUT = {
    "company": (
        N_("Company"),
        N_(
            "Who sells. It is printed on every document as it stands on the document's day; older documents keep what they have."
        ),
    ),
    "limits": (
        N_("Limits and rules"),
        N_(
            "What needs a second look, how long to wait, and how payments are recognised. A change holds from its day on."
        ),
    ),
    "accounts": (
        N_("Default accounts"),
        N_(
            "Which account each kind of amount is booked on. A change holds for what is booked from its day on; "
            "nothing booked moves."
        ),
    ),
    "texts": (
        N_("Texts and numbers"),
        N_(
            "What is printed at the foot of documents, and where their numbers begin. "
            "Documents keep the text they were made with."
        ),
    ),
}
"""Title of each group, and the paragraph at its top."""


@blueprint.get("/settings")
@needs(Right.READ)
def index() -> Response:
    """All settings, and what a new installation still lacks."""
    with reading() as looked:
        left = set_up.missing(looked)
    return settings_page("settings/index.html", url_for("settings.index"), steps=step_rows(left) if left else [])


# --- The groups ---------------------------------------------------------------------------------------------------------


@blueprint.get("/settings/<any(company,limits,accounts,texts):group>")
@needs(Right.READ)
def group(group: str) -> Response:
    """The settings of a group as they hold today, and the changes that are to come."""
    with reading() as looked:
        shown = setting_groups.entries(looked, group)
        told = setting_groups.values(looked, shown)
        later = setting_groups.coming(looked, shown)
        names = {each.number: each.name for each in accounts.chart(looked)}
    of = {entry.setting: entry for entry in shown}
    rows = [(setting_name(entry), written(entry, told[entry.setting], names)) for entry in shown]
    coming = [
        (each.valid_from, setting_name(of[each.name]), written(of[each.name], each.value, names)) for each in later
    ]
    title, about = ABOUT[group]
    return settings_page(
        "settings/group.html",
        url_for("settings.group", group=group),
        group=group,
        title=_(title),
        about=_(about),
        rows=rows,
        coming=coming,
        empty_chart=group == "accounts" and not names,
    )


def _field(entry: Entry, chart: Sequence[tuple[str, str]]) -> Any:
    """The form field of a setting."""
    name = setting_name(entry)
    made: dict[Kind, Any] = {
        Kind.LINE: lambda: LineField(name, most=settings.LONGEST, required=entry.required),
        Kind.LINES: lambda: LinesField(name, most=settings.LONGEST_TEXT, required=False),
        Kind.EMAIL: lambda: EmailField(name, required=False),
        Kind.TICK: lambda: TickField(name),
        Kind.AMOUNT: lambda: AmountField(name, zero=True),
        Kind.DAYS: lambda: WholeField(name, most=3650),
        Kind.NUMBER: lambda: WholeField(name, least=1, most=999_999_999),
        Kind.ACCOUNT: lambda: ChoiceField(name, choices=chart),
        Kind.CHOICE: lambda: ChoiceField(name, choices=[(value, _(word)) for value, word in entry.choices]),
    }
    return made[entry.kind]()


def _value(entry: Entry, text: str) -> Any:
    if entry.kind in (Kind.AMOUNT, Kind.DAYS, Kind.NUMBER):
        return int(text)
    return text == "1" if entry.kind is Kind.TICK else text


def _typed(entry: Entry, data: Any) -> str:
    """What was typed as the setting keeps it."""
    if entry.kind is Kind.TICK:
        return "1" if data else "0"
    return "" if data is None else str(data)


def _group_form(group: str) -> tuple[Form, list[Entry], str | None]:
    """A form for the group's settings, filled with what holds; and why its first number is fixed, if it is."""
    with reading() as looked:
        shown = setting_groups.entries(looked, group)
        told = setting_groups.values(looked, shown)
        chosen = [told[entry.setting] for entry in shown if entry.kind is Kind.ACCOUNT]
        offered = setting_groups.accounts_to_choose(looked, chosen)
        begun = group == "texts" and setting_groups.numbering_has_begun(looked)
    # An account nobody has chosen yet shows as empty; it stays so unless one is chosen.
    chart = [("", ""), *((str(each.number), f"{each.number} {each.name}") for each in offered)]
    members = {entry.field: _field(entry, chart) for entry in shown}
    members["valid_from"] = DayField(_("Holds from"))
    members["seen"] = HiddenLineField(most=64, required=False)
    kind = type("GroupForm", (Form,), members)
    data = {entry.field: _value(entry, told[entry.setting]) for entry in shown}
    form: Form = kind(data={**data, "valid_from": clock.today(), "seen": setting_groups.fingerprint(told)})
    fixed = _("A document has taken the first number; the series goes on from there.") if begun else None
    return form, shown, fixed


def _group_page(group: str, form: Form, shown: Sequence[Entry], fixed: str | None, status: int = 200) -> Response:
    title, about = ABOUT[group]
    hints = {entry.field: _(entry.hint) for entry in shown}
    return settings_page(
        "settings/edit.html",
        url_for("settings.group", group=group),
        status=status,
        form=form,
        group=group,
        title=_(title),
        about=_(about),
        shown=shown,
        hints=hints,
        fixed={"first_number": fixed} if fixed else {},
    )


@blueprint.get("/settings/<any(company,limits,accounts,texts):group>/edit")
@needs(Right.ADMINISTER, confirmed=True)
def edit(group: str) -> Response:
    """The form for a group."""
    return _group_page(group, *_group_form(group))


@blueprint.post("/settings/<any(company,limits,accounts,texts):group>/edit")
@needs(Right.ADMINISTER, confirmed=True)
def save(group: str) -> Response:
    """Change a group from a day on; what is booked and printed stays."""
    form, shown, fixed = _group_form(group)
    if not form.accepted():
        return _group_page(group, form, shown, fixed, 422)
    typed = {entry.setting: _typed(entry, form[entry.field].data) for entry in shown}
    day = form["valid_from"].data
    try:
        with writing() as changed:
            names = setting_groups.save(changed, actor(), group, typed, day, form["seen"].data or "")
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _group_page(group, form, shown, fixed, form.refuse(refusal))
    if not names:
        return done(
            url_for("settings.group", group=group), ("info", _("Nothing was different. Nothing has been changed."))
        )
    said = _("Saved. The change holds from %(day)s.", day=day.isoformat())
    return done(url_for("settings.group", group=group), ("success", said))


# --- Sending, changes ---------------------------------------------------------------------------------------------------


@blueprint.get("/settings/sending")
@needs(Right.READ)
def sending() -> Response:
    """From which machine something is sent to Klarna, and whether it is (operations 15.2)."""
    with reading() as looked:
        host_id = gateway().host_id(hosts.installation_of(looked) or "")
        state = hosts.state(looked, host_id)
    return settings_page(
        "settings/sending.html", url_for("settings.sending"), state=state, here_name=gateway().host_name
    )


@blueprint.get("/settings/changes")
@needs(Right.READ_AUDIT)
def changes() -> Response:
    """«Ändringar»: who changed which setting, when, and from which day it holds."""
    after = query_whole("after", 0, most=2**53) or None
    with reading() as looked:
        lines = audit.listing(looked, kinds=web_history.SETTINGS, after=after, limit=ROWS + 1)
        names = {each.number: each.name for each in accounts.chart(looked)}
    return settings_page(
        "settings/changes.html",
        url_for("settings.changes"),
        rows=[web_history.told(line, names) for line in lines[:ROWS]],
        first=url_for("settings.changes") if after else None,
        older=url_for("settings.changes", after=lines[ROWS - 1].id) if len(lines) > ROWS else None,
    )
