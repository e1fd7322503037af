"""The real services driven at random against the sandbox: clerks, Klarna's moods, the portal, the janitor, payouts and time.

After each step I1-I12, S1-S4, M1-M5 and M9-M12 of invariants 1 hold in the books (I5 answers that there is no such thing),
and Klarna shows each of our numbers at most once, and never one of a refused or void document. M6 holds whenever the janitor
has come and Klarna has been well for an hour. At the end pass the days that the company waits for its money and the night after
them: then all holds that verify can ask, M6 and M8 too, and Klarna, asked order by order, says what the books say, or a break
explains it (M5, M7, M8). M1 excuses one thing: an act by hand beside an open one of the same kind.

The same with the bookkeeper in it, Klarna being well: everything that verify can ask is asked after each step.

``KVITTA_LARGE`` makes it a run of many minutes, ``KVITTA_EXAMPLES`` and ``KVITTA_STEPS`` one of any length, and
``KVITTA_SHRINK`` the way to a failure shorter.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import clock
from klarna_sandbox.control import Control
from rights import Actor
from tests import databases
from tests.builders import CLERK, FINANCE
from tests.model.back_office import FAULTS, LOOK_FAULTS, Ground, possible
from tests.model.books_office import BOOKS, BooksOffice
from tests.model.wide_office import WIDE, WideOffice

MOODS = st.fixed_dictionaries(
    {
        "fault": st.sampled_from([*FAULTS, *["refuse"] * 5, *[None] * len(FAULTS)]),
        "look": st.sampled_from([*LOOK_FAULTS, *[None] * len(LOOK_FAULTS)]),
        "skip": st.sampled_from([0, 1, 1]),
        "busy": st.sampled_from([*[False] * 9, True]),
    }
)


SEARCHING = bool({"KVITTA_LARGE", "KVITTA_EXAMPLES", "KVITTA_STEPS"} & set(os.environ))
"""Whether new ways are looked for: an ordinary run walks the same ones as the last, so that it fails by what was changed."""
LARGER = 40
"""How many times the examples of an ordinary run a large one has."""


class Machine(RuleBasedStateMachine):
    """One turn after the other, each of a kind that makes sense just then."""

    turns = WIDE
    office_of: type[WideOffice] = WideOffice

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.office = self.office_of(ground)
        self.office.two_orders()

    @rule(
        pick=st.integers(0, 999),
        at=st.integers(0, 7),
        mood=MOODS,
        who=st.sampled_from([CLERK, FINANCE]),
        n=st.integers(0, 7),
    )
    def turn(self, pick: int, at: int, mood: dict[str, Any], who: Actor, n: int) -> None:
        choice = possible(self.office, self.turns)
        what = choice[pick % len(choice)]
        note(f"{what}(at={at}, mood={mood}, who={who.name}, n={n})")
        getattr(self.office, what)(at, mood, who, n)

    @invariant()
    def the_books_are_right(self) -> None:
        self.office.the_books_are_right()

    @invariant()
    def klarna_shows_each_number_at_most_once(self) -> None:
        self.office.klarna_shows_each_number_at_most_once()

    def teardown(self) -> None:
        try:
            self.office.let_it_end()
        finally:
            self.office.close()


class BooksMachine(Machine):
    """The same with the bookkeeper in it, and all that verify asks after each turn."""

    turns = BOOKS
    office_of = BooksOffice


def run_machine(
    machine: type[Machine], kind: databases.Sqlite | databases.Postgres, sandbox: Control, put: Any, examples: int,
    steps: int,
) -> None:  # fmt: skip
    ground = Ground(kind, sandbox)
    put(clock, "now", ground.now)
    run_state_machine_as_test(
        lambda: machine(ground),
        settings=settings(
            max_examples=int(
                os.environ.get("KVITTA_EXAMPLES", examples * (LARGER if os.environ.get("KVITTA_LARGE") else 1))
            ),
            stateful_step_count=int(os.environ.get("KVITTA_STEPS", steps)),
            deadline=None,
            derandomize=not SEARCHING,
            suppress_health_check=list(HealthCheck),
            # The way to a failure is made shorter on demand only: it takes minutes.
            phases=[Phase.generate, Phase.shrink] if os.environ.get("KVITTA_SHRINK") else [Phase.generate],
            database=None,
            print_blob=True,
        ),
    )


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("machine", "name", "examples", "steps"),
    [
        (Machine, "sqlite", 7, 20),
        (Machine, "postgres", 1, 15),
        (BooksMachine, "sqlite", 4, 25),
        (BooksMachine, "postgres", 1, 15),
    ],
)
def test_whatever_people_and_klarna_do_the_invariants_hold(
    request: pytest.FixtureRequest,
    all_databases: databases.Databases,
    sandbox: Control,
    monkeypatch: pytest.MonkeyPatch,
    machine: type[Machine],
    name: str,
    examples: int,
    steps: int,
) -> None:
    """I1-I12, S1-S4, A3, A5, A9, A15, M1-M5, M9-M12, M15 after each step, M6 after the janitor; all there is to ask, here and at
    Klarna (M5, M7, M8), at the end. With the bookkeeper (B4-B8, K48-K51) all there is to ask here after each step."""
    if request.config.getoption("--database") not in (name, "both"):
        pytest.skip("the other database was chosen")
    try:
        kind = all_databases.of(name)
    except databases.CannotBeHad as error:
        pytest.skip(str(error))
    run_machine(machine, kind, sandbox, monkeypatch.setattr, examples, steps)
