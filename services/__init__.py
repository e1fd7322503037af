"""The rules. No Flask here. Read from the bottom up; imports run downward only.

- ``search`` and ``keyset``: how things are found and lists go on; ``owed``, ``to_invoice``: figures of the start page.
- ``verify`` with its ``checks_*``, ``worklists``, and what pages show (``*_list``, ``*_page``, ``*_form``, ``afterwards``): look
  at everything.
- ``batches``, ``batch_run``: many orders at once, row by row in the background.
- ``janitor``, ``decisions``: finish what a crash or a silence left open, by the clock or by a person.
- ``settlements`` with ``settlement_*``: a payout fetched, read, matched, proved, booked.
- ``pushes``, ``klarna_orders`` with ``klarna_content``, ``incoming`` with ``incoming_rows``: orders come in, from Klarna
  and by every other way.
- ``order_entry``, ``order_uploads`` with ``order_file`` and ``order_columns``, ``api_orders`` with ``api_reading`` and
  ``api_tokens``: typed in, from a file, from a program.
- ``adoption`` with ``adoption_rows``, ``settling``, ``agreement``, ``fraud``: what was done elsewhere, adopted, explained,
  ignored; a stop lifted.
- ``reservations``: what is asked of Klarna for an invoice or a credit note; ``authorizations`` with ``reservation_acts``:
  acts on the reservation itself; ``klarna_calls``: what moves no money.
- ``beats``, ``asking``, ``following``: the beats one after the other; a look; what follows from an outcome.
- ``credit_notes``, ``credit_drafts``, ``invoices``, ``klarna_lines``, ``documents``: documents and their rules;
  ``credit_rows``, ``new_rows``, ``refund_lines``: rows a credit note has of its own, and what Klarna gets of them;
  ``free_credits``: those that belong to no invoice; ``goods_back``, ``goods_returns``: goods in stock again, at once or later;
  ``converting``, ``without_klarna``: what was kept from Klarna, afterwards; ``approvals``,
  ``draft_visits``: people about a draft;
  ``exchange``, ``replacement``, ``adjustments``: one article for another, even, cheaper or dearer; stock adjusted by hand;
  ``payments``, ``payment_terms``: what a customer pays to us; ``advances``, ``advance_credits``, ``advance_booking``:
  shares charged in advance, deducted, given back, and what is booked of them.
- ``order_amending``, ``order_ending``, ``releases``: rows changed before invoicing, orders cancelled, the rest let go.
- ``papers``, ``printing`` with ``drawing``: papers beside invoices, and HTML as PDF; ``postman``, ``outbox``, ``mail``,
  ``mail_settings``, ``mailing``: e-mail, one and many.
- ``deliveries``, ``orders``: what has left, what was bought.
- ``operations`` with ``outcomes``, ``answers``, ``op_log``, ``money_forms``: intend, send, record; knows no business.
- ``drift``, ``changes``, ``breaks``, ``holds``, ``captured_elsewhere``: ours against Klarna's, differences, stops, rows to
  beware of.
- ``looks``, ``gateway``: what Klarna shows, the way there.
- ``goods_in``, ``costs``, ``stocktakes`` with ``stocktake_report``: goods taken in, what they cost, a warehouse counted.
- ``stock``, ``ledger`` with ``accounts``, ``periods``, ``book_lists``, ``numbering``: the books under it all.
- ``klarna_accounts`` with ``account_rules`` and ``account_trial``, ``set_up``, ``hosts``: store ids, a first start, who may send.
- ``setting_groups``, ``company``, ``payment_methods``, ``vat_rates``: what an administrator changes.
- ``settings``, ``audit``, ``users``, ``preferences``, ``logins``, ``register`` with ``anonymising``: the company, its log,
  its people and cards; ``currencies``: the one the books are kept in.
"""
