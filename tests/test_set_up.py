"""What stands in the way of a first start is said in one sentence, and nothing is half done."""

from __future__ import annotations

import importlib.util
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from demo import start
from demo.stack import CannotStart, Stack, passphrase, require_free

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up script, working on an empty folder."""
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "scripts" / "set_up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOG", tmp_path / "var" / "set_up.log")
    return module


def test_an_old_python_is_named(set_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(set_up.shutil, "which", lambda _name: None)
    with pytest.raises(set_up.Stop, match=r"needs Python 3\.11 or newer; this is Python 3\.9\."):
        set_up.check_python(["set_up.py", "run"])


@pytest.fixture
def by_hand(set_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if this Python had been compiled without optimisation, beside a system's Python that fits; gives the latter."""
    monkeypatch.setattr(set_up.sysconfig, "get_config_var", lambda _name: "'--enable-shared'")
    monkeypatch.setattr(sys, "base_prefix", "/home/somebody/python")
    system = tmp_path / "python3"
    system.write_text("#!/bin/sh\nexit 0\n")
    system.chmod(0o755)
    monkeypatch.setattr(set_up, "SYSTEM", str(system))
    return system


def test_a_python_compiled_without_optimisation_gives_way_to_the_systems(set_up: ModuleType, by_hand: Path) -> None:
    assert set_up.quicker_python() == str(by_hand)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sysconfig.get_config_var", lambda _name: "'--enable-optimizations' '--with-lto'"),
        ("sysconfig.get_config_var", lambda _name: None),
        ("sys.base_prefix", "/usr"),
    ],
)
def test_a_python_that_is_quick_or_says_nothing_of_itself_stays(
    set_up: ModuleType, by_hand: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(name, value)
    assert by_hand.exists()
    assert set_up.quicker_python() is None


def test_a_systems_python_that_is_too_old_or_not_there_is_not_taken(set_up: ModuleType, by_hand: Path) -> None:
    by_hand.write_text("#!/bin/sh\nexit 1\n")
    assert set_up.quicker_python() is None
    by_hand.unlink()
    assert set_up.quicker_python() is None


@pytest.mark.parametrize("named", [False, True])
def test_the_environment_is_made_of_the_quicker_python_unless_one_was_named(
    set_up: ModuleType, by_hand: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    made_of: list[str] = []

    def pretend(command: list[str], **_how: object) -> subprocess.CompletedProcess[str]:
        if "--clear" in command:
            made_of.append(command[0])
        return subprocess.CompletedProcess(command, 0, "", "")

    set_up.check_writable()
    monkeypatch.setattr(set_up.subprocess, "run", pretend)
    set_up.make_venv(named=named)
    assert made_of == [sys.executable if named else str(by_hand)]


def test_make_says_when_a_python_was_named() -> None:
    around = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "MAKEFLAGS", "MFLAGS"}}

    def command(*given: str) -> str:
        make = ["make", "--no-print-directory", "-n", "setup", *given]
        return subprocess.run(make, cwd=ROOT, env=around, capture_output=True, text=True, check=True).stdout

    assert "--named" not in command()
    assert command("PYTHON=python3.11").strip() == "python3.11 scripts/set_up.py run --named"


def test_a_folder_that_cannot_be_written_to_is_named(set_up: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where the folder should be")
    with pytest.raises(set_up.Stop, match="cannot be written to"):
        set_up.check_writable()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("error: command 'gcc' failed: No such file or directory", "there is no C compiler"),
        ("HTTPSConnectionPool: NewConnectionError: Temporary failure in name resolution", "Check the network"),
        ("OSError: [Errno 28] No space left on device", "no space left"),
        ("something else", "cannot be installed"),
    ],
)
def test_why_the_packages_are_not_installed(set_up: ModuleType, said: str, sentence: str) -> None:
    assert sentence in set_up._why_not(said)


def test_packages_are_installed_only_when_they_have_changed(
    set_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def pretend(command: list[str], **_how: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0, "Python 3.11.9\n", "")

    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements.txt").write_text("flask==3.1.3\n")
    set_up.check_writable()
    monkeypatch.setattr(set_up.subprocess, "run", pretend)
    installs = 0
    for text, wanted in (("flask==3.1.3\n", 1), ("flask==3.1.3\n", 1), ("flask==3.1.4\n", 2)):
        (tmp_path / "requirements.txt").write_text(text)
        set_up.install("run")
        installs = sum("install" in command for command in calls)
        assert installs == wanted


def test_a_port_that_is_taken_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotStart, match="make run PORT=8010"):
            require_free(taken.getsockname()[1], "make run PORT=8010")


def test_the_demo_is_started_once(tmp_path: Path) -> None:
    with start.alone(tmp_path / "demo"), pytest.raises(CannotStart, match="running already"):
        with start.alone(tmp_path / "demo"):
            pass


def test_reset_leaves_a_folder_alone_that_is_not_the_demos(tmp_path: Path) -> None:
    (tmp_path / "kvitta.db").write_text("somebody's books")
    with pytest.raises(CannotStart, match="left as it is"):
        start.reset(tmp_path)
    assert (tmp_path / "kvitta.db").exists()


def test_reset_removes_what_the_demo_made(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / start.OURS).touch()
    start.reset(folder)
    assert not folder.exists()


def test_the_demo_never_touches_other_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://real/books")
    monkeypatch.setenv("KVITTA_DATA", "/var/lib/kvitta")
    settings = Stack(tmp_path, 1, 2).settings()
    assert "DATABASE_URL" not in settings
    assert settings["KVITTA_DATA"] == str(tmp_path)


def test_a_part_that_does_not_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 1, 2)
    stack._start("worker", ["-c", "raise SystemExit('no such thing')"], lambda: False)
    try:
        with pytest.raises(CannotStart, match=r"(?s)worker has stopped with exit status 1.*no such thing"):
            stack.wait()
    finally:
        stack.stop()


def test_everything_is_stopped(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 1, 2)
    stack._start("stubborn", ["-c", "import time; time.sleep(60)"], lambda: True)
    process = stack.parts[0].process
    assert process is not None
    stack.stop()
    assert process.poll() is not None


def test_passphrases_differ_and_logs_are_for_their_owner_only(tmp_path: Path) -> None:
    assert len({passphrase() for _ in range(20)}) == 20
    stack = Stack(tmp_path, 1, 2)
    stack._start("part", ["-c", "pass"], lambda: True)
    stack.stop()
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_make_help_names_every_target() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "reset", "test", "check", "setup", "lint", "types", "translations", "bench"):
        assert f"make {target} " in said


def test_a_redis_is_installed_only_where_we_may_and_none_is_there(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(set_up.shutil, "which", lambda name: None if name == "redis-server" else f"/usr/bin/{name}")
    monkeypatch.setattr(set_up, "_apt", lambda packages: bool(asked.append(packages)) or len(asked) == 1)
    monkeypatch.setattr(set_up.os, "geteuid", lambda: 0)
    set_up.find_redis()
    assert asked == ["redis-server"] and "No Redis" not in capsys.readouterr().out
    set_up.find_redis()
    assert "install redis-server" in capsys.readouterr().out, "it could not be installed"
    monkeypatch.setattr(set_up.os, "geteuid", lambda: 1000)
    set_up.find_redis()
    assert len(asked) == 2 and "will be reported as skipped" in capsys.readouterr().out
    monkeypatch.setattr(set_up.shutil, "which", lambda name: f"/usr/bin/{name}")
    set_up.find_redis()
    assert not capsys.readouterr().out
