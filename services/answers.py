"""What came back from an attempt, what it means, and how it is kept. Source: operations 2.2 and 7."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from klarna_client import Answer
from models import (
    KlarnaAnswer,
    KlarnaAttempt,
    KlarnaOp,
)
from services.gateway import Access
from services.looks import MOST_STORED
from states import AnswerClass, OpKind, OpState

REFUSAL_CODES_403 = frozenset(
    {"CAPTURE_NOT_ALLOWED", "REFUND_NOT_ALLOWED", "CANCEL_NOT_ALLOWED", "NOT_ALLOWED", "PAYMENT_METHOD_FAILED"}
)
REFUSAL_STATUSES = frozenset({400, 404, 413, 422})
HOLDS_NOTHING = frozenset({401, 429})
"""Answered before the operation is looked at; they close nothing."""
_DIGITS = re.compile(r"\b(?:\d{6}|\d{8})[-+ ]?\d{4}\b")


@dataclass(frozen=True, slots=True)
class Permission:
    """A send permission that was committed: who, what, until when."""

    op_id: str
    attempt_id: int
    access: Access
    method: str
    path: str
    body: bytes
    key: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. ``first_byte_at`` is None when nothing left."""

    answer_class: AnswerClass
    answer: Answer | None
    cause: str | None
    first_byte_at: datetime | None
    ended_at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What section 7 makes of an outcome."""

    state: OpState
    breaker: bool = False
    refused_on_retry: bool = False
    throttled: bool = False


def read_outcome(outcome: Outcome, first: bool, kind: OpKind) -> Verdict:
    """What an outcome means, for a first attempt and for later ones: the table of operations 7, as a pure function."""
    if outcome.answer_class is AnswerClass.NOT_SENT:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN)
    answer = outcome.answer
    if answer is None:
        return Verdict(OpState.UNKNOWN)
    if answer.status in _successes(kind):
        return Verdict(OpState.CONFIRMED)
    if answer.status == 401:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN, breaker=True)
    if answer.status == 429:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN, throttled=True)
    refused = answer.error_code is not None and (
        (answer.status == 403 and answer.error_code in REFUSAL_CODES_403) or answer.status in REFUSAL_STATUSES
    )
    if refused:
        return Verdict(OpState.REJECTED) if first else Verdict(OpState.UNKNOWN, refused_on_retry=True)
    # A code nobody has listed is not guessed; said twice it is a refusal for the janitor to settle by a look (rule 5).
    again = not first and answer.status == 403 and answer.error_code is not None
    return Verdict(OpState.UNKNOWN, refused_on_retry=again)


def _successes(kind: OpKind) -> tuple[int, ...]:
    return (200, 201, 204) if kind is OpKind.UPDATE_AUTH else (201, 204)


def may_have_reached(session: Session, op: KlarnaOp, besides: int | None = None) -> bool:
    """Whether an attempt (besides one) may have reached Klarna: no answer, an unclear one, or one but 401 and 429."""
    return any(
        answer_class is None
        or answer_class is AnswerClass.AMBIGUOUS
        or (answer_class is AnswerClass.ANSWER and status not in HOLDS_NOTHING)
        for answer_class, status in answers_so_far(session, op, besides)
    )


def answers_so_far(session: Session, op: KlarnaOp, besides: int | None) -> list[tuple[AnswerClass | None, int | None]]:
    """Class and status of every attempt's answer so far, None where there is none."""
    rows = session.execute(
        select(KlarnaAttempt.id, KlarnaAnswer.answer_class, KlarnaAnswer.http_status)
        .outerjoin(KlarnaAnswer, KlarnaAnswer.attempt_id == KlarnaAttempt.id)
        .where(KlarnaAttempt.op_id == op.id)
    )
    return [(answer_class, status) for attempt_id, answer_class, status in rows if attempt_id != besides]


def redact(text: str) -> str:
    """An answer's body as it may be kept: personal numbers masked, at most 8 kB (operations 2.2, security 57)."""
    return _DIGITS.sub("******-****", text)[:MOST_STORED]


def append_answer(session: Session, permission: Permission, outcome: Outcome, late: bool) -> None:
    """Keep the outcome of an attempt, once."""
    if session.scalar(select(KlarnaAnswer.id).where(KlarnaAnswer.attempt_id == permission.attempt_id)) is not None:
        return
    answer = outcome.answer
    session.add(
        KlarnaAnswer(
            attempt_id=permission.attempt_id,
            first_byte_at=outcome.first_byte_at,
            ended_at=outcome.ended_at,
            answer_class=outcome.answer_class,
            cause=outcome.cause,
            http_status=answer.status if answer else None,
            error_code=answer.error_code if answer else None,
            error_messages=json.dumps(answer.error_messages, ensure_ascii=False) if answer else None,
            correlation_id=answer.correlation_id if answer else None,
            object_id=answer.object_id if answer else None,
            retry_after=answer.retry_after if answer else None,
            duration_ms=outcome.duration_ms,
            body=redact(answer.text) if answer else "",
            late=late,
        )
    )
    session.flush()


def recorded_success(session: Session, op: KlarnaOp) -> KlarnaAnswer | None:
    """A 2xx that was kept while our own booking failed."""
    return session.scalar(
        select(KlarnaAnswer)
        .join(KlarnaAttempt, KlarnaAttempt.id == KlarnaAnswer.attempt_id)
        .where(KlarnaAttempt.op_id == op.id, KlarnaAnswer.http_status.in_(_successes(op.kind)))
        .order_by(KlarnaAnswer.id)
        .limit(1)
    )


def last_answer(session: Session, op: KlarnaOp) -> KlarnaAnswer | None:
    """The latest answer of an operation, for the page and for «Kopiera allt» (K16)."""
    return session.scalar(
        select(KlarnaAnswer)
        .join(KlarnaAttempt, KlarnaAttempt.id == KlarnaAnswer.attempt_id)
        .where(KlarnaAttempt.op_id == op.id)
        .order_by(KlarnaAnswer.id.desc())
        .limit(1)
    )


def retry_after(outcome: Outcome, attempts: int) -> datetime:
    """When to ask again after a 429: as Klarna says, else 5 s doubling, with jitter."""
    said = outcome.answer.retry_after if outcome.answer else None
    seconds = float(said) if said is not None else 5.0 * 2 ** min(attempts, 6)
    return clock.now() + timedelta(seconds=seconds + random.uniform(0, 1))  # noqa: S311 - spreads load, guards nothing
