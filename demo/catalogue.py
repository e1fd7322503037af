"""What the demo company sells: outdoor and sports goods at 25 % VAT, books at 6 %, bars as food, nights in a cabin at 12 %.

Prices are kronor including VAT. GTINs have the prefix 2, which is for a shop's own use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session
from stdnum import ean

from models import Article
from rights import Actor
from services import register, stock
from services.register import ArticleFacts
from states import LineKind, MovementKind

STANDARD, REDUCED, LOW, FOOD = "standard", "reduced", "low", "food"
"""VAT classes of services.accounts."""


@dataclass(frozen=True, slots=True)
class Ware:
    """One article of the assortment; prices in kronor, ``cost`` without VAT."""

    number: str
    name: str
    price: int
    cost: int
    vat_class: str = STANDARD
    unit: str = "st"
    kind: LineKind = LineKind.ARTICLE
    kept: bool = True


FREIGHT = Ware("FRAKT", "Frakt, ombud", 59, 38, kind=LineKind.FREIGHT, kept=False)
EXPRESS = Ware("FRAKT-HEM", "Frakt, hem till dörren", 129, 88, kind=LineKind.FREIGHT, kept=False)
FEE = Ware("FAKT", "Faktureringsavgift", 29, 0, kind=LineKind.FEE, kept=False)
CABIN = Ware("STUGA-1", "Stugnatt vid Ingenstanssjön, 1 natt", 840, 310, REDUCED, "natt", kept=False)
WARES: Sequence[Ware] = (
    Ware("TAL-102", "Tunneltält Dimma 2, 2,4 kg", 4_495, 2_050),
    Ware("TAL-103", "Kupoltält Lavskog 3, 3,1 kg", 3_295, 1_480),
    Ware("TAL-900", "Tältpinnar, 10-pack", 149, 41),
    Ware("SOV-201", "Sovsäck Norrglimt −5 °C", 1_995, 880),
    Ware("SOV-205", "Sovsäck Sommarnatt +8 °C", 895, 370),
    Ware("SOV-240", "Liggunderlag Mossa, självuppblåsande", 749, 298),
    Ware("KOK-301", "Stormkök Glöd, 2 personer", 1_095, 470),
    Ware("KOK-310", "Gaspatron, 230 g", 79, 33),
    Ware("KOK-322", "Termos Rimfrost, 1 liter", 349, 138),
    Ware("KOK-330", "Kåsa i björk", 189, 74),
    Ware("RYG-401", "Ryggsäck Vidd 45 liter", 1_695, 720),
    Ware("RYG-405", "Ryggsäck Vidd 65 liter", 2_195, 960),
    Ware("RYG-410", "Dagsryggsäck Stig 22 liter", 699, 280),
    Ware("KLA-501", "Skaljacka Forsglimt, dam", 2_795, 1_190),
    Ware("KLA-502", "Skaljacka Forsglimt, herr", 2_795, 1_190),
    Ware("KLA-520", "Underställ i ull, tröja", 749, 310),
    Ware("KLA-521", "Underställ i ull, byxa", 699, 290),
    Ware("KLA-530", "Mössa Tranmosse", 249, 88),
    Ware("KLA-541", "Vandringsstrumpor, 2-pack", 229, 79),
    Ware("SKO-601", "Vandringskänga Hög, storlek 42", 1_895, 820),
    Ware("SKO-612", "Löparsko Stigfinnare, storlek 39", 1_295, 540),
    Ware("SKI-701", "Turskidor Vidfjäll, 190 cm", 3_495, 1_620),
    Ware("SKI-705", "Skidstavar, par", 599, 240),
    Ware("SKI-731", "Skidvalla, blå", 119, 42),
    Ware("NAV-801", "Kompass Nordstjärna", 329, 129),
    Ware("NAV-810", "Pannlampa Lykta 400", 549, 210),
    Ware("REP-901", "Rep 6 mm, metervara", 19, 7, unit="m"),
    Ware("REP-905", "Reflexlina, metervara", 13, 4, unit="m"),
    Ware("BOK-101", "Bok: Hundra kartor över Ingenstans", 289, 140, LOW),
    Ware("BOK-104", "Bok: Koka på en låga", 199, 92, LOW),
    Ware("BOK-110", "Vandringskarta Storfjällboda 1:50 000", 159, 78, LOW),
    Ware("MAT-201", "Energibar Blåbär, 50 g", 29, 13, FOOD),
    Ware("MAT-202", "Energibar Havre & hjortron, 50 g", 29, 13, FOOD),
    Ware("MAT-220", "Frystorkad gryta, 1 portion", 95, 48, FOOD),
    Ware("MAT-230", "Kaffe för kåsa, 250 g", 69, 35, FOOD),
    CABIN,
    Ware("SERV-10", "Impregnering av tält, tjänst", 395, 120, kept=False),
    FREIGHT,
    EXPRESS,
    FEE,
)


def gtin(serial: int) -> str:
    """Thirteen digits of the shop's own, with the check digit."""
    digits = f"2{serial:011d}"
    return digits + str(ean.calc_check_digit(digits))


def make_articles(session: Session, actor: Actor) -> None:
    """Put the assortment into the register."""
    for serial, ware in enumerate(WARES):
        facts = ArticleFacts(
            number=ware.number,
            name=ware.name,
            price_minor=ware.price * 100,
            vat_class=ware.vat_class,
            gtin=gtin(4_000 + serial) if ware.kept else "",
            unit=ware.unit,
            kind=ware.kind,
            cost_minor=ware.cost * 100,
            stock_kept=ware.kept,
        )
        register.new_article(session, actor, facts)


def make_warehouses(session: Session, actor: Actor) -> list[int]:
    """The store house and the shop."""
    places = (("HL", "Huvudlagret"), ("BUT", "Butiken i Hittepåstad"))
    return [register.save_warehouse(session, actor, None, code=code, name=name).id for code, name in places]


def receive(session: Session, actor: Actor, rng: Random, warehouse_id: int, least: int, most: int, note: str) -> None:
    """Take in a lorry load of everything that is kept in stock: between ``least`` and ``most``, more of what is small."""
    articles = {article.number: article for article in session.scalars(sa.select(Article))}
    for ware in WARES:
        if ware.kept:
            pieces = rng.randint(least, most) * (6 if ware.unit == "m" else 3 if ware.vat_class == FOOD else 1)
            stock.move(
                session,
                actor,
                article=articles[ware.number],
                warehouse_id=warehouse_id,
                quantity_milli=pieces * 1000,
                kind=MovementKind.GOODS_IN,
                reason=note,
            )
