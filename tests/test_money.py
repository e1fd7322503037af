"""Amounts: read what people type, print it back, and never lose an öre."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import money
from errors import BadInput

AMOUNTS = st.integers(0, money.MAX_AMOUNT_MINOR)
RATES = st.sampled_from([0, 600, 1200, 2500]) | st.integers(0, 10_000)


@given(AMOUNTS, st.sampled_from([" ", "\u00a0", "\u202f", ""]), st.sampled_from([",", "."]))
def test_an_amount_reads_back_as_it_was_printed(minor: int, space: str, point: str) -> None:
    whole, part = divmod(minor, 100)
    typed = f"{whole:,}".replace(",", space) + f"{point}{part:02d}"
    assert money.parse_amount(typed, zero=True) == minor
    assert money.parse_amount(money.plain(minor), zero=True) == minor


@given(st.integers(1, money.MAX_AMOUNT_MINOR), st.sampled_from("-\u2212"))
def test_a_minus_is_read_only_where_a_sign_is_asked_for(minor: int, minus: str) -> None:
    typed = minus + money.plain(minor)
    assert money.parse_amount(typed, signed=True) == -minor
    with pytest.raises(BadInput):
        money.parse_amount(typed)


@pytest.mark.parametrize("typed", ["", "   ", "\u00a0\u202f", "\t"])
def test_an_empty_amount_is_asked_for(typed: str) -> None:
    """Catalogue row 1."""
    with pytest.raises(BadInput) as refused:
        money.parse_amount(typed)
    assert refused.value.message == "Enter an amount."


@pytest.mark.parametrize("typed", ["0", "0,00", "-0", "0.0", "000"])
def test_nothing_is_not_an_amount(typed: str) -> None:
    """Catalogue row 2."""
    with pytest.raises(BadInput) as refused:
        money.parse_amount(typed)
    assert "more than 0" in refused.value.message


@pytest.mark.parametrize("typed", ["-250", "\u2212250", "(250)"])
def test_a_negative_amount_is_refused(typed: str) -> None:
    """Catalogue row 3."""
    with pytest.raises(BadInput):
        money.parse_amount(typed)


FOREIGN = [
    "1_000",
    "1e3",
    "0x10",
    "NaN",
    "Infinity",
    "٢٥٠",
    "\uff12\uff15\uff10",
    "²",
    "+5",
    "1 0",
    "1 0000",
    "1\u00a000",
    ",5",
    "5,",
]


@pytest.mark.parametrize("typed", FOREIGN)
@pytest.mark.parametrize("signed", [False, True])
def test_other_digits_and_notations_are_refused(typed: str, signed: bool) -> None:
    """Catalogue row 4."""
    with pytest.raises(BadInput) as refused:
        money.parse_amount(typed, signed=signed)
    assert "0–9" in refused.value.message


@pytest.mark.parametrize("typed", ["12,345", "1,2,3", "1.000,50", "1,000.50", "1.2.3", "1 000 00,5"])
def test_mixed_forms_are_never_guessed(typed: str) -> None:
    """Catalogue row 5."""
    with pytest.raises(BadInput):
        money.parse_amount(typed)


@pytest.mark.parametrize("typed", ["2000000,01", "9" * 39])
def test_the_largest_amount_is_named(typed: str) -> None:
    """Catalogue row 6."""
    with pytest.raises(BadInput) as refused:
        money.parse_amount(typed)
    assert refused.value.values["most"] == money.Amount(money.MAX_AMOUNT_MINOR)


def test_four_hundred_digits_are_refused_without_being_read() -> None:
    """Catalogue row 6."""
    with pytest.raises(BadInput):
        money.parse_amount("9" * 400)


@given(st.text(max_size=60))
def test_whatever_is_typed_gives_an_amount_in_range_or_a_sentence(typed: str) -> None:
    try:
        minor = money.parse_amount(typed, signed=True, zero=True)
    except BadInput:
        return
    assert abs(minor) <= money.MAX_AMOUNT_MINOR


@given(st.integers(1, money.MAX_QUANTITY_MILLI), st.sampled_from(",."))
def test_a_quantity_reads_back_with_its_three_decimals(milli: int, point: str) -> None:
    assert money.parse_quantity(f"{milli // 1000}{point}{milli % 1000:03d}") == milli


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(".,"))
def test_a_quantity_is_never_taken_for_a_thousandth_of_what_was_meant(whole: int, rest: int, decimal: str) -> None:
    """Catalogue row 5: what one language groups and the other divides is refused, and both ways to write it are read."""
    other = ",."[decimal == ","]
    typed = f"{whole}{other}{rest:03d}"
    with pytest.raises(BadInput) as refused:
        money.require_clear(typed, decimal, field="quantity")
    values = refused.value.values
    assert (refused.value.field, values["typed"]) == ("quantity", typed)
    together, parts = str(values["together"]), str(values["parts"])
    for clear, milli in ((together, (whole * 1000 + rest) * 1000), (parts, whole * 1000 + rest)):
        assert money.require_clear(clear, decimal) == clear
        assert money.parse_quantity(clear) == milli


@given(st.integers(0, 10**9), st.sampled_from(".,"))
def test_what_is_printed_in_a_language_is_clear_in_it(milli: int, decimal: str) -> None:
    """B14: a quantity that is drawn in a field is read as it stands there."""
    written = f"{milli // 1000}{decimal}{milli % 1000:03d}".rstrip("0").rstrip(decimal)
    assert money.parse_quantity(money.require_clear(written, decimal), zero=True) == milli


@given(st.text("0123456789., ", max_size=12), st.sampled_from(".,"))
def test_a_quantity_that_is_clear_does_not_change_with_the_language(typed: str, decimal: str) -> None:
    """Catalogue row 5: whatever is read means the same in both, or it has the thousandths of its own language."""
    try:
        milli = money.parse_quantity(money.require_clear(typed, decimal), zero=True)
    except BadInput:
        return
    whole, _, part = typed.replace(" ", "").replace(",", ".").partition(".")
    assert milli == int(whole) * 1000 + int(part.ljust(3, "0") or 0)
    if part and len(part) == 3 and whole[0] != "0" and len(whole) <= 3 and " " not in typed:
        assert decimal in typed


@pytest.mark.parametrize("typed", ["1,239.00", "1.239,00", "1,000,000", "1.000.000", "1'239.50", "12,345,678.9"])
@pytest.mark.parametrize("read", [money.parse_amount, money.parse_quantity])
def test_who_groups_thousands_is_told_how_they_are_written(typed: str, read: Callable[[str], int]) -> None:
    """Catalogue row 5: never guessed, and the sentence says what is."""
    with pytest.raises(BadInput, match="Write thousands with a space or together"):
        read(typed)


@pytest.mark.parametrize("typed", ["0", "-1", "1,2345", "1000001", "x", ""])
def test_a_quantity_that_cannot_be_is_refused(typed: str) -> None:
    """B14: at most three decimals."""
    with pytest.raises(BadInput):
        money.parse_quantity(typed)


def test_a_quantity_below_zero_is_refused_with_what_is_true_of_its_field() -> None:
    """Catalogue 1-6: where 0 is taken it is not said that more is needed."""
    with pytest.raises(BadInput, match="The quantity cannot be less than 0"):
        money.parse_quantity("-1", zero=True)
    with pytest.raises(BadInput, match="The quantity must be more than 0"):
        money.parse_quantity("−1")


@given(st.integers(1, 10_000))
def test_a_percentage_reads_back(hundredths: int) -> None:
    assert money.parse_percent(f"{hundredths // 100},{hundredths % 100:02d} %") == hundredths


@pytest.mark.parametrize("typed", ["0", "0,00", "100,01", "-5", "−5 %"])
def test_a_percentage_outside_its_range_is_refused(typed: str) -> None:
    """Catalogue row 84."""
    with pytest.raises(money.OutOfRange, match="Enter a percentage between"):
        money.parse_percent(typed)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("33,333", "at most two decimals"),
        ("100,001", "at most two decimals"),
        ("abc", "Write the number with the digits 0–9"),
        ("", "Enter a number"),
        ("%", "Enter a number"),
        ("-", "Enter a number"),
    ],
)
def test_a_percentage_that_cannot_be_read_is_told_what_is_wrong_with_it(typed: str, sentence: str) -> None:
    """F29: at most two decimals, in digits."""
    with pytest.raises(BadInput, match=sentence) as refused:
        money.parse_percent(typed)
    assert not isinstance(refused.value, money.OutOfRange)


@given(st.integers(-money.MAX_AMOUNT_MINOR, money.MAX_AMOUNT_MINOR), RATES)
def test_vat_is_the_exact_fraction_rounded_half_away_from_zero(gross: int, rate: int) -> None:
    exact = gross - Fraction(gross * 100) / (100 + Fraction(rate, 100))
    vat = money.vat_of_gross(gross, rate)
    assert abs(vat - exact) <= Fraction(1, 2)
    if abs(vat - exact) == Fraction(1, 2):
        assert abs(vat) > abs(exact)
    assert money.vat_of_gross(-gross, rate) == -vat


@pytest.mark.parametrize(
    ("gross", "rate", "vat"),
    [(243_500, 2500, 48_700), (49_900, 2500, 9_980), (10_875, 600, 616), (54_950, 2500, 10_990)],
)
def test_vat_of_the_worked_examples(gross: int, rate: int, vat: int) -> None:
    """Accounting reference, E1, E4, E12."""
    assert money.vat_of_gross(gross, rate) == vat


@given(
    st.integers(-10_000_000, 10_000_000),
    st.integers(1, 5_000),
    st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=12),
)
def test_shares_taken_until_nothing_is_left_add_up_even_when_some_are_put_back(
    total: int, quantity: int, steps: list[tuple[int, bool]]
) -> None:
    """K38, F30: in any order, however often a share is put back."""
    left, left_quantity = total, quantity
    taken: list[tuple[int, int]] = []
    for wanted, put_back in steps:
        if put_back and taken:
            amount, part = taken.pop(wanted % len(taken))
            left, left_quantity = left + amount, left_quantity + part
            continue
        part = min(wanted, left_quantity)
        if part == 0:
            continue
        amount = money.take_share(left, part, left_quantity)
        assert abs(amount) <= abs(left)
        assert amount * left >= 0
        left, left_quantity = left - amount, left_quantity - part
        taken.append((amount, part))
    if left_quantity:
        taken.append((money.take_share(left, left_quantity, left_quantity), left_quantity))
    assert sum(amount for amount, _ in taken) == total
    assert sum(part for _, part in taken) == quantity


@given(st.integers(-10_000_000, 10_000_000), st.lists(st.integers(0, 1_000_000), min_size=1, max_size=20))
def test_a_split_adds_up_and_no_part_is_an_minor_unit_from_its_due(total: int, weights: list[int]) -> None:
    parts = money.split(total, weights)
    assert sum(parts) == total
    if sum(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(total * weight, sum(weights))) < 1
            assert weight or part == 0


@pytest.mark.parametrize("weights", [[], [1, -1]])
def test_a_split_over_nothing_or_less_is_a_mistake(weights: list[int]) -> None:
    with pytest.raises(ValueError):
        money.split(100, weights)


@given(st.integers(0, 1_000_000), st.integers(-1_000_000, 1_000_000))
def test_a_row_is_quantity_times_price_to_the_nearest_minor_units(milli: int, price: int) -> None:
    assert abs(money.gross_of(milli, price) - Fraction(milli * price, 1000)) <= Fraction(1, 2)


def test_two_currencies_do_not_add() -> None:
    assert money.Amount(100) + money.Amount(50) == money.Amount(150)
    with pytest.raises(ValueError):
        money.Amount(100) + money.Amount(50, "EUR")


@pytest.mark.parametrize("minor", [1.0, True, "100"])
def test_an_amount_is_whole_minor_units(minor: object) -> None:
    with pytest.raises(TypeError):
        money.Amount(minor)  # type: ignore[arg-type]


def test_a_share_lies_within_what_remains() -> None:
    with pytest.raises(ValueError):
        money.take_share(100, 3, 2)
    with pytest.raises(ValueError):
        money.divide(1, 0)
    with pytest.raises(ValueError):
        money.vat_of_gross(100, -1)
