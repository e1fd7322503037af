"""Reading an answer: the whole table of operations 7, for a first attempt and for a later one; and the plan of asking again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from klarna_client import Answer
from models import KlarnaOp
from services.operations import KEY_WINDOW, QUIET, REPOST, Outcome, Verdict, next_ask, read_outcome, redact
from states import OPEN_OPS, AnswerClass, OpKind, OpState

PREPARED, UNKNOWN = OpState.PREPARED, OpState.UNKNOWN
CONFIRMED, REJECTED = OpState.CONFIRMED, OpState.REJECTED


def answered(status: int, code: str | None = None) -> Outcome:
    now = clock.now()
    return Outcome(AnswerClass.ANSWER, Answer(status, "", error_code=code), None, now, now, 1)


def nothing(kind: AnswerClass) -> Outcome:
    now = clock.now()
    return Outcome(kind, None, "cause", now if kind is AnswerClass.AMBIGUOUS else None, now, 1)


TABLE: list[tuple[str, Outcome, Verdict, Verdict]] = [
    ("created", answered(201), Verdict(CONFIRMED), Verdict(CONFIRMED)),
    ("done without content", answered(204), Verdict(CONFIRMED), Verdict(CONFIRMED)),
    *[
        (code, answered(403, code), Verdict(REJECTED), Verdict(UNKNOWN, refused_on_retry=True))
        for code in (
            "CAPTURE_NOT_ALLOWED",
            "REFUND_NOT_ALLOWED",
            "CANCEL_NOT_ALLOWED",
            "NOT_ALLOWED",
            "PAYMENT_METHOD_FAILED",
        )
    ],
    *[
        (f"{status} with a code", answered(status, "X"), Verdict(REJECTED), Verdict(UNKNOWN, refused_on_retry=True))
        for status in (400, 404, 413, 422)
    ],
    *[
        (f"{status} without a code", answered(status), Verdict(UNKNOWN), Verdict(UNKNOWN))
        for status in (400, 404, 413, 422, 403)
    ],
    ("401", answered(401), Verdict(PREPARED, breaker=True), Verdict(UNKNOWN, breaker=True)),
    (
        "401 as JSON",
        answered(401, "PERMISSION_DENIED"),
        Verdict(PREPARED, breaker=True),
        Verdict(UNKNOWN, breaker=True),
    ),
    ("429", answered(429, "TOO_MANY_REQUESTS"), Verdict(PREPARED, throttled=True), Verdict(UNKNOWN, throttled=True)),
    ("409", answered(409, "CONFLICT"), Verdict(UNKNOWN), Verdict(UNKNOWN)),
    (
        "403 with a code nobody listed",
        answered(403, "SOMETHING_NEW"),
        Verdict(UNKNOWN),
        Verdict(UNKNOWN, refused_on_retry=True),
    ),
    *[
        (f"{status}", answered(status, "E"), Verdict(UNKNOWN), Verdict(UNKNOWN))
        for status in (200, 202, 206, 302, 307, 402, 405, 418, 500, 502, 503, 504)
    ],
    ("surely not sent", nothing(AnswerClass.NOT_SENT), Verdict(PREPARED), Verdict(UNKNOWN)),
    ("nobody can tell", nothing(AnswerClass.AMBIGUOUS), Verdict(UNKNOWN), Verdict(UNKNOWN)),
]


@pytest.mark.parametrize(("outcome", "first", "later"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_answer_means_what_the_table_says(outcome: Outcome, first: Verdict, later: Verdict) -> None:
    """Operations 7: the same answer means less when an earlier attempt may have reached Klarna."""
    assert read_outcome(outcome, True, OpKind.CAPTURE) == first
    assert read_outcome(outcome, False, OpKind.REFUND) == later


def test_only_a_patch_is_done_by_200() -> None:
    assert read_outcome(answered(200), True, OpKind.UPDATE_AUTH).state is CONFIRMED
    assert read_outcome(answered(200), True, OpKind.CAPTURE).state is UNKNOWN


@pytest.mark.parametrize("status", range(200, 600))
def test_no_answer_but_a_success_ever_confirms(status: int) -> None:
    """Promise 2: nothing is guessed."""
    for code in (None, "CAPTURE_NOT_ALLOWED", "ANYTHING"):
        for first in (True, False):
            verdict = read_outcome(answered(status, code), first, OpKind.CAPTURE)
            assert (verdict.state is CONFIRMED) == (status in (201, 204))
            assert verdict.state in OPEN_OPS | {CONFIRMED, REJECTED}
            assert not (verdict.state is REJECTED and not first), "a refusal on a retry proves nothing"


def an_op(attempts: int, sent_ago: timedelta) -> KlarnaOp:
    first = clock.now() - sent_ago
    return KlarnaOp(attempts=attempts, first_sent_at=first, last_sent_at=first, post_allowed_until=first + KEY_WINDOW)


@pytest.mark.parametrize("attempts", range(1, len(REPOST) + 1))
def test_it_is_asked_again_by_klarnas_schedule_and_ours(attempts: int) -> None:
    """Janitor rule 3: 5 s, 1 min, 5 min, 30 min, 5 h, 22 h after the first send."""
    op = an_op(attempts, timedelta(0))
    assert abs(next_ask(op, False) - (clock.now() + REPOST[attempts - 1])) < timedelta(seconds=1)


def test_after_the_last_try_the_next_time_is_the_end_of_the_window() -> None:
    op = an_op(len(REPOST) + 1, timedelta(hours=22, minutes=30))
    assert op.post_allowed_until is not None
    assert next_ask(op, False) == op.post_allowed_until


def test_a_refusal_on_a_retry_waits_for_the_quiet_time() -> None:
    """Janitor rule 5."""
    op = an_op(2, timedelta(minutes=1))
    assert op.last_sent_at is not None
    assert next_ask(op, True) == op.last_sent_at + QUIET


@pytest.mark.parametrize(
    ("kept", "stored"),
    [
        ('{"national_identification_number":"19900101-1234"}', '{"national_identification_number":"******-****"}'),
        ("900101-1234", "******-****"),
        ("order_amount 104700", "order_amount 104700"),
    ],
)
def test_personal_numbers_are_masked_before_an_answer_is_kept(kept: str, stored: str) -> None:
    """Operations 2.2, X3."""
    assert redact(kept) == stored
    assert len(redact("x" * 20_000)) == 8_000


def test_nothing_of_this_needs_a_database(request: Any) -> None:
    """The table is a pure function: it can be read and tested as one."""
    assert "database" not in request.fixturenames
