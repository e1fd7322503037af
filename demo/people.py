"""The demo company and everybody it deals with, all of them invented: names, places, numbers nobody has.

Organisation numbers and the bankgiro have right check digits. Telephone numbers are from the series reserved for fiction,
mail goes to the reserved domains, and no post office delivers to 985 01 and above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session
from stdnum import luhn

import clock
from models import Customer, User, UserRole
from rights import Actor
from services import register
from services.register import CustomerFacts
from states import Role

COMPANY: Mapping[str, str] = {
    "company.name": "Hittepå Friluft AB",
    "company.organisation_number": "559999-7219",
    "company.vat_number": "SE559999721901",
    "company.street": "Hittepåvägen 7",
    "company.postal_code": "990 10",
    "company.city": "Hittepåstad",
    "company.email": "order@example.se",
    "company.phone": "08-465 004 17",
    "company.bankgiro": "991-2346",
    "company.registered_office": "Hittepåstad",
}
OPERATOR = Actor("demo", roles=frozenset({Role.ADMIN, Role.FINANCE}))
"""Who sets the company up before anybody works there."""
WEB_SHOP = Actor("Webbutiken")
"""What takes the orders."""

_GIVEN = (
    "Alma", "Arvid", "Astrid", "Axel", "Britta", "Bertil", "Cecilia", "Calle", "Disa", "David", "Elin", "Emil",
    "Frida", "Folke", "Greta", "Gustav", "Hanna", "Henrik", "Ines", "Ivar", "Jenny", "Johan", "Karin", "Karl",
    "Lovisa", "Lars", "Maja", "Mattias", "Nora", "Nils", "Olga", "Oskar", "Petra", "Per", "Rebecka", "Rolf",
    "Signe", "Sixten", "Tove", "Ture", "Ulla", "Viktor", "Vera", "Wilmer", "Ylva", "Åke", "Ängla", "Örjan",
)  # fmt: skip
_FAMILY = (
    "Granbacke", "Sjöbrisson", "Vinterkvist", "Mossflod", "Tallvide", "Ängsljung", "Björktuva", "Norrglimt",
    "Stenfjäll", "Blåbärsson", "Dimberger", "Forsglimt", "Gryningsson", "Hjortronmyr", "Isflakerud",
    "Kvistviken", "Lavskogh", "Myrsköld", "Nävergård", "Olvonlund", "Porslid", "Rimfrosth", "Snödroppsson",
    "Tranmosse", "Urbergström", "Vidfjäll", "Årtagsson", "Älvdimma",
)  # fmt: skip
_STREETS = (
    "Låtsasvägen",
    "Fantasigränd",
    "Sagostigen",
    "Påhittsbacken",
    "Kråkvinkelgatan",
    "Lyktgubbens väg",
    "Drömgatan",
    "Ingenstansvägen",
    "Lingonrisets gränd",
    "Trollskogsvägen",
)
_PLACES = (
    ("985 12", "Låtsasby"),
    ("986 40", "Mossköping"),
    ("987 33", "Älghamn"),
    ("988 05", "Storfjällboda"),
    ("991 21", "Vinterviksund"),
    ("992 74", "Lillgransele"),
    ("993 18", "Blåbärsmåla"),
    ("995 60", "Norrdimfors"),
)
_BUSINESSES = (
    ("Fjällguiderna i Låtsasby AB", 0),
    ("Älghamns Kajakcenter AB", 2),
    ("Storfjällboda Stugby AB", 3),
    ("Mossköpings Friluftsskola AB", 1),
    ("Vinterviksunds Hotell AB", 4),
    ("Dimfors Skogsvård AB", 7),
    ("Blåbärsmåla Bygg AB", 6),
    ("Lillgransele Turbyrå AB", 5),
    ("Påhittade Event i Norr AB", 1),
    ("Sagostigens Förskola AB", 3),
    ("Ingenstans Lägergård AB", 0),
    ("Norrdimfors Mekaniska AB", 7),
)
"""Businesses, and which of the places they are in."""
_ASCII = str.maketrans("åäöé", "aaoe")


def organisation_number(serial: int) -> str:
    """A number that nobody has, with its check digit: 559999 and three digits of our own."""
    digits = f"559999{serial:03d}"
    return f"559999-{serial:03d}{luhn.calc_check_digit(digits)}"


def _mail(name: str, serial: int) -> str:
    words = name.lower().translate(_ASCII).split()
    return f"{words[0]}.{words[-1]}@example.{'com' if serial % 2 else 'se'}"


def make_customers(session: Session, actor: Actor, rng: Random, people: int, businesses: int) -> list[int]:
    """Open customer cards; gives their ids, the businesses last."""
    pairs = [(given, family) for given in _GIVEN for family in _FAMILY]
    rng.shuffle(pairs)
    cards = [_person(f"{given} {family}", serial, rng) for serial, (given, family) in enumerate(pairs[:people])]
    cards += [_business(name, serial, place, rng) for serial, (name, place) in enumerate(_BUSINESSES[:businesses])]
    return [register.new_customer(session, actor, card)[0].id for card in cards]


def _person(name: str, serial: int, rng: Random) -> CustomerFacts:
    card = CustomerFacts(name, email=_mail(name, serial), phone=f"070-174 06 {5 + serial:02d}")
    return _at_home(card, rng.randrange(len(_PLACES)), rng)


def _business(name: str, serial: int, place: int, rng: Random) -> CustomerFacts:
    number = organisation_number(101 + 7 * serial)
    card = CustomerFacts(name, number, email=f"inkop{serial + 1}@example.se", phone=f"08-465 004 {30 + serial}")
    return _at_home(card, place, rng)


def _at_home(card: CustomerFacts, place: int, rng: Random) -> CustomerFacts:
    postal_code, city = _PLACES[place]
    return replace(card, street=f"{rng.choice(_STREETS)} {rng.randint(1, 98)}", postal_code=postal_code, city=city)


def party_of(customer: Customer) -> dict[str, object]:
    """Name and address as an order keeps them."""
    names = ("name", "organisation_number", "email", "phone", "street", "street2", "postal_code", "city", "country")
    return {name: getattr(customer, name) or "" for name in names}


def actor_of(session: Session, role: Role) -> Actor:
    """The person who has a role."""
    user = session.scalars(
        sa.select(User)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.role == role)
        .order_by(User.id)
        .limit(1)
    ).one()
    return Actor(user.name, user.id, frozenset(each.role for each in user.roles))


def opened_at(until: datetime, days: int) -> datetime:
    """When the company opened: eight in the morning, so many days ago."""
    day = clock.local_date(until).toordinal() - days
    return datetime.fromordinal(day).replace(hour=8, tzinfo=clock.LOCAL)
