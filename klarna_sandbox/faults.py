"""Faults on request: what goes wrong, for which calls, and how often.

A fault is one of the kinds below with its parameters. It hits the next `times` calls (0: until cleared) that match its
operation and order, after letting `skip` of them pass.
"""

from dataclasses import dataclass, field
from typing import Any

from klarna_sandbox.refusals import Misuse

READS = "reads"
WRITES = "writes"
ANY = "any"


@dataclass(frozen=True)
class Kind:
    """How a fault behaves.

    `effect`: the call is carried out all the same. `status`: an answer is put in place of the real one, as the error
    envelope or, with `html`, as a page from the edge. `cut`: what happens to the connection (drop, status, headers,
    body). `wait`: before the effect, after it, or instead of it.
    """

    name: str
    purpose: str
    effect: bool = True
    status: int | None = None
    error_code: str = ""
    messages: tuple[str, ...] = ()
    html: bool = False
    cut: str | None = None
    wait: str | None = None


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("refuse", "Refuse with any status, code and messages", False, 403, "NOT_ALLOWED", ("Not allowed",)),
        Kind("hang", "Wait so many seconds, then carry out and answer", wait="before"),
        Kind("hang_after", "Carry out, then wait so many seconds before answering", wait="after"),
        Kind(
            "hang_never",
            "Wait so many seconds, then drop the connection without effect",
            False,
            wait="instead",
            cut="drop",
        ),
        Kind("drop_before", "Drop the connection before the effect", False, cut="drop"),
        Kind("drop_after", "Carry out, then drop the connection", cut="drop"),
        Kind("cut_status", "Cut the answer before its status line is complete", cut="status"),
        Kind("cut_headers", "Cut the answer inside its headers", cut="headers"),
        Kind("cut_body", "Cut the answer inside its body", cut="body"),
        Kind("html_403", "A page from the edge with 403", False, 403, html=True),
        Kind("html_502", "A page from the edge with 502", False, 502, html=True),
        Kind("html_502_after", "Carry out, then a page from the edge with 502", True, 502, html=True),
        Kind("unauthorized", "401 as if the credentials were wrong", False, 401),
        Kind(
            "too_many",
            "429, with Retry-After when retry_after is given",
            False,
            429,
            "TOO_MANY_REQUESTS",
            ("Too many requests",),
        ),
        Kind("conflict", "409 with no messages", False, 409, "CONFLICT"),
        Kind("server_error", "500 before the effect", False, 500, "UNEXPECTED_ERROR", ("Unexpected server error",)),
        Kind("server_error_after", "500 after the effect", True, 500, "UNEXPECTED_ERROR", ("Unexpected server error",)),
        Kind(
            "unavailable", "503 before the effect", False, 503, "TEMPORARILY_UNAVAILABLE", ("Temporarily unavailable",)
        ),
        Kind(
            "unavailable_after",
            "503 after the effect",
            True,
            503,
            "TEMPORARILY_UNAVAILABLE",
            ("Temporarily unavailable",),
        ),
        Kind("no_id", "Success without Capture-Id, Refund-Id and Location"),
        Kind("redirect", "307 to another host, without effect", False, 307),
        Kind("forget_key", "Forget what the idempotency key stands for, then carry out"),
        Kind("lag", "The read shows the order as it was before its last change"),
        Kind(
            "payment_method_failed",
            "403: charging the consumer failed",
            False,
            403,
            "PAYMENT_METHOD_FAILED",
            ("Payment method failed",),
        ),
        Kind(
            "risk_refusal",
            "403: the risk check says no to an update",
            False,
            403,
            "NOT_ALLOWED",
            ("Update not allowed.",),
        ),
    )
}


@dataclass
class Fault:
    """A fault waiting for its calls. Parameters given here go before those of the kind."""

    number: int
    kind: str
    operation: str = ANY
    order_id: str | None = None
    mid: str | None = None
    times: int = 1
    skip: int = 0
    seconds: float = 0
    status: int | None = None
    error_code: str | None = None
    messages: list[str] | None = None
    retry_after: int | None = None
    location: str = "http://elsewhere.invalid/"
    effect: bool | None = None
    hits: int = 0

    @property
    def behaviour(self) -> Kind:
        return KINDS[self.kind]

    @property
    def carried_out(self) -> bool:
        """Whether the call has its effect: as asked for, else as the kind says, but never beside a put-in refusal."""
        if self.effect is not None:
            return self.effect
        return self.behaviour.effect and (self.status is None or self.behaviour.status is not None)

    def matches(self, operation: str, changing: bool, order_id: str | None, mid: str | None) -> bool:
        if self.operation not in (ANY, operation, WRITES if changing else READS):
            return False
        return self.order_id in (None, order_id) and self.mid in (None, mid)


@dataclass
class FaultBook:
    """The faults that wait, oldest first."""

    waiting: list[Fault] = field(default_factory=list)
    last_number: int = 0

    def add(self, operations: frozenset[str], **wish: Any) -> Fault:
        """Ask for a fault. Raises Misuse for a kind, operation or parameter that does not exist."""
        if wish.get("kind") not in KINDS:
            raise Misuse(f"There is no fault {wish.get('kind')}.")
        if wish.get("operation", ANY) not in operations | {ANY, READS, WRITES}:
            raise Misuse(f"There is no operation {wish['operation']}.")
        if isinstance(wish.get("messages"), str):
            wish["messages"] = [wish["messages"]]
        wish.pop("number", None)
        wish.pop("hits", None)
        try:
            fault = Fault(number=self.last_number + 1, **wish)
        except TypeError as error:
            raise Misuse(f"A fault does not take that: {error}") from error
        if fault.status is not None and not 200 <= fault.status <= 599:
            raise Misuse("A status lies between 200 and 599.")
        self.last_number = fault.number
        self.waiting.append(fault)
        return fault

    def take(self, operation: str, changing: bool, order_id: str | None, mid: str | None) -> Fault | None:
        """The fault that hits this call, if one does; it is used up when its last hit is taken."""
        for fault in self.waiting:
            if not fault.matches(operation, changing, order_id, mid):
                continue
            if fault.kind == "lag" and changing:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.hits += 1
            if fault.times and fault.hits >= fault.times:
                self.waiting.remove(fault)
            return fault
        return None

    def remove(self, number: int) -> None:
        """Take back one fault."""
        self.waiting = [fault for fault in self.waiting if fault.number != number]

    def clear(self) -> None:
        """Take back all."""
        self.waiting.clear()
