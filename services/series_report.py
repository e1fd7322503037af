"""«Luckor i nummerserier»: every series with its voided numbers and its holes, of which there are none (B34; BFNAR p. 5.9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document, FiscalYear, NumberSeries, Voucher
from services.numbering import DOCUMENTS
from states import DocKind, DocState


@dataclass(frozen=True, slots=True)
class VoidNumber:
    """A number of a void document: who made it void, when and why (K15)."""

    number: int
    document_id: int
    kind: DocKind
    by: str
    at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """A series from its first number to its next, the voided ones, and holes, of which there are none."""

    code: str
    year: FiscalYear | None
    first_no: int
    next_no: int
    count: int
    voided: list[VoidNumber]
    gaps: list[tuple[int, int]]


def number_series(session: Session) -> list[SeriesReport]:
    """Every series that gives numbers to documents and vouchers."""
    years = {year.id: year for year in session.scalars(sa.select(FiscalYear))}
    reports = []
    for series in session.scalars(sa.select(NumberSeries).order_by(NumberSeries.code, NumberSeries.fiscal_year.desc())):
        if series.code == DOCUMENTS:
            numbers = sa.select(Document.number.label("number")).where(
                Document.series == DOCUMENTS, Document.number.is_not(None)
            )
        elif series.code.startswith("V:"):
            numbers = sa.select(Voucher.number.label("number")).where(
                Voucher.series == series.code[2:], Voucher.fiscal_year_id == series.fiscal_year
            )
        else:
            continue
        used = numbers.subquery()
        count = session.scalar(sa.select(sa.func.count()).select_from(used)) or 0
        reports.append(
            SeriesReport(
                series.code,
                years.get(series.fiscal_year),
                series.first_no,
                series.next_no,
                count,
                _voided(session) if series.code == DOCUMENTS else [],
                _gaps(session, used, series.first_no, series.next_no),
            )
        )
    return reports


def _voided(session: Session) -> list[VoidNumber]:
    rows = session.execute(
        sa.select(Document.number, Document.id, Document.kind, Document.void_by, Document.void_at, Document.void_reason)
        .where(Document.state == DocState.VOID, Document.series == DOCUMENTS)
        .order_by(Document.number)
    )
    return [
        VoidNumber(number or 0, key, kind, by or "", at, reason or "") for number, key, kind, by, at, reason in rows
    ]


def _gaps(session: Session, used: sa.Subquery, first: int, following: int) -> list[tuple[int, int]]:
    """Holes as (first missing, last missing): between neighbours, before the first and after the last."""
    after = sa.func.lead(used.c.number).over(order_by=used.c.number).label("after")
    pairs = sa.select(used.c.number, after).subquery()
    holes = session.execute(
        sa.select(pairs.c.number + 1, sa.func.coalesce(pairs.c.after, following) - 1)
        .where(sa.func.coalesce(pairs.c.after, following) > pairs.c.number + 1)
        .order_by(pairs.c.number)
    )
    found = [(int(start), int(stop)) for start, stop in holes]
    lowest = session.scalar(sa.select(sa.func.min(used.c.number)))
    if lowest is None and following > first:
        return [(first, following - 1)]
    return ([(first, lowest - 1)] if lowest is not None and lowest > first else []) + found
