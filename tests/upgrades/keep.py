"""Keep books of this schema for the upgrades to come: ``.venv/bin/python -m pytest tests/upgrades/keep.py --database sqlite``.

Run before a new migration is written, with the program as it stands; ``tests/test_upgrades.py`` reads what it leaves here.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pysqlite3
from flask import Flask

import db
import migrations
from klarna_sandbox.control import Control
from tests.services.test_verify import a_world


def test_the_books_are_kept(books: Flask, sandbox: Control, tmp_path: Path) -> None:
    a_world(sandbox)
    kept = tmp_path / "books.db"
    source = pysqlite3.connect(db.db.engine.url.database)
    source.execute(f"VACUUM INTO '{kept}'")
    source.close()
    target = Path(__file__).with_name(f"{migrations.head()}.db.gz")
    target.write_bytes(gzip.compress(kept.read_bytes(), mtime=0))
