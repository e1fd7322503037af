"""Prepare a clone so that Kvitta runs: ``python3 scripts/set_up.py run|test [--named]``. Standard library only.

Makes ``.venv``, installs the pinned requirements when they have changed, compiles the translations, sees to what PDF files need
from the operating system and, for ``test``, to a browser. What stands in the way is said in one sentence with what to do about
it, and the exit status is 1. ``--named``: this Python was asked for by name, so no quicker one takes its place.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)
NEWER = ("3.14", "3.13", "3.12", "3.11")
SYSTEM = "/usr/bin/python3"
"""The Python of the operating system, which its makers build with optimisation."""
REQUIREMENTS = {"run": ("requirements.txt",), "test": ("requirements.txt", "requirements-dev.txt")}
LOG = ROOT / "var" / "set_up.log"
PAPER = ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0")
PAPER_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-liberation"
NO_NETWORK = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ProxyError",
    "No matching distribution found",
)
NO_COMPILER = (
    "error: command 'gcc' failed",
    "error: command 'cc' failed",
    "unable to execute 'gcc'",
    "No such file or directory: 'gcc'",
    "Python.h: No such file",
)


class Stop(Exception):
    """What stands in the way, as one sentence."""


def python_of_venv() -> Path:
    """The interpreter inside ``.venv``."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python(argv: "list[str]") -> None:
    """Go on with a newer Python of this machine when this one is too old. Raises Stop when there is none."""
    if sys.version_info >= OLDEST:
        return
    for version in NEWER:
        found = shutil.which("python" + version)
        if found:
            os.execv(found, [found, *argv])  # noqa: S606 - the same script, a newer Python
    own = ".".join(map(str, sys.version_info[:2]))
    raise Stop("Kvitta needs Python 3.11 or newer; this is Python " + own + ". Install a newer one and try again.")


def check_writable() -> None:
    """Raises Stop when nothing can be written beside the program."""
    try:
        (ROOT / "var").mkdir(exist_ok=True)
        LOG.write_text("", encoding="utf-8")
    except OSError as error:
        raise Stop(
            f"The folder {ROOT} cannot be written to ({error.strerror}). Copy it to a place of your own."
        ) from error


def make_venv(*, named: bool = False) -> None:
    """Make the virtual environment once. Raises Stop."""
    if python_of_venv().exists() and _same_python():
        return
    python = sys.executable if named else quicker_python() or sys.executable
    print("Making .venv …" if python == sys.executable else f"Making .venv of {python} …", flush=True)
    made = subprocess.run([python, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False)
    _log(made)
    if made.returncode:
        hint = (
            " On Debian and Ubuntu: apt-get install python3-venv." if "ensurepip" in made.stdout + made.stderr else ""
        )
        raise Stop(f"A virtual environment cannot be made in {VENV}.{hint} The details are in {LOG}.")


def quicker_python() -> "str | None":
    """The operating system's Python where this one was compiled without optimisation, as pyenv does unless told otherwise.

    Such a one takes half as long again for plain Python, and Kvitta's pages a fifth longer. None where nothing is to be gained.
    """
    configured = sysconfig.get_config_var("CONFIG_ARGS")
    if configured is None or "--enable-optimizations" in configured or sys.base_prefix == "/usr":
        return None
    oldest = ", ".join(map(str, OLDEST))
    fit = f"import ensurepip, sys, venv; sys.exit(sys.version_info < ({oldest}))"
    try:
        asked = subprocess.run([SYSTEM, "-c", fit], capture_output=True, check=False)
    except OSError:
        return None
    return None if asked.returncode else SYSTEM


def _same_python() -> bool:
    """Whether .venv still works: an upgraded or removed system Python leaves it broken."""
    asked = subprocess.run([str(python_of_venv()), "-c", "import pip"], capture_output=True, check=False)
    return asked.returncode == 0


def install(group: str) -> None:
    """Install the pinned packages of a group when they or Python have changed. Raises Stop."""
    names = REQUIREMENTS[group]
    version = subprocess.run([str(python_of_venv()), "-VV"], capture_output=True, text=True, check=False).stdout
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in names) + version.encode()).hexdigest()
    mark = VENV / f"installed-{group}"
    if mark.exists() and mark.read_text() == wanted:
        return
    print(f"Installing the packages of {names[-1]} (the first time takes a minute) …", flush=True)
    command = [
        str(python_of_venv()),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "-r",
        names[-1],
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    _log(done)
    if done.returncode:
        raise Stop(_why_not(done.stdout + done.stderr))
    mark.write_text(wanted)


def _why_not(said: str) -> str:
    if any(sign in said for sign in NO_COMPILER):
        return (
            "A package has to be compiled here, and there is no C compiler. On Debian and Ubuntu: apt-get install "
            f"build-essential python3-dev. The details are in {LOG}."
        )
    if any(sign in said for sign in NO_NETWORK):
        return (
            f"The packages cannot be fetched. Check the network or the proxy and try again. The details are in {LOG}."
        )
    if "No space left on device" in said:
        return "There is no space left on the disk. Make room and try again."
    return f"The packages cannot be installed. The details are in {LOG}."


def _log(done: "subprocess.CompletedProcess[str]") -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(done.args)}\n{done.stdout}{done.stderr}\n")


def compile_translations() -> None:
    """Compile every catalogue that is newer than its compiled form. Raises Stop."""
    for source in sorted((ROOT / "translations").glob("*/LC_MESSAGES/*.po")):
        compiled = source.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime:
            continue
        command = [
            str(python_of_venv()),
            "-m",
            "babel.messages.frontend",
            "-q",
            "compile",
            "-i",
            str(source),
            "-o",
            str(compiled),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        _log(done)
        if done.returncode:
            raise Stop(f"The translation {source.relative_to(ROOT)} cannot be compiled. The details are in {LOG}.")


def find_paper() -> None:
    """See to the libraries that draw PDF files, on Linux and where we may install them; tried once.

    Without them Kvitta works, the PDF buttons are off with the reason, and the tests of them are reported as skipped.
    """
    if not sys.platform.startswith("linux") or all(map(_loads, PAPER)):
        return
    tried = VENV / "paper-tried"
    if _may_apt() and not tried.exists():
        print("Getting what PDF files need (apt-get install libpango) …", flush=True)
        done = _apt(PAPER_PACKAGES)
        tried.write_text("")
        if done:
            return
    print(f"PDF files cannot be made here. On Debian and Ubuntu: apt-get install {PAPER_PACKAGES}.", flush=True)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _may_apt() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_script(packages: str) -> "list[str]":
    return ["sh", "-c", f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {packages}"]


def _apt(packages: str) -> bool:
    done = subprocess.run(_apt_script(packages), cwd=ROOT, capture_output=True, text=True, check=False, env=_quiet())
    _log(done)
    return done.returncode == 0


def find_browser() -> None:
    """See to a Chromium for the browser tests: the system's, Debian's when we may install it, else Playwright's own.

    Without one the browser tests are reported as skipped, with the reason kept here.
    """
    asked = subprocess.run(
        [str(python_of_venv()), "-m", "tests.browser.chromium"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        return
    reasons = []
    for name, command in _ways():
        print(f"Getting a browser for the tests ({name}) …", flush=True)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=_quiet())
        _log(done)
        if done.returncode == 0:
            return
        reasons.append(f"{name} failed")
    print(f"No browser for the tests: {' and '.join(reasons)}. They will be reported as skipped.", flush=True)


def _ways() -> "list[tuple[str, list[str]]]":
    ways = []
    if _may_apt():
        # The shell draws the same pages for half the work; where it is not packaged, the whole browser does.
        ways += [(f"apt-get install {name}", _apt_script(name)) for name in ("chromium-headless-shell", "chromium")]
    ways.append(("playwright install chromium", [str(python_of_venv()), "-m", "playwright", "install", "chromium"]))
    return ways


def find_redis() -> None:
    """See to a Redis for the tests of the queue: the system's, or Debian's when we may install it.

    Without one these tests are reported as skipped, with the reason.
    """
    if shutil.which("redis-server"):
        return
    if _may_apt():
        print("Getting a Redis for the tests (apt-get install redis-server) …", flush=True)
        if _apt("redis-server"):
            return
    print("No Redis for the tests: install redis-server. Its tests will be reported as skipped.", flush=True)


def _quiet() -> "dict[str, str]":
    """No questions, and no service that starts because its package was installed."""
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def main(argv: "list[str]") -> int:
    """Prepare for ``run`` or ``test``; gives the exit status."""
    named = "--named" in argv
    group = next((each for each in argv[1:] if each != "--named"), "run")
    if group not in REQUIREMENTS:
        print(f"Say run or test, not {group}.", file=sys.stderr)
        return 2
    try:
        check_python(argv)
        check_writable()
        make_venv(named=named)
        install(group)
        compile_translations()
        find_paper()
        if group == "test":
            find_browser()
            find_redis()
    except Stop as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
