"""Acts at Klarna: limits, states, attempts and answers of operations; breaks (M1-M6, M10-M12, M14, M15)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import KlarnaAccount, KlarnaOp
from services.findings import Check, Finding, ask, broken, seconds_between
from states import OP_BEGINS, OP_MOVES, OpState

KEY_WINDOW_SECONDS = 23 * 3600


def limits_hold(session: Session) -> Iterator[Finding]:
    """M1: live captures ≤ authorised; live refunds ≤ captures that are proven; nothing negative."""
    live = "state IN ('PREPARED','SENDING','UNKNOWN','REVIEW','CONFIRMED','EXTERNAL')"
    yield from broken(
        session,
        "SELECT o.id, o.authorized_minor, sum(k.amount_minor) FROM sales_order o"
        f" JOIN klarna_op k ON k.order_id = o.id AND k.kind = 'CAPTURE' AND k.{live}"
        " WHERE o.authorized_minor IS NOT NULL GROUP BY o.id, o.authorized_minor"
        " HAVING sum(k.amount_minor) > o.authorized_minor",
        "order:{0}",
        "authorised {1}, captures {2}",
    )
    yield from broken(
        session,
        "SELECT order_id, sum(captured), sum(refunded) FROM (SELECT order_id,"
        " CASE WHEN kind = 'CAPTURE' AND state IN ('CONFIRMED','EXTERNAL') THEN amount_minor ELSE 0 END AS captured,"
        f" CASE WHEN kind = 'REFUND' AND {live} THEN amount_minor ELSE 0 END AS refunded"
        " FROM klarna_op) AS k GROUP BY order_id HAVING sum(refunded) > sum(captured)",
        "order:{0}",
        "captured {1}, refunds {2}",
    )
    yield from broken(
        session,
        "SELECT id FROM sales_order WHERE authorized_minor < 0 OR captured_minor < 0 OR refunded_minor < 0"
        " OR remaining_minor < 0 OR refunded_minor > captured_minor",
        "order:{0}",
        "a figure of Klarna's is negative, or more is refunded than captured",
    )


def one_act_at_a_time(session: Session) -> Iterator[Finding]:
    """M2: at most one open operation per Klarna order."""
    yield from broken(
        session,
        "SELECT klarna_order_id, count(*) FROM klarna_op WHERE state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"
        " GROUP BY klarna_order_id HAVING count(*) > 1",
        "klarna_order:{0}",
        "{1} open operations",
    )


def operation_moves_are_listed(session: Session) -> Iterator[Finding]:
    """M3: an operation's state is where its last event led; only listed moves; nothing after a final state."""
    yield from broken(
        session,
        "SELECT k.id, k.state, e.to_state FROM klarna_op k LEFT JOIN klarna_op_event e ON e.op_id = k.id"
        " AND e.seq = (SELECT max(x.seq) FROM klarna_op_event x WHERE x.op_id = k.id)"
        " WHERE e.to_state IS DISTINCT FROM k.state",
        "op:{0}",
        "is {1}, its last event says {2}",
    )
    for key, old, new, _ in ask(
        session,
        "SELECT op_id, from_state, to_state, count(*) FROM klarna_op_event"
        " WHERE from_state IS NULL OR from_state <> to_state GROUP BY op_id, from_state, to_state",
    ):
        if new not in (OP_BEGINS if old is None else OP_MOVES[OpState(old)]):
            yield Finding(f"op:{key}", f"went from {old} to {new}")
    yield from broken(
        session,
        "SELECT op_id, seq, before, from_state FROM (SELECT op_id, seq, from_state,"
        " lag(to_state) OVER (PARTITION BY op_id ORDER BY seq) AS before FROM klarna_op_event) AS e"
        " WHERE before IS NOT NULL AND from_state IS DISTINCT FROM before",
        "op:{0}",
        "event {1} begins in {3}, the one before it ended in {2}",
    )


def attempts_are_permitted(session: Session) -> Iterator[Finding]:
    """M4: no attempt before its operation, after the key window, or with another body or key than the operation's."""
    late = seconds_between(session, "t.permitted_at", "k.first_sent_at")
    yield from broken(
        session,
        "SELECT k.id, t.n FROM klarna_op k JOIN klarna_attempt t ON t.op_id = k.id"
        " WHERE t.permitted_at < k.created_at OR t.body_sha256 <> k.body_sha256 OR t.idempotency_key <> k.idempotency_key"
        f" OR (k.first_sent_at IS NOT NULL AND {late} > {KEY_WINDOW_SECONDS})",
        "op:{0}",
        "attempt {1} is too early, too late, or of another content or key",
    )
    yield from broken(
        session,
        "SELECT k.id, k.attempts, count(t.id), max(t.n) FROM klarna_op k LEFT JOIN klarna_attempt t ON t.op_id = k.id"
        " GROUP BY k.id, k.attempts HAVING count(t.id) <> k.attempts OR coalesce(max(t.n), 0) <> k.attempts",
        "op:{0}",
        "counts {1} attempts, there are {2}, the last is {3}",
    )
    rows = session.execute(
        sa.select(KlarnaOp.id, KlarnaOp.installation_id, KlarnaOp.idempotency_key, KlarnaOp.body, KlarnaOp.body_sha256)
        .where(KlarnaOp.state != OpState.EXTERNAL)
        .execution_options(yield_per=500)
    )
    for key, installation, told, body, digest in rows:
        if hashlib.sha256(body).hexdigest() != digest:
            yield Finding(f"op:{key}", "its bytes have been changed")
        if _key_of(installation, key) != told:
            yield Finding(f"op:{key}", "its key does not follow from installation and operation")


def _key_of(installation: str, op_id: str) -> str | None:
    try:
        return str(uuid.uuid5(uuid.UUID(installation), op_id))
    except ValueError:
        return None


def outcomes_are_proved(session: Session) -> Iterator[Finding]:
    """M5: CONFIRMED has a 2xx or evidence; REJECTED and NOT_EXECUTED have no 2xx and no settlement row, or a break says so."""
    yield from broken(
        session,
        "SELECT k.id FROM klarna_op k WHERE k.state = 'CONFIRMED' AND NOT EXISTS (SELECT 1 FROM klarna_attempt t"
        " JOIN klarna_answer a ON a.attempt_id = t.id WHERE t.op_id = k.id AND a.http_status BETWEEN 200 AND 299)"
        " AND NOT EXISTS (SELECT 1 FROM klarna_op_event e WHERE e.op_id = k.id AND e.to_state = 'CONFIRMED'"
        " AND e.evidence_kind IN ('look','settlement_row','person'))",
        "op:{0}",
        "is confirmed without proof",
    )
    no_break = "NOT EXISTS (SELECT 1 FROM klarna_break b WHERE b.op_id = k.id OR b.document_id = k.document_id)"
    yield from broken(
        session,
        "SELECT k.id, k.state, a.http_status FROM klarna_op k JOIN klarna_attempt t ON t.op_id = k.id"
        " JOIN klarna_answer a ON a.attempt_id = t.id WHERE k.state IN ('REJECTED','NOT_EXECUTED')"
        f" AND a.http_status BETWEEN 200 AND 299 AND {no_break}",
        "op:{0}",
        "is {1}, Klarna answered {2}",
    )
    yield from broken(
        session,
        "SELECT k.id, k.state, r.id FROM klarna_op k JOIN payout_row r ON"
        " (k.kind = 'CAPTURE' AND r.type = 'SALE' AND r.capture_reference = k.reference)"
        " OR (k.kind = 'REFUND' AND r.type = 'RETURN' AND r.refund_reference = k.reference)"
        " WHERE k.state IN ('REJECTED','NOT_EXECUTED') AND k.reference IS NOT NULL AND NOT EXISTS (SELECT 1 FROM klarna_op y"
        f" WHERE y.document_id = k.document_id AND y.state IN ('CONFIRMED','EXTERNAL')) AND {no_break}",
        "op:{0}",
        "is {1}, and settlement row {2} bears its number",
    )
    yield from _reservations_follow(session)


def _reservations_follow(session: Session) -> Iterator[Finding]:
    """What is confirmed of a reservation is what the order says, and only an act on one is without a document."""
    yield from broken(
        session,
        "SELECT id, kind FROM klarna_op"
        " WHERE kind IN ('CANCEL','RELEASE','EXTEND_AUTH','UPDATE_AUTH') AND (document_id IS NOT NULL OR state = 'EXTERNAL')",
        "op:{0}",
        "{1} has a document, or was made elsewhere",
    )
    yield from broken(
        session,
        "SELECT o.id, k.id FROM klarna_op k JOIN sales_order o ON o.id = k.order_id"
        " WHERE k.kind = 'CANCEL' AND k.state = 'CONFIRMED' AND o.state <> 'cancelled'",
        "order:{0}",
        "is open, and operation {1} has cancelled it at Klarna",
    )
    yield from broken(
        session,
        "SELECT k.id, k.kind, count(a.op_id) FROM klarna_op k LEFT JOIN order_amendment a ON a.op_id = k.id"
        " GROUP BY k.id, k.kind HAVING count(a.op_id) <> CASE WHEN k.kind = 'UPDATE_AUTH' THEN 1 ELSE 0 END",
        "op:{0}",
        "{1} keeps {2} lists of rows",
    )
    yield from broken(
        session,
        "SELECT o.id, o.total_minor, k.amount_minor FROM klarna_op k JOIN sales_order o ON o.id = k.order_id"
        " WHERE k.kind = 'UPDATE_AUTH' AND k.state = 'CONFIRMED' AND o.total_minor <> k.amount_minor"
        " AND NOT EXISTS (SELECT 1 FROM klarna_op x WHERE x.order_id = k.order_id AND x.kind = 'UPDATE_AUTH'"
        " AND x.state = 'CONFIRMED' AND x.created_at > k.created_at)",
        "order:{0}",
        "comes to {1}, Klarna has agreed to {2}",
    )


def nothing_is_left_behind(session: Session) -> Iterator[Finding]:
    """M6: no SENDING five minutes past its lease, no UNKNOWN an hour past its window."""
    now = clock.now()
    past_lease = seconds_between(session, ":now", "lease_until")
    past_window = seconds_between(session, ":now", "post_allowed_until")
    yield from broken(
        session,
        "SELECT id, state FROM klarna_op WHERE (state = 'SENDING' AND (lease_until IS NULL OR"
        f" {past_lease} > 300)) OR (state = 'UNKNOWN' AND post_allowed_until IS NOT NULL AND {past_window} > 3600)",
        "op:{0}",
        "has been {1} for too long: the janitor does not run",
        now=now,
    )


def tries_follow_each_other(session: Session) -> Iterator[Finding]:
    """M10: tries are 1 … n, the later made after the earlier was final, same amount and number, at most one confirmed."""
    yield from broken(
        session,
        "SELECT document_id, count(*), max(try_no), count(CASE WHEN state = 'CONFIRMED' THEN 1 END),"
        " count(DISTINCT amount_minor), count(DISTINCT reference) FROM klarna_op"
        " WHERE document_id IS NOT NULL AND state <> 'EXTERNAL' GROUP BY document_id"
        " HAVING count(*) <> max(try_no) OR count(CASE WHEN state = 'CONFIRMED' THEN 1 END) > 1"
        " OR count(DISTINCT amount_minor) > 1 OR count(DISTINCT reference) > 1",
        "document:{0}",
        "{1} tries, the last is {2}, {3} confirmed, {4} amounts, {5} numbers",
    )
    yield from broken(
        session,
        "SELECT k.document_id, k.try_no FROM klarna_op k JOIN klarna_op p ON p.document_id = k.document_id"
        " AND p.try_no = k.try_no - 1 AND p.state <> 'EXTERNAL' WHERE k.state <> 'EXTERNAL'"
        " AND (p.state NOT IN ('REJECTED','NOT_EXECUTED')"
        " OR k.created_at < (SELECT max(e.at) FROM klarna_op_event e WHERE e.op_id = p.id AND e.from_state <> e.to_state))",
        "document:{0}",
        "try {1} was made before the one before it was closed",
    )


def first_sends_were_looked_at(session: Session) -> Iterator[Finding]:
    """M11: the first send of an operation has a look at most 10 s older."""
    age = seconds_between(session, "t.permitted_at", "t.look_at")
    yield from broken(
        session,
        "SELECT t.op_id, t.look_at, t.permitted_at FROM klarna_attempt t WHERE t.n = 1"
        f" AND (t.look_at IS NULL OR {age} > 10 OR {age} < 0)",
        "op:{0}",
        "was first sent {2} on a look of {1}",
    )


def nothing_left_after_its_permission(session: Session) -> Iterator[Finding]:
    """M12: the first byte left within the permission; what is AMBIGUOUS or ANSWER left, what is NOT_SENT did not."""
    yield from broken(
        session,
        "SELECT t.op_id, t.n, a.answer_class, a.first_byte_at, t.permitted_until FROM klarna_answer a"
        " JOIN klarna_attempt t ON t.id = a.attempt_id WHERE a.first_byte_at > t.permitted_until"
        " OR a.first_byte_at < t.permitted_at OR (a.answer_class = 'NOT_SENT') <> (a.first_byte_at IS NULL)",
        "op:{0}",
        "attempt {1} ({2}) began at {3}, permitted until {4}",
    )


def environments_agree(session: Session) -> Iterator[Finding]:
    """M14: operation, account and installation are of one environment; an address that was typed is this machine's own."""
    yield from broken(
        session,
        "SELECT k.id, k.environment, a.environment FROM klarna_op k JOIN klarna_account a ON a.id = k.account_id"
        " LEFT JOIN installation i ON i.installation_id = k.installation_id"
        " WHERE k.environment <> a.environment OR i.id IS NULL",
        "op:{0}",
        "was made for {1}, its account is {2}, or it is of another installation",
    )
    yield from broken(
        session,
        "SELECT a.id, a.environment, i.environment_class FROM klarna_account a, installation i"
        " WHERE i.environment_class IS NULL OR (a.environment = 'live') <> (i.environment_class = 'live')",
        "account:{0}",
        "is {1} in books that are {2}",
    )
    yield from broken(
        session,
        "SELECT o.id, o.account_id, k.account_id FROM klarna_op k JOIN sales_order o ON o.id = k.order_id"
        " WHERE o.account_id IS DISTINCT FROM k.account_id OR o.klarna_order_id IS DISTINCT FROM k.klarna_order_id",
        "order:{0}",
        "belongs to account {1}, an operation of it to {2}",
    )
    for key, address in session.execute(
        sa.select(KlarnaAccount.id, KlarnaAccount.sandbox_url).where(KlarnaAccount.sandbox_url.is_not(None))
    ):
        if not _is_loopback(address or ""):
            yield Finding(f"account:{key}", f"the typed address {address} is not this machine's own")


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def what_was_made_elsewhere_is_settled(session: Session) -> Iterator[Finding]:
    """M15: an EXTERNAL operation has its document or a break; a closed break says how, why and by whom."""
    yield from broken(
        session,
        "SELECT k.id, k.kind, k.amount_minor FROM klarna_op k WHERE k.state = 'EXTERNAL' AND k.document_id IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM klarna_break b WHERE b.op_id = k.id)",
        "op:{0}",
        "{1} of {2} made elsewhere has neither document nor break",
    )
    yield from broken(
        session,
        "SELECT id, kind FROM klarna_break WHERE state = 'closed' AND (resolution IS NULL OR closed_by IS NULL"
        " OR closed_at IS NULL OR (resolution <> 'gone' AND coalesce(reason, '') = ''))",
        "break:{0}",
        "{1} was closed without how, why, who or when",
    )


CHECKS: dict[str, Check] = {
    "M1": limits_hold,
    "M2": one_act_at_a_time,
    "M3": operation_moves_are_listed,
    "M4": attempts_are_permitted,
    "M5": outcomes_are_proved,
    "M6": nothing_is_left_behind,
    "M10": tries_follow_each_other,
    "M11": first_sends_were_looked_at,
    "M12": nothing_left_after_its_permission,
    "M14": environments_agree,
    "M15": what_was_made_elsewhere_is_settled,
}
