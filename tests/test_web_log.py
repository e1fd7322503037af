"""What never stands in a log (security 47, 58)."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import web_log
from web_log import clean, keep_secrets


@pytest.mark.parametrize(
    "text", ["8112189876", "811218-9876", "198112189876", "19811218-9876", "811218+9876", "811278-9873"]
)
def test_personal_numbers_are_hidden_in_every_form(text: str) -> None:
    assert clean(f"order of {text} refused") == "order of [personal number] refused"


@pytest.mark.parametrize("text", ["8112189875", "4258042581", "556737-0431", "1234567890123456"])
def test_other_numbers_are_kept(text: str) -> None:
    assert clean(text) == text


def test_addresses_and_credentials_are_hidden() -> None:
    assert clean("from anna.ek@example.se") == "from [e-mail]"
    assert clean("Authorization: Basic UEs4Xzg5OmFiY2RlZg==") == "Authorization: Basic [removed]"


@pytest.mark.parametrize(
    "name", ["Authorization", "cookie", "Set-Cookie", "password", "csrf_token", "client_secret", "api_key"]
)
def test_secrets_are_known_by_their_names(name: str) -> None:
    line = keep_secrets(None, "info", {"event": "x", name: "canary", "deep": {name: ["canary"]}})
    assert "canary" not in json.dumps(line)


@given(st.text())
def test_a_log_line_stays_one_line(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable() or not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in cleaned)


def test_lines_of_other_packages_pass_the_same_filter() -> None:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    try:
        web_log.set_up()
        out = io.StringIO()
        root.handlers[0].setStream(out)
        logging.getLogger("urllib3").warning("sent to %s\nwith Basic QUJDREVGRw==", "a@b.se")
        structlog.get_logger("kvitta.test").info("hello", password="canary", n=1)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["event"] == "sent to [e-mail]\\u000awith Basic [removed]"
    assert (second["event"], second["password"], second["n"], second["level"]) == ("hello", "[removed]", 1, "info")
