"""«Läs in SIE»: the vouchers of another program's file become ours, each once, all of the file or nothing (catalogue 62, 63).

They are written as those by hand are (services/manual_vouchers.py): in series K, never on an account that documents or the
stock are held against. Amounts are minor units. Source: accounting reference 9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Account, Audit, FiscalYear, Voucher
from rights import Actor, Right
from services import audit, ledger, manual_vouchers, periods, settings, sie_reading
from services.sie_reading import SieFile, Ver
from services.system_facts import PROGRAM

ACTION = "sie.read"
MOST_VOUCHERS = 500
"""More are read in part by part: all of a file is written in one transaction, and others wait for it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would do: its vouchers, or what keeps it from being read in."""

    file: SieFile
    ours: str
    """The company's name here, to be held against the file's."""

    @property
    def vouchers(self) -> Sequence[Ver]:
        """Those that would be written."""
        return self.file.vouchers


# --- What would happen ---------------------------------------------------------------------------------------------------


def preview(session: Session, content: bytes) -> Plan:
    """Read a file and hold it against the books. Raises BadInput for no SIE file, Refusal for one that was read before."""
    return _plan(session, sie_reading.read(content))


def _plan(session: Session, file: SieFile) -> Plan:
    _require_new(session, file)
    company = settings.values(session, "company.")
    _hold_against_company(file, company)
    if len(file.vouchers) > MOST_VOUCHERS:
        file.wrong(
            0,
            N_("The file holds %(count)s vouchers, at most %(most)s are read in at once. Export a shorter period."),
            count=len(file.vouchers),
            most=MOST_VOUCHERS,
        )
    elif not file.problems:
        _hold_against_books(session, file)
    return Plan(file, company["company.name"])


def _require_new(session: Session, file: SieFile) -> None:
    """Raises Refusal for bytes that have been read in before (catalogue row 63)."""
    found = session.execute(
        sa.select(Audit.at, Audit.actor).where(Audit.object == _object(file), Audit.action == ACTION).limit(1)
    ).one_or_none()
    if found is not None:
        raise Refusal(
            N_("Already read on %(day)s by %(who)s."), field="file", day=clock.local_date(found.at), who=found.actor
        )


def _object(file: SieFile) -> str:
    return f"sie_file:{file.sha256}"


def _hold_against_company(file: SieFile, company: Mapping[str, str]) -> None:
    ours = "".join(each for each in company["company.organisation_number"] if each.isdigit())
    if file.organisation_number and ours and file.organisation_number[-10:] != ours[-10:]:
        file.wrong(
            0, N_("The file is of organisation number %(found)s, not of this company."), found=file.organisation_number
        )
    if file.program == PROGRAM:
        file.wrong(0, N_("The file was made by Kvitta: what it holds is in the books already."))


def _hold_against_books(session: Session, file: SieFile) -> None:
    """Accounts, days and numbers, each with its line (catalogue row 62)."""
    chart = {each.number: each.active for each in session.scalars(sa.select(Account))}
    free = {each.number for each in manual_vouchers.offered(session)}
    years = session.scalars(sa.select(FiscalYear)).all()
    sources = [
        _source(file, voucher, year)
        for voucher in file.vouchers
        for year in years
        if year.starts <= voucher.day <= year.ends
    ]
    read_before, twice = _read_before(session, sources), Counter(sources)
    for voucher in file.vouchers:
        year = next((each for each in years if each.starts <= voucher.day <= each.ends), None)
        if year is None:
            file.wrong(
                voucher.line,
                N_("Voucher %(number)s is of %(day)s, for which there is no financial year here."),
                number=voucher.label, day=voucher.day,
            )  # fmt: skip
        elif periods.first_open_day(session, voucher.day) != voucher.day:
            file.wrong(
                voucher.line,
                N_("Voucher %(number)s is of %(day)s, which is locked."),
                number=voucher.label,
                day=voucher.day,
            )
        elif (before := read_before.get(source := _source(file, voucher, year))) is not None:
            file.wrong(
                voucher.line,
                N_("Voucher %(number)s has been read in before, as %(ours)s."),
                number=voucher.label,
                ours=before,
            )
        elif twice[source] > 1:
            file.wrong(voucher.line, N_("Voucher %(number)s stands twice in the file."), number=voucher.label)
        for row in voucher.rows:
            account = str(row.account)
            if file.accounts and row.account not in file.accounts:
                file.wrong(row.line, N_("Account %(account)s is not declared."), account=account)
            elif row.account not in chart:
                file.wrong(row.line, N_("Account %(account)s is not in the chart of accounts."), account=account)
            elif not chart[row.account]:
                file.wrong(row.line, N_("Account %(account)s is closed."), account=account)
            elif row.account not in free:
                file.wrong(
                    row.line, N_("Account %(account)s follows Kvitta's own documents or stock."), account=account
                )


def _source(file: SieFile, voucher: Ver, year: FiscalYear) -> str:
    """What a voucher of another program is known by: its series and number in the year, or its place in the file."""
    if voucher.number:
        return f"{manual_vouchers.SIE}:{year.starts}:{voucher.series}:{voucher.number}"
    return f"{manual_vouchers.SIE}:{file.sha256}:{voucher.line}"


def _read_before(session: Session, sources: Sequence[str]) -> dict[str, str]:
    """What vouchers that came in before are called here, by their source."""
    found = session.execute(
        sa.select(Voucher.source, Voucher.series, Voucher.number).where(Voucher.source.in_(sources))
    )
    return {row.source: f"{row.series}{row.number}" for row in found}


# --- It happens ----------------------------------------------------------------------------------------------------------


def take(session: Session, actor: Actor, content: bytes, shown: str) -> Plan:
    """Write the vouchers of a file that was shown, all or none. Needs a writing session; a plan with problems wrote nothing.

    ``shown`` is the hash of what the preview was of. Raises NotAllowed, BadInput, Refusal as ``preview`` does, and for
    another file than was shown.
    """
    actor.require(Right.BOOKS)
    file = sie_reading.read(content)
    for day in {voucher.day for voucher in file.vouchers[:MOST_VOUCHERS]}:
        periods.year_of(session, day)  # held, so that nobody locks a day meanwhile
    settings.hold_accounts(session)
    plan = _plan(session, file)
    if shown != file.sha256:
        raise Refusal(
            N_("This is not the file that was shown. Look at what it would do before you read it in."), field="file"
        )
    if file.problems:
        return plan
    for voucher in plan.vouchers:
        _write(session, actor, file, voucher)
    audit.write(session, actor, ACTION, _object(file), {"vouchers": len(plan.vouchers), "program": file.program[:100]})
    return plan


def _write(session: Session, actor: Actor, file: SieFile, voucher: Ver) -> None:
    year = periods.year_for_booking(session, actor, voucher.day)
    ledger.post(
        session,
        actor,
        series=manual_vouchers.SERIES,
        day=voucher.day,
        text=f"{voucher.label} {voucher.text}".strip() or file.program or "SIE",
        source=_source(file, voucher, year),
        entries=[ledger.Entry(row.account, row.minor, row.text) for row in voucher.rows if row.minor],
    )
