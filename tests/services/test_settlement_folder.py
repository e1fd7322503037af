"""The watched folder: only whole files are taken, each once; a wrong one says its row and waits to be corrected (K47)."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask

import clock
import tasks
from config import Config, Misconfigured, load
from db import reading, writing
from errors import NotAllowed, NotFound
from klarna_sandbox.control import Control
from services import settlement_folder, settlement_import, settlements
from services.gateway import Gateway
from services.settlement_folder import SETTLED_SECONDS, Watch
from states import PayoutState
from tests import worlds
from tests.builders import CLERK, FINANCE
from tests.services.settlement_parts import Doc, a_sale, all_is_well, counts, csv_of, files, payout_of, worker
from tests.threads import in_threads

__all__ = ("worker",)
pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
@worlds.kept
def made(klarna: Gateway, sandbox: Control) -> Doc:
    """A payout of one sale, at Klarna only."""
    a_sale(klarna, sandbox, 1_000_00)
    payout: Doc = sandbox.pay_out()[0]
    return payout


@pytest.fixture
def content(sandbox: Control, made: Doc) -> bytes:
    """Its report."""
    return csv_of(sandbox, made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


class Hours:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at

    def wait(self) -> None:
        self.at += SETTLED_SECONDS


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    made = Hours()
    monkeypatch.setattr(clock, "monotonic", made)
    return made


def look(watch: Watch, klarna: Gateway, hours: Hours) -> int:
    """Two looks, far enough apart for what lies still."""
    watch.run(klarna)
    hours.wait()
    return watch.run(klarna)


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def said() -> list[tuple[str, str]]:
    with reading() as session:
        wrong = settlement_folder.wrong_files(session)
        return [(each.name, str(settlements.told(each.because or ""))) for each in wrong]


def test_a_file_is_taken_when_it_is_whole_and_never_again(
    worker: Gateway, hours: Hours, folder: Path, content: bytes, made: Doc
) -> None:
    """K47, reference 5.3, fault row 30: what is still written, is no report or is no file of its own is left alone."""
    watch = Watch(folder, folder.parent)
    for name in ("a.csv.tmp", ".settlement.1.csv", "settlement.1.pdf", "b.csv.filepart"):
        (folder / name).write_bytes(content)
    (folder / "of-mine.csv").mkdir()
    (folder / "elsewhere.csv").symlink_to(folder / "a.csv.tmp")
    left_alone = names(folder)
    arriving = folder / f"{made['payment_reference']}_20260911T000000_0.CSV"
    for size in (300, 500):
        arriving.write_bytes(content[:size])
        assert look(watch, worker, hours) in (0, 1)
        if size == 300:
            # It lay still for ten seconds and is cut off: nothing is half read, and it is looked at anew as it grows.
            assert [name for name, _ in said()] == [arriving.name] and files() == 0
    arriving.write_bytes(content)
    assert watch.run(worker) == 0 and files() == 0
    hours.wait()
    assert watch.run(worker) == 1
    assert payout_of(made).state is PayoutState.BOOKED and payout_of(made).row_count
    assert names(folder) == sorted([*left_alone, f"read/{arriving.name}"]) and said() == []
    before = counts(), files()
    for name in (arriving.name, "the same again.csv"):
        (folder / name).write_bytes(content)
    assert look(watch, worker, hours) == 2
    assert (counts(), files()) == before and names(folder) == sorted(
        [
            *left_alone,
            *(f"read/{each}" for each in (arriving.name, "the same again.csv")),
            f"read/{arriving.stem}.{settlements.Report(content, '').sha256[:12]}.CSV",
        ]
    )
    all_is_well()


def test_a_wrong_file_says_its_row_and_waits_until_it_is_corrected(
    worker: Gateway, hours: Hours, folder: Path, content: bytes, made: Doc
) -> None:
    """Catalogue rows 47-59: nothing of it is stored, it stays where it is, and the reason is kept for the page."""
    watch, file = Watch(folder, folder.parent), folder / "settlement.csv"
    file.write_bytes(content.replace(b"1000.00;SEK", b"1 000,00;SEK"))
    assert look(watch, worker, hours) == 1
    ((name, why),) = said()
    assert name == file.name and why.startswith("Row 4: the amount “1 000,00” cannot be read.")
    hours.wait()
    assert watch.run(worker) == 0 and names(folder) == [file.name] and files() == 0

    with reading() as session:
        (wrong,) = settlement_folder.wrong_files(session)
    with pytest.raises(NotAllowed), writing() as session:
        settlement_folder.try_again(session, CLERK, wrong.id)
    with writing() as session:
        settlement_folder.try_again(session, FINANCE, wrong.id)
    assert watch.run(worker) == 1 and len(said()) == 1
    file.write_bytes(content)
    assert look(watch, worker, hours) == 1
    assert payout_of(made).state is PayoutState.BOOKED and said() == [] and names(folder) == [f"read/{file.name}"]

    file.write_bytes(b"no report")
    look(watch, worker, hours)
    with reading() as session:
        (wrong,) = settlement_folder.wrong_files(session)
    with writing() as session:
        settlement_folder.put_aside(session, FINANCE, wrong.id)
    assert watch.run(worker) == 0 and said() == [] and names(folder) == [f"aside/{file.name}", f"read/{file.name}"]
    with pytest.raises(NotFound), writing() as session:
        settlement_folder.try_again(session, FINANCE, wrong.id)

    # One that is taken away by whoever dropped it waits for nobody.
    file.write_bytes(b"no report either")
    look(watch, worker, hours)
    assert len(said()) == 1
    file.unlink()
    watch.run(worker)
    assert said() == []


@pytest.mark.only_on("sqlite")
def test_a_folder_that_has_gone_is_told_of_once_and_read_from_when_it_is_back(
    worker: Gateway, hours: Hours, folder: Path, content: bytes, made: Doc
) -> None:
    """K47: a share of the network goes and comes; the worker goes on with all else it reads."""
    watch = Watch(folder, folder.parent)
    (folder / "a.csv").write_bytes(content)
    away = folder.rename(folder.with_name("away"))
    with structlog.testing.capture_logs() as log:
        assert [look(watch, worker, hours) for _ in range(2)] == [0, 0]
        away.rename(folder)
        assert look(watch, worker, hours) == 1
    assert [each["event"] for each in log if each["event"].startswith("settlements.folder")] == [
        "settlements.folder_gone", "settlements.folder_back",
    ]  # fmt: skip
    assert payout_of(made).state is PayoutState.BOOKED


def test_a_file_that_changes_while_it_is_copied_is_left_for_the_next_look(
    worker: Gateway, hours: Hours, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, file = Watch(folder, folder.parent), folder / "settlement.csv"
    file.write_bytes(content)
    real = settlement_folder.settlement_bytes.copy_of

    def grows(path: Path, copies: Path) -> object:
        with path.open("ab") as more:
            more.write(b"SALE;1.00;a;SEK\n")
        return real(path, copies)

    monkeypatch.setattr(settlement_folder.settlement_bytes, "copy_of", grows)
    assert look(watch, worker, hours) == 0
    assert files() == 0 and said() == [] and names(folder) == [file.name]


@pytest.mark.only_on("sqlite")
def test_a_crash_between_reading_and_moving_is_gone_on_with(
    worker: Gateway, hours: Hours, folder: Path, content: bytes, made: Doc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault row 33: dead before the note, or before the move; and a folder that lets nothing be moved."""
    watch, file = Watch(folder, folder.parent), folder / "settlement.csv"
    file.write_bytes(content)
    with monkeypatch.context() as dying:

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        dying.setattr(settlement_folder, "_remember", dies)
        with pytest.raises(KeyboardInterrupt):
            look(watch, worker, hours)
    before = counts(), files()
    with monkeypatch.context() as kept:
        kept.setattr(Path, "rename", lambda *_: Path("/nothing").stat())
        assert look(Watch(folder, folder.parent), worker, hours) == 1
        assert names(folder) == [file.name]
        assert look(watch, worker, hours) == 0
    watch.run(worker)
    assert (counts(), files()) == before and names(folder) == [f"read/{file.name}"]
    all_is_well()


def test_two_workers_take_a_file_once(
    app: Flask,
    worker: Gateway,
    hours: Hours,
    folder: Path,
    content: bytes,
    made: Doc,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both have looked it through before either has stored it."""
    met, real, results = threading.Barrier(2), settlement_import.preview, []

    def meets(*told: Any) -> Any:
        planned = real(*told)
        if not met.broken and met.n_waiting < 2 and threading.get_ident() not in results:
            results.append(threading.get_ident())
            met.wait(10)
        return planned

    monkeypatch.setattr(settlement_import, "preview", meets)
    (folder / "settlement.csv").write_bytes(content)
    watches = [Watch(folder, folder.parent) for _ in range(2)]
    for watch in watches:
        watch.run(worker)
    hours.wait()
    assert in_threads(app, lambda number: watches[number].run(worker), 2) == []
    assert len(results) == 2 and files() == 1 and counts()[0] == 1 and said() == []
    assert names(folder) == ["read/settlement.csv"]
    settlements.finish(worker)
    assert payout_of(made).state is PayoutState.BOOKED
    all_is_well()


@pytest.mark.only_on("sqlite")
def test_the_worker_looks_into_the_folder_of_its_settings(
    app: Flask, config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop of its own, which also goes on with what was begun; a folder that cannot be is refused at the start."""
    monkeypatch.setattr(settlement_folder, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(tasks, "READINGS_SECONDS", 0.02)
    (folder / "settlement.csv").write_bytes(b"no report")
    made = tasks.start_readings(app, replace(config, settlement_folder=folder))
    ends = time.monotonic() + 20
    while not said() and time.monotonic() < ends:
        time.sleep(0.02)
    made.stop()
    assert [name for name, _ in said()] == ["settlement.csv"]
    assert load({"KVITTA_DATA": str(folder.parent), "SETTLEMENT_FOLDER": str(folder)}).settlement_folder == folder
    for wrong in ("in", str(folder / "none"), str(folder / "settlement.csv")):
        with pytest.raises(Misconfigured, match="SETTLEMENT_FOLDER must be the whole path"):
            load({"KVITTA_DATA": str(folder.parent), "SETTLEMENT_FOLDER": wrong})
