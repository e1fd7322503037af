"""One name for each state, everywhere: English message ids for the catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from errors import N_
from states import (
    AnswerClass,
    BreakKind,
    BreakState,
    CallKind,
    CallOutcome,
    Condition,
    DocKind,
    DocState,
    DocType,
    FeesFrom,
    KlarnaStatus,
    LineKind,
    MovementKind,
    OpKind,
    OpState,
    OrderState,
    Origin,
    PaymentKind,
    PayoutState,
    Pile,
    RefusalKind,
    Role,
    StocktakeState,
    WithoutKlarna,
)

LABELS: Mapping[type[StrEnum], Mapping[str, str]] = {
    FeesFrom: {
        FeesFrom.SWEDEN: N_("A company in Sweden"),
        FeesFrom.EU: N_("A company in another EU country"),
        FeesFrom.OUTSIDE: N_("A company outside the EU"),
    },
    OpState: {
        OpState.PREPARED: N_("Not sent"),
        OpState.SENDING: N_("Sending"),
        OpState.UNKNOWN: N_("Answer unknown"),
        OpState.REVIEW: N_("Needs a decision"),
        OpState.CONFIRMED: N_("Done at Klarna"),
        OpState.REJECTED: N_("Refused by Klarna"),
        OpState.NOT_EXECUTED: N_("Not carried out"),
        OpState.EXTERNAL: N_("Made outside Kvitta"),
    },
    OpKind: {
        OpKind.CAPTURE: N_("Activation"),
        OpKind.REFUND: N_("Refund"),
        OpKind.CANCEL: N_("Cancellation"),
        OpKind.RELEASE: N_("Release of the rest"),
        OpKind.EXTEND_AUTH: N_("Extension of the reservation"),
        OpKind.UPDATE_AUTH: N_("Change of the reservation"),
    },
    CallKind: {
        CallKind.ACKNOWLEDGE: N_("Receipt of the order"),
        CallKind.TRACKING: N_("Tracking of the delivery"),
        CallKind.ORDER_TRACKING: N_("Tracking of the order"),
        CallKind.RETURN_TRACKING: N_("Tracking of the return"),
        CallKind.ADDRESS: N_("Delivery address"),
        CallKind.REFERENCES: N_("Order numbers"),
        CallKind.LETTER: N_("Klarna's letter to the customer"),
        CallKind.DUE_DATE: N_("Later due date"),
    },
    CallOutcome: {
        CallOutcome.DONE: N_("Received by Klarna"),
        CallOutcome.REFUSED: N_("Refused by Klarna"),
        CallOutcome.UNCLEAR: N_("Answer unknown"),
        CallOutcome.NOT_SENT: N_("Not sent"),
    },
    DocState: {
        DocState.DRAFT: N_("Draft"),
        DocState.PENDING: N_("Waiting for Klarna"),
        DocState.REFUSED: N_("Refused"),
        DocState.ISSUED: N_("Issued"),
        DocState.VOID: N_("Voided"),
    },
    DocKind: {DocKind.INVOICE: N_("Invoice"), DocKind.CREDIT_NOTE: N_("Credit note")},
    DocType: {
        DocType.DELIVERY: N_("Delivery invoice"),
        DocType.FINAL: N_("Final invoice"),
        DocType.ADVANCE: N_("Advance invoice"),
        DocType.REPLACEMENT: N_("Replacement invoice"),
        DocType.CREDIT: N_("Credit note"),
        DocType.FREE_CREDIT: N_("Free-standing credit note"),
    },
    RefusalKind: {
        RefusalKind.KLARNA: N_("Klarna said no"),
        RefusalKind.DRIFT: N_("Klarna's figures differ from ours"),
        RefusalKind.DECIDED: N_("Decided after a check"),
    },
    WithoutKlarna: {
        WithoutKlarna.ORDINARY: N_("Not a Klarna purchase"),
        WithoutKlarna.NOTHING_TO_PAY: N_("Nothing to pay"),
        WithoutKlarna.EVEN_EXCHANGE: N_("Even exchange"),
        WithoutKlarna.CREDITED_IN_PORTAL: N_("Already credited in Klarna's portal"),
        WithoutKlarna.FREE_STANDING: N_("Free-standing credit note"),
        WithoutKlarna.NEGATIVE_ORDER: N_("The order's total is negative"),
    },
    Origin: {
        Origin.APP: N_("Kvitta"),
        Origin.DRIFT: N_("Found when comparing with Klarna"),
        Origin.SETTLEMENT: N_("Found in a settlement"),
        Origin.RESTORE: N_("Found after a restore"),
    },
    AnswerClass: {
        AnswerClass.NOT_SENT: N_("Never left Kvitta"),
        AnswerClass.AMBIGUOUS: N_("No clear answer"),
        AnswerClass.ANSWER: N_("Answered"),
    },
    Condition: {
        Condition.WHOLE: N_("Whole"),
        Condition.DAMAGED: N_("Damaged"),
        Condition.NEVER: N_("Never comes"),
    },
    OrderState: {OrderState.OPEN: N_("Under way"), OrderState.CANCELLED: N_("Cancelled")},
    KlarnaStatus: {
        KlarnaStatus.AUTHORIZED: N_("Reserved"),
        KlarnaStatus.PART_CAPTURED: N_("Partly activated"),
        KlarnaStatus.CAPTURED: N_("Activated"),
        KlarnaStatus.CANCELLED: N_("Cancelled"),
        KlarnaStatus.EXPIRED: N_("Expired"),
        KlarnaStatus.CLOSED: N_("Closed"),
    },
    PaymentKind: {PaymentKind.KLARNA: N_("Klarna"), PaymentKind.INVOICE: N_("Invoice")},
    LineKind: {
        LineKind.ARTICLE: N_("Article"),
        LineKind.TEXT: N_("Text row"),
        LineKind.FREIGHT: N_("Freight"),
        LineKind.FEE: N_("Fee"),
        LineKind.DISCOUNT: N_("Discount"),
        LineKind.ADVANCE: N_("Advance"),
        LineKind.ADVANCE_DEDUCTION: N_("Advance deducted"),
        LineKind.RETURN_FEE: N_("Return fee"),
        LineKind.ROUNDING: N_("Rounding"),
    },
    PayoutState: {
        PayoutState.LOADING: N_("Being read"),
        PayoutState.PARKED: N_("Waiting"),
        PayoutState.READY: N_("Ready to book"),
        PayoutState.BOOKED: N_("Booked"),
    },
    Pile: {
        Pile.MATCHED: N_("Matched"),
        Pile.WARNING: N_("Warning"),
        Pile.FAULTY: N_("Faulty"),
        Pile.HANDLED: N_("Handled"),
    },
    BreakKind: {
        BreakKind.CAPTURE_UNKNOWN: N_("Activation that Kvitta did not make"),
        BreakKind.REFUND_UNKNOWN: N_("Refund that Kvitta did not make"),
        BreakKind.TOTALS_DIFFER: N_("Totals differ"),
        BreakKind.OBJECT_MISSING: N_("Missing at Klarna"),
        BreakKind.DUPLICATE_NUMBER: N_("The same number twice at Klarna"),
        BreakKind.STATUS_DIFFERS: N_("Status differs"),
        BreakKind.ADDRESS_OR_EXPIRY: N_("Address or expiry changed"),
        BreakKind.ROW_WITHOUT_PARTNER: N_("Settlement row without a document"),
        BreakKind.ROW_CONTRADICTS_DECISION: N_("Settlement row contradicts a decision"),
        BreakKind.UNPAID_TOO_LONG: N_("Not paid out for a long time"),
        BreakKind.WRONG_OWNER: N_("Belongs to another store id"),
    },
    BreakState: {BreakState.OPEN: N_("Not settled"), BreakState.CLOSED: N_("Settled")},
    Role: {
        Role.VIEWER: N_("Viewer"),
        Role.CLERK: N_("Clerk"),
        Role.FINANCE: N_("Finance"),
        Role.ADMIN: N_("Administrator"),
    },
    MovementKind: {
        MovementKind.DELIVERY: N_("Delivery"),
        MovementKind.RETURN: N_("Return"),
        MovementKind.RETURN_REVERSED: N_("Return reversed"),
        MovementKind.REPLACEMENT: N_("Sent in exchange"),
        MovementKind.ADJUSTMENT: N_("Adjustment"),
        MovementKind.GOODS_IN: N_("Goods in"),
        MovementKind.STOCKTAKE: N_("Stocktake"),
    },
    StocktakeState: {
        StocktakeState.OPEN: N_("Being counted"),
        StocktakeState.BOOKED: N_("Booked"),
        StocktakeState.DISCARDED: N_("Discarded"),
    },
}

CODES: Mapping[str, Mapping[str, str]] = {
    "row": {
        "SALE": N_("Sale"),
        "RETURN": N_("Refund"),
        "REVERSAL": N_("Payment taken back"),
        "REVERSAL_MERCHANT_PROTECTION": N_("Payment given back"),
        "FEE": N_("Fee"),
        "FEE_REFUND": N_("Fee given back"),
        "COMMISSION": N_("Commission"),
        "CORRECTION": N_("Correction"),
        "CHARGE": N_("Charge"),
        "CREDIT": N_("Credited amount"),
        "HOLDBACK": N_("Withheld amount"),
        "RELEASE": N_("Released amount"),
        "TAX": N_("Tax"),
    },
    "payment": {
        "INVOICE": N_("Invoice"),
        "INVOICE_BUSINESS": N_("Invoice to a company"),
        "B2B_INVOICE": N_("Invoice to a company"),
        "ACCOUNT": N_("Part payment"),
        "BASE_ACCOUNT": N_("Part payment"),
        "FIXED_AMOUNT": N_("Part payment"),
        "PAY_IN_X": N_("Part payment"),
        "DIRECT_DEBIT": N_("Direct debit"),
        "CARD": N_("Card"),
        "SWISH": N_("Swish"),
    },
    "actor": {
        "system": N_("Kvitta"),
        "janitor": N_("Kvitta"),
        "klarna": N_("Klarna"),
        "first start": N_("The first start"),
    },
}
"""Names for what is kept as a word of Klarna's or of the program; a word without a name is shown as it stands."""

VAT_CLASS_NAMES = {
    "standard": N_("General rate"),
    "reduced": N_("Restaurant and hotel"),
    "low": N_("Books, culture, passenger transport"),
    "food": N_("Food"),
    "exempt": N_("Exempt"),
}
"""The VAT classes that a company begins with; a rate has its days, its class has its name."""

VOUCHER_SERIES_NAMES = {
    "F": N_("Invoices and credit notes"),
    "I": N_("Settlements and payments"),
    "K": N_("Corrections and vouchers by hand"),
    "L": N_("Stock"),
}
"""What each voucher series holds."""

ACCOUNT_KIND_NAMES = {"T": N_("Asset"), "S": N_("Liability"), "I": N_("Income"), "K": N_("Cost")}
"""SIE's kinds of accounts."""
