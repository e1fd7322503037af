"""Bank statements as banks write them, for tests: camt.053 of an old and a new version, and CSV."""

from __future__ import annotations

from datetime import date

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
IBAN = "SE4550000000058398257466"


def entry(
    reference: str,
    amount: str,
    day: date | str = "2026-03-12",
    *,
    bank: str = "",
    payer: str = "KLARNA BANK AB",
    version: str = "02",
    currency: str = "SEK",
    direction: str = "CRDT",
) -> str:
    """An entry of a statement, with one detail."""
    new = version != "02"
    status = "<Cd>BOOK</Cd>" if new else "BOOK"
    party = f"<Pty><Nm>{payer}</Nm></Pty>" if new else f"<Nm>{payer}</Nm>"
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts>{status}</Sts>'
        f"<BookgDt><Dt>{day}</Dt></BookgDt>{f'<AcctSvcrRef>{bank}</AcctSvcrRef>' if bank else ''}"
        "<BkTxCd><Prtry><Cd>ESCT</Cd></Prtry></BkTxCd><NtryDtls><TxDtls>"
        f"<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><RltdPties><Dbtr>{party}</Dbtr></RltdPties>"
        f"<RmtInf><Ustrd>Utbetalning {reference}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
    )


def camt(*entries: str, version: str = "02", account: str = IBAN) -> bytes:
    """A camt.053 of one account."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{NAMESPACE}{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>1</MsgId><CreDtTm>2026-03-13T05:00:00</CreDtTm></GrpHdr><Stmt><Id>1</Id>"
        f"<CreDtTm>2026-03-13T05:00:00</CreDtTm><Acct><Id><IBAN>{account}</IBAN></Id></Acct>"
        f"{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()
