"""Sixty handoffs, fifteen a mode, half of them faulty and half healthy look-alikes: what detectors are held to.

Written as agents write them, in support, research, coding and finance, and not in English alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mas_guard.packets import Mode


@dataclass(frozen=True)
class Row:
    """One handoff.

    Attributes:
        name: What it shows.
        mode: The mode that it is about.
        faulty: True where that mode must be found; a healthy one has no problem of any mode.
        text: What was said with the handoff, or `fields`, its structured input.
        known: What the guard knows beside the packet: sizes, the receiver's contract, the run's input.
    """

    name: str
    mode: Mode
    faulty: bool
    text: str = ""
    fields: dict[str, Any] | None = None
    known: dict[str, Any] = field(default_factory=dict)


def schema(**properties: Any) -> dict[str, Any]:
    """An object whose fields are all required."""
    kinds = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in properties.items()}
    return {"type": "object", "properties": kinds, "required": list(properties)}


REFUND = schema(order="string", amount="number", approved="boolean")
SUMMARY = schema(summary="string", sources={"type": "array", "items": {"type": "string"}})
VERDICT = schema(verdict={"enum": ["buy", "hold", "sell"]}, confidence="number")
PATCH = schema(file="string", diff="string", tests_passed="boolean")
TEXT = {"type": "string"}

FORMAT = (
    Row(
        "free text is asked of an agent that gives an object",
        "format",
        True,
        "Task: Decide on the refund for order 88-1204.\n"
        "Context: Bought on 3 May, returned unopened on 9 May, 49.90 EUR.\n"
        "Output format: a short friendly paragraph for the customer.\n"
        "If it fails: tell triage which document is missing.",
        known={"receiver_contract": REFUND},
    ),
    Row(
        "a Markdown table is asked of an agent that gives an object",
        "format",
        True,
        fields={
            "task": "Compare the three suppliers of aluminium profiles on price and delivery time.",
            "context": "Quotes of Alfa 4.10, Brix 3.95, Corda 4.40 EUR/kg; delivery 10, 21 and 7 days.",
            "expected_output": "Markdown table, one row per supplier",
            "on_failure": "Return status failed and name the quote that could not be read.",
        },
        known={"receiver_contract": SUMMARY},
    ),
    Row(
        "the example has a field less and another more",
        "format",
        True,
        "## Task\nRate the ACME share after the quarterly report.\n\n"
        "## Context\nRevenue 4.1 bn (+3 %), margin 11 %, guidance unchanged.\n\n"
        '## Output format\n```json\n{"verdict": "buy", "reasoning": "…"}\n```\n\n'
        "## On failure\nAnswer with hold and say that the report was not available.",
        known={"receiver_contract": VERDICT},
    ),
    Row(
        "a number is asked for as text",
        "format",
        True,
        fields={
            "objective": "Work out what order 5513 gets back after the partial return.",
            "background": "Two of five items returned; item price 12.50; shipping is not refunded.",
            "output_format": '{"order": "string", "amount": "string", "approved": "boolean"}',
            "fallback": "If the price list is unavailable, hand back to billing.",
        },
        known={"receiver_contract": REFUND},
    ),
    Row(
        "what is called JSON was written by hand and does not parse",
        "format",
        True,
        "Task: Book the flights below for the sales team.\n"
        "Context: Itinerary as JSON: {flight: LH 440, seats: 2,, date: 2025-06-03\n"
        "Output format: the booking codes, one a line.\n"
        "If a flight is sold out, report which one and book nothing.",
        known={"receiver_contract": TEXT},
    ),
    Row(
        "a fenced block of JSON breaks off",
        "format",
        True,
        "Aufgabe: Übertrage die Positionen in das Kassenbuch.\n"
        'Kontext:\n```json\n[{"beleg": 17, "betrag": 12.40}, {"beleg": 18, "betrag": }]\n```\n'
        "Ausgabeformat: Liste der gebuchten Belege.\n"
        "Bei Fehlern: nichts buchen und den Beleg an die Buchhaltung melden.",
    ),
    Row(
        "fields are asked for that the receiver does not have, in Spanish",
        "format",
        True,
        "Tarea: Revisa la devolución del pedido 7781.\n"
        "Contexto: El cliente devolvió los zapatos el 2 de abril con la etiqueta puesta.\n"
        "Formato de salida: JSON con los campos pedido, importe y motivo.\n"
        "Si falla: devuelve el caso a atención al cliente.",
        known={"receiver_contract": REFUND},
    ),
    Row(
        "the receiver's own fields arrive in other types",
        "format",
        True,
        fields={
            "task": "Book the approved refund and confirm it.",
            "context": {"order": "A-19", "amount": "forty-nine euros", "approved": "maybe"},
            "output_format": "the same object, with the booking confirmed",
            "on_error": "Leave the ledger as it is and report the reason to triage.",
        },
        known={"receiver_contract": REFUND},
    ),
    Row(
        "the example has exactly the receiver's fields",
        "format",
        False,
        "Task: Decide on the refund for order 88-1204.\n"
        "Context: Bought on 3 May, returned unopened on 9 May, 49.90 EUR.\n"
        'Output format: {"order": "88-1204", "amount": 0.0, "approved": true}\n'
        "If it fails: tell triage which document is missing.",
        known={"receiver_contract": REFUND},
    ),
    Row(
        "prose is asked for inside a field of the object",
        "format",
        False,
        fields={
            "task": "Summarise what changed in the EU packaging rules since January.",
            "context": "Start from regulation 2025/40; our products are cardboard boxes.",
            "output_format": "JSON: `summary` is one paragraph of plain text, `sources` a list of links",
            "on_failure": "Leave sources empty and say in the summary what was not found.",
        },
        known={"receiver_contract": SUMMARY},
    ),
    Row(
        "free text is asked of an agent that answers in words",
        "format",
        False,
        "Task: Write to Mrs Okafor that her parcel 00340 is delayed until Friday.\n"
        "Context: The depot in Lille flooded; the parcel is undamaged.\n"
        "Output format: an e-mail of at most five sentences, no JSON.\n"
        "If the new date cannot be confirmed, say so instead of naming one.",
        known={"receiver_contract": TEXT},
    ),
    Row(
        "valid JSON is carried, with words after it",
        "format",
        False,
        "Task: Fix the failing test in the payments module.\n"
        'Context: CI says as JSON: {"test": "test_rounding", "expected": 10.35, "got": 10.34} since commit 4f1c.\n'
        "Output format: the fields file, diff and tests_passed.\n"
        "On failure: revert the working copy and explain why it still fails.",
        known={"receiver_contract": PATCH},
    ),
    Row(
        "fields are named in Japanese text",
        "format",
        False,
        "タスク：注文 5513 の返金額を計算してください。\n背景：5点中2点が返品されました。単価は1250円です。\n"
        "出力形式：`order`、`amount`、`approved` を持つJSON\n失敗時：計算できない場合は理由を請求担当に返してください。",
        known={"receiver_contract": REFUND},
    ),
    Row(
        "something with braces that nobody calls JSON",
        "format",
        False,
        "Task: Replace the greeting template in mailer.py.\n"
        "Context: It reads {greeting}, {name}! and must become {name}, {greeting}. Two callers use it.\n"
        "Output format: a JSON object per your schema.\n"
        "If a caller breaks, leave both as they are and report it.",
        known={"receiver_contract": PATCH},
    ),
    Row(
        "the format is named and no contract is known",
        "format",
        False,
        "Tâche : Comparez les loyers des trois bureaux de Lyon.\n"
        "Contexte : Part-Dieu 310 €/m², Confluence 285 €/m², Vaise 240 €/m².\n"
        "Format de sortie : un tableau, une ligne par bureau.\n"
        "En cas d'échec : indiquez le loyer qui manque et n'inventez rien.",
    ),
)

CONTEXT = (
    Row(
        "a third of what was sent arrives",
        "context",
        True,
        "Task: Draft the answer to the complaint of Mr Brandt.\n"
        "Context: He ordered a dishwasher on 2 March and was promised installation.\n"
        "Output format: a letter.\nIf it fails: ask the sales desk for the order form.",
        known={"sent_bytes": 9_400, "received_bytes": 3_050},
    ),
    Row(
        "the sender's output ended by its length",
        "context",
        True,
        fields={
            "task": "Turn the findings into a risk list for the board.",
            "context": "Supplier A: single plant in a flood zone. Supplier B: two late deliveries in Q1.",
            "output_format": "bulleted list, worst first",
            "on_failure": "Say which supplier has no findings.",
        },
        known={"cut_by_length": True},
    ),
    Row(
        "the history was filtered on the way",
        "context",
        True,
        "Task: Continue the migration of the orders table to the new schema.\n"
        "Context: Columns 1 to 14 are done; the backfill of `currency` is next.\n"
        "Output format: the SQL statements.\nIf a statement fails: roll back and report its number.",
        known={"history_trimmed": True},
    ),
    Row(
        "it points above, and nothing is there",
        "context",
        True,
        "Task: Refund the two orders mentioned above and write to the customer.\n"
        "Output format: one sentence for each order.\n"
        "If a refund is refused: report the bank's reason.",
    ),
    Row(
        "the whole context is that it was discussed",
        "context",
        True,
        fields={
            "task": "Write the release notes for version 2.8 of the importer.",
            "context": "As discussed with you yesterday.",
            "output_format": "Markdown, at most ten lines",
            "on_failure": "Leave out what is unclear and list it at the end.",
        },
    ),
    Row(
        "the context ends in the middle of a sentence",
        "context",
        True,
        "Task: Decide whether the warranty covers the repair of pump P-7.\n"
        "Context: The pump ran dry on 4 April. The seal was replaced last year. According to the terms of the\n"
        "Output format: covered or not covered, with the clause.\n"
        "If the clause is not found: answer unknown and ask legal.",
    ),
    Row(
        "a tool's output was truncated by the framework",
        "context",
        True,
        "Task: Find the cause of the crash in worker 3.\n"
        "Context: Log of the last minute: 12:01 start, 12:02 heap 91 %, 12:02 heap 97 % [output truncated]\n"
        "Output format: one sentence and the line number.\nIf it fails: say which log is needed.",
    ),
    Row(
        "an attachment that is not there, in German",
        "context",
        True,
        "Aufgabe: Prüfe den Vertrag im Anhang auf die Kündigungsfrist und wie besprochen auf die Haftung.\n"
        "Ausgabeformat: zwei Sätze.\nFalls etwas fehlt, melde es an die Rechtsabteilung.",
    ),
    Row(
        "nearly everything arrives",
        "context",
        False,
        "Task: Draft the answer to the complaint of Mr Brandt.\n"
        "Context: He ordered a dishwasher on 2 March and was promised installation. Nobody came on the 9th.\n"
        "Output format: a letter.\nIf it fails: ask the sales desk for the order form.",
        known={"sent_bytes": 9_400, "received_bytes": 9_120},
    ),
    Row(
        "a small packet loses its framing",
        "context",
        False,
        fields={
            "task": "Convert 1,250 GBP to EUR at yesterday's closing rate.",
            "context": "The invoice is dated 14 May.",
            "output_format": "the amount and the rate",
            "on_failure": "If no rate is found, say so and give no amount.",
        },
        known={"sent_bytes": 310, "received_bytes": 190},
    ),
    Row(
        "what is above stands above",
        "context",
        False,
        "Order 5513: 2 of 5 items returned, 12.50 each.\nOrder 5519: returned in full, 80.00.\n"
        "Task: Refund the two orders mentioned above and write to the customer.\n"
        "Output format: one sentence for each order.\nIf a refund is refused: report the bank's reason.",
    ),
    Row(
        "it refers back, and then says to what",
        "context",
        False,
        fields={
            "task": "Write the release notes for version 2.8 of the importer.",
            "context": "As discussed: CSV files over 2 GB load in parts; dates follow ISO 8601; the old flag --fast is gone.",
            "output_format": "Markdown, at most ten lines",
            "on_failure": "Leave out what is unclear and list it at the end.",
        },
    ),
    Row(
        "short facts without a full stop",
        "context",
        False,
        "Task: Book a table for the team dinner.\n"
        "Context:\n- 12 people\n- Thursday 19:30\n- vegetarian options\n- near the office, Rua Augusta 41\n"
        "Output format: name, address, confirmation number\nIf nothing is free: propose Friday to Ana",
    ),
    Row(
        "dots that are no cut",
        "context",
        False,
        "Task: Explain to the customer why the parser rejects version 1..2 of the file.\n"
        'Context: The range operator is ".." since release 3. The customer writes "1...2", see line 14.\n'
        "Output format: a reply of three sentences.\nIf you are unsure, ask the parser team.",
    ),
    Row(
        "a complete Chinese packet",
        "context",
        False,
        "任务：核对五月份的差旅报销单。\n背景：共有17张单据，总额8,420元；超过500元的需要经理签字。\n"
        "输出格式：表格，每行一张单据。\n如果失败：列出无法核对的单据并通知财务。",
    ),
)

TASK = (
    Row(
        "one word",
        "task",
        True,
        "Task: Refund\nContext: Order 77 was charged twice, on 12 and 14 March.\n"
        "Output format: the booking number.\nIf it fails: report to billing.",
    ),
    Row(
        "nothing but pronouns",
        "task",
        True,
        fields={
            "task": "Please handle this for them.",
            "context": "Mrs Ito writes from Osaka; contract 4-118; the router blinks red.",
            "output_format": "a reply to the customer",
            "on_failure": "If you cannot help, open a ticket.",
        },
    ),
    Row(
        "the run's whole input once more",
        "task",
        True,
        fields={
            "task": "Plan my move from Leeds to Porto in August, with a budget of 6,000 pounds!",
            "context": "The user has two cats and a piano.",
            "output_format": "a list of dates",
            "on_failure": "Say which date could not be planned.",
        },
        known={"run_input": "plan my move from Leeds to Porto in August, with a budget of 6,000 pounds"},
    ),
    Row(
        "a request that fits every case",
        "task",
        True,
        "Task: Take care of the customer's request.\nContext: Premium plan since 2021.\n"
        "Output format: a message.\nIf it fails, escalate to a person.",
    ),
    Row(
        "a verb and nothing to do it to, with no context",
        "task",
        True,
        "Task: Summarise and translate it.\nOutput format: two sentences.\nIf it fails: say so.",
    ),
    Row(
        "the same in French",
        "task",
        True,
        "Tâche : Occupez-vous de cela, s'il vous plaît.\nContexte : Abonnement annuel, client depuis 2019.\n"
        "Format de sortie : un courriel.\nEn cas d'échec : prévenez le support.",
    ),
    Row(
        "the same in Chinese",
        "task",
        True,
        "任务：请处理一下这个问题。\n背景：客户是2020年的会员。\n输出格式：一句话。\n失败时：通知主管。",
    ),
    Row(
        "no task at all",
        "task",
        True,
        fields={
            "task": "TBD",
            "context": "The nightly export wrote 0 rows on 3 of the last 7 days.",
            "output_format": "a root cause in two sentences",
            "on_failure": "Report what was tried.",
        },
    ),
    Row(
        "three words that name the thing",
        "task",
        False,
        "Task: Refund invoice 4711\nContext: Paid twice on 2 May, 240.00 EUR each.\n"
        "Output format: the booking number.\nIf it fails: report to billing.",
    ),
    Row(
        "a pronoun, and the text that it stands for",
        "task",
        False,
        fields={
            "task": "Translate it into Portuguese.",
            "context": "The text: 'Your appointment on 8 June at 10:15 is confirmed. Please bring your passport.'",
            "output_format": "the translation alone",
            "on_failure": "If a word has no translation, leave it in English and mark it.",
        },
    ),
    Row(
        "a part of the run's input",
        "task",
        False,
        fields={
            "task": "Find three removal companies that move a piano from Leeds to Porto in August.",
            "context": "Two cats travel separately; the piano weighs 210 kg.",
            "output_format": "name, price and phone number of each",
            "on_failure": "If fewer than three are found, list those and say so.",
        },
        known={"run_input": "Plan my move from Leeds to Porto in August, with a budget of 6,000 pounds"},
    ),
    Row(
        "short and exact, for a programmer",
        "task",
        False,
        "Task: Fix PAY-2291\nContext: Rounding differs between invoice and ledger since commit 4f1c.\n"
        "Output format: a diff.\nOn failure: revert and explain.",
    ),
    Row(
        "help, with what and for whom",
        "task",
        False,
        "Aufgabe: Hilf dem Kunden, seinen Router auf Werkseinstellungen zurückzusetzen.\n"
        "Kontext: Modell Speedport 3, die LED blinkt rot.\nAusgabeformat: nummerierte Schritte.\n"
        "Falls das nicht klappt: Techniker benachrichtigen.",
    ),
    Row(
        "a short task in Japanese",
        "task",
        False,
        "タスク：請求書4711を返金\n背景：5月2日に二重に支払われました。\n出力形式：予約番号\n失敗時：経理に連絡",
    ),
    Row(
        "a research question",
        "task",
        False,
        "Question: Which EU states tax company cars by CO2, and since when?\n"
        "Background: For the fleet policy of 2026; Malta and Cyprus count as well.\n"
        "Deliverable: a table with state, year and source.\n"
        "If a source is missing, leave the cell empty and flag it.",
    ),
)

FAILURE = (
    Row(
        "no word about failure",
        "failure",
        True,
        "Task: Reserve a meeting room for 14 people on 6 June.\nContext: Building C or D, with a projector.\n"
        "Output format: room number and time.",
    ),
    Row(
        "the task is about failures and says nothing of its own",
        "failure",
        True,
        "Task: Find out why the nightly backup failed and list every error in the log.\n"
        "Context: Server db-2, log of 11 May, the job runs at 02:00.\nOutput format: a table of errors.",
    ),
    Row(
        "a placeholder stands where the path should",
        "failure",
        True,
        fields={
            "task": "Collect the opening hours of the five branches in Graz.",
            "context": "The list of branches is in the intranet under Standorte.",
            "output_format": "a table",
            "on_failure": "N/A",
        },
    ),
    Row(
        "a rule of the trade is no failure path",
        "failure",
        True,
        "Task: Refund the order 7781.\n"
        "Context: If the order is not older than 30 days, refund the full price. If the customer has no account, create one.\n"
        "Output format: the refunded amount.",
    ),
    Row(
        "only an appeal",
        "failure",
        True,
        fields={
            "task": "Renew the TLS certificates of the three shop domains.",
            "context": "They expire on 30 May; the DNS is at Gandi.",
            "output_format": "the new expiry dates",
            "if_it_fails": "Do your best, this must not fail!",
        },
    ),
    Row(
        "a question about a failure",
        "failure",
        True,
        "Task: Check if the payment of 12 March failed, and when it was retried.\n"
        "Context: Customer 88, card ending in 4421.\nOutput format: yes or no, with the dates.",
    ),
    Row(
        "no path, in German",
        "failure",
        True,
        "Aufgabe: Erstelle eine Übersicht der fehlerhaften Lieferungen im April.\n"
        "Kontext: Lager Süd, 212 Lieferungen.\nAusgabeformat: Tabelle mit Datum und Lieferant.",
    ),
    Row(
        "no path, in Chinese",
        "failure",
        True,
        "任务：把产品手册翻译成德语。\n背景：共48页，面向维修人员。\n输出格式：保留原来的章节编号。",
    ),
    Row(
        "the path stands inside the task",
        "failure",
        False,
        "Task: Reserve a meeting room for 14 people on 6 June. If none is free, ask Ana for another date.\n"
        "Context: Building C or D, with a projector.\nOutput format: room number and time.",
    ),
    Row(
        "the path ends the context, after the rules of the trade",
        "failure",
        False,
        "Task: Refund the order 7781.\n"
        "Context: Orders up to 30 days old get the full price. Report back to triage if the ledger cannot be reached.\n"
        "Output format: the refunded amount.",
    ),
    Row(
        "a fallback instead of a report",
        "failure",
        False,
        fields={
            "task": "Quote the price of 40 tonnes of rapeseed in EUR.",
            "context": "Delivery in September to Rouen.",
            "output_format": "one number per tonne, and its date",
            "notes": "When the exchange is unreachable, use the last cached price and name its date.",
        },
    ),
    Row(
        "the path is a value of the answer's format",
        "failure",
        False,
        "Task: Classify the ticket 90-33.\nContext: 'My invoice shows a plan that I never booked.'\n"
        "Output format: one of billing, technical, sales; in case of doubt return unknown with the reason.",
    ),
    Row(
        "the path in a German sentence",
        "failure",
        False,
        "Aufgabe: Erstelle eine Übersicht der fehlerhaften Lieferungen im April. Wenn Daten fehlen, nenne die Tage und rate nicht.\n"
        "Kontext: Lager Süd, 212 Lieferungen.\nAusgabeformat: Tabelle mit Datum und Lieferant.",
    ),
    Row(
        "the path in a Japanese sentence",
        "failure",
        False,
        "タスク：製品マニュアルをドイツ語に翻訳する。訳せない用語がある場合は、原語のまま残して一覧で報告してください。\n"
        "背景：全48ページ、保守担当者向け。\n出力形式：章番号を保つこと。",
    ),
    Row(
        "otherwise",
        "failure",
        False,
        "Task: Approve the travel request of Jonas Weber if it is within the policy. Otherwise hand it back to HR with the clause.\n"
        "Context: Vienna, 3 nights, 190 EUR each; the limit is 200 EUR.\nOutput format: approved or returned, with one sentence.",
    ),
)

ROWS: tuple[Row, ...] = (*FORMAT, *CONTEXT, *TASK, *FAILURE)
