"""What is written on a card, read strictly: texts, numbers, codes and e-mail addresses; personal numbers are masked.

Source: catalogue rows 14, 22, 39, 40 and 44-46; B29.
"""

from __future__ import annotations

import re
import unicodedata

from errors import N_, BadInput

_PERSONAL = re.compile(
    r"(?<![0-9])(?:[0-9]{2})?[0-9]{2}(?:0[1-9]|1[0-2])(?:[06][1-9]|[1278][0-9]|[39][01])[-+ ]?[0-9]{4}(?![0-9])"
)
_MASK = "******-****"
LONGEST_MARKS = 4
"""Combining marks in a row; more is an attempt to paint over the neighbouring rows."""
STEERING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Characters that turn the direction of writing or hide themselves."""
LONGEST_EMAIL = 320
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))+"
)


def check_text(text: str, most: int, *, lines: bool = False, field: str | None = None) -> str:
    """Let text pass that can be stored, printed and sent as it is. Raises BadInput (catalogue rows 14, 22, 45, 46).

    Refused are control characters (line breaks too, unless ``lines``), characters that turn the direction of writing,
    halves of a surrogate pair, more than four combining marks in a row, and more than ``most`` characters.
    """
    if len(text) > most:
        raise BadInput(N_("At most %(most)s characters can be entered."), field=field, most=most)
    marks = 0
    for character in text:
        kind = unicodedata.category(character)
        if (kind in {"Cc", "Cs"} and not (lines and character in "\n\t")) or character in STEERING:
            raise BadInput(
                N_("The text holds a character that cannot be shown. Type it again without it."), field=field
            )
        marks = marks + 1 if kind.startswith("M") else 0
        if marks > LONGEST_MARKS:
            raise BadInput(
                N_("The text holds a character that cannot be shown. Type it again without it."), field=field
            )
    return text


def storable(text: str, most: int) -> str:
    """Foreign text made one that ``check_text`` lets pass: what cannot be shown is left out, what is too long is cut."""
    kept: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text[: most * 4]):
        kind = unicodedata.category(character)
        marks = marks + 1 if kind.startswith("M") else 0
        if kind in {"Cc", "Cs"} or character in STEERING or marks > LONGEST_MARKS:
            kept.append(" " if character in "\t\n\r" else "")
        else:
            kept.append(character)
    return " ".join("".join(kept).split())[:most]


def read_email(text: str, *, field: str = "email") -> str:
    """One e-mail address, or empty. Raises BadInput for a list, a line break or more than 320 characters (row 45)."""
    text = text.strip()
    if text and (len(text) > LONGEST_EMAIL or not _EMAIL.fullmatch(text)):
        raise BadInput(N_("Write one e-mail address, for example name@example.com."), field=field)
    return text


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
    """A GTIN (EAN) of 8, 12, 13 or 14 digits, or empty. Raises BadInput for a wrong check digit (catalogue row 40)."""
    digits = text.replace(" ", "").replace("-", "")
    if not digits:
        return ""
    if not re.fullmatch(r"(?:[0-9]{8}|[0-9]{12,14})", digits):
        raise BadInput(N_("A GTIN has 8, 12, 13 or 14 digits."), field="gtin")
    total = sum(int(digit) * (1 if place % 2 == 0 else 3) for place, digit in enumerate(reversed(digits)))
    if total % 10:
        raise BadInput(N_("The GTIN is not right: check the digits."), field="gtin")
    return digits
