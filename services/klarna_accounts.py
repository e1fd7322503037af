"""Klarna accounts: one per store id, each with its own credentials, tried at Klarna before they are kept.

Nothing of an account is saved unless Klarna has accepted it just now: an account that has not been tried could hold the
credentials of another store or of another environment. Credentials are written and never shown, and are never sent to
another address than the one they were typed for. Source: B15; operations 10 and 15.3; security 33, 50, 53; reference 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, NotFound, Stale
from models import Installation, KlarnaAccount, Order
from rights import Actor, Right
from services import account_rules, audit, settlement_matching
from services.account_rules import Credentials, Facts
from services.account_trial import SAID, Result, ask
from services.asking import NotSetUp
from services.gateway import CREDENTIALS, Access, Gateway, access_of, base_url, close_breaker, open_breaker

log = structlog.get_logger()

MAX_ID = 2**62


@dataclass(frozen=True, slots=True)
class Shown:
    """An account as a page shows it: everything but what opens it."""

    id: int
    facts: Facts
    url: str
    breaker: str | None
    breaker_since: datetime | None
    tested_at: datetime | None
    result: Result | None
    open_operations: int
    fixed: bool


class Refused(BadInput):
    """The test call was not accepted: 422, and nothing has been saved."""

    def __init__(self, result: Result, field: str | None) -> None:
        super().__init__(SAID[result], field=field)
        self.result = result


# --- Reading ------------------------------------------------------------------------------------------------------------


def _get(session: Session, account_id: int, *, lock: bool = False) -> KlarnaAccount:
    query = sa.select(KlarnaAccount).where(KlarnaAccount.id == account_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query) if 0 < account_id <= MAX_ID else None
    if found is None:
        raise NotFound
    return found


def listing(session: Session) -> list[Shown]:
    """All accounts, those in use first."""
    accounts = session.scalars(
        sa.select(KlarnaAccount).order_by(KlarnaAccount.active.desc(), KlarnaAccount.name, KlarnaAccount.id)
    )
    return [_shown(session, account) for account in accounts]


def get(session: Session, account_id: int) -> Shown:
    """One account. Raises NotFound."""
    return _shown(session, _get(session, account_id))


def of_store(session: Session, store_id: str) -> KlarnaAccount:
    """The account in use that a store id stands for. Raises NotSetUp: an order of another store is never called (B15)."""
    found = session.scalar(
        sa.select(KlarnaAccount).where(KlarnaAccount.store_id == store_id, KlarnaAccount.active.is_(True))
    )
    if found is None:
        raise NotSetUp(store_id)
    return found


def _shown(session: Session, account: KlarnaAccount) -> Shown:
    facts = account_rules.facts_of(account)
    known = {result.value for result in Result}
    return Shown(
        id=account.id,
        facts=facts,
        url=base_url(facts.provider, facts.region, facts.environment, facts.address),
        breaker=account.breaker,
        breaker_since=account.breaker_since,
        tested_at=account.tested_at,
        result=Result(account.test_result) if account.test_result in known else None,
        open_operations=account_rules.open_operations(session, account.id),
        fixed=account_rules.has_history(session, account.id),
    )


# --- Saving and testing -------------------------------------------------------------------------------------------------


def save(
    klarna: Gateway, actor: Actor, account_id: int | None, facts: Facts, credentials: Credentials | None, seen: str = ""
) -> tuple[int, bool]:
    """Add or change an account; gives its id and whether it was tried at Klarna, which every change but a name is.

    Raises NotAllowed, NotFound, Stale, BadInput, Refusal and Refused: then nothing has been saved.
    """
    actor.require(Right.ADMINISTER)
    with db.reading() as session:
        account = _fresh(session, account_id, seen)
        checked = account_rules.checked(session, account, facts, credentials)
        tried = credentials is not None or (account is not None and checked.active > account.active)
        access = _access(klarna, account, checked, credentials)
        order_id = _some_order(session, account)
    if tried:
        result = ask(klarna, access, order_id)
        if result is not Result.ACCEPTED:
            raise Refused(result, _field_of(result))
    sealed = (credentials.username, access.sealed) if credentials is not None else None
    with db.writing() as session:
        installation = _one_at_a_time(session)
        account = _fresh(session, account_id, seen, lock=True)
        checked = account_rules.checked(session, account, facts, credentials)
        if installation.environment_class is None:
            installation.environment_class = account_rules.class_of(checked)
        kept = _keep(session, actor, account, checked, sealed, tried=tried)
    if tried:
        klarna.note(kept, reached=True)
    return kept, tried


def _field_of(result: Result) -> str | None:
    return {Result.REFUSED: "password", Result.OTHER_STORE: "store_id", Result.WRONG_PLACE: "environment"}.get(result)


def _fresh(session: Session, account_id: int | None, seen: str, *, lock: bool = False) -> KlarnaAccount | None:
    """The account a form was drawn from, as it was then. Raises NotFound, Stale."""
    if account_id is None:
        return None
    account = _get(session, account_id, lock=lock)
    if account_rules.facts_of(account).fingerprint != seen:
        raise Stale(N_("Somebody else has changed the account. Reload the page and make the change again."))
    return account


def _access(klarna: Gateway, account: KlarnaAccount | None, facts: Facts, credentials: Credentials | None) -> Access:
    if credentials is None:
        if account is None:
            raise BadInput(N_("Type the password, or the key."), field="password")
        return access_of(account)
    return Access(
        account_id=account.id if account is not None else 0,
        store_id=facts.store_id,
        url=base_url(facts.provider, facts.region, facts.environment, facts.address or None),
        username=credentials.username,
        sealed=klarna.seal(credentials.password, facts.store_id),
        breaker=None,
        breaker_until=None,
    )


def _some_order(session: Session, account: KlarnaAccount | None) -> str | None:
    """The latest Klarna order of the account: credentials that cannot see it are another store's."""
    if account is None:
        return None
    return session.scalar(
        sa.select(Order.klarna_order_id).where(Order.account_id == account.id).order_by(Order.id.desc()).limit(1)
    )


def _keep(
    session: Session, actor: Actor, account: KlarnaAccount | None, facts: Facts,
    sealed: tuple[str, bytes] | None, *, tried: bool,
) -> int:  # fmt: skip
    before = account_rules.facts_of(account) if account is not None else None
    if account is None:
        account = KlarnaAccount(secret=b"", username="")
    account_rules.put(account, facts)
    if sealed is not None:
        account.username, account.secret = sealed
        account.breaker = account.breaker_until = account.breaker_since = None
    if tried:
        account.tested_at, account.test_result = clock.now(), Result.ACCEPTED.value
    session.add(account)
    session.flush()
    new, old = asdict(facts), asdict(before) if before is not None else {}
    changed: dict[str, object] = {name: value for name, value in new.items() if old.get(name) != value}
    if sealed is not None:
        changed["credentials"] = "typed"
    action = "klarna_account.create" if before is None else "klarna_account.change"
    audit.write(session, actor, action, f"klarna_account:{account.id}", changed)
    if "fees_from" in changed and before is not None:
        settlement_matching.restate_all(session, account.id)
    return account.id


def _one_at_a_time(session: Session) -> Installation:
    """Hold the installation: of two first accounts one decides whether these are live books, and the other obeys."""
    return session.scalars(sa.select(Installation).where(Installation.id == 1).with_for_update()).one()


def try_connection(klarna: Gateway, actor: Actor, account_id: int) -> Result:
    """«Prova anslutningen»: one reading with the credentials that are kept; remembers what came of it.

    A 401 opens the account's breaker. One that a 401 has opened stays so until credentials are typed (operations 10).
    """
    actor.require(Right.ADMINISTER)
    with db.reading() as session:
        account = _get(session, account_id)
        access, order_id = access_of(account), _some_order(session, account)
    result = ask(klarna, access, order_id)
    with db.writing() as session:
        account = _get(session, account_id, lock=True)
        account.tested_at, account.test_result = clock.now(), result.value
        if result is Result.ACCEPTED:
            close_breaker(session, account_id)
        elif result in (Result.REFUSED, Result.UNREADABLE) and account.secret == access.sealed:
            open_breaker(session, account_id, CREDENTIALS)
        audit.write(session, actor, "klarna_account.test", f"klarna_account:{account_id}", {"result": result.value})
    return result


def hold_unreadable(klarna: Gateway) -> None:
    """Hold back the calls of accounts whose credentials this installation's key does not open.

    Asked at the start: a database is restored beside another credentials.key, or beside none. They go again when credentials
    are typed, or at a start with the right key (operations 10; security 53).
    """
    with db.reading() as session:
        held = [each.id for each in session.scalars(sa.select(KlarnaAccount)) if _hold(klarna, each) is not None]
    for account_id in held:
        with db.writing() as session:
            account = _get(session, account_id, lock=True)
            hold = _hold(klarna, account)
            if hold is None:
                continue
            account.test_result = Result.UNREADABLE.value if hold else None
            if hold:
                open_breaker(session, account_id, CREDENTIALS)
                log.error("klarna.credentials_unreadable", account=account.store_id)
            else:
                account.breaker = account.breaker_until = account.breaker_since = None


def _hold(klarna: Gateway, account: KlarnaAccount) -> bool | None:
    """Whether to hold an account's calls back or to let them go again; None to leave it as it is."""
    readable, unreadable_before = klarna.can_read(access_of(account)), account.test_result == Result.UNREADABLE
    if not readable and account.breaker != CREDENTIALS:
        return True
    return False if readable and unreadable_before else None
