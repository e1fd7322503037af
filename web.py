"""What blueprints share: answering with a page or a part of it, what follows an act, and the guard of money forms.

Forms and fields, rights and words are at home in web_fields, web_access and web_words; blueprints find all of it here.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from flask import (
    current_app,
    flash,
    g,
    get_flashed_messages,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.wrappers import Response

from db import reading
from errors import N_, Malformed, NotAllowed, Refusal
from rights import Right, who_may
from services import worklists
from services.card_checks import check_text
from services.gateway import Gateway
from services.passwords import Passwords
from web_access import (
    DEMANDS,
    MEGABYTE,
    PasswordAgain,
    actor,
    from_klarna,
    go_to,
    is_htmx,
    needs,
    open_to_all,
    own_path,
    recently_confirmed,
    refuse_permission,
    require_confirmed,
    this_page,
    visit,
)
from web_fields import (
    AmountField,
    ChoiceField,
    DayField,
    EmailField,
    Form,
    HiddenLineField,
    LineField,
    LinesField,
    PasswordField,
    PercentField,
    QuantityField,
    RadioChoiceField,
    TickField,
    UploadField,
    UrlField,
    WholeField,
)
from web_problem import problem, speaks_json
from web_query import query_choice, query_day, query_days, query_text, query_whole
from web_words import LANGUAGES, either, gettext, in_language, label, say, spoken

__all__ = [
    "MEGABYTE",
    "AmountField",
    "ChoiceField",
    "DayField",
    "EmailField",
    "Form",
    "HiddenLineField",
    "LineField",
    "LinesField",
    "PasswordAgain",
    "PasswordField",
    "PercentField",
    "QuantityField",
    "RadioChoiceField",
    "TickField",
    "UploadField",
    "UrlField",
    "WholeField",
    "actor",
    "banner",
    "capped",
    "check_text",
    "done",
    "flash_refusal",
    "fragment",
    "from_klarna",
    "gateway",
    "gettext",
    "in_language",
    "is_htmx",
    "label",
    "look_again",
    "may",
    "needs",
    "nonce",
    "open_to_all",
    "own_path",
    "page",
    "passwords",
    "query_choice",
    "query_day",
    "query_days",
    "query_text",
    "query_whole",
    "read_nonce",
    "recently_confirmed",
    "refused",
    "require_confirmed",
    "say",
    "secret_key",
    "shell",
    "why_not",
]

NAVIGATION: tuple[tuple[str, str, str], ...] = (
    ("start.index", N_("Overview"), "h"),
    ("orders.index", N_("Orders"), "o"),
    ("invoices.index", N_("Invoices"), "f"),
    ("credit_notes.index", N_("Credits"), "k"),
    ("settlements.index", N_("Settlements"), "a"),
    ("books.vouchers", N_("Books"), "b"),
    ("stock.index", N_("Stock"), "l"),
    ("register.customers", N_("Register"), "r"),
    ("settings.index", N_("Settings"), "i"),
)
"""The rooms in the top bar and the letter that leads there after ``g``."""
WITHIN = {
    **dict.fromkeys(
        ("setting_books", "setting_chart", "klarna_accounts", "payment_methods", "mail_settings"), "settings"
    ),
    "mails": "invoices",
    **dict.fromkeys(("sie", "closing", "manual_vouchers", "reports", "history"), "books"),
    **dict.fromkeys(("batches", "deliveries", "incoming", "klarna_orders", "new_orders", "order_files"), "orders"),
    **dict.fromkeys(
        ("bank", "flow", "offsets", "owed", "settlement_files", "settlement_foreign", "settlement_moves"), "settlements"
    ),
    **dict.fromkeys(("credit_rows", "exchange", "free_credits"), "credit_notes"),
    **dict.fromkeys(("agreement", "adoption"), "start"),
    **dict.fromkeys(("goods_in", "stocktakes", "stock_value"), "stock"),
    "payments": "invoices",
    "anonymising": "register",
}
"""Rooms that lie within another of the top bar."""
GLANCE_SECONDS = 5.0
"""How long the figure beside Overview and the environment badges may be old; an act in this process renews them at once."""


# --- Pages -----------------------------------------------------------------------------------------------------------


def page(template: str, *, panel: str | None = None, status: int = 200, **context: Any) -> Response:
    """Answer with a page, or with the part of it that htmx asks for: one address, one function, two shapes (77)."""
    if panel is not None and is_htmx():
        return fragment(panel, status=status, **context)
    return make_response(render_template(template, **{**shell(), **context}), status)


def fragment(template: str, *, status: int = 200, **context: Any) -> Response:
    """Answer with a part of a page, and with the messages that wait to be read."""
    return make_response(render_template(template, **context) + _messages(), status)


def _messages() -> str:
    if not get_flashed_messages():
        return ""
    return str(_macro("flashes")(oob=True))


def _macro(name: str) -> Callable[..., str]:
    return cast(Callable[..., str], getattr(current_app.jinja_env.get_template("macros/ui.html").module, name))


def banner(tone: str, text: str) -> str:
    """A box across the page as HTML; the text is escaped."""
    return str(_macro("banner")(tone, text))


def done(
    url: str,
    message: tuple[str, str] | None = None,
    *,
    panel: Callable[[], Response] | None = None,
    events: Iterable[str] = (),
) -> Response:
    """Answer an act that went well: 303 to the thing, or for htmx the panel that changed.

    ``message`` is (category, sentence) for the live region; ``panel`` draws what changed from a fresh reading, usually
    ``lambda: fragment("orders/_panel.html", …)``; ``events`` are named in HX-Trigger for other panels to refetch themselves.
    """
    look_again()
    if message is not None:
        flash(message[1], message[0])
    if not is_htmx():
        return redirect(url, 303)
    answer = go_to(url) if panel is None else panel()
    names = list(events)
    if names:
        answer.headers["HX-Trigger"] = json.dumps(dict.fromkeys(names))
    return answer


def flash_refusal(refusal: Refusal) -> None:
    """Put what a refusal says into the live region of the next page."""
    flash(say(refusal), "danger")


def gateway() -> Gateway:
    """The way to Klarna of this process."""
    return cast(Gateway, current_app.extensions["klarna"])


def passwords() -> Passwords:
    """What passwords are hashed with in this process."""
    return cast(Passwords, current_app.extensions["passwords"])


def secret_key() -> bytes:
    """The key behind what we sign."""
    return cast(bytes, current_app.secret_key)


# --- What every page shows around itself -----------------------------------------------------------------------------


def shell(*, look: bool = True) -> dict[str, Any]:
    """What base.html shows around a page. Without ``look`` it asks no database, for error pages (74)."""
    found = visit()
    context: dict[str, Any] = {
        "lang": spoken().code,
        "languages": [{"code": code, "label": name} for code, name in LANGUAGES.items()],
        "language_url": url_for("login.language"),
        "home_url": url_for("start.index"),
        "here": this_page(),
    }
    if found is None:
        return context
    glance = _glance(look)
    context |= {
        "user": {"name": found.actor.name, "role": ", ".join(label(role) for role in sorted(found.actor.roles))},
        "user_links": _user_links(),
        "logout_url": url_for("login.out"),
        "environments": glance.environments,
        "nav": _navigation(glance.waiting),
    }
    if "search.index" in current_app.view_functions:
        context["search_url"] = url_for("search.index")
    return context


def _navigation(waiting: int) -> list[dict[str, Any]]:
    room = (request.endpoint or "").partition(".")[0]
    room = WITHIN.get(room, room)
    shown = []
    for endpoint, name, key in NAVIGATION:
        if _may(endpoint):
            active = endpoint.partition(".")[0] == room
            shown.append({"endpoint": endpoint, "label": gettext(name), "key": key, "active": active})
    if shown and waiting:
        shown[0]["count"] = capped(waiting)
    return shown


def _may(endpoint: str) -> bool:
    """Whether there is such a page and this person may see it."""
    view = current_app.view_functions.get(endpoint)
    right = DEMANDS[view].right if view in DEMANDS else None
    return right is not None and actor().may(right)


def _user_links() -> list[dict[str, str]]:
    links = (
        ("preferences.mine", N_("My settings")),
        ("users.mine", N_("My sessions and password")),
        ("users.index", N_("Users")),
        ("tokens.index", N_("API keys")),
        ("audit.index", N_("Log")),
    )
    return [{"url": url_for(endpoint), "label": gettext(name)} for endpoint, name in links if _may(endpoint)]


def capped(count: int) -> str:
    """A count as a work list shows it: at most 1,000, then with a plus."""
    from_here = worklists.MOST
    return f"{from_here}+" if count > from_here else str(count)


def _glance(look: bool) -> worklists.Glance:
    kept = current_app.extensions.setdefault("glance", {})
    until, found = kept.get("seen", (0.0, worklists.Glance(0, ())))
    if look and time.monotonic() >= until:
        with reading() as session:
            found = worklists.glance(session)
        kept["seen"] = time.monotonic() + GLANCE_SECONDS, found
    return cast(worklists.Glance, found)


def look_again() -> None:
    """Forget what the top bar showed, after an act."""
    current_app.extensions.get("glance", {}).clear()


# --- The guard of money forms ----------------------------------------------------------------------------------------


def _signer() -> URLSafeSerializer:
    config = current_app.config
    return URLSafeSerializer([*config["SECRET_KEY_FALLBACKS"], config["SECRET_KEY"]], salt="form-nonce")


def nonce(action: str, subject: object) -> str:
    """A new nonce for a money form: 128 random bits, signed together with the person, the act and its subject (op. 12)."""
    return str(_signer().dumps([secrets.token_hex(16), actor().id, action, str(subject)]))


def read_nonce(action: str, subject: object) -> str:
    """The random part of the nonce that was sent, in hex. Raises Malformed, and NotAllowed (audited) for another's."""
    typed = request.form.get("nonce", "")
    try:
        random, user_id, for_action, for_subject = _signer().loads(typed[:1000])
    except (BadData, ValueError, TypeError):
        raise Malformed(N_("The form is not one of ours. Nothing has been done.")) from None
    if user_id != actor().id:
        refuse_permission(actor(), "nonce of another user")
        raise NotAllowed(N_("The form belongs to somebody else. Nothing has been done."))
    if (for_action, for_subject) != (action, str(subject)):
        raise Malformed(N_("The form is not one of ours. Nothing has been done."))
    return str(random)


# --- No --------------------------------------------------------------------------------------------------------------


TITLES: Mapping[int, str] = {
    400: N_("That did not work"),
    401: N_("Log in first"),
    403: N_("You may not do this"),
    404: N_("There is no such page"),
    405: N_("That did not work"),
    409: N_("That is not possible now"),
    413: N_("That was too much at once"),
    415: N_("That cannot be read"),
    422: N_("Something has to be corrected"),
    429: N_("Wait a moment"),
    503: N_("Kvitta is busy"),
}


def refused(status: int, sentence: str, *, template: str = "error.html", **context: Any) -> Response:
    """Answer with a no: a whole page, or for htmx a banner in the live region. Asks no database (74)."""
    title = gettext(TITLES.get(status, N_("Something went wrong")))
    if speaks_json():
        return problem(status, title, sentence)
    if is_htmx():
        answer = make_response(banner("bad", sentence), status)
        answer.headers["HX-Retarget"] = "#messages"
        answer.headers["HX-Reswap"] = "innerHTML"
        return answer
    values = {
        **shell(look=False),
        "code": status,
        "title": title,
        "sentence": sentence,
        "error_id": g.request_id,
        **context,
    }
    return make_response(render_template(template, **values), status)


def why_not(right: Right) -> str | None:
    """Why a control is off for this person: the role it requires; None when it is on (B31)."""
    if may(right):
        return None
    return gettext(N_("Requires %(roles)s."), roles=either([label(role) for role in who_may(right)]))


def may(right: Right) -> bool:
    """Whether this person has a right: for controls that are shown locked with their reason (B31)."""
    found = visit()
    return found is not None and found.actor.may(right)
