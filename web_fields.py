"""The forms of Kvitta: fields that read text strictly and keep what was typed. Source: invariants, catalogue rows 1-22, 76-78.

WTForms' own number and date fields are never used: they take ``1_000``, ``1e3``, ``NaN`` and digits of other scripts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import FileStorage, MultiDict
from wtforms import BooleanField, Field, RadioField, SelectField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # newer than the types of the library
from wtforms.validators import ValidationError
from wtforms.widgets import FileInput, HiddenInput, ListWidget, PasswordInput, RadioInput, TextArea, TextInput

import money
from errors import N_, BadInput, Malformed, Refusal
from services.card_checks import check_text, read_email
from web_words import amount_to_type, percent, quantity_to_type, say, spoken

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2199, 12, 31)
"""Days that can be typed at all; rules narrow them."""

_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")


def showable(text: str) -> str:
    """What was typed, for showing it again: without characters that HTML cannot hold."""
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in {"Cc", "Cs", "Cn"})


def read_day(text: str, *, field: str | None = None) -> date:
    """Read an ISO date in digits 0-9. Raises BadInput (catalogue row 20)."""
    found = _DAY.fullmatch(text)
    try:
        day = date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise BadInput(N_("Write the date as year-month-day, for example 2026-11-20."), field=field)
    if not FIRST_DAY <= day <= LAST_DAY:
        raise BadInput(
            N_("Enter a day from %(first)s to %(last)s."),
            field=field,
            first=FIRST_DAY.isoformat(),
            last=LAST_DAY.isoformat(),
        )
    return day


def read_whole(text: str, least: int, most: int, *, field: str | None = None) -> int:
    """Read a whole number in digits 0-9. Raises BadInput (catalogue rows 4, 19)."""
    if not WHOLE_NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise BadInput(N_("Enter a whole number from %(least)s to %(most)s."), field=field, least=least, most=most)
    return int(text)


def clear_quantity(text: str, field: str) -> str:
    """A quantity as it was typed, where it means one thing in the language of the page. Raises BadInput (catalogue row 5)."""
    return money.require_clear(text, spoken().decimal, field=field)


class TypedField(Field):
    """A field that reads one typed text, keeps it when it is refused, and says why beside it.

    Blank is None; where ``required`` it is refused. Subclasses say how text becomes a value and back.
    """

    widget: Any = TextInput()
    blank: Any = None

    def __init__(self, label: Any = None, validators: Any = None, *, required: bool = True, **kwargs: Any) -> None:
        super().__init__(label, validators or (), **kwargs)
        self.required = required
        self.data: Any

    def read(self, text: str) -> Any:
        """Turn stripped text into the value. Raises BadInput."""
        return text

    def write(self, value: Any) -> str:
        """Write a value as a person would type it."""
        return str(value)

    def missing(self) -> str:
        """What is said when nothing was typed."""
        return N_("This field must be filled in.")

    def process_formdata(self, valuelist: list[Any]) -> None:
        text = valuelist[0].strip() if valuelist else ""
        self.data = self.blank
        try:
            if text:
                self.data = self.read(text)
            elif self.required:
                raise BadInput(self.missing())
        except Refusal as refusal:
            raise ValueError(say(refusal)) from refusal

    def _value(self) -> str:
        if self.raw_data:
            return showable(str(self.raw_data[0]))
        return "" if self.data is None else self.write(self.data)


class LineField(TypedField):
    """One line of text of at most ``most`` characters; blank is an empty string."""

    blank = ""

    def __init__(self, label: Any = None, validators: Any = None, *, most: int = 255, **kwargs: Any) -> None:
        super().__init__(label, validators, **kwargs)
        self.most = most

    def read(self, text: str) -> str:
        return check_text(unicodedata.normalize("NFC", text), self.most)


class QuantityTextField(LineField):
    """A quantity that is kept as it was typed, for a service to read; refused here only where it could mean two things."""

    def read(self, text: str) -> str:
        return clear_quantity(super().read(text), self.name)


class LinesField(LineField):
    """Several lines of text: notes and reasons."""

    widget: Any = TextArea()

    def read(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
        return check_text(text, self.most, lines=True)


class HiddenLineField(LineField):
    """One line of text that the page carries; it is as little believed as any other."""

    widget = HiddenInput()


class PasswordField(TypedField):
    """A password exactly as typed: nothing stripped, nothing shown again."""

    widget = PasswordInput(hide_value=True)
    blank = ""

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = valuelist[0] if valuelist else ""
        if self.required and not self.data:
            raise ValueError(say(BadInput(self.missing())))


class AmountField(TypedField):
    """An amount in minor units; a minus only where ``signed``, 0 only where ``zero``."""

    def __init__(
        self, label: Any = None, validators: Any = None, *, signed: bool = False, zero: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(label, validators, **kwargs)
        self.signed, self.zero = signed, zero

    def read(self, text: str) -> int:
        return money.parse_amount(text, field=self.name, signed=self.signed, zero=self.zero)

    def write(self, value: int) -> str:
        return amount_to_type(value)

    def missing(self) -> str:
        return N_("Enter an amount.")


class QuantityField(TypedField):
    """A quantity in thousandths; 0 only where ``zero``."""

    def __init__(self, label: Any = None, validators: Any = None, *, zero: bool = False, **kwargs: Any) -> None:
        super().__init__(label, validators, **kwargs)
        self.zero = zero

    def read(self, text: str) -> int:
        return money.parse_quantity(clear_quantity(text, self.name), field=self.name, zero=self.zero)

    def write(self, value: int) -> str:
        return quantity_to_type(value)

    def missing(self) -> str:
        return N_("Enter a quantity.")


class PercentField(TypedField):
    """A percentage in hundredths of a percent, 0.01 to 100.00."""

    def read(self, text: str) -> int:
        return money.parse_percent(text, field=self.name)

    def write(self, value: int) -> str:
        return percent(value).removesuffix(spoken().percent)

    def missing(self) -> str:
        return N_("Enter a percentage between 0.01 and 100.00.")


class WholeField(TypedField):
    """A whole number from ``least`` to ``most``."""

    def __init__(
        self, label: Any = None, validators: Any = None, *, least: int = 0, most: int = 999_999_999, **kwargs: Any
    ) -> None:
        super().__init__(label, validators, **kwargs)
        self.least, self.most = least, most

    def read(self, text: str) -> int:
        return read_whole(text, self.least, self.most, field=self.name)


class DayField(TypedField):
    """A date, typed as ISO or picked in the browser's calendar."""

    widget = TextInput()

    def read(self, text: str) -> date:
        return read_day(text, field=self.name)

    def write(self, value: date) -> str:
        return value.isoformat()

    def missing(self) -> str:
        return N_("Enter a date.")


class EmailField(TypedField):
    """One e-mail address in plain letters, at most 320 characters; no list, no line break (catalogue row 45)."""

    widget = TextInput(input_type="email")
    blank = ""

    def read(self, text: str) -> str:
        return read_email(text, field=self.name)


class UrlField(TypedField):
    """An address beginning with http or https, at most 1024 characters, without credentials (catalogue row 43)."""

    widget = TextInput(input_type="url")
    blank = ""

    def read(self, text: str) -> str:
        refused = BadInput(
            N_("Write an address that begins with https:// or http://, at most 1024 characters."), field=self.name
        )
        if len(text) > 1024 or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
            raise refused
        try:
            parts = urlsplit(text)
            host, _port = parts.hostname, parts.port
        except ValueError:
            raise refused from None
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or parts.username is not None
            or parts.password is not None
        ):
            raise refused
        return text


class ChoiceField(SelectField):
    """One of a list of (value, label); with ``coerce=int`` for ids. What is not in the list is refused."""

    type = "SelectField"

    def __init__(
        self, label: Any = None, validators: Any = None, *, choices: Iterable[tuple[Any, Any]] = (), **kwargs: Any
    ) -> None:
        offered = [SelectChoice(value, name) for value, name in choices]
        super().__init__(label, validators, choices=offered, **kwargs)

    def process_formdata(self, valuelist: list[Any]) -> None:
        text = str(valuelist[0]) if valuelist else ""
        self.data = None
        if self.coerce is not int or WHOLE_NUMBER.fullmatch(text):
            try:
                self.data = self.coerce(text)
            except ValueError:
                self.data = None

    def pre_validate(self, form: Any) -> None:  # noqa: ARG002 - the library's signature
        if not any(choice[2] for choice in self.iter_choices()):
            raise ValidationError(say(BadInput(N_("Choose one of the values in the list."))))


class RadioChoiceField(ChoiceField, RadioField):
    """One of a list, shown as radio buttons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.type = "RadioField"  # the name by which the form macros know it

    widget = ListWidget(prefix_label=False)
    option_widget = RadioInput()


class TickField(BooleanField):
    """A box to tick."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.type = "BooleanField"  # the name by which the form macros know it

    def _value(self) -> str:
        """What the box sends when it is ticked: ours, whatever has been sent."""
        return "y"


class UploadField(Field):
    """A file. Its name is never a path and its content is told by reading it, never by its name or stated type."""

    widget = FileInput()

    def __init__(self, label: Any = None, validators: Any = None, *, required: bool = True, **kwargs: Any) -> None:
        super().__init__(label, validators or (), **kwargs)
        self.required = required
        self.data: FileStorage | None

    def process_formdata(self, valuelist: list[Any]) -> None:  # noqa: ARG002 - text never stands in for a file
        given = [each for each in request.files.getlist(self.name) if each.filename]
        self.data = given[0] if given else None
        if self.data is None and self.required:
            raise ValueError(say(BadInput(N_("Choose a file."))))

    def _value(self) -> str:
        return ""


class Form(FlaskForm):
    """A form: shape only, rules live in services. The token is checked before any view, so the form carries none itself.

    Text is read from text fields and files from file fields only; a part of the wrong kind is Malformed (catalogue 77).
    """

    class Meta(FlaskForm.Meta):
        """Where the form reads from."""

        csrf = False

        def wrap_formdata(self, form: Any, formdata: Any) -> Any:  # noqa: ARG002 - the library's signature
            if formdata is None or isinstance(formdata, MultiDict):
                return formdata
            return request.form if request.method == "POST" else None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if request.method == "POST" and request.files:
            uploads = {field.name for field in self if isinstance(field, UploadField)}
            if not set(request.files) <= uploads or uploads & set(request.form):
                raise Malformed(N_("The form is not one of ours. Nothing has been done."))

    def accepted(self) -> bool:
        """Whether the form was sent and everything in it can be read."""
        return bool(self.validate_on_submit())

    def refuse(self, refusal: Refusal) -> int:
        """Put what a service refused beside its field, or at the top of the form; gives the status to answer with."""
        field = self._fields.get(refusal.field) if refusal.field else None
        if field is None:
            self.form_errors.append(say(refusal))
        else:
            field.errors = [*field.errors, say(refusal)]
        return refusal.status
