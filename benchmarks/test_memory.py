"""Goal 10: what an idle server holds against an empty Flask app with the same imports, and what the unit suite waits for."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import Report, in_words, once
from tests import builders, databases

RSS = """
import gc, os
def rss():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
"""
EMPTY = (
    RSS
    + """
import app
from importlib import import_module
from pathlib import Path
for room in app.ROOMS:
    if Path("blueprints", room + ".py").exists():
        import_module("blueprints." + room)
import commands
from flask import Flask
bare = Flask("empty")
bare.add_url_rule("/", "index", lambda: "")
bare.test_client().get("/")
print(rss())
"""
)
FULL = (
    RSS
    + """
import sys
from pathlib import Path
from benchmarks.serving import Visitor, config_for
from app import create_app
made = create_app(config_for(sys.argv[1], Path(sys.argv[2])))
ask = {"login": made.test_client().get("/login").status_code}
print(rss())
"""
)


def _kilobytes(script: str, *arguments: str) -> int:
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, cwd=root
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout.split()[-1])


def test_the_idle_server(folder: Path, report: Report) -> None:
    url = f"sqlite:///{folder / 'kvitta.db'}"
    databases.furnish(url, builders.furnish_company)
    empty = statistics.median(_kilobytes(EMPTY) for _ in range(3))
    full = statistics.median(_kilobytes(FULL, url, str(folder)) for _ in range(3))
    report.tell(
        "10",
        "Idle memory of a server process; an empty Flask app with the same imports",
        floor=f"{empty / 1024:.0f} MB",
        kvitta=f"{full / 1024:.0f} MB",
        ratio=f"{full / empty:.2f}",
        wanted="≤ 2",
        met=full <= 2 * empty,
    )


def test_a_database_per_test(report: Report) -> None:
    every = databases.Databases()
    try:
        kind = every.of("sqlite")
        kind.template("company", builders.furnish_company)
        taken = [once(lambda: kind.drop(kind.make("company"))) for _ in range(50)]
        half = statistics.median(taken)
        report.tell(
            "10",
            "Unit suite: a fresh database per test, made and removed (SQLite)",
            kvitta=in_words(half),
            wanted="≤ 0.5 ms",
            met=half <= 0.0005,
        )
    finally:
        every.stop()


def test_the_start_of_the_suite(report: Report) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests"]
    bare = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-c",
        "/dev/null",
        "--rootdir",
        "/dev",
        "--disable-plugin-autoload",
        "-p",
        "no:cacheprovider",
        str(root / "tests" / "test_money.py"),
    ]
    taken, floor = [], []
    for _ in range(3):
        floor.append(once(lambda: subprocess.run(bare, capture_output=True, check=False, cwd=root)))
        taken.append(once(lambda: subprocess.run(command, capture_output=True, check=False, cwd=root)))
    half = statistics.median(taken)
    report.tell(
        "10",
        "Unit suite: start and collection; pytest alone on one file",
        floor=in_words(statistics.median(floor)),
        kvitta=in_words(half),
        ratio=f"{half / statistics.median(floor):.2f}",
        wanted="≤ 1 s",
        met=half <= 1,
    )
