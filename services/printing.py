"""A paper as a PDF file: HTML in, PDF out, kept in the data folder until something on the paper changes.

WeasyPrint draws it (``drawing``), in a process beside this one, and needs Pango from the operating system; where that is
missing everything else works and ``missing`` says why. The HTML comes from the same templates as the print pages; drawing
those is the business of ``web_papers``.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from pebble import ProcessExpired, ProcessPool
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, NotFound, Refusal
from models import Document, KlarnaOp, Order, PaymentMethod
from services import drawing
from states import DocKind, DocState

log = structlog.get_logger()

LIBRARIES = (
    ("libpango-1.0.so.0", "libpango-1.0.dylib", "libpango-1.0-0"),
    ("libpangoft2-1.0.so.0", "libpangoft2-1.0.dylib", "libpangoft2-1.0-0"),
    ("libharfbuzz-subset.so.0", "libharfbuzz-subset.dylib", "libharfbuzz-subset-0"),
)
"""What WeasyPrint loads from the operating system, by its names on Linux, macOS and Windows."""
KEPT = timedelta(days=30)
"""How long a drawn file is kept. It can be drawn again at any time; it holds names and addresses, so it does not stay."""
FOR_EVER = -1
"""How long whoever draws in the background waits for its turn."""
LONGEST_SECONDS = 120
"""How long one paper may take; a process that is still at it is ended."""
PAPERS_A_PROCESS = 500
"""After so many papers the process that draws is a new one, whatever it has gathered."""


# --- Whether it can be done ----------------------------------------------------------------------------------------------


def missing() -> Refusal | None:
    """Why no PDF can be made on this machine; None when it can. Cheap: the renderer itself is loaded when first needed."""
    if _can():
        return None
    return Refusal(
        N_("PDF files cannot be made: Pango is missing on the computer Kvitta runs on. Print from the browser instead.")
    )


@cache
def _can() -> bool:
    return importlib.util.find_spec("weasyprint") is not None and all(map(_loads, LIBRARIES))


def _loads(names: tuple[str, ...]) -> bool:
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def version() -> str:
    """What draws, for telling old files from new; empty where nothing can."""
    return "" if missing() else f"{importlib.metadata.version('weasyprint')} {drawing.VARIANT}"


# --- Drawing -------------------------------------------------------------------------------------------------------------


@cache
def _beside() -> ProcessPool:
    """The process that draws for this one: drawing keeps a processor busy, and pages are answered meanwhile."""
    return ProcessPool(max_workers=1, max_tasks=PAPERS_A_PROCESS, context=multiprocessing.get_context("spawn"))


def _drawn(html: str, static: Path, stylesheet: str) -> bytes:
    """Drawn beside this process. Raises Refusal when it takes too long, or the process that draws has died of it."""
    pool = _beside()
    try:
        made: bytes = pool.schedule(drawing.draw, (html, static, stylesheet), timeout=LONGEST_SECONDS).result()
    except (TimeoutError, ProcessExpired, BrokenProcessPool) as error:
        log.exception("printing.failed", characters=len(html), cause=type(error).__name__)
        raise Refusal(
            N_("The paper could not be drawn. It may be too long: choose less, or print from the browser instead.")
        ) from error
    finally:
        if not pool.active:
            _beside.cache_clear()
    return made


class Printer:
    """Makes PDF files for one installation, one at a time for a process, and keeps them in a folder of its own."""

    def __init__(self, static: Path, data_dir: Path, stylesheet: str = "pdf.css") -> None:
        self._static = static.resolve()
        self._folder = data_dir / "pdf"
        self._stylesheet = stylesheet
        self._one_at_a_time = threading.Lock()

    def draw(self, html: str, wait_seconds: int = FOR_EVER) -> bytes:
        """The PDF of an HTML page; equal pages give equal bytes (fault 51).

        Raises Refusal where it cannot be made or takes too long, or others are still being drawn after so long: somebody who
        waits in a web process holds one of the few places in which pages are answered.
        """
        refusal = missing()
        if refusal is not None:
            raise refusal
        if not self._one_at_a_time.acquire(timeout=wait_seconds):
            raise Refusal(
                N_("Other papers are being drawn just now. Print from the browser instead, or try again in a moment.")
            )
        try:
            return _drawn(html, self._static, self._stylesheet)
        finally:
            self._one_at_a_time.release()

    # --- Keeping -----------------------------------------------------------------------------------------------------------

    def kept(self, owner: str, mark: str, html: Callable[[], str], wait_seconds: int = FOR_EVER) -> bytes:
        """The PDF that was drawn under this mark, or one drawn now from ``html`` and kept. Raises Refusal."""
        file = self._folder / f"{owner}-{hashlib.sha256(mark.encode()).hexdigest()[:40]}.pdf"
        try:
            return file.read_bytes()
        except FileNotFoundError:
            made = self.draw(html(), wait_seconds)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as written:
            written.write(made)
        draft.replace(file)
        return made

    def forget(self, owner: str) -> None:
        """Remove every file kept for an owner, for when a person's data is erased."""
        for file in self._folder.glob(f"{owner}-*.pdf*"):
            file.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what has been kept long enough; gives how many files that were."""
        before = (clock.now() - KEPT).timestamp()
        old = [file for file in self._folder.glob("*.pdf*") if file.stat().st_mtime < before]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)


# --- What stands on a document's paper -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stamp:
    """An issued document as its paper sees it; ``mark`` changes when anything that stands on the paper does."""

    document_id: int
    kind: DocKind
    number: str
    party: str
    mark: str


@cache
def _stamped() -> sa.Select[*tuple[Any, ...]]:
    """The question, put together once."""
    original, sold = aliased(Document), aliased(KlarnaOp)
    return (
        sa.select(
            Document.kind,
            Document.state,
            Document.number_text,
            Document.party,
            Document.version,
            Document.snapshot_sha256,
            Document.issue_date,
            KlarnaOp.klarna_short_ref,
            KlarnaOp.klarna_event_at,
            sold.klarna_short_ref.label("sold_as"),
            PaymentMethod.kind.label("paid_by"),
        )
        .outerjoin(KlarnaOp, KlarnaOp.id == Document.issued_by_op_id)
        .outerjoin(original, original.id == Document.original_id)
        .outerjoin(sold, sold.id == original.issued_by_op_id)
        .outerjoin(Order, Order.id == Document.order_id)
        .outerjoin(PaymentMethod, PaymentMethod.id == Order.payment_method_id)
        .where(Document.id == sa.bindparam("document_id"))
    )


def stamp(session: Session, document_id: int) -> Stamp:
    """The stamp of a document, in one question. Raises NotFound; Refusal for one that is not issued (fault 75)."""
    row = session.execute(_stamped(), {"document_id": document_id}).first()
    if row is None or row.state is DocState.DRAFT:
        raise NotFound
    if row.state is not DocState.ISSUED:
        raise Refusal(N_("Only an issued document can be printed."))
    return Stamp(document_id, row.kind, row.number_text, row.party or "{}", repr(tuple(row)))
