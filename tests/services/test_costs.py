"""What an article costs is changed with a reason, and every change is kept (B27)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Stale
from models import Article
from money import MAX_AMOUNT_MINOR
from rights import Actor
from services import costs
from tests import builders
from tests.threads import in_threads


@pytest.fixture
def article(books: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, cost_minor=10_00)


def cost(article: Article) -> int:
    with reading() as session:
        return session.get_one(Article, article.id).cost_minor


def test_each_change_is_kept_with_who_when_and_why(article: Article, clerk: Actor, finance: Actor) -> None:
    for actor, amount, seen, reason in ((clerk, 12_50, 10_00, "ny prislista"), (finance, 0, 12_50, " gåva ")):
        with writing() as session:
            costs.change(session, actor, article.id, amount, reason, seen)
    assert cost(article) == 0
    with reading() as session:
        kept = [
            (each.before_minor, each.cost_minor, each.reason, each.by) for each in costs.history(session, article.id)
        ]
    assert kept == [(12_50, 0, "gåva", finance.name), (10_00, 12_50, "ny prislista", clerk.name)]


@pytest.mark.parametrize(
    ("amount", "reason", "field"),
    [(-1, "x", "cost"), (MAX_AMOUNT_MINOR + 1, "x", "cost"), (10_00, "x", "cost"), (11_00, "  ", "cost_reason")],
)
def test_what_cannot_be_is_refused_beside_its_field(
    article: Article, clerk: Actor, amount: int, reason: str, field: str
) -> None:
    with pytest.raises(BadInput) as refused, writing() as session:
        costs.change(session, clerk, article.id, amount, reason, 10_00)
    assert refused.value.field == field
    with reading() as session:
        assert (cost(article), costs.history(session, article.id)) == (10_00, [])


def test_who_may_not_see_costs_does_not_change_them(article: Article, clerk: Actor, viewer: Actor) -> None:
    with pytest.raises(NotAllowed), writing() as session:
        costs.change(session, viewer, article.id, 11_00, "x", 10_00)
    with pytest.raises(NotFound), writing() as session:
        costs.change(session, clerk, 999, 11_00, "x", 10_00)


def test_of_two_who_change_the_same_cost_at_once_one_does(books: Flask, article: Article, clerk: Actor) -> None:
    def change(which: int) -> None:
        with writing() as session:
            costs.change(session, clerk, article.id, 11_00 + which, "x", 10_00)

    raised = in_threads(books, change, 2)
    assert [type(each) for each in raised] == [Stale]
    with reading() as session:
        assert len(costs.history(session, article.id)) == 1
