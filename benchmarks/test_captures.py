"""Goal 5: a capture through the services, without Klarna's own time, against tx7; eight writers at once.

The floor is one transaction of seven statements. A capture is five transactions by design: what the look shows, the intent (T1),
the permission (T2), the outcome with voucher and audit (T3), and Klarna's own number afterwards.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import db
from benchmarks.capturing import InstantKlarna, app_on, capture, make_tx7, tx7, write_at_once
from benchmarks.filling import fill
from benchmarks.floors import recorded
from benchmarks.measuring import Report, cpu, quantile, side_by_side, wall
from tests import builders

BEFORE = 1_000
TO_CAPTURE = 4_000


def test_captures(place: tuple[str, str], folder: Path, report: Report) -> None:
    where, url = place
    app, klarna = app_on(url, folder)
    with app.app_context():
        engine = db.db.engine
        fill(engine, BEFORE, to_capture=TO_CAPTURE)
        with db.writing() as session:
            for account in session.scalars(builders.sa.select(builders.KlarnaAccount)):
                account.secret = klarna.seal("x", account.store_id)
        make_tx7(engine, TO_CAPTURE)
        numbers = itertools.count(BEFORE + 1)
        floors = itertools.count(1)
        look, send = InstantKlarna().instead()
        with look, send:
            with recorded(engine) as sent:
                capture(klarna, next(numbers))
            writes = [each for each in sent if each.writes]
            for clock, word in ((wall, "on the wall"), (cpu, "of processor time")):
                bare, ours = side_by_side(
                    lambda: tx7(engine, next(floors)), lambda: capture(klarna, next(numbers)),
                    rounds=15, each=10, clock=clock, warm=5,
                )  # fmt: skip
                report.compare(
                    "5",
                    f"{where}: capture through the services, {word}; one tx7, FULL",
                    bare.median,
                    ours.median,
                    ours.over(bare),
                    1.5,
                )
                report.tell(
                    "5",
                    f"{where}: the same against as many tx7 as a capture has commits ({len(writes)})",
                    kvitta="",
                    ratio=f"{ours.over(bare) / len(writes):.2f}",
                )
            statements = sum(len(each.statements) for each in sent)
            report.tell("5", f"{where}: statements of one capture; of one tx7", floor="5", kvitta=str(statements))
        engine.dispose()
    at = next(numbers)
    one = write_at_once(url, folder, [list(range(at, at + 800))])
    at += 800
    eight = write_at_once(url, folder, [list(range(at + n * 150, at + (n + 1) * 150)) for n in range(8)])
    at += 8 * 150
    paced = write_at_once(url, folder, [list(range(at + n * 40, at + (n + 1) * 40)) for n in range(8)], pause=0.5)
    alone, together = (sum(len(each.seconds) / each.lasted for each in found) for found in (one, eight))
    wrong = [error for each in (*one, *eight, *paced) for error in each.errors]
    longest = max(max(each.seconds) for each in eight)
    slow = quantile([second for each in paced for second in each.seconds], 0.99)
    report.tell(
        "5",
        f"{where}: 8 writers: lock errors and other failures",
        kvitta=str(len(wrong)) + (f" ({wrong[0]})" if wrong else ""),
        wanted="0",
        met=not wrong,
    )
    report.tell(
        "5",
        f"{where}: 8 writers together against one, captures per second",
        floor=f"{alone:.0f}/s",
        kvitta=f"{together:.0f}/s",
        ratio=f"{together / alone:.2f}",
        wanted="≥ 0.7",
        met=together / alone >= 0.7,
    )
    report.tell(
        "5",
        f"{where}: 8 writers without a pause: the longest capture",
        kvitta=f"{longest:.2f} s",
        wanted="≤ 1 s",
        met=longest <= 1,
    )
    report.tell(
        "5",
        f"{where}: 8 writers, each half a second apart: p99 of a capture",
        kvitta=f"{slow * 1000:.0f} ms",
        wanted="≤ 15 ms",
        met=slow <= 0.015,
    )
