"""What people buy: rows of an order, with everything that makes rows hard.

Text rows, one article twice at two prices, discounts on the order and on a row, metres by the half, freight at the rates of
the goods it goes with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from demo.catalogue import CABIN, EXPRESS, FEE, FREIGHT, STANDARD, WARES, Ware
from models import Article
from services import settings
from services.orders import NewLine
from states import LineKind

FREE_FREIGHT_FROM = 120_000
"""Orders of so much, minor units, are sent without charge."""
PIECE = 1000


@dataclass(frozen=True, slots=True)
class Want:
    """A row somebody wants: thousandths, and the price where it is not the article's own. Minor units."""

    ware: Ware
    milli: int = PIECE
    price_minor: int | None = None
    off_percent: int = 0


@dataclass(frozen=True, slots=True)
class Words:
    """A row that is no article: a text, or a discount of so much (minor units, negative)."""

    kind: LineKind
    name: str
    amount_minor: int = 0


Row = Want | Words

_GOODS = [ware for ware in WARES if ware.kept and ware.unit == "st" and ware.vat_class == STANDARD]
_SMALL = [ware for ware in _GOODS if ware.price < 1_000]
_LARGE = [ware for ware in _GOODS if ware.price >= 1_000]
_BOOKS = [ware for ware in WARES if ware.number.startswith("BOK")]
_FOOD = [ware for ware in WARES if ware.number.startswith("MAT")]
_METRES = [ware for ware in WARES if ware.unit == "m"]
_GREETINGS = (
    "Slås in som present, tack. Kort: «Grattis på födelsedagen»",
    "Ring på hos grannen om ingen öppnar",
    "Ring gärna innan leverans, portkoden är ur funktion",
    "Storlekarna är prickade mot tabellen på webben",
)


def _pieces(rng: Random, wares: Sequence[Ware], rows: int, most: int) -> list[Row]:
    return [Want(ware, rng.randint(1, most) * PIECE) for ware in rng.sample(wares, rows)]


def ordinary(rng: Random) -> list[Row]:
    """One to three things."""
    return [*_pieces(rng, _LARGE, rng.randint(0, 1), 1), *_pieces(rng, _SMALL, rng.randint(1, 2), 2)]


def several(rng: Random) -> list[Row]:
    """Three to five rows, some of more than one piece: enough for more than one delivery."""
    return [*_pieces(rng, _SMALL, rng.randint(2, 3), 4), Want(rng.choice(_LARGE)), Want(rng.choice(_BOOKS), 2 * PIECE)]


def metres(rng: Random) -> list[Row]:
    """Rope by the metre, half metres too."""
    cut = rng.choice((500, 2_500, 7_500, 12_500))
    return [Want(rng.choice(_METRES), cut), *_pieces(rng, _SMALL, 2, 2)]


def twice(rng: Random) -> list[Row]:
    """The same article on two rows, the second one cheaper."""
    ware = rng.choice(_SMALL)
    return [Want(ware, 2 * PIECE), Want(ware, PIECE, ware.price * 50), Want(rng.choice(_LARGE))]


def discounted(rng: Random) -> list[Row]:
    """A discount row of its own."""
    off = Words(LineKind.DISCOUNT, "Välkomstrabatt", -rng.choice((5_000, 7_500, 10_000)))
    return [*_pieces(rng, _LARGE, 1, 1), *_pieces(rng, _SMALL, 2, 2), off]


def row_discounted(rng: Random) -> list[Row]:
    """A percentage off one row."""
    return [Want(rng.choice(_LARGE), PIECE, off_percent=rng.choice((10, 15, 25))), *_pieces(rng, _SMALL, 1, 3)]


def with_text(rng: Random) -> list[Row]:
    """A row that only says something."""
    return [*_pieces(rng, _SMALL, 2, 2), Words(LineKind.TEXT, rng.choice(_GREETINGS))]


def books_and_food(rng: Random) -> list[Row]:
    """Low rates only, sometimes both."""
    return [*_pieces(rng, _BOOKS, rng.randint(1, 2), 2), *_pieces(rng, _FOOD, rng.randint(1, 3), 6)]


def all_rates(rng: Random) -> list[Row]:
    """25, 12 and 6 per cent on one order."""
    cabin = Want(CABIN, rng.randint(1, 2) * PIECE)
    return [cabin, Want(rng.choice(_SMALL), 2 * PIECE), Want(rng.choice(_BOOKS)), Want(rng.choice(_FOOD), 6 * PIECE)]


def for_business(rng: Random) -> list[Row]:
    """What a guide or a school orders: more of each."""
    return [*_pieces(rng, _SMALL, 3, 9), Want(rng.choice(_LARGE), 3 * PIECE), Want(rng.choice(_FOOD), 24 * PIECE)]


FLAVOURS: Sequence[Callable[[Random], list[Row]]] = (
    ordinary, metres, twice, discounted, row_discounted, with_text, books_and_food, all_rates,
)  # fmt: skip
"""Baskets taken in turn, so that every difficulty comes up however few orders there are."""


# --- Rows of an order -----------------------------------------------------------------------------------------------------


def lines_of(session: Session, rows: Sequence[Row], *, fee: bool) -> list[NewLine]:
    """The rows as an order takes them, with freight at the end and the invoicing fee when there is one."""
    articles = {article.number: article for article in session.scalars(sa.select(Article))}
    lines = [_line(session, articles, row) for row in rows]
    lines += _freight(articles, lines)
    if fee:
        lines.append(_line(session, articles, Want(FEE)))
    return lines


def _line(session: Session, articles: Mapping[str, Article], row: Row) -> NewLine:
    today = clock.today()
    if isinstance(row, Words):
        rate = settings.vat_rate_of(session, STANDARD, today)
        return NewLine(row.kind, row.name, PIECE, row.amount_minor, rate)
    article = articles[row.ware.number]
    price = article.price_minor if row.price_minor is None else row.price_minor
    return NewLine(
        kind=article.kind,
        name=article.name,
        quantity_milli=row.milli,
        unit_price_minor=price,
        vat_rate=settings.vat_rate_of(session, article.vat_class, today),
        article=article,
        article_number=article.number,
        unit=article.unit,
        discount_minor=money.divide(money.gross_of(row.milli, price) * row.off_percent, 100),
    )


def _freight(articles: Mapping[str, Article], lines: Sequence[NewLine]) -> list[NewLine]:
    """Freight bears the rates of the goods, split by their value (accounting reference 8)."""
    goods = [line for line in lines if line.kind is LineKind.ARTICLE and line.unit != CABIN.unit]
    worth = sum(line.gross_minor for line in goods)
    if worth >= FREE_FREIGHT_FROM:
        return []
    ware = EXPRESS if any(line.quantity_milli % PIECE for line in goods) else FREIGHT
    rates = sorted({line.vat_rate for line in goods}, reverse=True)
    weights = [sum(line.gross_minor for line in goods if line.vat_rate == rate) for rate in rates]
    article = articles[ware.number]
    return [
        NewLine(
            kind=LineKind.FREIGHT,
            name=article.name if len(rates) == 1 else f"{article.name}, {rate // 100} % moms",
            quantity_milli=PIECE,
            unit_price_minor=part,
            vat_rate=rate,
            article=article,
            article_number=article.number,
        )
        for rate, part in zip(rates, money.split(article.price_minor, weights), strict=True)
    ]
