"""What is written on a card, read strictly: organisation numbers, postal codes, EAN codes, personal numbers masked.

Source: catalogue rows 39, 40, 44 and 46; B29.
"""

from __future__ import annotations

import re
import unicodedata

from errors import N_, BadInput

_PERSONAL = re.compile(
    r"(?<![0-9])(?:[0-9]{2})?[0-9]{2}(?:0[1-9]|1[0-2])(?:[06][1-9]|[1278][0-9]|[39][01])[-+ ]?[0-9]{4}(?![0-9])"
)
_MASK = "******-****"


def check_digit(digits: str) -> bool:
    """Whether the last digit is the Luhn digit of the others: organisation numbers, OCR (accounting 8)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def mask_personal_numbers(text: str) -> tuple[str, bool]:
    """The text with Swedish personal numbers masked, and whether there was one (B29, catalogue row 44)."""
    found = False

    def mask(match: re.Match[str]) -> str:
        nonlocal found
        digits = re.sub("[^0-9]", "", match[0])[-10:]
        if not check_digit(digits):
            return match[0]
        found = True
        return _MASK

    return _PERSONAL.sub(mask, text), found


def read_organisation_number(text: str) -> str:
    """An organisation number as ``556677-8899``, or empty. Raises BadInput for a wrong check digit or a personal number."""
    digits = re.sub(r"[-\s]", "", text)
    if not digits:
        return ""
    digits = digits.removeprefix("16") if len(digits) == 12 else digits
    if not re.fullmatch(r"[0-9]{10}", digits) or not check_digit(digits):
        raise BadInput(N_("The organisation number is not right: check the digits."), field="organisation_number")
    if digits[2] < "2":
        raise BadInput(
            N_("That is a personal identity number. Kvitta does not store those."), field="organisation_number"
        )
    return f"{digits[:6]}-{digits[6:]}"


def read_postal_code(text: str, country: str) -> str:
    """A postal code; Swedish ones as ``111 22``. Raises BadInput (catalogue row 46)."""
    text = " ".join(text.split())
    if country != "SE" or not text:
        if len(text) > 10:
            raise BadInput(N_("At most %(most)s characters."), field="postal_code", most=10)
        return text
    digits = text.replace(" ", "")
    if not re.fullmatch(r"[1-9][0-9]{4}", digits):
        raise BadInput(N_("A Swedish postal code has five digits."), field="postal_code")
    return f"{digits[:3]} {digits[3:]}"


def number_key(number: str) -> str:
    """An article number in its one normal form: equal but for case, space or Unicode form is equal (catalogue row 39)."""
    return "".join(unicodedata.normalize("NFKC", number).casefold().split())


def read_gtin(text: str) -> str:
    """An EAN or GTIN of 8, 12, 13 or 14 digits, or empty. Raises BadInput for a wrong check digit (catalogue row 40)."""
    digits = text.replace(" ", "").replace("-", "")
    if not digits:
        return ""
    if not re.fullmatch(r"(?:[0-9]{8}|[0-9]{12,14})", digits):
        raise BadInput(N_("An EAN code has 8, 12, 13 or 14 digits."), field="gtin")
    total = sum(int(digit) * (1 if place % 2 == 0 else 3) for place, digit in enumerate(reversed(digits)))
    if total % 10:
        raise BadInput(N_("The EAN code is not right: check the digits."), field="gtin")
    return digits
