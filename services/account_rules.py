"""What a Klarna account may be, before anybody is asked: its address, its books, its credentials, what stands in the way.

Source: B15; operations 15.3; reference 1.1, 1.2 and 3.4; security 50.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, Refusal
from models import Installation, KlarnaAccount, KlarnaOp, Order, Payout
from services.gateway import base_url
from services.op_log import IS_OPEN
from states import FeesFrom

LONGEST_NAME, LONGEST_STORE_ID, LONGEST_CREDENTIAL = 100, 40, 500
KLARNAS_BUYER = "Klarna Bank AB (publ), 556737-0431"
_STORE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_KEY = re.compile(r"(klarna|kco)_(live|test)_api_", re.IGNORECASE)
"""How a key of the newer form begins: whose it is, and for which environment (reference 1.2, 3.4)."""
_STORE_IN_NAME = re.compile(r"([A-Z]{1,2}[0-9]{4,})[_-]")
"""How a user name of the older form begins: with its store id."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an account is, without its credentials. ``address`` is typed for a stand-in on this machine only."""

    name: str
    store_id: str
    provider: str = "klarna"
    region: str = "eu"
    environment: str = "playground"
    address: str = ""
    buyer: str = KLARNAS_BUYER
    fees_from: str = FeesFrom.SWEDEN
    active: bool = True

    @property
    def fingerprint(self) -> str:
        """What a form carries to see that nobody else has changed the account meanwhile (catalogue row 73)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def place(self) -> tuple[str, ...]:
        """Where the account's calls go, and as whom: credentials belong to exactly this."""
        return self.store_id, self.provider, self.region, self.environment, self.address


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password, or a key alone. Never in a log, never on a page."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def facts_of(account: KlarnaAccount) -> Facts:
    """An account as it stands."""
    return Facts(
        name=account.name,
        store_id=account.store_id,
        provider=account.provider,
        region=account.region,
        environment=account.environment,
        address=account.sandbox_url or "",
        buyer=account.buyer,
        fees_from=account.fees_from,
        active=account.active,
    )


def put(account: KlarnaAccount, facts: Facts) -> None:
    """Let an account be what was typed and checked."""
    account.name, account.store_id, account.buyer, account.active = (
        facts.name, facts.store_id, facts.buyer, facts.active,
    )  # fmt: skip
    account.provider, account.region, account.environment = facts.provider, facts.region, facts.environment
    account.sandbox_url, account.fees_from = facts.address or None, FeesFrom(facts.fees_from)


def environment_class(session: Session) -> str | None:
    """``live`` or ``test`` from the first account on, None before it (operations 15.3)."""
    return session.scalar(sa.select(Installation.environment_class))


def open_operations(session: Session, account_id: int) -> int:
    """How many acts of this account may still happen."""
    return (
        session.scalar(
            sa.select(sa.func.count()).select_from(KlarnaOp).where(KlarnaOp.account_id == account_id, IS_OPEN)
        )
        or 0
    )


def has_history(session: Session, account_id: int) -> bool:
    """Whether an order, an operation or a payout belongs to the account."""
    queries = (
        sa.exists().where(Order.account_id == account_id),
        sa.exists().where(KlarnaOp.account_id == account_id),
        sa.exists().where(Payout.account_id == account_id),
    )
    return bool(session.scalar(sa.select(sa.or_(*queries))))


def checked(session: Session, account: KlarnaAccount | None, facts: Facts, credentials: Credentials | None) -> Facts:
    """What was typed, cleaned, when every rule lets it pass. Raises BadInput, Refusal."""
    facts = replace(
        facts,
        name=" ".join(facts.name.split()),
        store_id=facts.store_id.strip(),
        address=facts.address.strip().rstrip("/"),
        buyer=" ".join(facts.buyer.split()),
    )
    if not facts.name:
        raise BadInput(N_("Write a name."), field="name")
    if not _STORE_ID.fullmatch(facts.store_id):
        raise BadInput(N_("A store id is letters and digits, for example K123456."), field="store_id")
    _check_address(facts)
    _check_class(session, facts)
    _check_unique(session, account, facts)
    if account is not None:
        _check_moves(session, account, facts)
    moved = account is None or facts.place != facts_of(account).place
    if credentials is None and moved:
        raise BadInput(N_("Type the credentials too: they belong to one store id and one address."), field="password")
    if credentials is not None:
        _check_credentials(facts, credentials)
    return facts


def _check_address(facts: Facts) -> None:
    """An address follows from provider, region and environment; a typed one is loopback and for a stand-in only."""
    typed_for = "sandbox"
    if facts.address and facts.environment != typed_for:
        raise BadInput(
            N_("An address is typed only for a sandbox; Klarna's own follows from the choices."), field="address"
        )
    try:
        base_url(facts.provider, facts.region, facts.environment, facts.address or None)
    except ValueError:
        if facts.environment != typed_for:
            raise BadInput(N_("Choose one of the values in the list."), field="environment") from None
        raise BadInput(
            N_("The sandbox's address is on this machine, for example http://127.0.0.1:8001, with nothing after it."),
            field="address",
        ) from None


def class_of(facts: Facts) -> str:
    """Which sort of books such an account belongs in: ``live`` or ``test``."""
    return "live" if facts.environment == "live" else "test"


def _check_class(session: Session, facts: Facts) -> None:
    """Live books hold live accounts only, test books none of them: decided by the first account (operations 15.3)."""
    held = environment_class(session)
    if held is None or held == class_of(facts):
        return
    if held == "live":
        raise BadInput(
            N_("These books are live. An account for tests belongs in an installation of its own."), field="environment"
        )
    raise BadInput(
        N_("These books are for tests. A live account belongs in an installation of its own."), field="environment"
    )


def _check_unique(session: Session, account: KlarnaAccount | None, facts: Facts) -> None:
    same = sa.select(KlarnaAccount.id).where(
        sa.func.lower(KlarnaAccount.store_id) == facts.store_id.lower(),
        KlarnaAccount.id != (account.id if account is not None else 0),
    )
    if session.scalar(same.limit(1)) is not None:
        raise BadInput(N_("There is already an account with that store id."), field="store_id")


def _check_moves(session: Session, account: KlarnaAccount, facts: Facts) -> None:
    """What an account may become: never another store's, and not elsewhere while something is under way."""
    before = facts_of(account)
    if (facts.store_id, facts.environment) != (before.store_id, before.environment) and has_history(
        session, account.id
    ):
        raise Refusal(
            N_("Orders or payouts belong to the account. Store id and environment stay; add another account instead."),
            field="store_id" if facts.store_id != before.store_id else "environment",
        )
    if (facts.place != before.place or before.active > facts.active) and open_operations(session, account.id):
        raise Refusal(
            N_("Klarna has not answered everything that was sent from this account. Wait, then change it."),
            field="active" if facts.place == before.place else "environment",
        )


def _check_credentials(facts: Facts, credentials: Credentials) -> None:
    """Credentials that say of themselves where they belong are not sent elsewhere (operations 15.3)."""
    if not credentials.password:
        raise BadInput(N_("Type the password, or the key."), field="password")
    key = _KEY.match(credentials.password)
    if key is not None and (key[1].lower() == "kco") != (facts.provider == "kustom"):
        if facts.provider == "kustom":
            raise BadInput(N_("That key is Klarna's own. Nothing has been sent or saved."), field="provider")
        raise BadInput(N_("That key is Kustom's. Nothing has been sent or saved."), field="provider")
    if key is not None and (key[2].lower() == "live") != (class_of(facts) == "live"):
        if class_of(facts) == "live":
            raise BadInput(
                N_("That key is for tests, and the account is live. Nothing has been sent or saved."), field="password"
            )
        raise BadInput(
            N_("That key is live, and the account is for tests. Nothing has been sent or saved."), field="password"
        )
    named = _STORE_IN_NAME.match(credentials.username)
    if named is not None and named[1].casefold() != facts.store_id.casefold():
        raise BadInput(
            N_("The user name belongs to store id %(found)s, not to %(store)s. Nothing has been sent or saved."),
            field="username",
            found=named[1],
            store=facts.store_id,
        )
