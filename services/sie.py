"""«Exportera SIE»: the books as a SIE 4 file, 4E for a financial year with balances, 4I for the vouchers of a period (B35).

The file is written from the books row by row and then read back strictly (services/sie_check.py): what does not add up is
never given out, and no sign is changed and no row added to make it fit. Source: accounting reference 9; A12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import Account, FiscalYear, Posting, Voucher
from money import Amount
from services import settings, sie_check, year_end
from services.book_lists import trial_balance
from services.sie_text import PAGE, amount, day, in_page, quoted
from services.system_facts import PROGRAM, VERSION


class Kind(StrEnum):
    """The two kinds of a SIE 4 file."""

    YEAR = "4E"
    PERIOD = "4I"


class Per(StrEnum):
    """What becomes a voucher of the file: each of ours, or all of a series and day together."""

    DOCUMENT = "document"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be exported: the days, and the financial year they lie in (None for 4I over several)."""

    kind: Kind
    starts: date
    ends: date
    per: Per = Per.DOCUMENT
    year: FiscalYear | None = None

    @property
    def file_name(self) -> str:
        """``kvitta-2026-01-01-2026-12-31.se``; a file for import ends in ``.si``."""
        return f"kvitta-{self.starts}-{self.ends}.{'se' if self.kind is Kind.YEAR else 'si'}"


@dataclass(frozen=True, slots=True)
class Made:
    """What came out: the check's report, and how many letters had to be replaced."""

    report: sie_check.Report
    replaced: int


def year_wish(session: Session, year_id: int, per: Per = Per.DOCUMENT) -> Wish:
    """A financial year as 4E. Raises NotFound; Refusal while the year before has a result that is not carried over."""
    year = session.get(FiscalYear, year_id)
    if year is None:
        raise NotFound
    left = year_end.not_carried(session, before=year.starts)
    if left is not None:
        raise Refusal(
            N_(
                "The result of %(year)s, %(amount)s, has not been carried to equity, so the opening balances do not add up. "
                "Carry it under Month close first."
            ),
            year=left.year.ends,
            amount=Amount(left.result_minor, "SEK"),
            link=("closing.index", {}),
        )
    return Wish(Kind.YEAR, year.starts, year.ends, per, year)


def period_wish(session: Session, starts: date | None, ends: date | None, per: Per = Per.DOCUMENT) -> Wish:
    """The vouchers of a period as 4I. Raises BadInput where a day is missing or no financial year holds the first."""
    if starts is None or ends is None:
        raise BadInput(N_("Write the first and the last day."), field="from" if starts is None else "to")
    year = session.scalar(sa.select(FiscalYear).where(FiscalYear.starts <= starts, FiscalYear.ends >= starts))
    if year is None:
        raise BadInput(N_("There is no financial year for %(day)s."), field="from", day=starts)
    return Wish(Kind.PERIOD, starts, ends, per, year if ends <= year.ends else None)


def export(session: Session, wish: Wish, by: str, file: IO[bytes]) -> Made:
    """Write the file and check it as it stands. The caller gives it out only when the report is sound.

    Where letters had to be replaced, the file is written once more and says how many.
    """
    replaced = _write(session, wish, by, file, 0)
    if replaced:
        file.seek(0)
        file.truncate()
        _write(session, wish, by, file, replaced)
    file.seek(0)
    report = sie_check.check(file)
    file.seek(0)
    return Made(report, replaced)


def _write(session: Session, wish: Wish, by: str, file: IO[bytes], replaced: int) -> int:
    writer = _Writer(file)
    for fields in _head(session, wish, by, replaced):
        writer.record(*fields)
    for fields in _accounts(session, wish):
        writer.record(*fields)
    if wish.kind is Kind.YEAR:
        for fields in _balances(session, wish):
            writer.record(*fields)
    for voucher in _per_day(session, wish) if wish.per is Per.DAY else _per_document(session, wish):
        writer.voucher(voucher)
    return writer.replaced


# --- Writing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    account: int
    minor: int
    text: str


@dataclass(frozen=True, slots=True)
class _Ver:
    series: str
    number: int
    day: date
    text: str
    written: date
    by: str
    rows: list[_Row]


class _Raw(str):
    """A field that is written as it is: an amount, a day, an object list."""

    __slots__ = ()


class _Writer:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.replaced = 0

    def record(self, tag: str, *fields: Any, indent: str = "") -> None:
        self._line(f"{indent}#{tag} " + " ".join(self._field(each) for each in fields))

    def _field(self, value: Any) -> str:
        if isinstance(value, (_Raw, int)):
            return str(value)
        text, replaced = in_page(str(value))
        self.replaced += replaced
        return quoted(text)

    def _line(self, text: str) -> None:
        self._file.write(text.encode(PAGE) + b"\r\n")

    def voucher(self, made: _Ver) -> None:
        on = _Raw(day(made.day))
        self.record("VER", made.series, made.number, on, made.text, _Raw(day(made.written)), made.by)
        self._line("{")
        for row in made.rows:
            self.record("TRANS", row.account, _Raw("{}"), _Raw(amount(row.minor)), on, row.text, indent="   ")
        self._line("}")


def _head(session: Session, wish: Wish, by: str, replaced: int) -> Iterator[tuple[Any, ...]]:
    told = settings.values(session, "company.")
    yield "FLAGGA", 0
    yield "PROGRAM", PROGRAM, VERSION
    yield "FORMAT", _Raw("PC8")
    yield "GEN", _Raw(day(clock.today())), by
    yield "SIETYP", 4
    prose = [f"Export {wish.starts} - {wish.ends}"]
    if wish.per is Per.DAY:
        prose.append("en verifikation per serie och dag")
    if replaced:
        prose.append(f"{replaced} tecken som inte finns i PC8 är ersatta")
    yield "PROSA", ", ".join(prose)
    if told["company.organisation_number"]:
        yield "ORGNR", told["company.organisation_number"]
    if told["company.street"]:
        place = f"{told['company.postal_code']} {told['company.city']}".strip()
        yield "ADRESS", "", told["company.street"], place, told["company.phone"]
    yield "FNAMN", told["company.name"]
    if wish.year is not None:
        yield "RAR", 0, _Raw(day(wish.year.starts)), _Raw(day(wish.year.ends))
        before = _year_before(session, wish.year)
        if before is not None:
            yield "RAR", -1, _Raw(day(before.starts)), _Raw(day(before.ends))
    if wish.kind is Kind.YEAR:
        yield "OMFATTN", _Raw(day(min(wish.ends, max(clock.today(), wish.starts))))
    yield "KPTYP", _Raw("EUBAS97")
    yield "VALUTA", _Raw("SEK")


def _year_before(session: Session, year: FiscalYear) -> FiscalYear | None:
    return session.scalar(sa.select(FiscalYear).where(FiscalYear.ends == year.starts - timedelta(days=1)))


def _accounts(session: Session, wish: Wish) -> Iterator[tuple[Any, ...]]:
    """Every account in use, and every other that the file books on or has a balance for."""
    since = wish.starts if wish.kind is Kind.PERIOD else date.min
    used = (
        sa.select(Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Voucher.day >= sa.literal(since, Voucher.day.type), Voucher.day <= wish.ends)
        .distinct()
    )
    for account in session.scalars(
        sa.select(Account).where(sa.or_(Account.active.is_(True), Account.number.in_(used))).order_by(Account.number)
    ):
        yield "KONTO", account.number, account.name
        yield "KTYP", account.number, _Raw(account.kind)


def _balances(session: Session, wish: Wish) -> Iterator[tuple[Any, ...]]:
    assert wish.year is not None
    years = [(0, wish.year), (-1, _year_before(session, wish.year))]
    told = [
        (index, row)
        for index, year in years
        if year is not None
        for row in trial_balance(session, year.starts, year.ends)
    ]
    for index, row in told:
        if row.kind in ("T", "S"):
            yield "IB", index, row.account, _Raw(amount(row.opening))
            yield "UB", index, row.account, _Raw(amount(row.closing))
    for index, row in told:
        if row.kind in ("K", "I"):
            yield "RES", index, row.account, _Raw(amount(row.closing))


# --- The vouchers --------------------------------------------------------------------------------------------------------


def _rows(session: Session, wish: Wish) -> Iterator[Any]:
    """Postings with their vouchers in the order of the series, a thousand at a time. Raises Refusal for another currency."""
    query = (
        sa.select(
            Voucher.id,
            Voucher.series,
            Voucher.fiscal_year_id,
            Voucher.number,
            Voucher.day,
            Voucher.text,
            Voucher.created_at,
            Voucher.created_by,
            Voucher.currency,
            Posting.account,
            Posting.amount_minor,
            Posting.text.label("row_text"),
        )
        .join(Posting, Posting.voucher_id == Voucher.id)
        .where(Voucher.day >= wish.starts, Voucher.day <= wish.ends)
        .execution_options(yield_per=1000)
    )
    if wish.per is Per.DAY:
        query = query.order_by(Voucher.series, Voucher.day, Voucher.number, Posting.position)
    else:
        query = query.order_by(Voucher.series, Voucher.fiscal_year_id, Voucher.number, Posting.position)
    for row in session.execute(query):
        if row.currency != "SEK":
            raise Refusal(
                N_("Voucher %(number)s is in %(currency)s. A SIE file holds Swedish kronor only."),
                number=f"{row.series}{row.number}",
                currency=row.currency,
                link=("books.voucher", {"voucher_id": row.id}),
            )
        yield row


def _per_document(session: Session, wish: Wish) -> Iterator[_Ver]:
    for _key, group in groupby(_rows(session, wish), key=lambda row: row.id):
        rows = list(group)
        first = rows[0]
        yield _Ver(
            first.series,
            first.number,
            first.day,
            first.text,
            clock.local_date(first.created_at),
            first.created_by,
            [_Row(row.account, row.amount_minor, row.row_text or first.text) for row in rows],
        )


def _per_day(session: Session, wish: Wish) -> Iterator[_Ver]:
    """A voucher per series and day with numbers of its own; debit and credit of an account stay rows of their own."""
    counted: dict[str, int] = {}
    for (series, on), group in groupby(_rows(session, wish), key=lambda row: (row.series, row.day)):
        sums: dict[tuple[int, bool], int] = {}
        numbers: list[int] = []
        written, by = on, set()
        for row in group:
            key = row.account, row.amount_minor < 0
            sums[key] = sums.get(key, 0) + row.amount_minor
            if not numbers or numbers[-1] != row.number:
                numbers.append(row.number)
            written = max(written, clock.local_date(row.created_at))
            by.add(row.created_by)
        counted[series] = counted.get(series, 0) + 1
        text = _range(series, numbers)
        yield _Ver(
            series, counted[series], on, text, written, by.pop() if len(by) == 1 else "",
            [_Row(account, minor, text) for (account, _credit), minor in sorted(sums.items())],
        )  # fmt: skip


def _range(series: str, numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"Verifikation {series}{numbers[0]}"
    return f"Verifikationer {series}{min(numbers)}-{series}{max(numbers)}, {len(numbers)} st"
