"""The rows of an order that comes in: their articles found, what is left out filled in, what cannot be refused beside it.

Amounts are minor units including VAT, quantities thousandths, rates hundredths of a percent. Source: B14, B29; catalogue
rows 39 and 40.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, Refusal
from models import Article
from money import Amount
from services import settings, vat_rates
from services.card_checks import mask_personal_numbers, number_key
from services.orders import NewLine
from states import LineKind

KINDS = (LineKind.ARTICLE, LineKind.FREIGHT, LineKind.FEE, LineKind.DISCOUNT, LineKind.TEXT)
"""What a row that comes in can stand for."""
AT_ONCE = 500
"""Values asked for in one question."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it came; what is left out is the article's. ``where`` begins the name of its fields in a refusal."""

    quantity_milli: int
    article_number: str = ""
    gtin: str = ""
    name: str = ""
    unit: str = ""
    unit_price_minor: int | None = None
    discount_minor: int = 0
    vat_rate: int | None = None
    kind: LineKind | None = None
    where: str = ""


def masked(text: str) -> str:
    """A text without personal identity numbers, spaces drawn together."""
    return mask_personal_numbers(" ".join(text.split()))[0]


class Shelf:
    """The articles that rows name, found with a few questions however many the rows are; and the VAT rates of today."""

    def __init__(self, session: Session, rows: Iterable[Row]) -> None:
        self.classes = settings.vat_classes(session, clock.today())
        self.rates = frozenset(vat_rates.rates_known(session))
        wanted = list(rows)
        keys = {number_key(row.article_number) for row in wanted if row.article_number}
        codes = {row.gtin for row in wanted if row.gtin} | {row.article_number for row in wanted if row.article_number}
        self._by_key = {each.number_key: each for each in _articles(session, Article.number_key, keys)}
        self._by_code = {each.gtin: each for each in _articles(session, Article.gtin, codes)}

    def find(self, row: Row) -> Article | None:
        """The article of a row: by its number, by its GTIN, or by a GTIN written where the number stands."""
        by_number = self._by_key.get(number_key(row.article_number)) if row.article_number else None
        return by_number or self._by_code.get(row.gtin or None) or self._by_code.get(row.article_number or None)

    def line(self, row: Row, *, foreign: bool = False) -> NewLine:
        """A row of an order. Raises BadInput beside what is missing; ``foreign`` rows stand as Klarna reserved them."""
        article = self.find(row)
        name = masked(row.name) or (article.name if article else "")
        if not name:
            raise _missing(row, "name" if not row.article_number else "article")
        price = row.unit_price_minor if row.unit_price_minor is not None else article.price_minor if article else None
        if price is None:
            raise BadInput(N_("Enter an amount."), field=f"{row.where}unit_price")
        kind = row.kind or (article.kind if article else LineKind.ARTICLE)
        rate = row.vat_rate if row.vat_rate is not None else self.classes.get(article.vat_class) if article else None
        if rate is None and kind is LineKind.TEXT and price == 0:
            rate = max(self.classes.values(), default=0)
        if not foreign:
            self._check(row, kind, price, rate)
        elif (rate or 0) not in self.rates:
            raise Refusal(
                N_("The purchase has VAT of %(rate)s, a rate that is not in the books. No order is made of it."),
                rate=rate,
            )
        return NewLine(
            kind=kind,
            name=name,
            quantity_milli=row.quantity_milli,
            unit_price_minor=price,
            vat_rate=rate or 0,
            article=article,
            article_number=row.article_number or (article.number if article else None) or None,
            unit=row.unit or (article.unit if article else "st"),
            discount_minor=row.discount_minor,
        )

    def _check(self, row: Row, kind: LineKind, price: int, rate: int | None) -> None:
        if rate is None:
            raise BadInput(N_("Choose a VAT rate."), field=f"{row.where}vat_rate")
        if rate not in self.classes.values():
            raise BadInput(
                N_("There is no VAT rate of %(rate)s in the books."), field=f"{row.where}vat_rate", rate=rate
            )
        if price < 0 and kind is not LineKind.DISCOUNT:
            raise BadInput(N_("Only a discount row has a price below 0."), field=f"{row.where}unit_price")
        gross = money.gross_of(row.quantity_milli, price)
        if abs(gross) > money.MAX_AMOUNT_MINOR:
            most = Amount(money.MAX_AMOUNT_MINOR)
            raise BadInput(N_("At most %(most)s can be entered."), field=f"{row.where}unit_price", most=most)
        if not 0 <= row.discount_minor <= max(gross, 0):
            raise BadInput(N_("The discount is more than the row."), field=f"{row.where}discount")


def _missing(row: Row, field: str) -> BadInput:
    if field == "article":
        return BadInput(
            N_(
                "Article %(number)s is not in the register. Write a description, a price and a VAT rate, or choose another."
            ),
            field=f"{row.where}article",
            number=row.article_number,
        )
    return BadInput(N_("Write an article number or a description."), field=f"{row.where}article")


def _articles(
    session: Session,
    column: sa.orm.InstrumentedAttribute[str] | sa.orm.InstrumentedAttribute[str | None],
    wanted: set[str],
) -> Iterable[Article]:
    names = sorted(wanted)
    for start in range(0, len(names), AT_ONCE):
        yield from session.scalars(sa.select(Article).where(column.in_(names[start : start + AT_ONCE])))


class _Line(Protocol):
    """What is asked of a row, whether it is to be taken or stands on an order."""

    @property
    def kind(self) -> LineKind: ...
    @property
    def article_number(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def quantity_milli(self) -> int: ...


def notices(lines: Sequence[_Line]) -> list[Refusal]:
    """What a person should know of an order's rows: article numbers that stand twice, quantities with decimals (B14, K7)."""
    counted = Counter(line.article_number for line in lines if line.article_number and line.kind is LineKind.ARTICLE)
    said = [
        Refusal(
            N_("Article %(number)s stands on %(count)s rows. Take care to credit the right one."),
            number=number,
            count=count,
        )
        for number, count in counted.items()
        if count > 1
    ]
    return said + [
        Refusal(
            N_("%(name)s: %(quantity_milli)s %(unit)s goes to Klarna as one unit with its exact amount."),
            name=line.name,
            quantity_milli=line.quantity_milli,
            unit=line.unit,
        )
        for line in lines
        if line.quantity_milli % 1000
    ]
