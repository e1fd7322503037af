"""Goal 11: a quantity typed on the credit page, against the same SQL and a bare fragment; other credit notes cost nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from flask import Flask

import db
from benchmarks.floors import floor_app, recorded, with_columns
from benchmarks.measuring import Report, cpu, side_by_side
from benchmarks.serving import Visitor, token_of
from db import writing
from klarna_sandbox.control import Control
from services import approvals, credit_drafts, credit_form, reservations
from tests.builders import FINANCE, a_captured_invoice, a_money_form, row

ROWS = 10
BARE = """<p><span>{{ line.name }}</span> <span>{{ line.gross_minor }}</span></p>
<form method="post" action="/create"><p>{{ sums.gross }}</p><p>{{ sums.vat }}</p>
{% for rate in rates %}<p>{{ rate }}</p>{% endfor %}<button>{{ sums.gross }}</button></form>"""


def a_draft_beside(house: Flask, sandbox: Control, others: int) -> tuple[int, int]:
    """A draft of so many rows on an invoice that has ``others`` credit notes of a piece each; its id and that of a row."""
    klarna = house.extensions["klarna"]
    lines = [row(f"T-shirt {n}", 9_900 + n, pieces=90) for n in range(ROWS)]
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    for _ in range(others):
        with writing() as session:
            draft = credit_drafts.start(session, FINANCE, invoice.id)
            for line in draft.lines[1:]:
                credit_drafts.remove_row(session, FINANCE, draft.id, line.id)
            credit_drafts.set_quantity(session, FINANCE, draft.id, draft.lines[0].id, "1")
            amount = credit_drafts.figures(session, draft).gross_minor
        reservations.credit(klarna, FINANCE, draft.id, a_money_form(amount))
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        return draft.id, draft.lines[0].id


def edit_of(house: Flask, draft: tuple[int, int]) -> Callable[[], str]:
    """Typing another quantity each time."""
    draft_id, line_id = draft
    visitor, typed = Visitor(house, "finance"), itertools.cycle(("2", "3"))
    token = token_of(visitor.asks(f"/credit-notes/{draft_id}")())
    return visitor.asks(
        f"/credit-notes/{draft_id}/rows/{line_id}",
        lambda: {"csrf_token": token, f"quantity-{line_id}": next(typed)},
        {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"},
    )


def floor_of(draft: tuple[int, int]) -> Callable[[], str]:
    draft_id, line_id = draft
    with recorded(db.db.engine) as kept:
        with writing() as session:
            draft = credit_drafts.set_quantity(session, FINANCE, draft_id, line_id, "5")
            form = credit_form.form_of(session, FINANCE, draft, whole=False)
            approvals.on_draft(session, FINANCE, draft_id, form.sums.gross_minor, form.currency)

    def pick(results: list[list[Any]]) -> dict[str, Any]:
        lines = [each for each in with_columns(results, "restock_milli", "removed") if not each.removed]
        sums = {"gross": sum(each.gross_minor for each in lines), "vat": sum(each.vat_minor for each in lines)}
        return {"line": lines[0], "sums": sums, "rates": sorted({each.vat_rate for each in lines})}

    return Visitor(floor_app(db.db.engine, kept, BARE, pick), None).asks("/", dict)


def test_a_quantity_typed_on_the_credit_page(house: Flask, sandbox: Control, report: Report) -> None:
    alone = a_draft_beside(house, sandbox, 1)
    among_many = a_draft_beside(house, sandbox, 50)
    works = edit_of(house, alone), edit_of(house, among_many)
    floor = floor_of(alone)
    assert "T-shirt" in floor()
    bare, one, fifty = side_by_side(floor, *works, rounds=15, each=15, clock=cpu)
    report.compare(
        "11",
        f"Credit page, quantity typed ({ROWS} rows); the same SQL and a bare fragment",
        bare.median,
        one.median,
        one.over(bare),
        1.5,
    )
    report.compare("11", "Credit page, 50 other credit notes against 1", one.median, fifty.median, fifty.over(one), 1.1)
