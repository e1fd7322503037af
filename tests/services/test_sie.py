"""«Exportera SIE»: what another program reads is what the books hold, to the öre, or there is no file (B35, A12)."""

from __future__ import annotations

import io
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from beancount import loader
from hypothesis import given
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, Refusal
from klarna_sandbox.control import Control
from models import Account, FiscalYear, Voucher
from rights import Actor
from services import book_lists, ledger, sie, sie_check, sie_text, verify, year_end
from services.gateway import Gateway
from services.ledger import Entry
from services.sie import Kind, Made, Per, Wish
from tests import sie_reader
from tests.builders import FREIGHT, a_captured_invoice, books_kept_in, row
from tests.services.settlement_parts import booked, fees
from tests.services.test_verify import a_credit
from tests.sie_reader import SieFile

TODAY = clock.today()
LAST_YEAR = date(TODAY.year - 1, 12, 31)


def the_year(day: date) -> FiscalYear:
    with reading() as session:
        found = ledger.year_of(session, day)
        assert found is not None
        return found


def export(wish: Wish, by: str = "Ekonomen") -> tuple[bytes, Made]:
    file = io.BytesIO()
    with reading() as session:
        made = sie.export(session, wish, by, file)
    return file.getvalue(), made


def the_whole_year(per: Per = Per.DOCUMENT) -> tuple[SieFile, Made]:
    with reading() as session:
        wish = sie.year_wish(session, the_year(TODAY).id, per)
    content, made = export(wish)
    return sie_reader.read(content), made


def a_cost_last_year(finance: Actor, name: str = "Bank Øst – Čapek") -> None:
    with writing() as session:
        ledger.post(
            session, finance, series="I", day=LAST_YEAR - timedelta(days=40), text=name, source="förra året",
            entries=[Entry(6570, 12_345), Entry(1930, -12_345, 'ett "citat"')],
        )  # fmt: skip


BEANS = {"T": "Assets", "S": "Liabilities", "I": "Income", "K": "Expenses"}


def as_beancount(file: SieFile, balances: dict[str, Decimal]) -> str:
    """The file as a journal of beancount, ending in a claim on every account's balance, which beancount proves or refuses."""
    first, last = file.years[0]
    name = {account: f"{BEANS[kind]}:K{account}" for account, kind in file.kinds.items()}
    lines = [f"{first} open {each} SEK" for each in name.values()]
    opening = {account: amount for account, amount in file.balances["IB", 0].items() if amount}
    if opening:
        lines += [f'{first} * "IB"', *(f"  {name[account]} {amount} SEK" for account, amount in opening.items())]
    for voucher in file.vouchers:
        lines.append(f'{voucher.day} * "{voucher.series}{voucher.number}"')
        lines += [f"  {name[each.account]} {each.amount} SEK" for each in voucher.rows]
    after = last + timedelta(days=1)
    lines += [f"{after} balance {name[account]} {amount} ~ 0.001 SEK" for account, amount in balances.items()]
    return "\n".join(lines) + "\n"


@pytest.mark.usefixtures("books")
def test_a_year_is_read_by_another_program_to_the_ore(klarna: Gateway, sandbox: Control, finance: Actor) -> None:
    """B35, A12: E1, E4a and their payout are the sample of the accounting reference; beancount gets the same trial balance."""
    a_cost_last_year(finance)
    with pytest.raises(Refusal, match="has not been carried to equity") as refused, reading() as session:
        sie.year_wish(session, the_year(TODAY).id)
    assert refused.value.link == ("closing.index", {})
    with writing() as session:
        year_end.carry(session, finance, the_year(LAST_YEAR).id)
    fees(sandbox, 36_53)
    lines = [row("Jacka", 139_900), row("T-shirt", 49_900, pieces=2), row("Frakt", 3_800, kind=FREIGHT)]
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    note = a_credit(klarna, invoice, rows=1, restock=False)
    payout = booked(klarna, sandbox)
    taken = payout.settlement_minor

    file, made = the_whole_year()
    assert made.report.sound and not made.report.warnings
    assert (made.report.vouchers, made.replaced) == (3, 0)
    assert file.once["FNAMN"] == ["Provbolaget AB"] and file.once["ORGNR"] == ["559999-0008"]
    assert file.once["ADRESS"] == ["", "Provgatan 1", "111 22 Stockholm", "08-465 004 00"]
    assert [(each.series, each.number) for each in file.vouchers] == [("F", 1), ("F", 2), ("I", 1)]
    sold, credited, paid = file.vouchers
    assert {(each.account, str(each.amount)) for each in sold.rows} == {
        ("1510", "2435.00"), ("3001", "-1917.60"), ("3520", "-30.40"), ("2611", "-487.00"),
    }  # fmt: skip
    assert sum(each.amount for each in credited.rows if each.account == "1510") == -Decimal(note.gross_minor or 0) / 100
    assert paid.text == f"Återläsning Klarna {payout.payment_reference}" and paid.day == TODAY
    assert {(each.account, str(each.amount)) for each in paid.rows} >= {
        ("1930", sie_text.amount(taken)), ("6060", "36.53"), ("2641", "9.13"), ("1510", "-2435.00"),
    }  # fmt: skip
    assert file.balances["IB", 0]["1930"] == Decimal("-123.45") and file.balances["IB", 0]["2099"] == Decimal("123.45")
    assert file.balances["UB", 0]["1510"] == 0 and file.balances["RES", -1]["8999"] == Decimal("-123.45")

    with reading() as session:
        rows = book_lists.trial_balance(session, *file.years[0])
    told = {str(each.account): Decimal(each.closing) / 100 for each in rows}
    assert told == {**file.balances["UB", 0], **file.balances["RES", 0]}
    _entries, errors, _options = loader.load_string(as_beancount(file, told))
    assert errors == []
    wrong = {account: amount + (Decimal("0.01") if account == "1930" else 0) for account, amount in told.items()}
    assert len(loader.load_string(as_beancount(file, wrong))[1]) == 1, "beancount sees one öre"

    daily, report = the_whole_year(Per.DAY)
    assert report.report.sound and [(each.series, each.number) for each in daily.vouchers] == [("F", 1), ("I", 1)]
    assert daily.vouchers[0].text == "Verifikationer F1-F2, 2 st"
    assert {(each.account, str(each.amount)) for each in daily.vouchers[0].rows} >= {
        ("1510", "2435.00"),
        ("2611", "-487.00"),
    }
    assert daily.balances == file.balances and "serie och dag" in daily.once["PROSA"][0]
    assert loader.load_string(as_beancount(daily, told))[1] == []


@pytest.mark.usefixtures("books")
def test_a_period_has_vouchers_only_and_letters_that_cannot_be_written_are_replaced(finance: Actor) -> None:
    """B35: 4I; an export never fails on a name."""
    a_cost_last_year(finance)
    with writing() as session:
        session.get_one(Account, 6570).active = False
    day = LAST_YEAR - timedelta(days=40)
    with reading() as session:
        wish = sie.period_wish(session, day, day)
    content, made = export(wish, "Åsa Ö")
    assert made.report.sound and made.replaced == 6, "the voucher, and the row without a text of its own"
    file = sie_reader.read(content)
    assert (file.balances, file.once["GEN"][1], wish.file_name) == ({}, "Åsa Ö", f"kvitta-{day}-{day}.si")
    assert file.vouchers[0].text == "Bank Ost - Capek" and file.vouchers[0].rows[1].text == 'ett "citat"'
    assert "6570" in file.accounts, "closed, and booked on in the period"
    assert "6 tecken som inte finns i PC8 är ersatta" in file.once["PROSA"][0]
    assert b"\x8fsa \x99" in content, "code page 437"
    with pytest.raises(BadInput) as no, reading() as session:
        sie.period_wish(session, day, None)
    assert no.value.field == "to"
    with reading() as session:
        wish = sie.period_wish(session, day - timedelta(days=9), day - timedelta(days=1))
    assert sie_reader.read(export(wish)[0]).vouchers == []


@pytest.mark.usefixtures("books")
@pytest.mark.only_on("sqlite")
def test_a_result_is_carried_once_and_only_of_a_year_that_is_over_and_open(finance: Actor, clerk: Actor) -> None:
    """A2, A8: 8999 against 2099; what comes late is carried by a voucher of its own."""
    a_cost_last_year(finance)
    key = the_year(LAST_YEAR).id
    with pytest.raises(Refusal), writing() as session:
        year_end.carry(session, clerk, key)
    with pytest.raises(Refusal, match="not over"), writing() as session:
        year_end.carry(session, finance, the_year(TODAY).id)
    with writing() as session:
        ledger.lock(session, finance, LAST_YEAR, "bokslut")
    with pytest.raises(Refusal, match="is locked"), writing() as session:
        year_end.carry(session, finance, key)
    with writing() as session:
        ledger.unlock(session, finance, None, "rättelse")
        made = year_end.carry(session, finance, key)
        assert (made.day, made.series) == (LAST_YEAR, "K")
    with pytest.raises(Refusal, match="already"), writing() as session:
        year_end.carry(session, finance, key)
    with writing() as session:
        ledger.post(
            session, finance, series="I", day=LAST_YEAR, text="sent", source="sent",
            entries=[Entry(6570, 55), Entry(1930, -55)],
        )  # fmt: skip
        assert [each.result_minor for each in year_end.left(session)] == [-55]
        assert year_end.carry(session, finance, key).id > made.id
        assert year_end.left(session) == []
        assert {each.account: each.closing for each in book_lists.trial_balance(session, TODAY, TODAY)}[2099] == 124_00


SOUND = """#FLAGGA 0
#PROGRAM Kvitta 1.0
#FORMAT PC8
#GEN 20260401 ekonomi
#SIETYP 4
#FNAMN "Åkerö Sport AB"
#RAR 0 20260101 20261231
#KONTO 1510 Kundfordringar
#KTYP 1510 T
#KONTO 3001 Sales
#KTYP 3001 I
#IB 0 1510 0.00
#UB 0 1510 10.50
#RES 0 3001 -10.50
#VER F 1 20260302 "Faktura 1" 20260302 ekonomi
{
   #TRANS 1510 {} 10.50 20260302 ""
   #TRANS 3001 {} -10.50 20260302 ""
}
"""


def faults(text: str) -> list[str]:
    return [each.message for each in sie_check.check(io.BytesIO(text.encode("cp437"))).faults]


BROKEN = [
    ("#FLAGGA 0", "#FLAGGA 1"),
    ("#FLAGGA 0\n", ""),
    ("#GEN 20260401 ekonomi\n", ""),
    ('#FNAMN "Åkerö Sport AB"', '#FNAMN ""'),
    ('#FNAMN "Åkerö Sport AB"', '#FNAMN "Åkerö'),
    ("#FORMAT PC8", "#FORMAT UTF8"),
    ("#KONTO 3001 Sales\n", ""),
    ("#KONTO 3001 Sales", "#KONTO 1510 Sales"),
    ("-10.50 20260302", "-10.49 20260302"),
    ("10.50 20260302", "+10.50 20260302"),
    ("10.50 20260302", "10,50 20260302"),
    ("   #TRANS 3001 {} -10.50", '   #TRANS 3001 {6 "WEBB"} -10.50'),
    ("#VER F 1 20260302", "#VER F 1 20270302"),
    ("#VER F 1 20260302", "#VER F 1 20260230"),
    ("#UB 0 1510 10.50", "#UB 0 1510 10.49"),
    ("#RES 0 3001 -10.50\n", ""),
    ("#IB 0 1510 0.00", "#IB 0 1510 0.01"),
    ("#RES 0 3001", "#UB 0 3001"),
    ("}\n", ""),
    ("{\n", ""),
    ('#VER F 1 20260302 "Faktura 1" 20260302 ekonomi\n{\n', ""),
    ("}\n", "}\n#VER F 3 20260302\n{\n#TRANS 1510 {} 1\n#TRANS 1510 {} -1\n}\n"),
    ("}\n", "}\n#VER F 2 20260302\n{\n}\n"),
    ("Kundfordringar", '"Kund\tford\x07ringar"'),
]  # fmt: skip


@pytest.mark.parametrize(("part", "instead"), BROKEN, ids=str)
def test_the_check_before_download_sees_what_is_wrong(part: str, instead: str) -> None:
    """B35: no sign is changed and no row added to make it fit."""
    assert part in SOUND and faults(SOUND) == []
    assert faults(SOUND.replace(part, instead, 1))


@pytest.mark.usefixtures("books")
@pytest.mark.only_on("sqlite")
def test_what_is_in_another_currency_is_not_exported_as_kronor(finance: Actor) -> None:
    with books_kept_in("EUR"), writing() as session:
        ledger.post(
            session, finance, series="I", day=TODAY, text="euro", source="euro", currency="EUR",
            entries=[Entry(1930, 5), Entry(2890, -5)],
        )  # fmt: skip
        assert session.query(Voucher).count() == 1
    with pytest.raises(Refusal, match="Swedish kronor only"):
        export(Wish(Kind.PERIOD, TODAY, TODAY))


@pytest.mark.parametrize(
    ("text", "written", "replaced"),
    [
        ("Åkerö é", "Åkerö é", 0),
        ("Øst – €5…", "Ost - EUR5...", 4),
        ("“Č” § ¤ š ã", '"C" par kr s a', 7),
        ("日本\x07x", "?? x", 2),
        ('C:\\a "b"\\', 'C:/a "b"/', 2),
        ("1\u00a0000", "1 000", 0),
    ],
)
def test_every_text_can_be_written(text: str, written: str, replaced: int) -> None:
    assert sie_text.in_page(text) == (written, replaced)
    written.encode("cp437")


@given(st.text(max_size=40))
def test_what_is_written_is_read_back_as_it_was_written(text: str) -> None:
    """Quotes, backslashes, line ends, blanks at the ends: a field is one field, and holds nothing that a reader may refuse."""
    kept, _replaced = sie_text.in_page(text)
    line = sie_text.quoted(kept).encode("cp437").decode("cp437")
    assert all(each.isprintable() for each in line) and list(sie_reader._words(f"{line} 1")) == [kept, "1"]
    assert sie_check._Reader()._fields(f"{line} 1") == [kept, "1"]


@given(st.integers(-(10**14), 10**14))
def test_amounts_have_a_point_and_two_decimals(minor: int) -> None:
    assert Decimal(sie_text.amount(minor)) * 100 == minor and sie_reader._amount(sie_text.amount(minor)) * 100 == minor


# --- flask verify asks for it ----------------------------------------------------------------------------------------------


def found_by_a12() -> list[str]:
    with reading() as session:
        (result,) = verify.run(session, ["A12"])
    return [str(each) for each in result.findings] or [f"{result.state}: {result.because}".removesuffix(": ")]


def on_another_account(row: Any) -> Any:
    return SimpleNamespace(**{**row._mapping, "account": 1930 if row.account == 1510 else row.account})


@pytest.mark.usefixtures("books")
def test_verify_reads_each_year_back(
    klarna: Gateway, sandbox: Control, finance: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A12: quiet over honest books; a voucher lost on the way, a turned sign and a balance told wrong are each found."""
    assert found_by_a12() == ["ok"]
    a_cost_last_year(finance)
    a_captured_invoice(klarna, sandbox, lines=[row("Jacka", 139_900)])
    assert found_by_a12() == ["ok"]
    with monkeypatch.context() as before:  # this year has no balances to export yet, its vouchers are read all the same
        writes = sie._per_document
        before.setattr(
            sie, "_per_document", lambda session, wish: [] if wish.kind is Kind.PERIOD else writes(session, wish)
        )
        assert f"fiscal_year:{the_year(TODAY).id}: vouchers: 1 in the books, 0 in its SIE file" in found_by_a12()
    with monkeypatch.context() as elsewhere:  # no count and no sum tells what stands on another account
        booked = sie._rows
        elsewhere.setattr(sie, "_rows", lambda session, wish: map(on_another_account, booked(session, wish)))
        assert (
            f"fiscal_year:{the_year(TODAY).id}: account 1510 moves by 139900 in the books, 0 in its SIE file"
            in found_by_a12()
        )
    with writing() as session:
        year_end.carry(session, finance, the_year(LAST_YEAR).id)
    assert found_by_a12() == ["ok"]

    per_document, told, this_year = sie._per_document, sie.amount, the_year(TODAY).id
    monkeypatch.setattr(sie, "_per_document", lambda session, wish: list(per_document(session, wish))[1:])
    lost = found_by_a12()
    assert f"fiscal_year:{this_year}: vouchers: 1 in the books, 0 in its SIE file" in lost
    assert f"fiscal_year:{this_year}: debit in minor units: 139900 in the books, 0 in its SIE file" in lost
    monkeypatch.setattr(sie, "_per_document", per_document)

    monkeypatch.setattr(sie, "amount", lambda minor: told(-minor))
    assert (
        f"fiscal_year:{this_year}: account 1510 closes with 139900 in the books, -139900 in its SIE file"
        in found_by_a12()
    )
    monkeypatch.setattr(sie, "amount", lambda minor: told(minor + 1))
    assert any("line 0: The opening balances of year 0 sum to" in each for each in found_by_a12())
    monkeypatch.setattr(sie, "amount", told)
    assert found_by_a12() == ["ok"]


@pytest.mark.usefixtures("books")
def test_verify_tells_what_no_sie_file_can_hold(finance: Actor) -> None:
    """A12: a year with vouchers in another currency is not called well."""
    with books_kept_in("EUR"), writing() as session:
        ledger.post(
            session, finance, series="I", day=TODAY, text="i euro", source="euro", currency="EUR",
            entries=[Entry(6570, 12_345), Entry(1930, -12_345)],
        )  # fmt: skip
    (told,) = found_by_a12()
    assert told.startswith("not applicable: the year that ends") and "holds vouchers in EUR" in told
