"""What is said of an act at Klarna that is open, and of the four acts on a reservation: a sentence per act and state.

They are never put together from parts.
Source: operations 11, adapted to acts that have no document; F27, B18, B19.
"""

from __future__ import annotations

from collections.abc import Mapping

from errors import N_
from states import OpKind

EXTEND, RELEASE, CANCEL, UPDATE = OpKind.EXTEND_AUTH, OpKind.RELEASE, OpKind.CANCEL, OpKind.UPDATE_AUTH
Words = Mapping[OpKind, str]

WAIT: Words = {
    OpKind.CAPTURE: N_("Wait for Klarna's answer about invoice %(number)s before doing anything more on the order."),
    OpKind.REFUND: N_("Wait for Klarna's answer about credit note %(number)s before doing anything more on the order."),
    EXTEND: N_(
        "Wait for Klarna's answer about the extension of the reservation before doing anything more on the order."
    ),
    RELEASE: N_("Wait for Klarna's answer about the release of the rest before doing anything more on the order."),
    CANCEL: N_("Wait for Klarna's answer about the cancellation before doing anything more on the order."),
    UPDATE: N_("Wait for Klarna's answer about the changed rows before doing anything more on the order."),
}
UNSENT: Words = {
    OpKind.CAPTURE: N_("Send or withdraw invoice %(number)s first."),
    OpKind.REFUND: N_("Send or withdraw credit note %(number)s first."),
    EXTEND: N_("Send or withdraw the extension of the reservation first."),
    RELEASE: N_("Send or withdraw the release of the rest first."),
    CANCEL: N_("Send or withdraw the cancellation first."),
    UPDATE: N_("Send or withdraw the changed rows first."),
}
SOON: Words = {
    EXTEND: N_("Asking Klarna to extend the reservation…"),
    RELEASE: N_("Asking Klarna to release the rest of the reservation…"),
    CANCEL: N_("Asking Klarna to cancel the purchase…"),
    UPDATE: N_("Asking Klarna to change the reservation to %(amount)s…"),
}
UNREACHABLE: Words = {
    EXTEND: N_("The extension has not been sent: Klarna could not be reached. Nothing has happened at Klarna."),
    RELEASE: N_("The rest has not been released: Klarna could not be reached. Nothing has happened at Klarna."),
    CANCEL: N_("The cancellation has not been sent: Klarna could not be reached. Nothing has happened at Klarna."),
    UPDATE: N_("The changed rows have not been sent: Klarna could not be reached. Nothing has happened at Klarna."),
}
LEFT: Words = {
    EXTEND: N_("The extension has not been sent. Nothing has happened at Klarna."),
    RELEASE: N_("The rest has not been released. Nothing has happened at Klarna."),
    CANCEL: N_("The cancellation has not been sent. Nothing has happened at Klarna."),
    UPDATE: N_("The changed rows have not been sent. Nothing has happened at Klarna."),
}
UNKNOWN: Words = {
    EXTEND: N_("We do not know yet whether Klarna has extended the reservation."),
    RELEASE: N_("We do not know yet whether Klarna has released the rest of the reservation."),
    CANCEL: N_("We do not know yet whether Klarna has cancelled the purchase."),
    UPDATE: N_("We do not know yet whether Klarna has changed the reservation to %(amount)s."),
}
NOT_AGAIN = N_("Do not do it again, here or in Klarna's portal.")
RECORDED: Words = {
    EXTEND: N_(
        "Klarna has extended the reservation. Our own record failed and is being repeated; "
        "there is nothing for you to do."
    ),
    RELEASE: N_(
        "Klarna has released the rest. Our own record failed and is being repeated; there is nothing for you to do."
    ),
    CANCEL: N_(
        "Klarna has cancelled the purchase. Our own record failed and is being repeated; there is nothing for you to do."
    ),
    UPDATE: N_(
        "Klarna has changed the reservation to %(amount)s. Our own record failed and is being repeated; "
        "there is nothing for you to do."
    ),
}
REVIEW: Words = {
    EXTEND: N_(
        "Klarna has not been able to tell for %(hours)s hours. "
        "Finance has to decide whether the reservation was extended."
    ),
    RELEASE: N_(
        "Klarna has not been able to tell for %(hours)s hours. Finance has to decide whether the rest was released."
    ),
    CANCEL: N_(
        "Klarna has not been able to tell for %(hours)s hours. Finance has to decide whether the purchase was cancelled."
    ),
    UPDATE: N_(
        "Klarna has not been able to tell for %(hours)s hours. "
        "Finance has to decide whether the reservation was changed to %(amount)s."
    ),
}
REFUSED: Words = {
    EXTEND: N_("Klarna did not extend the reservation. Nothing has changed."),
    RELEASE: N_("Klarna did not release the rest of the reservation. Nothing has changed."),
    CANCEL: N_("Klarna did not cancel the purchase. The order is as it was."),
    UPDATE: N_("Klarna did not accept the change. The order is as it was."),
}
DECIDED: Words = {
    EXTEND: N_("Decided %(day)s by %(who)s: the reservation was not extended. Reason: %(reason)s."),
    RELEASE: N_("Decided %(day)s by %(who)s: the rest was not released. Reason: %(reason)s."),
    CANCEL: N_("Decided %(day)s by %(who)s: the purchase was not cancelled. Reason: %(reason)s."),
    UPDATE: N_("Decided %(day)s by %(who)s: the reservation was not changed. Reason: %(reason)s."),
}
NOT_SHOWN: Words = {
    EXTEND: N_("Klarna shows the same date of expiry as before. Nothing has been decided."),
    RELEASE: N_("Klarna still shows a rest of the reservation. Nothing has been decided."),
    CANCEL: N_("Klarna does not show the purchase as cancelled. Nothing has been decided."),
    UPDATE: N_("Klarna does not show the changed rows. Nothing has been decided."),
}
DONE: Words = {
    EXTEND: N_("Klarna has extended the reservation. It expires on %(day)s."),
    RELEASE: N_("The rest of the reservation has been released at Klarna."),
    CANCEL: N_("The order has been cancelled, and the purchase at Klarna with it."),
    UPDATE: N_("Klarna has agreed to the change. The reservation is now %(amount)s."),
}
EXTENDED_UNREAD = N_("Klarna has extended the reservation. Press Refresh to see its new date.")
