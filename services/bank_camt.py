"""A bank statement in ISO 20022 camt.053, any version from 1 to 12, becomes entries or a list of what is wrong with it. Pure.

The content is held against the standard by classes generated from its schemas (pyiso20022, xsdata), entry by entry, so that a
wrong entry is named. What a document type declaration could do never happens: a file that has one is refused before anything
is read from it. Source: catalogue row 54; requirements B33.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from xsdata.exceptions import ParserError
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

from errors import N_, BadInput, TooLarge, UnsupportedFile
from services.bank_entries import (
    LARGEST,
    MAX_MINOR,
    MOST_ENTRIES,
    MOST_NAME,
    MOST_PROBLEMS,
    Entry,
    Problem,
    Statement,
    joined,
    plain_account,
)
from services.csv_text import bad, require_size

DEEPEST = 40
"""Elements within each other; the standard has some twenty."""
MOST_ELEMENTS = 600_000
"""Of the whole file: as many as the most entries have, and no more than memory holds with ease."""
_NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(camt\.[0-9]{3})\.001\.([0-9]{2})")
_VERSIONS = range(1, 13)
_SAYS_NOTHING = "NOTPROVIDED"
_CONFIG = ParserConfig(fail_on_unknown_properties=False, fail_on_converter_warnings=True)


def read(content: bytes) -> Statement:
    """Read a statement. Raises TooLarge (413), UnsupportedFile (415), BadInput (422) for what is no camt.053 at all."""
    require_size(content, LARGEST)
    namespace = _outline(content)
    model = _model(namespace)
    root = ET.fromstring(content)  # noqa: S314 - the outline has refused every document type declaration
    reader = _Reader(namespace, model)
    for statement in root.iterfind(f"{{{namespace}}}BkToCstmrStmt/{{{namespace}}}Stmt"):
        reader.take(statement)
    if not reader.statements:
        raise bad(N_("The file holds no statement."))
    return Statement("camt", reader.entries, reader.problems, reader.left_out)


def is_xml(content: bytes) -> bool:
    """Whether a file is XML by what it begins with, in whatever letters."""
    return content[:200].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<")


def _outline(content: bytes) -> str:
    """The namespace of the outermost element, once the whole file is known to be well-formed, shallow and without a DTD."""
    parser = expat.ParserCreate(namespace_separator=" ")
    names: list[str] = []
    depth = count = 0

    def doctype(*_: object) -> None:
        raise bad(N_("The file declares a document type, which a bank statement never does. Nothing has been read."))

    def begins(name: str, _attributes: object) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if not names:
            names.append(name)
        if count > MOST_ELEMENTS:
            raise TooLarge(N_("The file has over %(limit)s elements."), field="file", limit=MOST_ELEMENTS)
        if depth > DEEPEST:
            raise bad(N_("The file's elements lie too deep within each other for a bank statement."))

    def ends(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = begins
    parser.EndElementHandler = ends
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        row = getattr(error, "lineno", 1)
        raise bad(N_("The XML is broken at row %(row)s: the file is damaged, or was cut off."), row=row) from None
    return names[0].rpartition(" ")[0]


@cache
def _classes(version: int) -> tuple[Any, Any]:
    """The classes of an account and of an entry, in a version of the standard."""
    module = import_module(f"pyiso20022.camt.camt_053_001_{version:02d}")
    statement = _inner(_inner(module.Document, "bk_to_cstmr_stmt"), "stmt")
    return _inner(statement, "acct"), _inner(statement, "ntry")


def _inner(owner: Any, name: str) -> Any:
    """The class of a field, of one or of a list of them."""
    found = typing.get_type_hints(owner)[name]
    while typing.get_args(found):
        found = next(each for each in typing.get_args(found) if each is not type(None))
    return found


def _model(namespace: str) -> tuple[Any, Any]:
    match = _NAMESPACE.fullmatch(namespace)
    if match is None:
        raise UnsupportedFile(
            N_("This XML is no bank statement in camt.053. Ask the bank for an account statement in camt.053 or CSV."),
            field="file",
        )
    if match[1] != "camt.053":
        raise UnsupportedFile(
            N_("This is %(kind)s, not an account statement. Ask the bank for camt.053."), field="file", kind=match[1]
        )
    if int(match[2]) not in _VERSIONS:
        raise UnsupportedFile(
            N_("Version %(version)s of camt.053 is not known. Kvitta reads versions 1 to 12."),
            field="file",
            version=int(match[2]),
        )
    return _classes(int(match[2]))


class _Wrong(BadInput):
    """What is wrong with an element; ``field`` names it."""


class _Reader:
    """Takes the statements of a file, entry by entry."""

    def __init__(self, namespace: str, model: tuple[Any, Any]) -> None:
        self._ns, (self._account_class, self._entry_class) = f"{{{namespace}}}", model
        self._parser = XmlParser(config=_CONFIG, handler=XmlEventHandler)
        self._place = 0
        self.statements = 0
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []
        self.left_out = 0

    def take(self, statement: ET.Element) -> None:
        """Take one statement of the file. Raises TooLarge; what is wrong with an entry is a problem of it."""
        self.statements += 1
        account = ""
        try:
            found = statement.find(f"{self._ns}Acct")
            account = _account(self._typed(found, self._account_class)) if found is not None else ""
        except _Wrong as why:
            self._wrong(0, why)
        for element in statement.iterfind(f"{self._ns}Ntry"):
            self._place += 1
            if self._place > MOST_ENTRIES:
                raise TooLarge(N_("The file has over %(limit)s entries."), field="file", limit=MOST_ENTRIES)
            if element.findtext(f"{self._ns}CdtDbtInd") == "DBIT":
                # Money that went out is not what is looked for, and half of most statements.
                self.left_out += 1
                continue
            try:
                made = list(_entries(self._typed(element, self._entry_class), self._place, account))
            except _Wrong as why:
                self._wrong(self._place, why)
            else:
                self.entries += made
                self.left_out += not made

    def _typed(self, element: ET.Element, wanted: Any) -> Any:
        try:
            return self._parser.parse(element, wanted)
        except ParserError as error:
            place, _, said = str(error).partition("\n")
            written = said.strip().split("`")
            raise _Wrong(
                N_("“%(text)s” cannot stand there."),
                field=_element(place.rpartition(".")[2].strip("`")),
                text=written[1][:40] if len(written) > 1 else "",
            ) from None
        except TypeError as error:
            missing = re.search(r"argument:? '(\w+)'", str(error))
            raise _Wrong(N_("It is missing."), field=_element(missing[1]) if missing else "") from None

    def _wrong(self, place: int, why: _Wrong) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(place, why.field or "", why))


def _element(name: str) -> str:
    """What the standard calls a field: ``cdt_dbt_ind`` is CdtDbtInd, and what an amount holds is the Amt itself."""
    return "Amt" if name == "value" else "".join(part.capitalize() for part in name.split("_"))


# --- An entry ----------------------------------------------------------------------------------------------------------


def _account(found: Any) -> str:
    number = found.id.iban or (found.id.othr.id if found.id.othr is not None else "")
    return plain_account(number or "")


def _code(found: Any) -> str:
    """A code of the standard, whichever way a version of it writes one."""
    inner = getattr(found, "cd", None) or getattr(found, "prtry", None) or found
    return str(getattr(inner, "value", inner) or "")


def _entries(entry: Any, place: int, account: str) -> Iterator[Entry]:
    """The money that came in with an entry: one, or each of several that were booked together; none for any other entry."""
    if _code(entry.cdt_dbt_ind) != "CRDT" or _code(entry.sts) != "BOOK" or entry.rvsl_ind:
        return
    amount, currency = _amount(entry.amt, "Amt")
    if not amount:
        return
    day = _day(entry)
    reference = joined([entry.acct_svcr_ref], MOST_NAME)
    details = [each for group in entry.ntry_dtls for each in group.tx_dtls]
    shares = [_share(each, currency) for each in details]
    if len(details) > 1 and None not in shares and sum(filter(None, shares)) == amount:
        for detail, share in zip(details, shares, strict=True):
            own = joined([detail.refs.acct_svcr_ref if detail.refs else None], MOST_NAME)
            text = joined(_texts(detail))
            if share:
                yield Entry(place, account, day, share, currency, _payer([detail]), text, own)
        return
    told = [said for each in details for said in _texts(each)]
    text = joined([*told, entry.addtl_ntry_inf])
    yield Entry(place, account, day, amount, currency, _payer(details), text, reference)


def _amount(found: Any, name: str) -> tuple[int, str]:
    value = found.value
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise _Wrong(N_("“%(text)s” cannot stand there."), field=name, text=str(value)[:40])
    exponent = value.as_tuple().exponent
    if value.adjusted() > 12 or not isinstance(exponent, int):
        raise _Wrong(N_("The amount is larger than Kvitta can count."), field=name)
    minor = value * 100 if exponent > -20 else Decimal("0.5")
    if minor != minor.to_integral_value():
        raise _Wrong(N_("An amount has at most two decimals."), field=name)
    if minor > MAX_MINOR:
        raise _Wrong(N_("The amount is larger than Kvitta can count."), field=name)
    currency = str(found.ccy or "")
    if re.fullmatch(r"[A-Z]{3}", currency) is None:
        raise _Wrong(N_("“%(text)s” cannot stand there."), field=f"{name} Ccy", text=currency[:40])
    return int(minor), currency


def _day(entry: Any) -> date:
    """The day it was booked, or where the bank leaves that out the day it counts from."""
    for found in (entry.bookg_dt, entry.val_dt):
        at = (found.dt or found.dt_tm) if found is not None else None
        if at is not None:
            return date(at.year, at.month, at.day)
    raise _Wrong(N_("It is missing."), field="BookgDt")


def _share(detail: Any, currency: str) -> int | None:
    """A detail's part of its entry; None where it does not say, or is not money coming in."""
    found = getattr(detail, "amt", None)
    if found is None and detail.amt_dtls is not None and detail.amt_dtls.tx_amt is not None:
        found = detail.amt_dtls.tx_amt.amt
    indicator = getattr(detail, "cdt_dbt_ind", None)
    if found is None or (indicator is not None and _code(indicator) != "CRDT"):
        return None
    minor, own = _amount(found, "TxDtls Amt")
    return minor if own == currency else None


def _texts(detail: Any) -> Iterator[str | None]:
    """Everything a detail says that a payment reference could stand in."""
    refs, told = detail.refs, detail.rmt_inf
    if refs is not None:
        ends = (refs.end_to_end_id, refs.instr_id, refs.tx_id, refs.pmt_inf_id)
        yield from (each for each in ends if each != _SAYS_NOTHING)
    if told is not None:
        yield from told.ustrd
        for each in told.strd:
            yield each.cdtr_ref_inf.ref if each.cdtr_ref_inf is not None else None
            yield from (document.nb for document in each.rfrd_doc_inf)
            yield from each.addtl_rmt_inf
    yield detail.addtl_tx_inf


def _payer(details: Sequence[Any]) -> str:
    names = []
    for detail in details:
        parties = detail.rltd_pties
        for party in (parties.dbtr, parties.ultmt_dbtr) if parties is not None else ():
            inner = getattr(party, "pty", None) or party
            names.append(getattr(inner, "nm", None))
    return joined(names, MOST_NAME)
