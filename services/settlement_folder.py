"""The watched folder: what Klarna's SFTP client drops there is read in by itself once it is whole, each file once.

Whole is what has kept its size and time for ten seconds. A file that was read is moved to ``read``; one that is wrong stays
where it is, with the row and the reason on the page, until it is corrected, put aside or tried again. Functions that take
``klarna`` own their transactions. Source: K47; reference 5.3; catalogue rows 47-61; fault rows 30-35.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Busy, NotFound, Refusal
from models import FolderFile
from rights import SYSTEM, Actor, Right
from services import audit, settlement_bytes
from services.gateway import Gateway
from services.settlement_import import read_in
from services.settlement_report import WIDE, Report
from services.settlement_sentences import keep

log = structlog.get_logger()

SETTLED_SECONDS = 10.0
READ = "read"
ASIDE = "aside"
MOST_FILES = 1_000
"""Looked at in one round; the rest has its turn when these are gone."""
MOST_SHOWN = 50
ENDING = ".csv"
"""Klarna drops PDF files beside the reports, and a client that is not done writes names of its own, such as ``.tmp``."""


class Mark(NamedTuple):
    """By what a file is known again: changed, it is another one."""

    name: str
    size_bytes: int
    modified_ns: int


class Watch:
    """One worker's look at the folder, round by round."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self._folder = folder
        self._copies = copies
        self._since: dict[Mark, float] = {}
        self._stuck: set[Mark] = set()
        self._there = True

    def run(self, klarna: Gateway) -> int:
        """One round: take every file that is whole and was not taken before. Returns how many were read or refused."""
        now = clock.monotonic()
        if not self._is_there():
            return 0
        marks = sorted(_reports_in(self._folder))[:MOST_FILES]
        self._since = {mark: self._since.get(mark, now) for mark in marks}
        with db.reading() as session:
            states, gone = _known(session, marks)
        if gone:
            db.transact(lambda session: session.execute(sa.delete(FolderFile).where(FolderFile.id.in_(gone))))
        taken = 0
        for mark in marks:
            state = states.get(mark)
            if state in (READ, ASIDE):
                self._move(mark, state)
            elif state is None and now - self._since[mark] >= SETTLED_SECONDS:
                taken += self._take(klarna, mark)
        return taken

    def _is_there(self) -> bool:
        """Whether the folder can be looked into; told when it goes and when it comes back, as a share on the net does."""
        before, self._there = self._there, is_readable(self._folder)
        if self._there != before:
            tell = log.info if self._there else log.error
            tell("settlements.folder_back" if self._there else "settlements.folder_gone")
        return self._there

    def _take(self, klarna: Gateway, mark: Mark) -> bool:
        path = self._folder.joinpath(mark.name)
        try:
            with settlement_bytes.copy_of(path, self._copies) as copy:
                if _mark(path) != mark or copy.seek(0, os.SEEK_END) != mark.size_bytes:
                    return False
                report = Report(copy, mark.name, limits=WIDE)
                read_in(klarna, SYSTEM, report, source="folder")
        except FileNotFoundError:
            # Another worker, or whoever dropped it, was faster.
            return False
        except Busy:
            return False
        except OSError as error:
            log.warning("settlements.folder_file_unreadable", name=mark.name, cause=str(error))
            why = Refusal(N_("The file cannot be opened: %(reason)s."), reason=error.strerror or "?")
            db.transact(lambda session: _remember(session, mark, "wrong", keep(why)))
        except Refusal as no:
            sentence = keep(no)
            db.transact(lambda session: _remember(session, mark, "wrong", sentence))
        else:
            db.transact(lambda session: _remember(session, mark, READ, None))
            self._move(mark, READ, report.sha256)
        return True

    def _move(self, mark: Mark, where: str, sha256: str = "") -> None:
        """Out of the way, under its own name where that is free. One that cannot be moved is remembered, and stays."""
        path, folder = self._folder.joinpath(mark.name), self._folder.joinpath(where)
        try:
            if _mark(path) != mark:
                return
            folder.mkdir(exist_ok=True)
            target = folder.joinpath(mark.name)
            if target.exists():
                target = target.with_stem(f"{target.stem}.{sha256[:12] or mark.modified_ns}")
            path.rename(target)
        except OSError as error:
            if mark not in self._stuck:
                log.warning("settlements.folder_file_not_moved", name=mark.name, cause=str(error))
            self._stuck.add(mark)


def is_readable(folder: Path) -> bool:
    """Whether the folder is there and its names can be read."""
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False


def _reports_in(folder: Path) -> Iterator[Mark]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or not name.casefold().endswith(ENDING) or not _can_be_kept(name):
                continue
            if not entry.is_file(follow_symlinks=False):
                continue
            try:
                there = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Mark(name, there.st_size, there.st_mtime_ns)


def _can_be_kept(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        log.warning("settlements.folder_name_not_utf8", name=ascii(name))
        return False
    return True


def _mark(path: Path) -> Mark:
    there = path.stat(follow_symlinks=False)
    return Mark(path.name, there.st_size, there.st_mtime_ns)


def _known(session: Session, marks: Sequence[Mark]) -> tuple[dict[Mark, str], list[int]]:
    """What became of these files before; and the wrong ones that are gone from the folder and wait for nobody any more."""
    there = set(marks)
    asked = sa.or_(FolderFile.name.in_([mark.name for mark in marks]), FolderFile.state == "wrong")
    states, gone = {}, []
    for each in session.scalars(sa.select(FolderFile).where(asked)):
        mark = Mark(each.name, each.size_bytes, each.modified_ns)
        if mark in there:
            states[mark] = each.state
        elif each.state == "wrong":
            gone.append(each.id)
    return states, gone


def _remember(session: Session, mark: Mark, state: str, because: str | None) -> None:
    same = sa.select(FolderFile).where(
        FolderFile.name == mark.name,
        FolderFile.size_bytes == mark.size_bytes,
        FolderFile.modified_ns == mark.modified_ns,
    )
    if session.scalar(same) is None:
        name, size, modified = mark
        seen = FolderFile(
            name=name, size_bytes=size, modified_ns=modified, state=state, because=because, seen_at=clock.now()
        )
        db.add_first(session, seen)


# --- What a person sees and does ---------------------------------------------------------------------------------------


def wrong_files(session: Session) -> Sequence[FolderFile]:
    """The files in the folder that could not be read, the newest first."""
    query = sa.select(FolderFile).where(FolderFile.state == "wrong").order_by(FolderFile.id.desc())
    return session.scalars(query.limit(MOST_SHOWN)).all()


def try_again(session: Session, actor: Actor, file_id: int) -> str:
    """Let a wrong file be read anew, as when its account has come since. Gives its name. Raises NotAllowed, NotFound."""
    found = _wrong(session, actor, file_id)
    session.delete(found)
    audit.write(session, actor, "settlement.file_again", f"folder_file:{file_id}", {"name": found.name})
    return found.name


def put_aside(session: Session, actor: Actor, file_id: int) -> str:
    """Let the worker move a wrong file to ``aside``. Gives its name. Raises NotAllowed, NotFound."""
    found = _wrong(session, actor, file_id)
    found.state = ASIDE
    audit.write(session, actor, "settlement.file_aside", f"folder_file:{file_id}", {"name": found.name})
    return found.name


def _wrong(session: Session, actor: Actor, file_id: int) -> FolderFile:
    actor.require(Right.BOOKS)
    found = session.get(FolderFile, file_id, with_for_update=True)
    if found is None or found.state != "wrong":
        raise NotFound
    return found
