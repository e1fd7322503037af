"""The bytes of settlement reports: a copy of one's own while a report is read, and parts under their hash once it is kept.

A report may be larger than memory, so whatever reads it is given a stream. Source: operations 14 (files).
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

import db
from errors import BrokenRule
from models import ReadingPart

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

COPY_BYTES = 1 << 18
PART_BYTES = 1 << 20
"""A part is written in one transaction, and is what is in memory while a kept report is read."""


def copy_of(path: Path, folder: Path) -> IO[bytes]:
    """A copy of a file that nobody else can change or take away while it is read; it is gone once it is closed."""
    made = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - whoever asked for it closes it
    with path.open("rb") as source:
        while block := source.read(COPY_BYTES):
            made.write(block)
    made.seek(0)
    return made


def fingerprint(stream: IO[bytes]) -> str:
    """The hash of a stream from its beginning."""
    stream.seek(0)
    digest = hashlib.sha256()
    while block := stream.read(COPY_BYTES):
        digest.update(block)
    return digest.hexdigest()


def keep(stream: IO[bytes], sha256: str) -> None:
    """Keep a report's bytes, part by part, each in a transaction of its own; what a run that was cut off left is gone on with."""
    with db.reading() as session:
        there, offset = session.execute(
            sa.select(
                sa.func.coalesce(sa.func.max(ReadingPart.part_no), 0),
                sa.func.coalesce(sa.func.sum(sa.func.length(ReadingPart.content)), 0),
            ).where(ReadingPart.sha256 == sha256)
        ).one()
    stream.seek(int(offset))
    while content := stream.read(PART_BYTES):
        there += 1
        db.transact(lambda session, part=(sha256, there, content): _keep_part(session, *part))  # type: ignore[misc]


def _keep_part(session: Session, sha256: str, part_no: int, content: bytes) -> None:
    session.execute(
        sa.text(
            "INSERT INTO reading_part (sha256, part_no, content) VALUES (:sha256, :no, :content) ON CONFLICT DO NOTHING"
        ),
        {"sha256": sha256, "no": part_no, "content": content},
    )


def whole(sha256: str) -> IO[bytes]:
    """A kept report as a file of its own, for whoever reads it when no transaction can be had."""
    made = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
    number = 1
    while (content := _part(sha256, number)) is not None:
        made.write(content)
        number += 1
    made.seek(0)
    return made


def _part(sha256: str, number: int) -> bytes | None:
    with db.reading() as session:
        found = session.get(ReadingPart, (sha256, number))
        return None if found is None else found.content


class _Kept(io.RawIOBase):
    """A kept report as a stream."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256
        self._number, self._part, self._at = 1, memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset or whence:
            raise BrokenRule("a kept report is read from its beginning")
        self._number, self._part, self._at = 1, memoryview(b""), 0
        return 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._at == len(self._part):
            self._part, self._at = memoryview(_part(self._sha256, self._number) or b""), 0
            self._number += 1
        wanted = memoryview(buffer).cast("B")
        given = self._part[self._at : self._at + len(wanted)]
        wanted[: len(given)] = given
        self._at += len(given)
        return len(given)


def opened(sha256: str) -> IO[bytes]:
    """A kept report as a stream, from its beginning."""
    return io.BufferedReader(_Kept(sha256), COPY_BYTES)
