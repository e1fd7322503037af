"""What a company says of itself, read strictly: its numbers with their check digits, in the one form they are printed in.

Source: accounting reference 7 (what an invoice must show); B36.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from stdnum import luhn
from stdnum.exceptions import ValidationError
from stdnum.se import orgnr, vat

from errors import N_, BadInput
from services.card_checks import read_postal_code


def read_organisation_number(text: str) -> str:
    """``556677-8899``, or empty. A sole trader's is the person's own number; the law wants it on the invoice."""
    if not text:
        return ""
    try:
        orgnr.validate(text)
    except ValidationError:
        raise BadInput(N_("The organisation number is not right: check the digits."), field="value") from None
    return str(orgnr.format(text))


def read_vat_number(text: str) -> str:
    """``SE556677889901``, or empty: SE, the organisation number, 01."""
    if not text:
        return ""
    try:
        return f"SE{vat.validate(text)}"
    except ValidationError:
        raise BadInput(
            N_("The VAT number is not right: it is SE, the ten digits of the organisation number, and 01."),
            field="value",
        ) from None


def read_bankgiro(text: str) -> str:
    """``123-4567`` or ``1234-5678``, or empty: seven or eight digits, the last of them the check digit (Luhn)."""
    digits = re.sub(r"[-\s]", "", text)
    if not digits:
        return ""
    if not re.fullmatch(r"[0-9]{7,8}", digits) or not luhn.is_valid(digits):
        raise BadInput(N_("The bankgiro number is not right: it has seven or eight digits. Check them."), field="value")
    return f"{digits[:-4]}-{digits[-4:]}"


def require_same_owner(organisation_number: str, vat_number: str) -> None:
    """Refuse a VAT number that is made of another organisation number. Raises BadInput."""
    if organisation_number and vat_number and vat_number[2:12] != organisation_number.replace("-", ""):
        raise BadInput(N_("The VAT number does not belong to the organisation number."), field="vat_number")


READERS: Mapping[str, Callable[[str], str]] = {
    "company.organisation_number": read_organisation_number,
    "company.vat_number": read_vat_number,
    "company.bankgiro": read_bankgiro,
    "company.postal_code": lambda text: read_postal_code(text, "SE"),
}
"""Settings that are kept in another form than they may be typed in."""
