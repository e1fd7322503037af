"""Klarna accounts: store ids with their credentials, tried at Klarna before they are kept (B15)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading
from errors import N_, Refusal
from rights import Right
from services import account_rules, klarna_accounts
from services.account_rules import Credentials, Facts
from services.account_trial import SAID, Result
from states import FeesFrom
from web import (
    ChoiceField,
    Form,
    HiddenLineField,
    LineField,
    PasswordField,
    TickField,
    actor,
    done,
    gateway,
    look_again,
    needs,
)
from web_labels import LABELS
from web_settings import settings_page
from web_words import gettext as _

blueprint = Blueprint("klarna_accounts", __name__)

PROVIDERS = (("klarna", "Klarna"), ("kustom", "Kustom"))
REGIONS = {"eu": N_("Europe"), "na": N_("North America"), "oc": N_("Oceania")}
ENVIRONMENTS = {
    "live": N_("Live"),
    "playground": N_("Playground (Klarna's tests)"),
    "sandbox": N_("Sandbox (on this machine)"),
}
TONES = {Result.ACCEPTED: "ok", Result.UNCLEAR: "warn", Result.NOT_REACHED: "warn"}


class AccountForm(Form):
    """An account. What opens it is written and never shown; left empty it stays as it is."""

    name = LineField(lazy("Name"), most=account_rules.LONGEST_NAME)
    store_id = LineField(lazy("Store id"), most=account_rules.LONGEST_STORE_ID)
    provider = ChoiceField(lazy("Provider"), choices=PROVIDERS)
    region = ChoiceField(lazy("Region"))
    environment = ChoiceField(lazy("Environment"))
    address = LineField(lazy("Address of the sandbox"), most=200, required=False)
    username = LineField(lazy("User name"), most=account_rules.LONGEST_CREDENTIAL, required=False)
    password = PasswordField(lazy("Password or key"), required=False)
    buyer = LineField(lazy("Buyer of the claim"), most=200, required=False)
    fees_from = ChoiceField(lazy("Fees come from"))
    active = TickField(lazy("In use"))
    seen = HiddenLineField(most=64, required=False)

    @property
    def facts(self) -> Facts:
        """What was typed, without credentials."""
        names = [name for name in Facts.__dataclass_fields__ if name != "active"]
        return Facts(active=bool(self.active.data), **{name: self[name].data or "" for name in names})

    @property
    def credentials(self) -> Credentials | None:
        """What was typed to open the account; None when both fields were left empty."""
        username, password = self.username.data or "", self.password.data or ""
        return Credentials(username, password) if username or password else None


def _form(**given: Any) -> AccountForm:
    form = AccountForm(**given)
    form.region.choices = [(code, _(name)) for code, name in REGIONS.items()]
    form.environment.choices = [(code, _(name)) for code, name in ENVIRONMENTS.items()]
    form.fees_from.choices = [(code, _(name)) for code, name in LABELS[FeesFrom].items()]
    return form


@blueprint.get("/settings/klarna")
@needs(Right.READ)
def index() -> Response:
    """All accounts, and how each stands with Klarna."""
    with reading() as looked:
        rows = klarna_accounts.listing(looked)
        books = account_rules.environment_class(looked)
    return settings_page(
        "settings/klarna_accounts.html",
        url_for("klarna_accounts.index"),
        rows=rows,
        books=books,
        providers=dict(PROVIDERS),
        regions={code: _(name) for code, name in REGIONS.items()},
        environment_names={code: _(name) for code, name in ENVIRONMENTS.items()},
        said={result: _(sentence) for result, sentence in SAID.items()},
        tones=TONES,
    )


def _card(form: AccountForm, account_id: int | None, status: int = 200) -> Response:
    with reading() as looked:
        account = klarna_accounts.get(looked, account_id) if account_id is not None else None
        books = account_rules.environment_class(looked)
    return settings_page(
        "settings/klarna_account.html",
        url_for("klarna_accounts.index"),
        status=status,
        form=form,
        account=account,
        books=books,
        said={result: _(sentence) for result, sentence in SAID.items()},
        tones=TONES,
    )


@blueprint.get("/settings/klarna/new")
@needs(Right.ADMINISTER, confirmed=True)
def new() -> Response:
    """An empty account."""
    with reading() as looked:
        live = account_rules.environment_class(looked) != "test"
    wanted = {"active": True, "buyer": account_rules.KLARNAS_BUYER, "environment": "live" if live else "playground"}
    return _card(_form(data=wanted), None)


@blueprint.post("/settings/klarna/new")
@needs(Right.ADMINISTER, confirmed=True)
def add() -> Response:
    """Try an account at Klarna and keep it when it was accepted."""
    return _save(None)


@blueprint.get("/settings/klarna/<int:account_id>")
@needs(Right.ADMINISTER, confirmed=True)
def show(account_id: int) -> Response:
    """One account."""
    with reading() as looked:
        facts = klarna_accounts.get(looked, account_id).facts
    values = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
    return _card(_form(data={**values, "seen": facts.fingerprint}), account_id)


@blueprint.post("/settings/klarna/<int:account_id>")
@needs(Right.ADMINISTER, confirmed=True)
def change(account_id: int) -> Response:
    """Change an account; new credentials are tried first."""
    return _save(account_id)


def _save(account_id: int | None) -> Response:
    form = _form()
    if not form.accepted():
        return _card(form, account_id, 422)
    facts, seen = form.facts, form.seen.data or ""
    try:
        kept, tried = klarna_accounts.save(gateway(), actor(), account_id, facts, form.credentials, seen)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _card(form, account_id, form.refuse(refusal))
    look_again()
    said = _("Saved. Klarna accepts the credentials.") if tried else _("The account has been saved.")
    return done(url_for("klarna_accounts.show", account_id=kept), ("success", said))


@blueprint.post("/settings/klarna/<int:account_id>/try")
@needs(Right.ADMINISTER, confirmed=True)
def try_connection(account_id: int) -> Response:
    """«Prova anslutningen»: one reading with the credentials that are kept."""
    result = klarna_accounts.try_connection(gateway(), actor(), account_id)
    category = "success" if result is Result.ACCEPTED else "warning"
    return done(url_for("klarna_accounts.show", account_id=account_id), (category, _(SAID[result])))
