"""Which Chromium the browser tests drive: the system's, else the one Playwright has installed.

``python -m tests.browser.chromium`` prints it, or why there is none and ends with 1.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WHY_NOT = "there is no Chromium: install Debian's chromium, or run .venv/bin/playwright install chromium"


def find() -> str | None:
    """The path of a browser; None when there is none. KVITTA_CHROMIUM names another."""
    named = os.environ.get("KVITTA_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    for name in NAMES:
        if found := shutil.which(name):
            return found
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    made = sorted(own.glob("chromium-*/chrome-linux*/chrome"))
    return str(made[-1]) if made else None


if __name__ == "__main__":
    print(find() or WHY_NOT)
    sys.exit(0 if find() else 1)
