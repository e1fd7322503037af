"""What an invoice that the customer pays to us says about paying: the day it falls due and its OCR number.

Klarna's invoices have neither: the customer pays Klarna (F2, F19). Source: accounting reference 7 and 8.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy.orm import Session
from stdnum import luhn

from models import Document
from services import settings
from states import DocKind, PaymentKind

WITH_LENGTH = "length"
LONGEST_OCR = 25


def ocr_number(number: int, *, with_length: bool) -> str:
    """The OCR number of a document number: its digits, the length digit where the bank's check wants one, the check digit.

    The length counts both control digits, modulo 10; the check digit is modulus 10 (Luhn). At most 25 digits.
    """
    digits = str(number)
    if with_length:
        digits += str((len(digits) + 2) % 10)
    return digits + luhn.calc_check_digit(digits)


def is_paid_to_us(document: Document) -> bool:
    """Whether the customer pays this invoice to the company itself, and not to Klarna."""
    order = document.order
    return document.kind is DocKind.INVOICE and order is not None and order.payment_method.kind is PaymentKind.INVOICE


def terms(session: Session, document: Document, gross_minor: int, number: int, day: date) -> tuple[date, str] | None:
    """Due date and OCR number of an invoice numbered on this day; None where there is nothing for the customer to pay us.

    The customer's own days go before the company's.
    """
    if gross_minor <= 0 or not is_paid_to_us(document):
        return None
    own = document.order.customer.payment_days if document.order is not None else None
    days = own if own is not None else settings.number(session, "payment.days", day)
    with_length = settings.value(session, "payment.ocr", day) == WITH_LENGTH
    return day + timedelta(days=days), ocr_number(number, with_length=with_length)
