"""«Läs in SIE»: another program's vouchers come in once, all of a file or nothing, and what is wrong is told with its line."""

from __future__ import annotations

import secrets
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from models import Account, Audit, FiscalYear, Posting, Voucher
from rights import Actor
from services import manual_vouchers, periods, sie_import, sie_text, stock_booking, verify
from services import settings as company_settings
from services.sie_import import Plan
from tests.services.test_manual_vouchers import sums
from tests.threads import in_threads, while_open

TODAY = clock.today()
DAY = TODAY.strftime("%Y%m%d")
HEAD = f"""#FLAGGA 0
#PROGRAM "Löneboken" 7.1
#FORMAT PC8
#GEN {DAY}
#SIETYP 4
#ORGNR 556677-8899
#FNAMN "Åkerö Sport AB"
#RAR 0 {TODAY.year}0101 {TODAY.year}1231
#KONTO 6570 "Bankkostnader"
#KONTO 1930 "Företagskonto"
"""
RENT = f"""#VER A 12 {DAY} "Avgift för bankkort, öre" {DAY}
{{
#TRANS 6570 {{}} 125.50 {DAY} "kort"
#TRANS 1930 {{1 "100"}} -125.5
}}
"""
POST = f"""#ver B 3 {DAY}
{{
#TRANS\t6570 {{}} 10
#RTRANS 1930 {{}} -10.00
#TRANS 1930 {{}} -10.00
#BTRANS 6570 {{}} 99.00
}}
"""


def sie(*parts: str, encoding: str = "cp437") -> bytes:
    return "".join(parts).replace("\n", "\r\n").encode(encoding)


GOOD = sie(HEAD, RENT, POST)


@pytest.fixture(autouse=True)
def company(books: Flask, admin: Actor) -> None:
    with writing() as session:
        company_settings.change(session, admin, "company.organisation_number", "556677-8899", TODAY)


def preview(content: bytes) -> Plan:
    with reading() as session:
        return sie_import.preview(session, content)


def take(actor: Actor, content: bytes, shown: str = "") -> Plan:
    seen = shown or preview(content).file.sha256
    with writing() as session:
        return sie_import.take(session, actor, content, seen)


def wrong(content: bytes) -> list[tuple[int, str]]:
    return [(each.line, str(each.why)) for each in preview(content).file.problems]


def count() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Voucher)) or 0


def test_the_vouchers_of_a_file_become_ours_with_their_own_series_and_number_in_the_text(
    books: Flask, finance: Actor
) -> None:
    """Accounting reference 9: removed rows count for nothing, an added row stands for its twin, objects are passed over."""
    plan = take(finance, GOOD)
    assert (plan.file.problems, plan.file.program, plan.file.company) == ([], "Löneboken", "Åkerö Sport AB")
    with reading() as session:
        made = session.scalars(sa.select(Voucher).order_by(Voucher.id)).all()
        assert [(each.series, each.day, each.text) for each in made] == [
            ("K", TODAY, "A12 Avgift för bankkort, öre"),
            ("K", TODAY, "B3"),
        ]
        assert session.scalar(sa.select(Posting.text).where(Posting.amount_minor == 125_50)) == "kort"
        assert all(result.state is not verify.CheckState.FAILED for result in verify.run(session))
    assert sums() == {6570: 135_50, 1930: -135_50}


def test_the_same_file_and_the_same_voucher_are_refused(books: Flask, finance: Actor) -> None:
    """Catalogue row 63: by hash, and by series and number in another file."""
    take(finance, GOOD)
    with pytest.raises(Refusal, match="Already read"):
        preview(GOOD)
    assert wrong(sie(HEAD, RENT, POST.replace("B 3", "B 4"))) == [(11, "Voucher A12 has been read in before, as K1.")]
    assert wrong(sie(HEAD, POST.replace("B 3", "B 4"), POST.replace("B 3", "B 4"))) == [
        (11, "Voucher B4 stands twice in the file."),
        (18, "Voucher B4 stands twice in the file."),
    ]
    assert count() == 2


def test_a_number_counts_in_its_financial_year_and_a_series_ends_where_its_number_begins(
    books: Flask, finance: Actor
) -> None:
    """Catalogue row 63: a year over new year's eve has one A1; A11 of series A1 is not A11 of series A."""
    with writing() as session:
        for year in session.scalars(sa.select(FiscalYear)):
            year.starts, year.ends = year.starts - timedelta(days=92), year.ends - timedelta(days=92)
    before, after = date(TODAY.year - 1, 12, 30), date(TODAY.year, 1, 2)
    head = HEAD.replace(f"#RAR 0 {TODAY.year}0101 {TODAY.year}1231\n", "")
    first, second = (RENT.replace("A 12", "A 1").replace(DAY, sie_text.day(each)) for each in (before, after))
    told = wrong(sie(head, first, second))
    assert [words for _, words in told] == ["Voucher A1 stands twice in the file."] * 2
    assert not wrong(sie(head, second.replace("A 1 ", "A 11 "), second.replace("A 1 ", "A1 1 ")))


def test_the_same_file_twice_at_once_is_read_once(books: Flask, finance: Actor) -> None:
    """Catalogue row 63."""
    shown = preview(GOOD).file.sha256
    raised = in_threads(books, lambda _: take(finance, GOOD, shown), 2)
    assert [type(each) for each in raised] == [Refusal] and count() == 2


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (
            sie(HEAD, RENT.replace("-125.5", "-125.51")),
            15,
            "voucher A12 do not agree: they differ by SEK -0.01.",
        ),
        (sie(HEAD, RENT.replace("6570", "6571")), 13, "Account 6571 is not declared."),
        (
            sie(HEAD, '#KONTO 4321 "x"\n', RENT.replace("6570", "4321")),
            14,
            "Account 4321 is not in the chart of accounts.",
        ),
        (sie(HEAD, '#KONTO 6060 "x"\n', RENT.replace("6570", "6060")), 14, "Account 6060 is closed."),
        (sie(HEAD, '#KONTO 1510 "x"\n', RENT.replace("6570", "1510")), 14, "Account 1510 follows Kvitta's own"),
        (sie(HEAD.replace("556677-8899", "556000-0001"), RENT), 0, "The file is of organisation number 5560000001"),
        (sie(HEAD, RENT.replace(DAY, f"{TODAY.year - 1}1231")), 11, "Voucher A12 lies outside the financial year."),
        (
            sie(HEAD.replace(f"#RAR 0 {TODAY.year}0101 {TODAY.year}1231\n", ""), RENT.replace(DAY, "19990101")),
            10,
            "for which there is no financial year here",
        ),
        (sie(HEAD, RENT, encoding="utf-8"), 2, "not written in PC8"),
        (sie(HEAD, RENT, encoding="cp1252"), 2, "not written in PC8"),
        (sie(HEAD, RENT).replace(b"kort,", b"kort\x00"), 11, "control character"),
        (sie(HEAD.replace("Löneboken", "Kvitta"), RENT), 0, "made by Kvitta"),
        (sie(HEAD.replace("SIETYP 4", "SIETYP 1"), RENT), 5, "#SIETYP is «1»."),
        (sie(HEAD.replace("PC8", "UTF8"), RENT), 3, "#FORMAT is «UTF8»."),
        (sie(HEAD.replace("#FORMAT PC8\n", ""), RENT), 0, "#FORMAT stands there 0 times."),
        (sie(HEAD), 0, "no vouchers"),
        (sie(HEAD, RENT.replace("125.50", "125,50")), 13, "«125,50» is not an amount."),
        (sie(HEAD, RENT.replace(f"A 12 {DAY}", "A 12 20260230")), 11, "«20260230» is not a day."),
        (sie(HEAD, RENT.replace("6570", "657")), 13, "«657» is not an account"),
        (sie(HEAD, RENT.replace("}\n", "", 1)), 0, "ends inside a voucher"),
        (sie(HEAD, f"#VER A 1 {DAY}\n", RENT), 12, "Voucher A1 has no rows."),
        (sie(HEAD, f"#VER A 1 {DAY}\n{{\n}}\n", RENT), 13, "Voucher A1 has no rows."),
        (sie(HEAD, RENT, "#TRANS 1930 {} 5.00\n"), 16, "#TRANS stands inside a voucher, or a row outside one."),
        (sie(HEAD, RENT.replace('"kort"', '"kort')), 13, "quotation marks"),
        (sie(HEAD, "hej\n", RENT), 11, "The line is no record."),
        (sie(HEAD, "#VALUTA EUR\n", RENT), 11, "The file is in EUR; the books are kept in SEK."),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_nothing_is_read_in(
    books: Flask, finance: Actor, content: bytes, line: int, words: str
) -> None:
    """Catalogue row 62."""
    with writing() as session:
        session.get_one(Account, 6060).active = False
    found = preview(content).file.problems
    assert any(each.line == line and words in str(each.why) for each in found), [(e.line, str(e.why)) for e in found]
    assert take(finance, content).file.problems and count() == 0 and sums() == {}
    with reading() as session:
        assert not session.scalars(sa.select(Audit).where(Audit.action == sie_import.ACTION)).all()


def test_a_file_that_says_it_is_in_kronor_comes_in(books: Flask, finance: Actor) -> None:
    take(finance, sie(HEAD, "#VALUTA sek\n", RENT))
    assert count() == 1


def test_personal_numbers_in_texts_are_masked(books: Flask, finance: Actor) -> None:
    """B29: in what is shown as in what is kept."""
    content = sie(HEAD, RENT.replace("Avgift", "Lön 811218-9876").replace('"kort"', '"19811218 9876"'))
    assert preview(content).vouchers[0].text == "Lön ******-**** för bankkort, öre"
    take(finance, content)
    with reading() as session:
        assert session.scalar(sa.select(Voucher.text)) == "A12 Lön ******-**** för bankkort, öre"
        assert session.scalars(sa.select(Posting.text).order_by(Posting.id)).all() == ["******-****", ""]


def test_a_voucher_without_number_text_and_program_has_a_text_all_the_same(books: Flask, finance: Actor) -> None:
    head = HEAD.replace('#PROGRAM "Löneboken" 7.1\n', "")
    take(finance, sie(head, POST.replace("#ver B 3", '#VER "" ""')))
    with reading() as session:
        assert session.scalar(sa.select(Voucher.text)) == "SIE"


@pytest.mark.only_on("postgres")
def test_nobody_locks_a_day_while_a_file_books_on_it(books: Flask, finance: Actor) -> None:
    """A6: what has been looked at as open is booked as open, or told as locked."""
    before = TODAY.replace(day=1) - timedelta(days=1)
    content = sie(
        HEAD.replace(f"#RAR 0 {TODAY.year}0101 {TODAY.year}1231\n", ""),
        RENT.replace(DAY, before.strftime("%Y%m%d")),
    )
    shown = preview(content).file.sha256
    told: list[tuple[int, str]] = []

    def takes(session: Session) -> None:
        made = sie_import.take(session, finance, content, shown)
        told.extend((each.line, str(each.why)) for each in made.file.problems)

    assert while_open(books, lambda session: periods.lock(session, finance, before, "Månaden"), takes) is None
    assert [(line, "which is locked" in words) for line, words in told] == [(10, True)] and count() == 0


@pytest.mark.only_on("postgres")
def test_who_begins_to_book_stock_just_then_is_waited_for(books: Flask, finance: Actor) -> None:
    """S4: otherwise the account begins with a row that nothing explains."""
    content = sie(HEAD, '#KONTO 1460 "Lager"\n', RENT.replace("6570", "1460"))
    shown = preview(content).file.sha256
    told: list[str] = []

    def begins(session: Session) -> None:
        stock_booking.begin(session, finance, secrets.token_hex(16), 0, 0)

    def takes(session: Session) -> None:
        told.extend(str(each.why) for each in sie_import.take(session, finance, content, shown).file.problems)

    assert while_open(books, begins, takes) is None
    assert ["follows Kvitta's own documents" in each for each in told] == [True] and count() == 0


def test_a_locked_day_is_told(books: Flask, finance: Actor) -> None:
    """A6: what another program books in a locked period does not come in on another day."""
    before = TODAY.replace(day=1) - timedelta(days=1)
    with writing() as session:
        periods.lock(session, finance, before, "Månaden")
    told = wrong(sie(HEAD, RENT.replace(DAY, before.strftime("%Y%m%d"))))
    assert [(line, "which is locked" in words) for line, words in told] == [(11, True)]


def test_what_is_no_sie_file_and_another_than_was_shown_are_refused(books: Flask, finance: Actor, clerk: Actor) -> None:
    for content in (b"", b"%PDF-1.7", b"PK\x03\x04", b"\x89PNG", "#FLAGGA 0".encode("utf-16")):
        with pytest.raises(BadInput, match="no SIE file"):
            preview(content)
    with pytest.raises(Refusal, match="not the file that was shown"):
        take(finance, GOOD, "0" * 64)
    with pytest.raises(NotAllowed):
        take(clerk, GOOD)
    assert count() == 0


def test_more_than_is_read_at_once_is_refused(books: Flask) -> None:
    rows = [RENT.replace("A 12", f"A {number}") for number in range(sie_import.MOST_VOUCHERS + 1)]
    assert wrong(sie(HEAD, *rows)) == [
        (0, "The file holds 501 vouchers, at most 500 are read in at once. Export a shorter period.")
    ]


def test_a_voucher_read_in_is_reversed_like_one_by_hand_and_stays_known(books: Flask, finance: Actor) -> None:
    """A7; catalogue row 63: what was reversed does not come in again by itself."""
    take(finance, sie(HEAD, RENT))
    with writing() as session:
        made = session.scalars(sa.select(Voucher.id)).one()
        manual_vouchers.reverse_once(session, finance, secrets.token_hex(16), made, "Fel fil")
    assert sums() == {}
    assert wrong(sie(HEAD, RENT, POST)) == [(11, "Voucher A12 has been read in before, as K1.")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('abcåäöÅÄÖé "{}#\\'), max_size=12), st.integers(1, 10**9)),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read_to_the_ore_and_the_letter(books: Flask, told: list[tuple[str, int]]) -> None:
    """Printing and reading are each other's opposite, whatever stands in a text."""
    made = [HEAD]
    for number, (typed, minor) in enumerate(told, start=1):
        text = sie_text.in_page(typed)[0]
        made.append(
            f"#VER A {number} {sie_text.day(date(TODAY.year, 3, 2))} {sie_text.quoted(text)}\n{{\n"
            f"#TRANS 6570 {{}} {sie_text.amount(minor)} {DAY} {sie_text.quoted(text)}\n"
            f"#TRANS 1930 {{}} {sie_text.amount(-minor)}\n}}\n"
        )
    file = preview(sie(*made)).file
    assert file.problems == []
    assert [(each.text, each.rows[0].text, each.debit_minor) for each in file.vouchers] == [
        (sie_text.in_page(text)[0],) * 2 + (minor,) for text, minor in told
    ]
