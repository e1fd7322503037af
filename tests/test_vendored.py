"""What was copied from others is what they published: version, licence and checksum (security item 5)."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"
SPRITE = ROOT / "static" / "icons" / "sprite.svg"
ROW = re.compile(
    r"^\| (?P<file>[\w./-]+) \| (?P<package>[^|]+) \| (?P<version>[\d.]+) \| (?P<licence>[^|]+) \| [^|]+"
    r" \| (?P<sha>[0-9a-f]{64}) \|$",
    re.MULTILINE,
)


def listed() -> list[tuple[str, str, str]]:
    """File, version and checksum of each row of VENDORED.md."""
    return [(row["file"], row["version"], row["sha"]) for row in ROW.finditer((VENDOR / "VENDORED.md").read_text())]


@pytest.mark.parametrize(("name", "version", "sha"), listed())
def test_a_vendored_file_is_byte_for_byte_what_was_published(name: str, version: str, sha: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == sha, f"{name} {version}"


def test_no_file_lies_in_vendor_unlisted() -> None:
    here = {path.name for path in VENDOR.iterdir()} - {"VENDORED.md"}
    assert here == {name for name, _, _ in listed() if "/" not in name}


def test_htmx_is_the_version_the_settings_were_written_for() -> None:
    assert 'version:"2.0.11"' in (VENDOR / "htmx.min.js").read_text()


def test_each_icon_that_is_asked_for_is_in_the_sprite_and_none_twice() -> None:
    ids = [symbol.get("id") for symbol in ET.parse(SPRITE).getroot()]
    assert len(ids) == len(set(ids))
    states = {f"klarna-{s}" for s in ("reserved", "partly", "captured", "credited", "refused", "unknown", "cancelled")}
    states |= {f"paid-{s}" for s in ("none", "partly", "full", "over")}
    states |= {f"tone-{s}" for s in ("ok", "info", "busy", "warn", "bad", "idle", "off")}
    asked = set(states)
    for page in (ROOT / "templates").rglob("*.html"):
        text = page.read_text()
        asked |= set(re.findall(r'lucide\(\s*"([a-z0-9-]+)"(?!\s*~)\s*[,)]', text))
        asked |= set(re.findall(r'icon="([a-z0-9-]+)"', text))
    assert asked <= set(ids), asked - set(ids)


def test_the_sprite_keeps_to_the_strict_policy_and_names_its_source() -> None:
    text = SPRITE.read_text()
    assert "Lucide" in text and "ISC" in text
    assert not re.search(r"\bstyle=|<style|<script|\son\w+=|https?://(?!www\.w3\.org/2000/svg)", text)
