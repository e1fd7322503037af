"""The rules. No Flask here. Read from the bottom up; imports run downward only.

    verify, worklists           look at everything
    janitor                     finishes what a crash or a silence left open
    settlements                 a payout: imported, matched, proved, booked
    reservations                what we ask of Klarna and what follows from its answer
    credit_notes, invoices      documents and their rules
    documents                   what both share: freezing, moves, VAT of the rows
    deliveries, orders          what was bought, what has left
    operations, looks, gateway  the three beats towards Klarna; what it shows; the way there
    stock, ledger, numbering    the books under it all
    settings, audit, users      the company, its log, its people
    settlement_reader           a report read strictly, without a database
"""
