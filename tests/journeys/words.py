"""What the pages say on the way from order to paid, to the letter, in both languages (requirements F and K, operations 11)."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, tuple[str, str]] = {
    "not_invoiced": (
        "Levererad men inte fakturerad. Klarna betalar först när fakturan är skapad.",
        "Delivered but not invoiced. Klarna pays only when the invoice has been created.",
    ),
    "expires_in": ("om 27 dagar", "in 27 days"),
    "will_activate": (
        "Reservation {reference} aktiveras med {amount} när fakturan skapas.",
        "Reservation {reference} will be activated with {amount} when the invoice is created.",
    ),
    "sold": (
        (
            "När fakturan är aktiverad är den såld till Klarna. Den kan inte ändras eller tas tillbaka; "
            "rätta med en kreditfaktura."
        ),
        "Once activated, the invoice is sold to Klarna. It cannot be changed or taken back; correct it with a credit note.",
    ),
    "activate_button": (
        "Skapa faktura och aktivera {amount} hos Klarna",
        "Create invoice and activate {amount} at Klarna",
    ),
    "activated": (
        "Faktura {number} är skapad och aktiverad hos Klarna: {amount}, Klarnas nummer {klarna}.",
        "Invoice {number} has been created and activated at Klarna: {amount}, Klarna's number {klarna}.",
    ),
    "all_invoiced": ("Allt på ordern är fakturerat.", "Everything on the order has been invoiced."),
    "begin_in_original": ("Börja alltid i originalfakturan.", "Always begin in the original invoice."),
    "refers_to": (
        "Avser faktura {number}, hos Klarna {klarna}",
        "Refers to invoice {number}, at Klarna {klarna}",
    ),
    "credit_button": ("Kreditera {amount} hos Klarna", "Credit {amount} at Klarna"),
    "credited": (
        "Kreditfaktura {number} är skapad och krediterad hos Klarna: {amount}.",
        "Credit note {number} has been created and credited at Klarna: {amount}.",
    ),
    "draft_kept": (
        "Klarna gick inte att nå. Inget har skickats och inget nummer är taget. Utkastet är sparat; försök igen om en stund.",
        (
            "Klarna could not be reached. Nothing has been sent and no number has been taken. "
            "The draft is saved; try again in a while."
        ),
    ),
    "not_reached": (
        "Klarna gick inte att nå. Inget har skickats och inget nummer är taget. Försök igen om en stund.",
        "Klarna could not be reached. Nothing has been sent and no number has been taken. Try again in a while.",
    ),
    "unknown": ("Okänt svar", "Answer unknown"),
    "capture_unknown": (
        "Vi vet ännu inte om Klarna har aktiverat {amount}. Aktivera inte igen, varken här eller i Klarnas portal.",
        "We do not know yet whether Klarna has activated {amount}. Do not activate again, here or in Klarna's portal.",
    ),
    "refund_unknown": (
        "Vi vet ännu inte om Klarna har krediterat {amount}. Kreditera inte igen, varken här eller i Klarnas portal.",
        "We do not know yet whether Klarna has credited {amount}. Do not credit again, here or in Klarna's portal.",
    ),
    "wait_for_invoice": (
        "Vänta på Klarnas svar om faktura {number} innan du gör något mer på ordern.",
        "Wait for Klarna's answer about invoice {number} before doing anything more on the order.",
    ),
    "wait_for_credit": (
        "Vänta på Klarnas svar om kreditfaktura {number} innan du gör något mer på ordern.",
        "Wait for Klarna's answer about credit note {number} before doing anything more on the order.",
    ),
    "refused": ("Nekad av Klarna", "Refused by Klarna"),
    "capture_refused": (
        "Klarna godtog inte aktiveringen. Faktura {number} finns kvar, men inget är bokfört.",
        "Klarna did not accept the activation. Invoice {number} remains, but nothing has been booked.",
    ),
    "refund_refused": (
        (
            "Klarna godtog inte krediteringen. Kreditfaktura {number} finns kvar, men inget är bokfört, inget lager är ändrat "
            "och inga pengar har gått tillbaka."
        ),
        (
            "Klarna did not accept the credit. Credit note {number} remains, but nothing has been booked, no stock has moved "
            "and no money has gone back."
        ),
    ),
    "one_payout": (
        "1 ny utbetalning har kommit. Bokförda: 1.",
        "1 new payout has come. Booked: 1.",
    ),
    "paid": ("Betald: {amount}", "Paid: {amount}"),
    "used_form": ("Formuläret är redan använt", "This form has already been used"),
}

SOUNDS_LIKE_FAILURE: Mapping[str, tuple[str, ...]] = {
    "sv": ("misslyck", "nekad", "godtog inte", "försök igen"),
    "en": ("failed", "refused", "did not accept", "try again"),
}
"""What a page must not say while nobody knows (F25)."""


class Words:
    """The sentences in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._index = ("sv", "en").index(language)

    def __call__(self, name: str, **values: object) -> str:
        """A sentence with its values; a value that is an int is an amount in minor units."""
        shown = {key: self.money(value) if isinstance(value, int) else value for key, value in values.items()}
        return SENTENCES[name][self._index].format(**shown)

    def money(self, minor: int) -> str:
        """An amount as a page prints it, its spaces plain."""
        whole, part = divmod(minor, 100)
        grouped = f"{whole:,}"
        return f"{grouped.replace(',', ' ')},{part:02d} kr" if self.language == "sv" else f"SEK {grouped}.{part:02d}"

    def calm(self, text: str) -> None:
        """Fail when a page speaks of a failure."""
        found = [word for word in SOUNDS_LIKE_FAILURE[self.language] if word in text.casefold()]
        assert not found, f"the page says {found}: {text}"
