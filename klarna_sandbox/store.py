"""The sandbox's memory on disk: one SQLite table of JSON documents, written through in one transaction per change."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SCHEMA = "CREATE TABLE IF NOT EXISTS document (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"


def dump(document: object) -> str:
    """JSON of a record or of plain data."""
    return json.dumps(document, default=vars, ensure_ascii=False, separators=(",", ":"))


class Store:
    """Documents by kind and id. Without a path nothing is kept. The caller holds the sandbox's lock."""

    def __init__(self, path: str | Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(SCHEMA)

    def write(self, saved: Iterable[tuple[str, str, object]], removed: Iterable[tuple[str, str]] = ()) -> None:
        """Keep and forget these documents, all or none."""
        if self._connection is None:
            return
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            cursor.executemany(
                "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                ((kind, id_, dump(document)) for kind, id_, document in saved),
            )
            cursor.executemany("DELETE FROM document WHERE kind = ? AND id = ?", removed)
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise

    def read(self, kind: str) -> Iterator[Any]:
        """Every document of a kind, by id."""
        if self._connection is not None:
            query = "SELECT body FROM document WHERE kind = ? ORDER BY id"
            for (body,) in self._connection.execute(query, (kind,)):
                yield json.loads(body)

    def clear(self, kind: str | None = None) -> None:
        """Forget everything, or everything of a kind."""
        if self._connection is not None:
            if kind is None:
                self._connection.execute("DELETE FROM document")
            else:
                self._connection.execute("DELETE FROM document WHERE kind = ?", (kind,))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
