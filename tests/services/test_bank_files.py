"""Bank statements become entries, in camt.053 and in CSV; what is hostile, cut, foreign or wrong is refused in words."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import BadInput, Refusal
from services import bank_csv, bank_entries, bank_file
from services.bank_entries import MOST_ENTRIES, Entry, Statement, words_of
from tests.services.bank_parts import IBAN, NAMESPACE, camt, entry

AFTER_ALL = date(2100, 1, 1)
KLARNA = Entry(1, IBAN, date(2026, 3, 12), 1_890_34, "SEK", "KLARNA BANK AB", "Utbetalning XISA93DJ", "A1")
ONE = entry("XISA93DJ", "1890.34", bank="A1")


def read(content: bytes, account: str = "", *, today: date = AFTER_ALL) -> Statement:
    """A statement that is read when all of its days have come."""
    return bank_file.read(content, account, today=today)


# --- camt.053 ----------------------------------------------------------------------------------------------------------


def test_an_entry_is_read_alike_in_an_old_and_a_new_version_in_any_letters_and_with_a_prefix() -> None:
    """B33: what came in, on which account, with every word that a payment reference could stand in."""
    old = camt(ONE)
    new = camt(entry("XISA93DJ", "1890.34", bank="A1", version="08"), version="08")
    prefixed = old.replace(b"</", b"\0").replace(b"<?", b"\1").replace(b"<", b"<n:").replace(b"xmlns", b"xmlns:n")
    for content in (
        old,
        new,
        prefixed.replace(b"\0", b"</n:").replace(b"\1", b"<?"),
        old.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        b"\xef\xbb\xbf" + old,
    ):
        assert read(content).entries == [KLARNA]


def test_only_money_that_came_in_and_is_booked_is_taken() -> None:
    content = camt(
        ONE,
        entry("X", "10.00", direction="DBIT"),
        entry("X", "10.00").replace("BOOK", "PDNG"),
        entry("X", "10.00").replace("<Sts>", "<RvslInd>true</RvslInd><Sts>"),
        entry("X", "0.00"),
    )
    found = read(content)
    assert (len(found.entries), found.left_out, found.problems) == (1, 4, [])


def test_what_was_booked_on_a_day_to_come_is_a_problem_of_its_entry() -> None:
    content = camt(ONE, entry("X", "10.00", day="2099-03-12"))
    (found,) = read(content, today=date(2026, 3, 12)).problems
    assert (found.place, found.name, found.why.values) == (2, "day", {"day": date(2099, 3, 12)})
    assert not read(content, today=date(2099, 3, 12)).problems
    found_too = read(SEB.encode(), "1", today=date(2026, 3, 11)).problems
    assert [each.name for each in found_too] == ["day"]


def test_deposits_that_were_booked_together_are_taken_one_by_one_when_they_add_up() -> None:
    """A bank may book several transfers as one entry; each then has its own reference and amount."""

    def detail(reference: str, amount: str) -> str:
        return (
            f'<TxDtls><Refs><AcctSvcrRef>{reference}-1</AcctSvcrRef></Refs><AmtDtls><TxAmt><Amt Ccy="SEK">{amount}'
            f"</Amt></TxAmt></AmtDtls><RmtInf><Strd><CdtrRefInf><Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>"
        )

    both = entry("X", "30.00", bank="B")
    start, end = both.index("<TxDtls>"), both.index("</NtryDtls>")
    whole = read(camt(both[:start] + detail("AAAA", "10.00") + detail("BBBB", "20.00") + both[end:]))
    assert [(each.amount_minor, each.text, each.bank_reference, each.place) for each in whole.entries] == [
        (10_00, "AAAA", "AAAA-1", 1),
        (20_00, "BBBB", "BBBB-1", 1),
    ]
    apart = read(camt(both[:start] + detail("AAAA", "10.00") + detail("BBBB", "20.01") + both[end:]))
    assert [(each.amount_minor, each.text, each.bank_reference) for each in apart.entries] == [
        (30_00, "AAAA BBBB", "B")
    ]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (entry("X", "12,50"), "Amt"),
        (entry("X", "NaN"), "Amt"),
        (entry("X", "-5.00"), "Amt"),
        (entry("X", "1E400"), "Amt"),
        (entry("X", "1E-400"), "Amt"),
        (entry("X", "10000000000.00"), "Amt"),
        (entry("X", "1.234"), "Amt"),
        (entry("X", "1.00", currency="kr"), "Amt Ccy"),
        (entry("X", "1.00", "2026-13-12"), "Dt"),
        (entry("X", "1.00").replace('<Amt Ccy="SEK">1.00</Amt>', ""), "Amt"),
        (entry("X", "1.00").replace("<BookgDt><Dt>2026-03-12</Dt></BookgDt>", ""), "BookgDt"),
        (entry("X", "1.00").replace("CRDT", "BOTH"), "CdtDbtInd"),
    ],
)
def test_a_wrong_entry_is_named_with_its_element_and_the_others_are_looked_through(wrong: str, name: str) -> None:
    """Catalogue row 54: which entry, which element, and why."""
    found = read(camt(ONE, wrong, ONE))
    assert [(each.place, each.name) for each in found.problems] == [(2, name)]
    assert len(found.entries) == 2 and str(found.problems[0].why)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
INSIDE = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
HEAD = f'<?xml version="1.0"?>%s<Document xmlns="{NAMESPACE}02">%s</Document>'


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ((HEAD % (f"<!DOCTYPE d [{LAUGHS}]>", "&l9;")).encode(), 422, "document type"),
        ((HEAD % (INSIDE, "&x;")).encode(), 422, "document type"),
        ((HEAD % ('<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">', "")).encode(), 422, "document type"),
        ((HEAD % ("", "&undeclared;")).encode(), 422, "broken"),
        ((HEAD % ("", "<a>" * 5000)).encode(), 422, "too deep"),
        ((HEAD % ("", "<a/>" * 600_000)).encode(), 413, "600000 elements"),
        (b"<" + b"a" * bank_entries.LARGEST, 413, "megabytes"),
        (b"x" * (bank_entries.LARGEST + 1), 413, "megabytes"),
        (camt(ONE)[:-30], 422, "broken at row 1"),
        (camt(ONE).replace(b"UTF-8", b"klingon"), 422, "broken"),
        (camt(ONE.replace("KLARNA", "KLÅRNA")).decode().encode("latin-1"), 422, "broken"),
        (camt(ONE, version="99"), 415, "Version 99"),
        (camt(ONE).replace(b"camt.053", b"camt.054"), 415, "camt.054"),
        (b"<html><body>Logga in</body></html>", 415, "no bank statement"),
        (camt(), 422, "no entry"),
        (camt(ONE).replace(b"Stmt>", b"Rpt>"), 422, "no statement"),
        (b"PK\x03\x04" + b"\0" * 50, 415, "ZIP"),
        (b"%PDF-1.7", 415, "PDF"),
        (b"", 422, "names of the columns"),
        (b"\0\0\0\0", 422, "NUL"),
        (b"hej;svejs\n1;2\n", 422, "names of the columns"),
        (b"Datum;Belopp\n" + b"2026-03-12;1,00\n" * (MOST_ENTRIES + 1), 413, "entries"),
        (b'Datum;Belopp\n2026-03-12;"1,00\n', 422, "quotation mark"),
    ],
)
def test_what_is_no_statement_is_refused_in_words_and_nothing_of_it_is_done(
    content: bytes, status: int, said: str
) -> None:
    """Catalogue rows 47-54: entities, outside addresses, depth, size, wrong letters, other kinds of file."""
    with pytest.raises(Refusal, match=said) as refused:
        read(content)
    assert refused.value.status == status and refused.value.field == "file"


# --- CSV ---------------------------------------------------------------------------------------------------------------

SWEDBANK = """* Transaktioner Period 2026-03-01 – 2026-03-31, skapad 2026-04-01 08:00
Radnummer,Clearingnummer,Kontonummer,Produkt,Valuta,Bokföringsdag,Transaktionsdag,Valutadag,Referens,Beskrivning,Belopp,Saldo
1,8327-9,904 123 456-7,Företagskonto,SEK,2026-03-12,2026-03-11,2026-03-12,XISA93DJ,KLARNA BANK AB,1890.34,20000.00
2,8327-9,904 123 456-7,Företagskonto,SEK,2026-03-12,2026-03-12,2026-03-12,,HYRA,-5000.00,15000.00
"""
SEB = "Bokföringsdatum;Valutadatum;Verifikationsnummer;Text;Belopp;\n2026-03-12;2026-03-12;5490;KLARNA XISA93DJ;1 890,34;\n"
IN_AND_OUT = "Datum\tText\tInsättning\tUttag\n2026-03-12\tKLARNA XISA93DJ\t1.890,34\t\n2026-03-12\tHyra\t\t5000\n"


def test_the_columns_of_a_bank_are_found_by_name_wherever_the_head_stands() -> None:
    for content, account, text, reference in (
        (SWEDBANK.encode("cp1252"), "904123456-7", "XISA93DJ KLARNA BANK AB", ""),
        (SEB.encode(), "TYPED", "KLARNA XISA93DJ", "5490"),
        (IN_AND_OUT.encode("utf-16"), "TYPED", "KLARNA XISA93DJ", ""),
    ):
        found = read(content, "TY PED")
        assert not found.problems
        (only,) = found.entries
        assert replace(only, place=0) == Entry(0, account, date(2026, 3, 12), 1_890_34, "SEK", "", text, reference)
        assert only.is_klarnas and "XISA93DJ" in words_of(only.text)


def test_a_reference_is_found_however_the_bank_writes_around_it() -> None:
    """B33: as a word of its own, never as a part of another."""
    for text in ("xisa93dj", "KLARNA*XISA93DJ", "REF:XISA93DJ/20260312", "KLARNA-XISA93DJ", "(Xisa93dj)"):
        assert "XISA93DJ" in words_of(text), text
    assert "AB-12" in words_of("Utbetalning ab-12")
    assert not {"XISA93DJ"} & words_of("XISA93DJ1 1XISA93DJ XISA 93DJ")


def test_each_wrong_row_is_named_with_its_column() -> None:
    rows = ["Datum;Text;Belopp;Valuta", "12.03.2026;a;1,00;SEK", "2026-02-30;a;1,00;SEK", "2026-03-12;a;1.890;SEK"]
    rows += ["2026-03-12;a;1,00;kronor", "2026-03-12;a;1,00", "2026-03-12;a;;SEK", "2026-03-12;a;1,00;SEK"]
    found = read("\n".join(rows).encode())
    assert [(each.place, each.name) for each in found.problems] == [
        (2, "day"),
        (3, "day"),
        (4, "amount"),
        (5, "currency"),
        (6, ""),
        (7, "amount"),
    ]
    assert len(found.entries) == 1
    both = read(b"Datum;Ins\xc3\xa4ttning;Uttag\n2026-03-12;5;5\n")
    assert [(each.place, each.name) for each in both.problems] == [(2, "in")]


LETTERS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=40).map(
    lambda text: bank_entries.joined([text])
)
ENTRIES = st.builds(
    Entry,
    place=st.just(0),
    account=LETTERS.map(bank_entries.plain_account),
    day=st.dates(date(2005, 1, 1), date(2099, 12, 31)),
    amount_minor=st.integers(1, bank_entries.MAX_MINOR),
    currency=st.sampled_from(["SEK", "EUR", "NOK"]),
    payer=LETTERS,
    text=LETTERS,
    bank_reference=LETTERS,
)
COLUMNS = {
    "day": ("Bokföringsdag", "booking date", " DATUM "),
    "amount": ("Belopp", "Amount"),
    "currency": ("Valuta", "currency"),
    "account": ("Kontonummer", "IBAN"),
    "payer": ("Avsändare", "payer"),
    "text": ("Meddelande", "Reference"),
    "bank_reference": ("Verifikationsnummer", "transaction id"),
    "balance": ("Saldo", "Något annat"),
}


@given(
    entries=st.lists(ENTRIES, min_size=1, max_size=5),
    order=st.permutations(list(COLUMNS)),
    name=st.integers(0, 2),
    delimiter=st.sampled_from(";\t,"),
    grouping=st.sampled_from(["", " ", "\u00a0", "'"]),
    sign=st.sampled_from(".,"),
    separator=st.sampled_from(["-", "", "/"]),
    above=st.integers(0, 3),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_printed_as_csv_is_read_back_the_same(
    entries: list[Entry],
    order: list[str],
    name: int,
    delimiter: str,
    grouping: str,
    sign: str,
    separator: str,
    above: int,
    encoding: str,
    end: str,
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end)
    for n in range(above):
        writer.writerow([f"* Transaktioner {n}"])
    writer.writerow([COLUMNS[column][name % len(COLUMNS[column])] for column in order])
    for each in entries:
        whole, part = divmod(each.amount_minor, 100)
        cells = {
            "day": each.day.strftime(f"%Y{separator}%m{separator}%d"),
            "amount": f"{whole:,}".replace(",", grouping) + f"{sign}{part:02d}",
            "currency": each.currency,
            "account": each.account,
            "payer": each.payer,
            "text": each.text,
            "bank_reference": each.bank_reference,
            "balance": "x",
        }
        writer.writerow([cells[column] for column in order])
    found = read(written.getvalue().encode(encoding))
    assert not found.problems
    assert [replace(each, place=0) for each in found.entries] == entries
    assert [each.place for each in found.entries] == list(range(above + 2, above + 2 + len(entries)))


@given(st.text(max_size=20))
def test_an_amount_is_read_exactly_or_refused(text: str) -> None:
    try:
        minor = bank_csv.parse_amount(text, "amount")
    except BadInput:
        return
    digits = "".join(each for each in text if each.isdecimal())
    assert digits and abs(minor) in (int(digits), int(digits) * 10, int(digits) * 100)
