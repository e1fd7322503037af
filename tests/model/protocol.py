"""How money moves, as a plain model, and a search through every state it can be in (operations 17).

Two documents want the same row of an invoice. Each has up to ``tries`` operations, each operation up to ``sends`` send
permissions. Everything that may happen is a step: what clerks do, the beats, the janitor, the network, Klarna, time.

What is in it: a process may stop anywhere (a sender that takes no further step has crashed, or is frozen; it may go on at
any later moment), requests and answers are lost and delayed, leases are outlived, permissions go stale, 401 and 429,
refusals as Klarna's limit opens and closes, failed booking, keys forgotten by Klarna (inside their time only where its own
limit then refuses), a refund in the portal that is adopted, tied or explained, decisions in review.

What is assumed: no request is on its way for longer than the quiet time; a look made after the quiet time shows what is
there; what is delivered twice bears the same key both times, so that the second has no effect and is heard by nobody (which
is why it is no step here). Left out, so that safety does not rest on it: that new documents wait while another one is
refused. What can no longer matter is forgotten, and the two documents are interchangeable.

``off`` names rules that are left out, to see what they are for. Model, machine and operations 17 change together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

DOCS = (0, 1)

# Documents.
DRAFT, PENDING, REFUSED, ISSUED, KEPT, ADOPTED, VOID = (
    "draft",
    "pending",
    "refused",
    "issued",
    "kept",
    "adopted",
    "void",
)
BOOKED = (ISSUED, KEPT, ADOPTED)
HOLDING = (PENDING, *BOOKED)
# Operations.
PREPARED, SENDING, UNKNOWN, REVIEW = "PREPARED", "SENDING", "UNKNOWN", "REVIEW"
CONFIRMED, REJECTED, NOT_EXECUTED = "CONFIRMED", "REJECTED", "NOT_EXECUTED"
OPEN = (PREPARED, SENDING, UNKNOWN, REVIEW)
# A sender: permitted and fresh, permitted once, waiting for an answer; or what came back.
FRESH, STALE, WAITING = "fresh", "stale", "waiting"
OK, NO, TURNED_AWAY, NOT_SENT, UNCLEAR = "ok", "no", "turned away", "not sent", "unclear"
ANSWERS = (OK, NO, TURNED_AWAY, NOT_SENT, UNCLEAR)
CLEAN = (TURNED_AWAY, NOT_SENT)
# What Klarna remembers of a key.
NEW, DONE, DENIED = "new", "done", "denied"
# The refund in the portal.
NONE, FOUND, SETTLED = "none", "found", "settled"

# What can go wrong.
TWICE = "money moves twice"
REFUSED_MOVED = "refused document, money moved"
VOID_MOVED = "void document, money moved"
KEPT_MOVED = "booked as without, money moved"
GAP = "gap in the series"
CHANGED = "a number changes"
TWO_OPEN = "two open operations"
DISAGREE = "operation and document disagree"
VOUCHER = "voucher and state disagree"
VOID_BACK = "a void document comes back"
LINE_TWICE = "line credited twice in the books"
PAST_DRIFT = "sent although Klarna showed something else"

RULES = {
    "one key for all attempts": "each attempt has a key of its own",
    "a timeout is not a failure": "no answer counts as a refusal",
    "a refusal on a retry is not final": "a refusal counts whatever was sent before",
    "401 and 429 on a retry are not final": "they close the operation",
    "no POST after the window": "the same key is sent when Klarna may have forgotten it",
    "absence alone concludes nothing": "a look without our number refuses at once",
    "a crash is not «not sent»": "a lease that ran out puts the operation back to the start",
    "the permission is perishable": "a process woken late still sends",
    "a late refusal is only appended": "it refuses the document",
    "review decides with a look": "it is decided without one",
    "the number is taken inside T1": "it is taken before, in a transaction of its own",
    "a retry keeps its number": "it takes a new one",
    "a retry only when nothing is open": "a pending document can be tried again",
    "T1 is a compare-and-set": "two clerks begin the same draft",
    "void only when refused or withdrawn unsent": "a pending document can be voided",
    "void keeps the number": "the number goes",
    "a refusal deletes nothing": "the document goes",
    "a refusal does not return to draft": "it does, and gives up its number",
    "void is final": "a void document can be tried again",
    "voucher not at T1": "booked with the intent",
    "voucher not in a second transaction": "booked after the outcome",
    "keep only when refused": "a pending credit note can be kept without Klarna",
    "unknown keeps its reservation": "what is not proved holds nothing",
    "keep counts open operations": "only what is booked holds a row",
    "the look before the first send": "the first send needs none",
    "T3x keeps the answer": "a failed booking leaves the lease to run out",
}


class Op(NamedTuple):
    """One operation of a document."""

    state: str
    sent: int = 0
    dirty: int = 0
    """Attempts that may have reached Klarna: without an answer, or with one that is not clean."""
    refused_on_retry: bool = False
    window: bool = True
    flying: int = 0
    key: str = NEW
    senders: tuple[tuple[int, str], ...] = ()
    kept_ok: bool = False


class Doc(NamedTuple):
    """A document with its tries; ``effects`` counts what stands at Klarna under its number."""

    state: str = DRAFT
    number: int = 0
    voucher: bool = False
    effects: int = 0
    ops: tuple[Op, ...] = ()
    loose_number: bool = False


class State(NamedTuple):
    """Everything."""

    docs: tuple[Doc, Doc] = (Doc(), Doc())
    next_number: int = 1
    portal: str = NONE


Step = tuple[str, State, str | None]
"""What happened, what follows, and a rule that the step itself breaks."""


@dataclass
class Protocol:
    """The steps, with some rules left out."""

    tries: int = 2
    sends: int = 2
    portal: bool = True
    alike: bool = True
    """Whether two states that differ only in which document is which are one."""
    off: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = self.off - RULES.keys()
        if unknown:
            raise ValueError(f"no such rule: {sorted(unknown)}")

    def without(self, rule: str) -> bool:
        assert rule in RULES, rule
        return rule in self.off

    # Changing a state

    def tidy(self, state: State) -> State:
        """The same state without what can no longer matter, the two documents in a fixed order."""
        docs = [doc._replace(ops=tuple(self.tidy_op(op) for op in doc.ops)) for doc in state.docs]
        if self.alike:
            docs.sort()
        return state._replace(docs=(docs[0], docs[1]))

    def tidy_op(self, op: Op) -> Op:
        if op.state in OPEN:
            return op
        may_send = (FRESH, STALE) if self.without("the permission is perishable") else (FRESH,)
        senders = tuple(sender for sender in op.senders if sender[1] in may_send)
        replayed = op.key != NEW and not self.without("one key for all attempts")
        if not senders and (replayed or not op.flying):
            return Op(op.state)
        return Op(op.state, op.sent, window=op.window, flying=op.flying, key=op.key, senders=senders)

    def put(self, state: State, d: int, doc: Doc) -> State:
        docs = (doc, state.docs[1]) if d == 0 else (state.docs[0], doc)
        return state._replace(docs=docs)

    def put_op(self, state: State, d: int, t: int, op: Op) -> State:
        doc = state.docs[d]
        return self.put(state, d, doc._replace(ops=(*doc.ops[:t], op, *doc.ops[t + 1 :])))

    def confirm(self, state: State, d: int, t: int, op: Op) -> State:
        state = self.put_op(state, d, t, op._replace(state=CONFIRMED, kept_ok=False))
        doc = state.docs[d]
        if doc.state != PENDING:
            return state
        booked = not self.without("voucher not in a second transaction")
        return self.put(state, d, doc._replace(state=ISSUED, voucher=booked))

    def close(self, state: State, d: int, t: int, op: Op, how: str) -> State:
        """REJECTED or NOT_EXECUTED, and the document waits for a decision."""
        state = self.put_op(state, d, t, op._replace(state=how))
        doc = state.docs[d]
        if doc.state != PENDING:
            return state
        if self.without("a refusal deletes nothing") or self.without("a refusal does not return to draft"):
            return self.put(state, d, doc._replace(state=DRAFT, number=0, voucher=False))
        return self.put(state, d, doc._replace(state=REFUSED))

    # Seeing

    def line_free(self, state: State, d: int, *, pending_counts: bool = True) -> bool:
        other = state.docs[1 - d]
        if other.state in BOOKED:
            return False
        if other.state != PENDING or not pending_counts:
            return True
        if self.without("unknown keeps its reservation"):
            return any(op.state == UNKNOWN for op in other.ops)
        return False

    def nothing_open(self, state: State) -> bool:
        holding = (PREPARED, SENDING, REVIEW) if self.without("unknown keeps its reservation") else OPEN
        return not any(op.state in holding for doc in state.docs for op in doc.ops)

    def agrees(self, state: State) -> bool:
        """Whether Klarna's totals are ours."""
        ours = sum(doc.state == ISSUED for doc in state.docs)
        return state.portal != FOUND and sum(doc.effects for doc in state.docs) == ours

    # Steps

    def steps(self, state: State) -> Iterator[Step]:
        for d in DOCS:
            yield from self.clerk(state, d)
            for t, op in enumerate(state.docs[d].ops):
                yield from self.janitor(state, d, t, op)
                yield from self.network(state, d, t, op)
                for at, sender in enumerate(op.senders):
                    yield from self.sender(state, d, t, op, at, sender)
        yield from self.by_hand(state)

    def intend(self, state: State, d: int, *, number: bool) -> State:
        doc = state.docs[d]
        if number and doc.loose_number:
            doc = doc._replace(number=state.next_number - 1, loose_number=False)
        elif number:
            doc = doc._replace(number=state.next_number)
            state = state._replace(next_number=state.next_number + 1)
        booked = doc.voucher or self.without("voucher not at T1")
        return self.put(state, d, doc._replace(state=PENDING, voucher=booked, ops=(*doc.ops, Op(PREPARED))))

    def clerk(self, state: State, d: int) -> Iterator[Step]:
        doc = state.docs[d]
        free = self.line_free(state, d) and self.nothing_open(state)
        more = len(doc.ops) < self.tries
        if doc.state == DRAFT and self.without("the number is taken inside T1") and not doc.loose_number:
            yield (
                f"take a number for {d}",
                self.put(state, d, doc._replace(loose_number=True))._replace(next_number=state.next_number + 1),
                None,
            )
        stale = doc.state == PENDING and self.without("T1 is a compare-and-set") and self.line_free(state, d)
        if more and ((doc.state == DRAFT and free) or stale):
            yield f"create {d}", self.intend(state, d, number=True), None
        again = doc.state == REFUSED or (doc.state == VOID and self.without("void is final"))
        open_too = doc.state == PENDING and self.without("a retry only when nothing is open")
        if more and ((again and free) or (open_too and self.line_free(state, d))):
            number = self.without("a retry keeps its number")
            yield f"try {d} again", self.intend(state, d, number=number), None
        void_now = doc.state == REFUSED or (
            doc.state == PENDING and self.without("void only when refused or withdrawn unsent")
        )
        if void_now:
            number = 0 if self.without("void keeps the number") else doc.number
            yield f"void {d}", self.put(state, d, doc._replace(state=VOID, number=number)), None
        yield from self.keep(state, d, doc)
        for t, op in enumerate(doc.ops):
            if op.state == PREPARED and not op.dirty and doc.state == PENDING:
                gone = self.put_op(state, d, t, op._replace(state=NOT_EXECUTED))
                yield f"withdraw {d}", self.put(gone, d, gone.docs[d]._replace(state=VOID)), None
            if op.state == REVIEW:
                yield from self.decide(state, d, t, op)

    def keep(self, state: State, d: int, doc: Doc) -> Iterator[Step]:
        counts = not self.without("keep counts open operations")
        free = self.line_free(state, d, pending_counts=counts) and (not counts or self.nothing_open(state))
        pending = doc.state == PENDING and self.without("keep only when refused") and self.line_free(state, d)
        if (doc.state == REFUSED and free) or pending:
            yield f"keep {d} without Klarna", self.put(state, d, doc._replace(state=KEPT, voucher=True)), None

    def decide(self, state: State, d: int, t: int, op: Op) -> Iterator[Step]:
        if state.docs[d].effects:
            yield f"decide that {d} happened", self.confirm(state, d, t, op), None
        blind = self.without("review decides with a look")
        if blind or (not state.docs[d].effects and self.agrees(state)):
            yield f"decide that {d} did not happen", self.close(state, d, t, op, NOT_EXECUTED), None

    def janitor(self, state: State, d: int, t: int, op: Op) -> Iterator[Step]:
        """T2 and the janitor's rules; a person's «send now» is the same step."""
        shown = state.docs[d].effects > 0
        if op.state == PREPARED and op.sent < self.sends and op.window:
            looked = self.agrees(state) and not shown
            if self.without("the look before the first send"):
                yield f"send {d} without a look", self.permit(state, d, t, op), None if looked else PAST_DRIFT
            elif shown:
                yield f"the look finds {d}", self.confirm(state, d, t, op), None
            elif not looked:
                yield f"the look stops {d}", self.close(state, d, t, op, NOT_EXECUTED), None
            else:
                yield f"send {d}", self.permit(state, d, t, op), None
        if op.state in (SENDING, UNKNOWN, REVIEW) and shown:
            yield f"a look finds {d}", self.confirm(state, d, t, op), None
        fresh = any(phase == FRESH for _, phase in op.senders)
        if op.state == SENDING and not fresh:
            if self.without("a crash is not «not sent»"):
                back = op._replace(state=PREPARED, dirty=0, window=True, sent=0)
                yield f"the lease of {d} is past: not sent", self.put_op(state, d, t, back), None
            else:
                yield f"the lease of {d} is past", self.put_op(state, d, t, op._replace(state=UNKNOWN)), None
        if op.state == UNKNOWN:
            yield from self.unknown(state, d, t, op, shown)
        if op.window and op.sent and not op.flying and not fresh and op.state != CONFIRMED:
            yield f"23 h have passed for {d}", self.put_op(state, d, t, op._replace(window=False)), None

    def unknown(self, state: State, d: int, t: int, op: Op, shown: bool) -> Iterator[Step]:
        fresh = any(phase == FRESH for _, phase in op.senders)
        if op.kept_ok:
            yield f"book {d} from the kept answer", self.confirm(state, d, t, op), None
        if op.sent < self.sends and (op.window or self.without("no POST after the window")):
            yield f"send {d} again", self.permit(state, d, t, op), None
        if not shown and self.without("absence alone concludes nothing"):
            yield f"{d} is not to be seen", self.close(state, d, t, op, REJECTED), None
        quiet = not op.flying and not fresh
        if op.refused_on_retry and quiet and not shown and self.agrees(state):
            yield f"{d} was refused and is not there", self.close(state, d, t, op, REJECTED), None
        if not op.window:  # the look that found nothing may have lagged
            yield f"{d} goes to review", self.put_op(state, d, t, op._replace(state=REVIEW)), None

    def permit(self, state: State, d: int, t: int, op: Op) -> State:
        senders = (*op.senders, (op.sent + 1, FRESH))
        return self.put_op(
            state, d, t, op._replace(state=SENDING, sent=op.sent + 1, dirty=op.dirty + 1, senders=senders)
        )

    def sender(self, state: State, d: int, t: int, op: Op, at: int, sender: tuple[int, str]) -> Iterator[Step]:
        n, phase = sender

        def becomes(*phases: str, **changes: object) -> State:
            senders = (*op.senders[:at], *((n, p) for p in phases), *op.senders[at + 1 :])
            return self.put_op(state, d, t, op._replace(senders=senders, **changes))  # type: ignore[arg-type]

        if phase == FRESH:
            yield f"time passes for a sender of {d}", becomes(STALE), None
            yield f"{d} cannot be sent", becomes(NOT_SENT), None
        if phase == FRESH or (phase == STALE and self.without("the permission is perishable")):
            yield f"the request of {d} leaves", becomes(WAITING, flying=op.flying + 1), None
        elif phase == STALE:
            yield f"a sender of {d} wakes too late", becomes(NOT_SENT), None
        if phase == WAITING:
            yield f"a sender of {d} gives up waiting", becomes(UNCLEAR), None
        if phase in ANSWERS:
            yield from self.record(state, d, t, op, at, n, phase)

    def record(self, state: State, d: int, t: int, op: Op, at: int, n: int, answer: str) -> Iterator[Step]:
        """T3, its failure, and the late answer."""
        op = op._replace(senders=(*op.senders[:at], *op.senders[at + 1 :]))
        mine = op.state == SENDING and n == op.sent
        earlier = op.dirty - 1
        if answer in CLEAN and op.dirty:
            op = op._replace(dirty=op.dirty - 1)
        if not mine:
            late = self.put_op(state, d, t, op)
            if answer == OK and op.state in (SENDING, UNKNOWN, REVIEW):
                late = self.confirm(late, d, t, op)
            if answer == NO and op.state in OPEN and self.without("a late refusal is only appended"):
                late = self.close(late, d, t, op, REJECTED)
            yield f"a late «{answer}» for {d}", late, None
            return
        unknown = op._replace(state=UNKNOWN)
        if answer == OK:
            yield f"{d} is confirmed", self.confirm(state, d, t, op), None
            if not self.without("T3x keeps the answer"):
                yield f"the booking of {d} fails", self.put_op(state, d, t, unknown._replace(kept_ok=True)), None
            return
        if answer == NO and (not earlier or self.without("a refusal on a retry is not final")):
            yield f"{d} is refused", self.close(state, d, t, op, REJECTED), None
        elif answer == NO:
            yield f"{d} is refused on a retry", self.put_op(state, d, t, unknown._replace(refused_on_retry=True)), None
        elif answer in CLEAN and not earlier:
            window = op.window or answer == NOT_SENT
            yield f"{d} waits: {answer}", self.put_op(state, d, t, op._replace(state=PREPARED, window=window)), None
        elif answer == TURNED_AWAY and self.without("401 and 429 on a retry are not final"):
            yield f"{d} is turned away for good", self.close(state, d, t, op, REJECTED), None
        elif answer == UNCLEAR and self.without("a timeout is not a failure"):
            yield f"{d} counts as failed", self.close(state, d, t, op, REJECTED), None
        else:
            yield f"{d} is unknown: {answer}", self.put_op(state, d, t, unknown), None

    def network(self, state: State, d: int, t: int, op: Op) -> Iterator[Step]:
        """What becomes of a request on its way, and what Klarna forgets."""
        if not op.window and not op.flying and op.key != NEW:
            yield f"Klarna forgets the key of {d}", self.put_op(state, d, t, op._replace(key=NEW)), None
        if not op.flying:
            return
        landed = op._replace(flying=op.flying - 1)
        yield f"the request of {d} is lost", self.put_op(state, d, t, landed), None
        yield from self.answers(state, d, t, landed, TURNED_AWAY)
        key = NEW if self.without("one key for all attempts") else op.key
        if key in (NEW, DENIED):
            yield from self.answers(state, d, t, landed._replace(key=DENIED), NO)
        if key == NEW:
            yield from self.answers(state, d, t, landed._replace(key=DONE), OK, effect=1)
        if key == DONE:
            yield from self.answers(state, d, t, landed, OK)
            if op.sent > 1:  # Klarna has forgotten the key before its time, and its own limit refuses the act
                yield from self.answers(state, d, t, landed, NO)

    def answers(self, state: State, d: int, t: int, op: Op, answer: str, effect: int = 0) -> Iterator[Step]:
        """An answer on its way back to one who waits, or to nobody."""
        said = f"Klarna answers «{answer}» to {d}" + (" and does it" if effect else "")
        doc = state.docs[d]
        state = self.put(state, d, doc._replace(effects=doc.effects + effect))
        yield f"{said}, unheard", self.put_op(state, d, t, op), None
        for at, (n, phase) in enumerate(op.senders):
            if phase == WAITING:
                heard = op._replace(senders=(*op.senders[:at], (n, answer), *op.senders[at + 1 :]))
                yield said, self.put_op(state, d, t, heard), None

    def by_hand(self, state: State) -> Iterator[Step]:
        """A refund made in the portal, and what a person says about it."""
        if self.portal and state.portal == NONE:
            yield "a refund in the portal", state._replace(portal=FOUND), None
        if state.portal != FOUND:
            return
        yield "explain the portal's refund", state._replace(portal=SETTLED), None
        for d in DOCS:
            doc = state.docs[d]
            if doc.state == KEPT:
                yield f"tie the portal's refund to {d}", state._replace(portal=SETTLED), None
            if doc.state in (DRAFT, REFUSED) and self.line_free(state, d) and self.nothing_open(state):
                taken = state if doc.number else state._replace(next_number=state.next_number + 1)
                number = doc.number or state.next_number
                adopted = doc._replace(state=ADOPTED, number=number, voucher=True)
                yield f"adopt the portal's refund as {d}", self.put(taken, d, adopted)._replace(portal=SETTLED), None


def wrong(state: State) -> str | None:
    """What does not hold in a state, the worst first."""
    docs = state.docs
    if sum(doc.effects for doc in docs) > 1:
        return TWICE
    for doc in docs:
        moved = _moved_without(doc)
        if moved:
            return moved
    numbers = sorted(doc.number for doc in docs if doc.number)
    if numbers != list(range(1, state.next_number)):
        return GAP
    if sum(op.state in OPEN for doc in docs for op in doc.ops) > 1:
        return TWO_OPEN
    if sum(doc.state in BOOKED for doc in docs) > 1:
        return LINE_TWICE
    for doc in docs:
        if doc.voucher != (doc.state in BOOKED):
            return VOUCHER
        open_ops = sum(op.state in OPEN for op in doc.ops)
        proofs = sum(op.state == CONFIRMED for op in doc.ops)
        if (open_ops == 1) != (doc.state == PENDING) or (proofs == 1) != (doc.state == ISSUED):
            return DISAGREE
        if doc.state == ISSUED and doc.effects != 1:
            return DISAGREE
    return None


def _moved_without(doc: Doc) -> str | None:
    """Money that moved under the number of a document that says it did not."""
    if not doc.effects:
        return None
    return {REFUSED: REFUSED_MOVED, DRAFT: REFUSED_MOVED, VOID: VOID_MOVED, KEPT: KEPT_MOVED}.get(doc.state)


def wrong_step(old: State, new: State) -> str | None:
    """What a step may never do."""
    for before, after in zip(old.docs, new.docs, strict=True):
        if before.number and before.number != after.number:
            return CHANGED if after.number else GAP
        if before.state == VOID and after.state != VOID:
            return VOID_BACK
    return None


@dataclass
class Found:
    """What a search has seen; ``violations`` holds the first of each kind, with the way to it."""

    states: int = 0
    steps: int = 0
    violations: dict[str, list[str]] = field(default_factory=dict)
    dead_ends: dict[str, list[str]] = field(default_factory=dict)

    @property
    def first(self) -> str | None:
        """The kind of the violation that is reached in the fewest steps."""
        return next(iter(self.violations), None)


class Search:
    """Breadth first, so that the first violation found is one of the shortest."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.number: dict[State, int] = {State(): 0}
        self.all: list[State] = [State()]
        self.came: list[tuple[int, str]] = [(-1, "")]
        self.before: list[list[int]] = [[]]
        self.found = Found()

    def way(self, at: int, last: str = "") -> list[str]:
        """The steps to a state."""
        steps = [last] if last else []
        while at > 0:
            at, label = self.came[at]
            steps.append(label)
        return steps[::-1]

    def run(self, *, until: Callable[[Found], bool] = lambda _: False, seeking: str | None = None) -> Found:
        """Visit every state that can be reached; a state in which something is wrong is not gone on from.

        ``seeking`` looks for one kind of wrong alone: what else is wrong on the way there is noted and passed over.
        """
        queue = deque([0])
        found = self.found
        while queue and not until(found):
            at = queue.popleft()
            state = self.all[at]
            for label, reached, broken in self.protocol.steps(state):
                kind = broken or wrong_step(state, reached)
                new = self.protocol.tidy(reached)
                if new == state:
                    continue
                found.steps += 1
                known = self.number.get(new)
                if known is None:
                    kind = kind or wrong(new)
                if kind is not None:
                    found.violations.setdefault(kind, self.way(at, label))
                    if seeking in (None, kind):
                        continue
                if known is None:
                    known = self.number[new] = len(self.all)
                    self.all.append(new)
                    self.came.append((at, label))
                    self.before.append([])
                    queue.append(known)
                self.before[known].append(at)
        found.states = len(self.all)
        return found

    def cannot_reach(self, wanted: Callable[[State], bool]) -> Iterator[int]:
        """States from which no state of this kind can be reached any more."""
        good = bytearray(len(self.all))
        queue = deque(at for at, state in enumerate(self.all) if wanted(state))
        for at in queue:
            good[at] = 1
        while queue:
            for at in self.before[queue.popleft()]:
                if not good[at]:
                    good[at] = 1
                    queue.append(at)
        return (at for at, there in enumerate(good) if not there)

    def look_for_dead_ends(self) -> None:
        """From everywhere: an end without open operations, a document for money that moved, an issue for what is refused."""
        dead = self.found.dead_ends
        for at in self.cannot_reach(lambda s: not any(op.state in OPEN for doc in s.docs for op in doc.ops)):
            dead.setdefault("an operation stays open for ever", self.way(at))
        for at in self.cannot_reach(lambda s: any(doc.state == ISSUED for doc in s.docs)):
            if any(doc.effects for doc in self.all[at].docs):
                dead.setdefault("money that moved gets no document", self.way(at))
        if self.protocol.alike:
            return
        for d in DOCS:
            for at in self.cannot_reach(lambda s, d=d: s.docs[d].state == ISSUED):  # type: ignore[misc]
                doc = self.all[at].docs[d]
                untried = len(doc.ops) < self.protocol.tries
                if doc.state == REFUSED and untried and self.protocol.line_free(self.all[at], d):
                    dead.setdefault("a refused document cannot be issued any more", self.way(at))
