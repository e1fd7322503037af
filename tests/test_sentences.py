"""The fixed sentences of Kvitta, to the letter, in both languages.

Each is written as the requirements print it, with their example amounts, numbers and days, and is looked for in the catalogue:
the English in its place of the values is a message, the Swedish its translation, and both are filled in with the same figures.
F, K and B are the requirements' numbers, Q their decided questions, O the states of a document (operations, section 11).
What has no page yet stands in a table of its own, and the test wants it to be absent: whoever builds it moves the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.test_translations import catalogue

PLACE = re.compile(r"%\((\w+)\)s|%%")
FEW_LETTERS = 4
"""A message with fewer letters of its own, such as ``%(kind)s: %(amount)s.``, would fit nearly everything."""

Printed = tuple[str, str, str]

SENTENCES: tuple[Printed, ...] = (
    (
        "ground rules",
        "Vänta på Klarnas svar om faktura 42580 innan du gör något mer på ordern.",
        "Wait for Klarna's answer about invoice 42580 before doing anything more on the order.",
    ),
    (
        "F1",
        "Fakturan på 1 437,00 kr är större än det som återstår av reservationen, 1 000,00 kr. Inget har skickats till Klarna.",
        (
            "The invoice of SEK 1,437.00 is more than what is left of the reservation, SEK 1,000.00. "
            "Nothing has been sent to Klarna."
        ),
    ),
    ("F3", "Allt på ordern är fakturerat.", "Everything on the order has been invoiced."),
    ("F4", "Skapa faktura för order 1001", "Create invoice for order 1001"),
    (
        "F6",
        (
            "När fakturan är aktiverad är den såld till Klarna. Den kan inte ändras eller tas tillbaka; "
            "rätta med en kreditfaktura."
        ),
        "Once activated, the invoice is sold to Klarna. It cannot be changed or taken back; correct it with a credit note.",
    ),
    (
        "F6",
        "Fakturan är såld till Klarna och låst. Skapa en kreditfaktura i stället.",
        "The invoice has been sold to Klarna and is locked. Make a credit note instead.",
    ),
    (
        "F7",
        "Skapa faktura och aktivera 1 437,00 kr hos Klarna",
        "Create invoice and activate SEK 1,437.00 at Klarna",
    ),
    ("F13", "Antal leveranser: 2", "Number of deliveries: 2"),
    (
        "F15",
        "Reservation K4MADNY aktiveras med 1 437,00 kr när fakturan skapas.",
        "Reservation K4MADNY will be activated with SEK 1,437.00 when the invoice is created.",
    ),
    ("F16", "Inget skickas till Klarna för den här fakturan.", "Nothing is sent to Klarna for this invoice."),
    ("F19", "Betalas via Klarna – ska inte betalas till oss", "Paid through Klarna – not to be paid to us"),
    (
        "F21",
        "Levererad men inte fakturerad. Klarna betalar först när fakturan är skapad.",
        "Delivered but not invoiced. Klarna pays only when the invoice has been created.",
    ),
    (
        "F22",
        "Faktura 42580 är skapad och aktiverad hos Klarna: 1 437,00 kr, Klarnas nummer K4MADNY-1.",
        "Invoice 42580 has been created and activated at Klarna: SEK 1,437.00, Klarna's number K4MADNY-1.",
    ),
    (
        "F24",
        "Aktiverad hos Klarna via Kvitta 2026-11-20 14:03, K4MADNY-1",
        "Activated at Klarna through Kvitta 2026-11-20 14:03, K4MADNY-1",
    ),
    (
        "F24",
        "Aktiverad hos Klarna utanför Kvitta 2026-11-20 14:03, K4MADNY-1",
        "Activated at Klarna outside Kvitta 2026-11-20 14:03, K4MADNY-1",
    ),
    (
        "F25",
        "Klarna godtog inte aktiveringen. Faktura 42580 finns kvar, men inget är bokfört.",
        "Klarna did not accept the activation. Invoice 42580 remains, but nothing has been booked.",
    ),
    (
        "F25",
        "Faktura 42580 väntar på beslut: försök igen eller makulera den först.",
        "Invoice 42580 awaits a decision: try again or void it first.",
    ),
    ("F27", "Går ut om 6 dagar, 2026-11-26", "Expires in 6 days, 2026-11-26"),
    (
        "F27",
        "Reservationen gick ut 2026-11-26. Kontakta Klarna om den kan förnyas.",
        "The reservation expired on 2026-11-26. Ask Klarna whether it can be renewed.",
    ),
    (
        "B18",
        "Ordern har en reservation hos Klarna. Makulera den i stället.",
        "The order has a reservation at Klarna. Cancel it instead.",
    ),
    ("K2", "Kreditera 450,00 kr hos Klarna", "Credit SEK 450.00 at Klarna"),
    (
        "K4",
        "Kreditera här, inte i Klarnas portal. Görs båda kan kunden få för mycket tillbaka.",
        "Credit here, not in Klarna's portal. Doing both can repay the customer too much.",
    ),
    ("K5", "Börja alltid i originalfakturan.", "Always begin in the original invoice."),
    ("K8", "Hela fakturan är krediterad.", "The whole invoice has been credited."),
    (
        "K9",
        "Fakturan är inte utfärdad och kan inte krediteras.",
        "The invoice has not been issued and cannot be credited.",
    ),
    (
        "K11",
        "Inget skickas till Klarna för den här kreditfakturan.",
        "Nothing is sent to Klarna for this credit note.",
    ),
    ("K12", "Avser faktura 42580, hos Klarna K4MADNY-1", "Refers to invoice 42580, at Klarna K4MADNY-1"),
    (
        "K13",
        "Kreditfaktura 42581 är skapad och krediterad hos Klarna: 450,00 kr.",
        "Credit note 42581 has been created and credited at Klarna: SEK 450.00.",
    ),
    (
        "K14",
        (
            "Klarna godtog inte krediteringen. Kreditfaktura 42581 finns kvar, men inget är bokfört, "
            "inget lager är ändrat och inga pengar har gått tillbaka."
        ),
        (
            "Klarna did not accept the credit. Credit note 42581 remains, but nothing has been booked, "
            "no stock has moved and no money has gone back."
        ),
    ),
    (
        "K14",
        "Vi vet ännu inte om Klarna har krediterat 450,00 kr.",
        "We do not know yet whether Klarna has credited SEK 450.00.",
    ),
    (
        "K14",
        "Kreditera inte igen, varken här eller i Klarnas portal.",
        "Do not credit again, here or in Klarna's portal.",
    ),
    ("K15", "Ett nummer kan inte tas bort. Makulera i stället.", "A number cannot be removed. Void it instead."),
    (
        "K15",
        "Kreditfaktura 42581 väntar på beslut. Avsluta den först.",
        "Credit note 42581 awaits a decision. Finish it first.",
    ),
    (
        "K18",
        "Klarna har inte svarat på det förra försöket. Invänta svaret.",
        "Klarna has not answered the previous attempt. Wait for the answer.",
    ),
    ("K19", "Behåll utan Klarna", "Keep without Klarna"),
    ("K20", "Redan krediterad i Klarnas portal", "Already credited in Klarna's portal"),
    ("K20", "Likvärdigt byte, Klarnas belopp oförändrat", "Even exchange, Klarna's amount unchanged"),
    (
        "K20",
        "Välj varför inget ska krediteras i Klarna.",
        "Choose why nothing is to be credited at Klarna.",
    ),
    (
        "K20",
        "Hos Klarna finns ingen kreditering på 450,00 kr som inte redan är bokförd. Bekräfta att den är gjord.",
        "Klarna shows no credit of SEK 450.00 that is not already booked. Confirm that it has been made.",
    ),
    (
        "K21",
        "Högst 1 kan krediteras: 2 är fakturerade och 1 är redan krediterad.",
        "At most 1 can be credited: 2 have been invoiced and 1 is already credited.",
    ),
    ("K26", "Kreditfakturan har inga rader.", "The credit note has no rows."),
    ("K30", "Bokfört 499,00 kr lägre än hos Klarna.", "Booked SEK 499.00 lower than at Klarna."),
    (
        "K32",
        (
            "Hos Klarna återstår 300,00 kr att kreditera, kreditfakturan är på 499,00 kr. "
            "199,00 kr är krediterat utanför Kvitta. Inget har skickats."
        ),
        (
            "Klarna can still refund SEK 300.00, the credit note is SEK 499.00. "
            "SEK 199.00 has been credited outside Kvitta. Nothing has been sent."
        ),
    ),
    (
        "K33",
        "Högst 1 936,00 kr kan krediteras: fakturan är på 2 435,00 kr och 499,00 kr är redan krediterat.",
        "At most SEK 1,936.00 can be credited: the invoice is SEK 2,435.00 and SEK 499.00 is already credited.",
    ),
    (
        "K42",
        (
            "Den här kreditfakturan hör inte till en faktura och skickas inte till Klarna. Ska Klarna betala tillbaka: "
            "kreditera originalfakturan."
        ),
        "This credit note belongs to no invoice and is not sent to Klarna. For Klarna to repay, credit the original invoice.",
    ),
    (
        "K42",
        "Ordern är på −200,00 kr. Inget skickas till Klarna.",
        "The order is SEK −200.00. Nothing is sent to Klarna.",
    ),
    (
        "K44",
        "Summan blir −100,00 kr. En kreditfaktura kan inte ta betalt av kunden; lägg en ny order på mellanskillnaden.",
        "The sum is SEK −100.00. A credit note cannot charge the customer; make a new order for the difference.",
    ),
    (
        "B5",
        "Utbetalningen stämmer inte: raderna ger 1 890,33 kr, Klarna anger 1 890,34 kr. Inget är bokfört.",
        "The payout does not add up: the rows give SEK 1,890.33, Klarna states SEK 1,890.34. Nothing has been booked.",
    ),
    (
        "B6",
        "Ingen inläsning har kommit ännu. Nästa hämtning 06:00.",
        "No reading has arrived yet. Next fetch 06:00.",
    ),
    ("B14", "Antal får ha högst tre decimaler.", "A quantity may have at most three decimals."),
    ("B16", "Reservationen hör redan till order 1001.", "The reservation already belongs to order 1001."),
    (
        "B21",
        "Klarna granskar köpet. Leverera och fakturera inte ännu.",
        "Klarna is reviewing the purchase. Do not deliver or invoice yet.",
    ),
    ("B24", "Artikel 7310 finns inte på ordern.", "Article 7310 is not on the order."),
    ("B24", "Raden har 1 kvar att leverera.", "The row has 1 left to deliver."),
    (
        "B15",
        "Ordern hör till butiksid K123456, som inte är upplagt.",
        "The order belongs to store id K123456, which has not been set up.",
    ),
    (
        "B31",
        "4 500,00 kr är över din gräns på 2 000,00 kr. Utkastet är sparat; be Ekonomi slutföra det.",
        "SEK 4,500.00 is above your limit of SEK 2,000.00. The draft is saved; ask Finance to finish it.",
    ),
    # --- What the user sees of an operation --------------------------------------------------------------------------
    (
        "O draft",
        "Utkastet är sparat. Inget nummer är taget och inget har skickats.",
        "The draft is saved. No number has been taken and nothing has been sent.",
    ),
    (
        "O draft, not reached",
        "Klarna gick inte att nå. Inget har skickats och inget nummer är taget. Utkastet är sparat; försök igen om en stund.",
        (
            "Klarna could not be reached. Nothing has been sent and no number has been taken. "
            "The draft is saved; try again in a while."
        ),
    ),
    ("O prepared", "Skickar 450,00 kr till Klarna …", "Sending SEK 450.00 to Klarna…"),
    (
        "O not sent",
        "Kreditfaktura 42581 är inte skickad: Klarna gick inte att nå. Ingenting har hänt hos Klarna.",
        "Credit note 42581 has not been sent: Klarna could not be reached. Nothing has happened at Klarna.",
    ),
    (
        "O not sent",
        "Faktura 42580 är inte skickad: Klarna gick inte att nå. Ingenting har hänt hos Klarna.",
        "Invoice 42580 has not been sent: Klarna could not be reached. Nothing has happened at Klarna.",
    ),
    (
        "O credentials",
        "Inte skickad: Klarna godtar inte butikens inloggningsuppgifter. En administratör behöver rätta dem.",
        "Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.",
    ),
    (
        "O sending off",
        "Inte skickad: sändning till Klarna är avstängd (återläst säkerhetskopia).",
        "Not sent: sending to Klarna is switched off (restored backup).",
    ),
    ("O sending", "Väntar på Klarnas svar, 4 s.", "Waiting for Klarna's answer, 4 s."),
    (
        "O unknown",
        "Vi vet ännu inte om Klarna har aktiverat 1 437,00 kr.",
        "We do not know yet whether Klarna has activated SEK 1,437.00.",
    ),
    (
        "O unknown",
        "Aktivera inte igen, varken här eller i Klarnas portal.",
        "Do not activate again, here or in Klarna's portal.",
    ),
    (
        "O unknown",
        "Vi frågar igen 14:05 och har frågat 3 gånger.",
        "We ask again at 14:05 and have asked 3 times.",
    ),
    (
        "O recorded",
        "Klarna har krediterat 450,00 kr. Vår bokföring misslyckades och görs om; du behöver inte göra något.",
        "Klarna has credited SEK 450.00. Our booking failed and is being repeated; there is nothing for you to do.",
    ),
    (
        "O recorded",
        "Klarna har aktiverat 1 437,00 kr. Vår bokföring misslyckades och görs om; du behöver inte göra något.",
        "Klarna has activated SEK 1,437.00. Our booking failed and is being repeated; there is nothing for you to do.",
    ),
    (
        "O review",
        "Klarna har inte gett besked på 23 timmar. Ekonomi behöver avgöra om 450,00 kr krediterades.",
        "Klarna has not been able to tell for 23 hours. Finance has to decide whether SEK 450.00 was credited.",
    ),
    (
        "O review",
        "Klarna har inte gett besked på 23 timmar. Ekonomi behöver avgöra om 1 437,00 kr aktiverades.",
        "Klarna has not been able to tell for 23 hours. Finance has to decide whether SEK 1,437.00 was activated.",
    ),
    (
        "O drift",
        "Inte skickad: hos Klarna är 199,00 kr krediterat, i Kvitta 0,00 kr. Red ut skillnaden först.",
        "Not sent: Klarna shows SEK 199.00 credited, Kvitta SEK 0.00. Settle the difference first.",
    ),
    (
        "O drift",
        "Inte skickad: hos Klarna är 199,00 kr aktiverat, i Kvitta 0,00 kr. Red ut skillnaden först.",
        "Not sent: Klarna shows SEK 199.00 activated, Kvitta SEK 0.00. Settle the difference first.",
    ),
    (
        "O decided",
        "Avgjort 2026-11-21 av Ekonomi 1: krediteringen genomfördes inte. Skäl: kunden har inte fått pengarna.",
        "Decided 2026-11-21 by Finance 1: the credit did not happen. Reason: the customer has not received the money.",
    ),
    (
        "O decided",
        "Avgjort 2026-11-21 av Ekonomi 1: aktiveringen genomfördes inte. Skäl: kunden har inte fått någon faktura.",
        "Decided 2026-11-21 by Finance 1: the activation did not happen. Reason: the customer has received no invoice.",
    ),
    (
        "O without Klarna",
        "Kreditfaktura 42581 är skapad utan Klarna. Inget har skickats till Klarna, och kunden får inga pengar därifrån.",
        (
            "Credit note 42581 has been created without Klarna. Nothing has been sent to Klarna, "
            "and the customer gets no money from there."
        ),
    ),
    ("O reversed", "Återförd 2026-11-22 av Ekonomi 1: fel kund.", "Reversed 2026-11-22 by Finance 1: wrong customer."),
    (
        "O void",
        "Makulerad 2026-11-21 av Handläggare 2: fel antal. Numret finns kvar i serien.",
        "Void since 2026-11-21 by Clerk 2: wrong quantity. The number stays in the series.",
    ),
    (
        "O external",
        "Krediterat utanför Kvitta 2026-11-20: 199,00 kr. Vad hör det till?",
        "Credited outside Kvitta 2026-11-20: SEK 199.00. What does it belong to?",
    ),
    (
        "O external",
        "Aktiverat utanför Kvitta 2026-11-20: 199,00 kr. Vad hör det till?",
        "Activated outside Kvitta 2026-11-20: SEK 199.00. What does it belong to?",
    ),
    # --- Klarna's codes in plain words -------------------------------------------------------------------------------
    (
        "O cause",
        "Reservationen har gått ut. Kontakta Klarna om den kan förnyas.",
        "The reservation has expired. Ask Klarna whether it can be renewed.",
    ),
    ("O cause", "Köpet är avbrutet hos Klarna.", "The purchase is cancelled at Klarna."),
    ("O cause", "Det finns bara 1 000,00 kr kvar att aktivera.", "Only SEK 1,000.00 is left to activate."),
    ("O cause", "Inget är aktiverat på köpet.", "Nothing has been activated on the purchase."),
    ("O cause", "Hos Klarna återstår 300,00 kr att kreditera.", "Klarna can still refund SEK 300.00."),
    (
        "O cause",
        "Kundens betalning gick inte igenom. Försök senare.",
        "The customer's payment did not go through. Try later.",
    ),
    (
        "O cause",
        "Klarna hittar inte köpet. Kontrollera butiksid, region och om det är Klarna eller Kustom.",
        "Klarna cannot find the purchase. Check store id, region, and whether it is Klarna or Kustom.",
    ),
    (
        "O cause",
        "Läs Klarnas meddelande och kontakta Klarna med koden.",
        "Read Klarna's message and contact Klarna with the code.",
    ),
    # --- Labels and buttons ------------------------------------------------------------------------------------------
    ("O label", "Utkast", "Draft"),
    ("O label", "Ej skickad", "Not sent"),
    ("O label", "Skickas", "Sending"),
    ("O label", "Okänt svar", "Answer unknown"),
    ("O label", "Behöver beslut", "Needs a decision"),
    ("O label", "Krediterad hos Klarna", "Credited at Klarna"),
    ("O label", "Aktiverad hos Klarna", "Activated at Klarna"),
    ("O label", "Nekad av Klarna", "Refused by Klarna"),
    ("O label", "Ej utförd", "Not carried out"),
    ("O label", "Utan Klarna", "Without Klarna"),
    ("O label", "Återförd", "Reversed"),
    ("O label", "Makulerad", "Voided"),
    ("O label", "Gjord utanför Kvitta", "Made outside Kvitta"),
    ("O label", "Väntar på Klarna", "Waiting for Klarna"),
    ("O label", "Utfärdad", "Issued"),
    ("O button", "Ta bort utkastet", "Discard draft"),
    ("O button", "Skicka nu", "Send now"),
    ("O button", "Återta", "Withdraw"),
    ("O button", "Fråga Klarna nu", "Ask Klarna now"),
    ("O button", "Skriv ut", "Print"),
    ("O button", "Försök igen", "Try again"),
    ("O button", "Makulera", "Void"),
    ("O button", "Kopiera allt", "Copy all"),
    ("O button", "Visa skillnaden", "Show the difference"),
    ("O button", "Återför", "Reverse"),
    ("O button", "Uppdatera", "Refresh"),
    ("O button", "Det genomfördes", "It happened"),
    ("O button", "Det genomfördes inte", "It did not happen"),
    (
        "B7",
        "Klarnas inläsning markerar fakturan som betald. Betalas den för hand blir den överbetald.",
        "Klarna's reading marks the invoice as paid. Paying it by hand makes it overpaid.",
    ),
    (
        "F29",
        "Ange en procentsats mellan 0,01 och 100,00. Av ordern återstår 7 000,00 kr (70,00 %).",
        "Enter a percentage between 0.01 and 100.00. SEK 7,000.00 (70.00 %) of the order is left.",
    ),
    (
        "Q6",
        "3 000,00 kr av förskottet är avräknat på faktura 42590. Kreditera den först.",
        "SEK 3,000.00 of the advance has been deducted on invoice 42590. Credit that one first.",
    ),
    (
        "K36",
        (
            "Fakturan har textrader utan artikelnummer och aktiverades utanför Kvitta. Beloppet blir rätt, "
            "men Klarna kan visa fel rad för kunden."
        ),
        (
            "The invoice has text rows without article number and was activated outside Kvitta. The amount will be right, "
            "but Klarna may show the customer the wrong row."
        ),
    ),
    ("K36", "Bekräfta varningen först.", "Confirm the warning first."),
    (
        "K39",
        (
            "Artikelnumret på rad 1 och 3 är detsamma men priset skiljer. Klarna kan minska fel rad på kundens faktura; "
            "beloppet 450,00 kr blir rätt."
        ),
        (
            "Rows 1 and 3 share an article number but not a price. Klarna may lower the wrong row on the customer's invoice; "
            "the amount of SEK 450.00 will be right."
        ),
    ),
    ("screens", "Kvitta och Klarna är överens (14:03)", "Kvitta and Klarna agree (14:03)"),
    ("O button", "Bokför", "Adopt"),
    ("O button", "Förklara", "Explain"),
    ("O button", "Bortse från", "Ignore"),
    (
        "K50",
        "Vänta: utbetalningen för perioden väntas 2026-04-02 och är inte inläst.",
        "Wait: the payout for the period is expected on 2026-04-02 and has not been read.",
    ),
    ("K51", "Endast Ekonomi kan kvitta före inläsningen.", "Only Finance can offset before the reading."),
    ("K28", "Kunden debiteras 49,00 kr", "The customer is charged SEK 49.00"),
    (
        "K45",
        "Kreditfakturan har en ny lagerartikel som ska ut. Justera båda artiklarnas saldo för hand.",
        "The credit note has a new stock article that is to go out. Adjust the stock of both articles by hand.",
    ),
)

NOT_YET: tuple[Printed, ...] = (("O button", "E-posta", "E-mail"),)
"""Sentences of what has no page yet."""

LABELS: tuple[tuple[str, str], ...] = (
    ("F27", "Förläng"),
    ("B18", "Makulera order"),
    ("B18", "Ta bort order"),
    ("K36", "Jag har förstått"),
    ("B7", "Registrera betalning"),
    ("B8", "Boka bort"),
    ("K49", "Kvittning"),
    ("B9", "Returer utan kreditfaktura"),
    ("B9", "Kreditfakturor utan återläsning"),
    ("B9", "Aktiverat men inte utbetalt"),
    ("B12", "Faktura nr"),
    ("B12", "Order nr"),
    ("B12", "OCR nr"),
    ("B12", "Kund nr"),
    ("B12", "Betalreferens"),
    ("B12", "Externt fakturanr"),
    ("B12", "Fr.o.m."),
    ("B12", "T.o.m."),
    ("B12", "Fler sökkriterier"),
    ("F3", "Skapa faktura"),
    ("F5", "Leverera"),
    ("F5", "Leverera och fakturera"),
    ("F9", "Fakturatyp"),
    ("F10", "Leveransfaktura"),
    ("F11", "Slutfaktura"),
    ("F12", "Förskottsfaktura"),
    ("F14", "Reservation"),
    ("F17", "Skriv ut faktura"),
    ("F18", "E-posta faktura"),
    ("F21", "Levererade men inte fakturerade"),
    ("F26", "Delfakturerad"),
    ("F29", "Procent av orderbeloppet"),
    ("K4", "Viktigt!"),
    ("K8", "Kreditera"),
    ("K8", "Ny kreditfaktura"),
    ("K16", "Kopiera allt"),
    ("K20", "Nej, genomför ingen kreditering i Klarna."),
    ("K21", "Antal att kreditera"),
    ("K24", "Lägg tillbaka krediterade artiklar i lager"),
    ("K26", "Ta bort rad"),
    ("K26", "Lägg tillbaka rad"),
    ("K29", "Krediterat utan Klarna"),
    ("K30", "Likvärdigt byte"),
    ("K47", "Betald"),
    ("B1", "Bankbetalning"),
    ("B1", "Kreditförsäljningskostnad"),
    ("B1", "Moms på kreditförsäljningskostnad"),
    ("B1", "Återbetalning"),
    ("B1", "Innehållet belopp"),
    ("B1", "Frigjort belopp"),
    ("B1", "Övrig avgift"),
    ("B1", "Skuld"),
    ("B1", "Avbetalning"),
    ("B2", "Externa inbetalningar"),
    ("B2", "Inläsningsnummer"),
    ("B2", "Källa"),
    ("B2", "Felaktiga"),
    ("B2", "Varning"),
    ("B2", "Hanterade"),
    ("B3", "Radnummer"),
    ("B4", "Matchad"),
    ("B4", "Felaktig"),
    ("B4", "Hanterad"),
    ("B8", "Överbetalda"),
    ("B9", "Klarna är skyldigt oss"),
    ("B11", "Faktura"),
    ("B11", "Underlag"),
    ("B11", "Datum"),
    ("B11", "Betalsätt"),
    ("B11", "Kund"),
    ("B11", "Aktuell fordran"),
    ("B12", "Fr.o.m."),
    ("B12", "T.o.m."),
    ("B13", "Webbutikens ordernr"),
    ("B23", "Kopia"),
    ("B25", "Restorder"),
    ("B26", "Er tillgodo"),
    ("B26", "Att betala"),
    ("B27", "Saldo-/Prisjustering"),
    ("B28", "Inleverans"),
    ("B28", "Inventering"),
    ("B29", "Anonymisera kund"),
    ("B32", "Dokumentrubrik"),
    ("B32", "Dokumentbenämning"),
    ("B32", "Benämning"),
    ("B36", "Standardkonton"),
    ("B36", "Kontoplan"),
    ("B34", "Verifikationslista"),
    ("B34", "Luckor i nummerserier"),
    ("B35", "Exportera SIE"),
    ("roles", "Läsare"),
    ("roles", "Handläggare"),
    ("roles", "Ekonomi"),
    ("roles", "Administratör"),
    ("K30", "Skapa ersättningsfaktura"),
    ("B22", "Mina inställningar"),
    ("B22", "Föreslå utskrift efter skapande"),
    ("B22", "Föreslå skicka e-post efter skapande"),
    ("B22", "Föreslå visa resterande orderbelopp"),
    ("B26", "Orderbekräftelse"),
    ("B26", "Plocklista"),
    ("B26", "Följesedel"),
)
"""Words on buttons, fields and heads that the requirements print in Swedish alone."""


def _pattern(message: str) -> re.Pattern[str]:
    """What a message looks like with its values filled in."""
    parts, at = [], 0
    for place in PLACE.finditer(message):
        name = place.group(1)
        parts += [re.escape(message[at : place.start()]), f"(?P<{name}>.+?)" if name else "%"]
        at = place.end()
    return re.compile("".join(parts) + re.escape(message[at:]))


@cache
def _messages() -> tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...]:
    """Every message that says something of itself: English, Swedish, and the Swedish as it stands in the catalogue."""
    made = []
    for message in catalogue():
        if not message.id:
            continue
        english = (message.id,) if isinstance(message.id, str) else message.id
        swedish = (message.string,) if isinstance(message.string, str) else message.string
        for one, other in zip(english, swedish, strict=True):
            if len(re.sub(r"[^A-Za-z]", "", PLACE.sub("", one))) >= FEW_LETTERS:
                made.append((_pattern(one), _pattern(other), other))
    return tuple(made)


def _figures(values: dict[str, str]) -> dict[str, str]:
    """The digits of each value: an amount, a day and a number have the same in both languages."""
    return {name: re.sub(r"\D", "", value) for name, value in values.items()}


def _translations(swedish: str, english: str) -> Iterator[tuple[str, bool]]:
    """The Swedish of each message that the English is, and whether it is the printed one with the same figures."""
    for message, translation, text in _messages():
        said = message.fullmatch(english)
        if said:
            written = translation.fullmatch(swedish)
            yield text, written is not None and _figures(written.groupdict()) == _figures(said.groupdict())


@pytest.mark.parametrize(("number", "swedish", "english"), SENTENCES, ids=lambda each: str(each)[:24])
def test_what_is_printed_is_what_is_said(number: str, swedish: str, english: str) -> None:
    found = list(_translations(swedish, english))
    assert found, f"{number}: no message is “{english}”"
    assert any(same for _text, same in found), (
        f"{number}: “{swedish}” is printed, {[text for text, _same in found]} is said"
    )


@pytest.mark.parametrize(("number", "swedish", "english"), NOT_YET, ids=lambda each: str(each)[:24])
def test_what_is_not_built_yet_is_not_said_yet(number: str, swedish: str, english: str) -> None:
    assert not any(same for _text, same in _translations(swedish, english)), (
        f"{number} is said now: move it to SENTENCES"
    )


@pytest.mark.parametrize(("number", "label"), LABELS)
def test_a_printed_label_is_on_the_screen(number: str, label: str) -> None:
    assert label in _labels(), number


@cache
def _labels() -> frozenset[str]:
    texts = [message.string for message in catalogue() if message.id]
    return frozenset(each for text in texts for each in ((text,) if isinstance(text, str) else text))


def test_no_sentence_is_in_both_tables() -> None:
    assert not {english for _n, _s, english in SENTENCES} & {english for _n, _s, english in NOT_YET}
    assert len({(number, english) for number, _s, english in SENTENCES}) == len(SENTENCES)
