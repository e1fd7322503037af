"""Settlement readings: fetching payouts from Klarna, and everything else of them under one name (K47).

Functions that take ``klarna`` own their transactions. Amounts are minor units. Source: operations 14; reference 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Refusal
from klarna_client import KlarnaClient, KlarnaError, canonical
from models import Installation, KlarnaAccount, Payout
from rights import SYSTEM, Actor, Right
from services.gateway import CREDENTIALS, FAILURES, Access, Gateway, access_of, close_breaker, is_open, open_breaker
from services.settlement_booking import book
from services.settlement_bytes import whole
from services.settlement_choice import CLAIMS
from services.settlement_import import read_in
from services.settlement_list import (
    KINDS,
    PILES,
    SOURCES,
    AccountRead,
    DocumentRow,
    Filters,
    Listing,
    ListRow,
    SettledRow,
    accounts_read,
    document_rows,
    file_of,
    listing,
    rows_of_document,
)
from services.settlement_loading import Progress, finish, progress
from services.settlement_page import TOTAL_NAMES, ProofLine, Reading, Step, reading
from services.settlement_plan import Done, Fate, Outcome, Plan, Planned, preview
from services.settlement_report import Report
from services.settlement_rows import (
    ASSIGN,
    accept,
    assign,
    mark_handled,
    match_again,
    payout_of_row,
    rematch,
    undo,
    unmatch,
)
from services.settlement_sentences import WHY, keep, told
from states import PayoutState

__all__ = (
    "ASSIGN",
    "CLAIMS",
    "FETCHED_AT",
    "KINDS",
    "PILES",
    "SOURCES",
    "TOTAL_NAMES",
    "WHY",
    "AccountRead",
    "DocumentRow",
    "Done",
    "Fate",
    "Fetched",
    "Filters",
    "ListRow",
    "Listing",
    "Outcome",
    "Plan",
    "Planned",
    "Progress",
    "ProofLine",
    "Reading",
    "Report",
    "SettledRow",
    "Step",
    "accept",
    "accounts_read",
    "assign",
    "book",
    "document_rows",
    "fetch_all",
    "file_of",
    "finish",
    "listing",
    "mark_handled",
    "match_again",
    "payout_of_row",
    "preview",
    "progress",
    "read_in",
    "reading",
    "rematch",
    "rows_of_document",
    "told",
    "undo",
    "unmatch",
    "whole",
)

log = structlog.get_logger()

FETCHED_AT = time(6, 0)
"""When payouts are fetched every day, local time (B6)."""
OVERLAP = timedelta(days=14)
"""How far behind the last fetch the next one begins: a payout that was issued again is seen."""
FIRST_FETCH = timedelta(days=365)
PAGE_SECONDS = 10.0
"""A page stops beginning new payouts after this long; the rest comes with the next fetch (architecture: within 12 s)."""
CALL_SECONDS = 30.0
PAGE_CALL_SECONDS = 5.0
PAGE_SIZE = 500
MEMORY_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought: payouts that are new or changed, those known before, what went wrong per account, and whether
    there is more than the time allowed. ``listed`` is how many payouts Klarna told of."""

    payouts: Sequence[Done]
    known: int
    trouble: Sequence[tuple[str, Refusal]]
    more: bool
    listed: int = 0


class _TimeIsOut(Exception):
    """A page has fetched for as long as it may."""


@dataclass(frozen=True, slots=True)
class _Source:
    access: Access
    name: str
    since: datetime
    ends: float


def fetch_all(klarna: Gateway, actor: Actor = SYSTEM, seconds: float = PAGE_SECONDS) -> Fetched:
    """Fetch the payouts of every active account since the last fetch, and read each in.

    The worker reads known payouts again, so that one that came back different is seen; a page takes only new ones, and
    begins no other after so many seconds. What goes wrong with one account is kept with it and never stops the others.
    """
    if actor is not SYSTEM:
        actor.require(Right.BOOKS)
    began = clock.monotonic()
    if klarna.in_worker:
        finish(klarna)
    payouts: list[Done] = []
    trouble: list[tuple[str, Refusal]] = []
    known, listed, more = 0, 0, False
    for source in _sources(began + PAGE_SECONDS):
        at = clock.now()
        try:
            with klarna.slot() as free:
                _require(free)
                client = _client(klarna, source)
                there = list(_pages(klarna, source, client, "payouts", ""))
                listed += len(there)
                for payout in there:
                    if not klarna.in_worker and _is_known(source, _reference(payout)):
                        known += 1
                        continue
                    if payouts:
                        _require_time(klarna, began + seconds)
                    outcome = _take(klarna, actor, source, client, payout)
                    known += outcome.already is not None or all(each.fate is Fate.SAME for each in outcome.payouts)
                    payouts += (each for each in outcome.payouts if each.fate is not Fate.SAME)
            _note(source, at, None)
        except _TimeIsOut:
            more = True
            _note(source, None, None)
        except Refusal as no:
            log.info("settlements.fetch_failed", account=source.access.account_id, cause=str(no))
            trouble.append((source.name, no))
            _note(source, None, no)
    return Fetched(payouts, known, trouble, more, listed)


def _require(free: bool) -> None:
    if not free:
        raise Refusal(N_("All lines to Klarna are busy. Try again in a moment."))


def _require_time(klarna: Gateway, ends: float) -> None:
    if not klarna.in_worker and clock.monotonic() > ends:
        raise _TimeIsOut


def _sources(ends: float) -> Sequence[_Source]:
    with db.reading() as session:
        installation = session.get_one(Installation, 1)
        live = installation.environment_class == "live"
        accounts = session.scalars(sa.select(KlarnaAccount).where(KlarnaAccount.active.is_(True)))
        return [
            _Source(access_of(each), each.name, (each.settlements_read_at or clock.now() - FIRST_FETCH) - OVERLAP, ends)
            for each in accounts
            if (each.environment == "live") is live
        ]


def _note(source: _Source, read_at: datetime | None, trouble: Refusal | None) -> None:
    """Keep with the account when it was last read to the end, or what went wrong."""

    def work(session: Session) -> None:
        account = session.get_one(KlarnaAccount, source.access.account_id)
        account.settlements_read_at = read_at or account.settlements_read_at
        account.settlements_error = keep(trouble) if trouble is not None else None

    db.transact(work)


def _client(klarna: Gateway, source: _Source) -> KlarnaClient:
    if is_open(source.access, clock.now()):
        raise _not_reached(source.access.breaker == CREDENTIALS)
    return klarna.client(source.access)


def _reference(payout: Mapping[str, Any]) -> str:
    reference = payout.get("payment_reference")
    if not isinstance(reference, str) or not reference:
        raise Refusal(N_("Klarna's list of payouts cannot be read. Nothing has been fetched."))
    return reference


def _take(klarna: Gateway, actor: Actor, source: _Source, client: KlarnaClient, payout: Mapping[str, Any]) -> Outcome:
    """Fetch a payout's rows, a line for each, and read it in; what comes is laid aside on the disk when it is much."""
    reference = _reference(payout)
    with SpooledTemporaryFile(max_size=MEMORY_BYTES) as answer:
        answer.write(canonical({"payout": payout}) + b"\n")
        for row in _pages(klarna, source, client, "transactions", reference):
            answer.write(canonical(row) + b"\n")
        report = Report(answer, f"payout.{reference}.json")
        return read_in(klarna, actor, report, source="api", account_id=source.access.account_id)


def _is_known(source: _Source, reference: str) -> bool:
    with db.reading() as session:
        query = sa.select(Payout.id).where(
            Payout.account_id == source.access.account_id,
            Payout.payment_reference == reference,
            Payout.row_count > 0,
            Payout.state != PayoutState.LOADING,
        )
        return session.scalar(query) is not None


def _pages(
    klarna: Gateway, source: _Source, client: KlarnaClient, what: str, reference: str
) -> Iterator[dict[str, Any]]:
    """Everything in a list of the Settlements API, page by page. Raises Refusal in words for the page, _TimeIsOut."""
    seconds = CALL_SECONDS if klarna.in_worker else PAGE_CALL_SECONDS
    offset = 0
    while True:
        _require_time(klarna, source.ends)
        try:
            if what == "payouts":
                answer = client.list_payouts(
                    start_date=_instant(source.since),
                    end_date=_instant(clock.now() + timedelta(days=1)),
                    size=PAGE_SIZE,
                    offset=offset,
                    seconds=seconds,
                )
            else:
                answer = client.list_transactions(
                    payment_reference=reference, size=PAGE_SIZE, offset=offset, seconds=seconds
                )
        except KlarnaError as error:
            raise _failed(klarna, source, error) from error
        klarna.note(source.access.account_id, reached=True)
        if source.access.breaker == FAILURES:
            db.transact(lambda session: close_breaker(session, source.access.account_id))
        found = answer.get(what)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Refusal(N_("Klarna's list of payouts cannot be read. Nothing has been fetched."))
        yield from found
        pages = answer.get("pagination")
        if not found or not isinstance(pages, dict) or not pages.get("next"):
            return
        offset += len(found)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _failed(klarna: Gateway, source: _Source, error: KlarnaError) -> Refusal:
    """What a call that failed means for the account, and its sentence."""
    status = error.answer.status if error.answer else None
    account_id = source.access.account_id
    if status == 401:
        db.transact(lambda session: open_breaker(session, account_id, CREDENTIALS))
        return _not_reached(True)
    reached = status is not None and status != 429 and status < 500
    if klarna.note(account_id, reached):
        db.transact(lambda session: open_breaker(session, account_id, FAILURES))
    return _not_reached(False)


def _not_reached(credentials: bool) -> Refusal:
    if credentials:
        return Refusal(
            N_("Nothing fetched: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
    return Refusal(N_("Klarna could not be reached, so no payouts have been fetched. Try again in a while."))
