# ruff: noqa: RUF001 - digits of other scripts are what is tried
"""What people type: the catalogue of bad input, rows 1-22, 43-46, 76-78."""

from __future__ import annotations

import io
from datetime import date

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict

from errors import BadInput, Malformed, Refusal, Stale
from web_fields import (
    AmountField,
    ChoiceField,
    DayField,
    EmailField,
    Form,
    LineField,
    LinesField,
    PasswordField,
    PercentField,
    QuantityField,
    RadioChoiceField,
    TickField,
    UploadField,
    UrlField,
    WholeField,
)
from web_query import query_choice, query_day, query_days, query_text, query_whole
from web_words import in_language


class Everything(Form):
    """One of each."""

    amount = AmountField("Amount", required=False)
    signed = AmountField("Signed", signed=True, zero=True, required=False)
    quantity = QuantityField("Quantity", required=False)
    percent = PercentField("Percent", required=False)
    whole = WholeField("Whole", least=1, most=99, required=False)
    day = DayField("Day", required=False)
    line = LineField("Line", most=20, required=False)
    lines = LinesField("Lines", most=20, required=False)
    email = EmailField("E-mail", required=False)
    url = UrlField("Address", required=False)
    choice = ChoiceField("Choice", choices=[(1, "one"), (2, "two")], coerce=int)
    radio = RadioChoiceField("Radio", choices=[("a", "A"), ("b", "B")])
    tick = TickField("Tick")


class Needed(Form):
    """Fields that must be filled in."""

    amount = AmountField("Amount")
    line = LineField("Line")
    password = PasswordField("Password")


class WithFile(Form):
    """A file beside a text."""

    line = LineField("Line", required=False)
    file = UploadField("File")


@pytest.fixture
def typed():
    """Send a form and give it back, validated."""
    app = Flask("fields")
    app.secret_key = "x" * 32

    def send(form=Everything, /, **fields):
        data = MultiDict({"choice": "1", "radio": "a"})
        for name, value in fields.items():
            data.setlist(name, value if isinstance(value, list) else [value])
        with app.test_request_context("/", method="POST", data=data), in_language("en"):
            made = form()
            made.accepted()
            return made

    return send


def test_a_box_is_drawn_with_a_value_of_its_own(typed) -> None:
    form = typed(tick="a\0b")
    assert form.tick.data is True and 'value="y"' in form.tick() and "\0" not in form.tick()


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("250", 25000),
        ("1 437,00", 143700),
        ("1\u00a0437,5", 143750),
        ("12.30", 1230),
        (" 7 ", 700),
        ("2000000", 200_000_000),
    ],
)
def test_amounts_are_read(typed, text: str, minor: int) -> None:
    form = typed(amount=text)
    assert (form.amount.data, form.errors) == (minor, {})


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0,00",
        "-0",
        "-250",
        "−250",
        "(250)",
        "1_000",
        "1e3",
        "0x10",
        "NaN",
        "Infinity",
        "٢٥٠",
        "２５０",
        "²",
        "12,345",
        "1,2,3",
        "1.000,50",
        "1,000.50",
        "2000000,01",
        "9" * 400,
        "1\n2",
        "+5",
    ],
)
def test_what_is_no_amount_is_refused_and_kept(typed, text: str) -> None:
    """Rows 1-6: never guessed, never a float's idea of a number, and what was typed stays."""
    form = typed(amount=text)
    assert form.amount.data is None
    assert form.errors.keys() == {"amount"}
    assert form.amount._value() == text


def test_a_sign_where_one_is_asked_for(typed) -> None:
    assert typed(signed="−49,00").signed.data == -4900
    assert typed(signed="0").signed.data == 0


@pytest.mark.parametrize("text", ["0", "-1", "1,2345", "1000001", "1e3", "١"])
def test_what_is_no_quantity_is_refused(typed, text: str) -> None:
    assert typed(quantity=text).errors.keys() == {"quantity"}


@pytest.mark.parametrize(("clear", "milli"), [("1.125", 1125), ("0,125", 125), ("1000,125", 1_000_125), ("1,25", 1250)])
def test_a_quantity_is_read_where_it_means_one_thing_in_the_language_of_the_page(typed, clear: str, milli: int) -> None:
    """Row 5: what that language would group is asked about, never divided by a thousand."""
    assert typed(quantity=clear).quantity.data == milli
    assert typed(quantity="1,125").errors.keys() == {"quantity"}


def test_quantities_and_percentages_are_read(typed) -> None:
    form = typed(quantity="1,5", percent="33,33", whole="7")
    assert (form.quantity.data, form.percent.data, form.whole.data) == (1500, 3333, 7)


@pytest.mark.parametrize("text", ["0", "100,01", "33,333", "-5"])
def test_percentages_out_of_range_are_refused(typed, text: str) -> None:
    """Row 84."""
    assert typed(percent=text).errors.keys() == {"percent"}


@pytest.mark.parametrize("text", ["0", "100", "+5", "1_0", "１２", "٣", "7.0", "9" * 40])
def test_what_is_no_whole_number_is_refused(typed, text: str) -> None:
    assert typed(whole=text).errors.keys() == {"whole"}


@pytest.mark.parametrize(
    "text",
    ["2026-02-30", "0000-01-01", "9999-12-31", "20260101T25", "２０２６-01-05", "2026-1-5", "1/2/2026", "2026-01-05x"],
)
def test_what_is_no_date_is_refused(typed, text: str) -> None:
    """Row 20."""
    assert typed(day=text).errors.keys() == {"day"}


def test_a_date_is_read(typed) -> None:
    assert typed(day="2028-02-29").day.data == date(2028, 2, 29)
    # A day that is written as it should be is not told how days are written.
    assert typed(day="1980-01-01").day.errors == ["Enter a day from 1990-01-01 to 2199-12-31."]


@pytest.mark.parametrize(
    "text", ["x" * 21, "a\x00b", "a\nb", "a\u202eb", "a\u2066b", "a\x7fb", "e" + "\u0301" * 6, "a\u2028b", "a\ud800b"]
)
def test_lines_refuse_what_cannot_be_shown(typed, text: str) -> None:
    """Row 14, 46."""
    if "\ud800" in text:
        with pytest.raises(BadInput):
            LineField.read(typed().line, text)
    else:
        assert typed(line=text).errors.keys() == {"line"}


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>"[:20], "grön 🎁 låda", "=HYPERLINK(1)", "e\u0301", "'; drop --"]
)
def test_lines_take_all_else(typed, text: str) -> None:
    form = typed(line=text)
    assert form.errors == {}
    assert form.line.data


def test_several_lines_keep_their_breaks_and_nothing_else(typed) -> None:
    assert typed(lines="a\r\nb").lines.data == "a\nb"
    assert typed(lines="a\x08").errors.keys() == {"lines"}


@pytest.mark.parametrize(
    "text",
    [
        "a@b",
        "a b@c.se",
        "a@c.se,b@c.se",
        "a@c.se\r\nBcc: x@y.se",
        "å@c.se",
        "a@ö.se",
        "x" * 310 + "@example.se",
        "@c.se",
    ],
)
def test_what_is_not_one_address_is_refused(typed, text: str) -> None:
    """Row 45."""
    assert typed(email=text).errors.keys() == {"email"}


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://u:p@c.se/",
        "https://" + "x" * 1020,
        "ftp://c.se",
        "//c.se",
        "https://",
        "https://c.se:99999",
        "https:\\\\c.se",
    ],
)
def test_what_is_no_web_address_is_refused(typed, text: str) -> None:
    """Row 43."""
    assert typed(url=text).errors.keys() == {"url"}


def test_addresses_are_taken(typed) -> None:
    form = typed(url="https://spar.example.se/p?id=1", email="anna.ek+1@example.co.uk")
    assert form.errors == {}


@pytest.mark.parametrize("text", ["3", "x", "", "١", "1 "])
def test_only_what_is_in_the_list_can_be_chosen(typed, text: str) -> None:
    assert typed(choice=text).errors.keys() == {"choice"}
    assert typed(radio=text).errors.keys() == {"radio"}


def test_the_first_value_wins(typed) -> None:
    """Row 78."""
    form = typed(amount=["1", *["2"] * 199], choice=["2", "1"])
    assert (form.amount.data, form.choice.data) == (100, 2)


def test_what_must_be_filled_in_says_so(typed) -> None:
    form = typed(Needed, amount=" ", line=" ", password="")
    assert form.errors == {
        "amount": ["Enter an amount."],
        "line": ["This field must be filled in."],
        "password": ["This field must be filled in."],
    }


def test_a_password_is_taken_exactly_as_typed(typed) -> None:
    form = typed(Needed, amount="1", line="x", password="  two  spaces ")
    assert form.password.data == "  two  spaces "
    assert "spaces" not in str(form.password())


def test_a_refusal_stands_beside_its_field_or_at_the_top(typed) -> None:
    form = typed()
    with in_language("en"):
        assert form.refuse(BadInput("At most %(most)s.", field="amount", most=3)) == 422
        assert form.refuse(Stale("Somebody was here.")) == 409
        assert form.refuse(Refusal("No.", field="not there")) == 409
    assert form.errors == {"amount": ["At most 3."], "": ["Somebody was here.", "No."]}


@pytest.mark.parametrize(
    "data",
    [
        {"line": (io.BytesIO(b"x"), "a.txt"), "file": (io.BytesIO(b"x"), "a.txt")},
        {"file": "text"},
        {"other": (io.BytesIO(b"x"), "a.txt")},
        {"csrf_token": (io.BytesIO(b"x"), "a.txt")},
    ],
)
def test_text_is_text_and_files_are_files(data) -> None:
    """Row 77: a file part that bears the name of a text field, and the other way round."""
    app = Flask("fields")
    with app.test_request_context("/", method="POST", data={**data, "also": (io.BytesIO(b"x"), "b")}):
        with pytest.raises(Malformed):
            WithFile()


def test_a_file_is_taken() -> None:
    app = Flask("fields")
    with app.test_request_context("/", method="POST", data={"file": (io.BytesIO(b"x"), "../../x"), "line": "y"}):
        form = WithFile()
        assert form.accepted()
        assert (form.file.data.read(), form.line.data) == (b"x", "y")
    with app.test_request_context("/", method="POST", data={"line": "y"}):
        assert not WithFile().accepted()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", 1),
        ("page=7", 7),
        ("page=-1", 1),
        ("page=1000000000", 50),
        ("page=x", 1),
        ("page=%D9%A3", 1),
        ("page=3&page=9", 3),
    ],
)
def test_numbers_of_the_address_bar_are_clamped(query: str, wanted: int) -> None:
    """Row 19."""
    with Flask("q").test_request_context(f"/?{query}"):
        assert query_whole("page", 1, 1, 50) == wanted


def test_sorting_is_from_a_list_and_text_is_cut() -> None:
    """Rows 19, 22, 23."""
    with Flask("q").test_request_context("/?sort=;drop&q=a%00b%E2%80%AE" + "x" * 10_000 + "%FF"):
        assert query_choice("sort", ("number", "date"), "number") == "number"
        assert query_text("q") == ("ab" + "x" * 10_000)[:200]


def test_dates_of_the_address_bar() -> None:
    """Rows 20, 21."""
    with Flask("q").test_request_context("/?a=2026-01-01&b=2026-02-30&c=2025-01-01&d=1995-01-01"), in_language("en"):
        assert query_day("a") == date(2026, 1, 1)
        assert query_day("none") is None
        with pytest.raises(BadInput):
            query_day("b")
        with pytest.raises(BadInput, match="first day"):
            query_days("a", "c")
        with pytest.raises(BadInput, match="days can be shown"):
            query_days("d", "a")
