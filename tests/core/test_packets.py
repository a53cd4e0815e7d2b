"""What a handoff carries is found, what is missing is named, and the four ways to hand over badly are told apart."""

from __future__ import annotations

import random

import pytest

from mas_guard.packets import Packet, examine, missing_parts, read_packet, render
from tests.core.handoff_packets import ROWS, Row
from tests.fuzz import SECRET, hostile_key, hostile_text, hostile_value, huge_texts, seeds

WHOLE = Packet(
    task="Refund invoice 4711.",
    context="Paid twice on 2 May.",
    output_format="The booking number.",
    on_failure="Report to billing.",
)


def modes_found(row: Row) -> set[str]:
    return {problem.mode for problem in examine(read_packet(row.text, row.fields), **row.known)}


# -- the sixty packets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in ROWS if row.faulty], ids=lambda row: f"{row.mode}: {row.name}")
def test_a_fault_is_found_and_no_other_is_claimed(row: Row) -> None:
    assert modes_found(row) == {row.mode}


def test_of_the_healthy_look_alikes_at_most_two_are_warned_of() -> None:
    warned = [row.name for row in ROWS if not row.faulty and modes_found(row)]
    assert len(warned) <= 2, warned


def test_the_suite_has_fifteen_packets_a_mode_half_of_them_healthy() -> None:
    for mode in ("format", "context", "task", "failure"):
        rows = [row for row in ROWS if row.mode == mode]
        assert len(rows) == 15
        assert sum(row.faulty for row in rows) == 8


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.mode}: {row.name}")
def test_what_is_said_of_a_packet_quotes_nothing_of_it(row: Row) -> None:
    packet = read_packet(row.text, row.fields)
    words = {word for word in f"{packet.task} {packet.context}".split() if len(word) > 8 and word[-1] not in ".,:;"}
    ours = "instructions customer reference"
    for problem in examine(packet, **row.known):
        assert not {word for word in words if word in problem.text and word not in ours}


# -- reading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Task: {0}\nContext: {1}\nOutput format: {2}\nIf it fails: {3}",
        "Task: {0} Context: {1} Output format: {2} If it fails: {3}",
        "## Task\n{0}\n\n## Context\n{1}\n\n## Expected output\n{2}\n\n## On failure\n{3}",
        "**TASK:** {0}\n**CONTEXT:** {1}\n**OUTPUT FORMAT:** {2}\n**IF IT FAILS:** {3}",
        "**Task**\n{0}\n**Context**\n{1}\n**Format**\n{2}\n**Fallback**\n{3}",
        "- if this fails: {3}\n- background: {1}\n- deliverable: {2}\n- goal: {0}",
        "1. Objective: {0}\n2. Background: {1}\n3. Response format: {2}\n4. On error: {3}",
        "<task>{0}</task>\n<context>{1}</context>\n<output_format>{2}</output_format>\n<on_failure>{3}</on_failure>",
        "Aufgabe: {0}\nKontext: {1}\nAusgabeformat: {2}\nBei Fehlern: {3}",
        "Tâche : {0}\nContexte : {1}\nFormat de sortie : {2}\nEn cas d'échec : {3}",
        "Tarea: {0}\nContexto: {1}\nFormato de salida: {2}\nSi falla: {3}",
        "任务：{0}\n背景：{1}\n输出格式：{2}\n失败时：{3}",
        "タスク：{0}\n背景：{1}\n出力形式：{2}\n失敗時：{3}",
        '{{"task": "{0}", "context": "{1}", "output_format": "{2}", "on_failure": "{3}"}}',
        '```json\n{{"objective": "{0}", "background": "{1}", "expectedOutput": "{2}", "ifItFails": "{3}"}}\n```',
        '{{"handoff": {{"Task": "{0}", "CONTEXT": "{1}", "response-format": "{2}", "fallback": "{3}"}}}}',
    ],
)  # fmt: skip
def test_the_four_parts_are_found_however_they_are_labelled(text: str) -> None:
    parts = (WHOLE.task, WHOLE.context, WHOLE.output_format, WHOLE.on_failure)
    assert read_packet(text.format(*parts)) == WHOLE


def test_a_part_may_have_several_lines_and_a_fence_that_looks_like_headings() -> None:
    packet = read_packet(
        "Task: Fix it.\n\nContext:\nThe file reads\n```\nTask: sleep\nFormat: none\n```\nand no more.\n"
    )
    assert packet.task == "Fix it."
    assert packet.context == "The file reads\n```\nTask: sleep\nFormat: none\n```\nand no more."
    assert packet.output_format == ""


def test_fields_that_name_no_part_are_context() -> None:
    packet = read_packet('{"invoice": 4711}', {"task": "Refund it.", "invoice": 4711, "lines": [1, 2], "note": None})
    assert packet == Packet("Refund it.", "invoice: 4711\nlines: [1, 2]")


def test_a_text_without_headings_is_the_task_with_what_it_says_of_form_and_failure() -> None:
    text = (
        "Please check the refund of Mrs Ito. She paid 240 EUR twice on 2 May. "
        "Answer in two sentences. If the ledger cannot be read, tell me."
    )
    packet = read_packet(text)
    assert packet.task == text
    assert packet.context == "She paid 240 EUR twice on 2 May."
    assert packet.output_format == "Answer in two sentences."
    assert packet.on_failure == "If the ledger cannot be read, tell me."
    assert missing_parts(packet) == ()


# -- missing and shown ---------------------------------------------------------------------------------


def test_missing_parts_are_named_in_order_and_placeholders_count_as_missing() -> None:
    assert missing_parts(WHOLE) == ()
    assert missing_parts(Packet("Refund it.", "n/a", "", " TBD. ")) == ("context", "output_format", "on_failure")
    assert missing_parts(Packet("[task]", "{}", "<format>", "keine")) == (
        "task",
        "context",
        "output_format",
        "on_failure",
    )
    assert missing_parts(Packet("x", '{"order": 7}', "[1]", "None of the rows may be lost: stop.")) == ()


def test_a_shown_packet_reads_back_as_itself_and_leaves_out_what_is_missing() -> None:
    assert read_packet(render(WHOLE)) == WHOLE
    assert render(Packet("Refund it.", "none")) == "Task:\nRefund it."


# -- single detectors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "received", "found"),
    [
        (10_000, 3_000, True),
        (10_000, 6_999, True),
        (10_000, 7_000, False),
        (250, 60, False),
        (400, 150, True),
        (None, 3, False),
    ],
)
def test_less_than_seven_tenths_arriving_is_a_cut_unless_little_is_lost(
    sent: int | None, received: int, found: bool
) -> None:
    problems = examine(WHOLE, sent_bytes=sent, received_bytes=received)
    assert [problem.mode for problem in problems] == (["context"] if found else [])


PATHS = [
    "If you get stuck, come back to me with what you have.",
    "Should the API time out, retry twice and then give up.",
    "If the tests do not pass, do not merge; report the failing ones.",
    "When data is missing, write null.",
    "Escalate to a person if the sum exceeds 500 EUR.",
    "Report failures to the orchestrator instead of guessing.",
    "Fallback: use yesterday's rates.",
    "Falls die Rechnung nicht auffindbar ist, gib den Fall an die Triage zurück.",
    "Si no encuentras el pedido, avisa al supervisor.",
    "Si vous ne trouvez rien, dites-le.",
    "Se o cliente não existir, avise o suporte ou pergunte.",
    "Se il file non esiste, segnalalo.",
    "Если данные недоступны, сообщите об этом.",
    "如果找不到订单，请告知主管。",
    "見つからない場合は、その旨を報告してください。",
]
NO_PATHS = [
    "Check if the payment failed and report the date.",
    "Determine whether the server is down.",
    "Explain why the request was rejected.",
    "When you are done, send the list to Ana.",
    "If the order is not shipped yet, cancel it.",
    "If the customer cannot log in, reset the password.",
    "Write a function that raises an error for empty input.",
    "Investigate the outage of 4 May.",
    "Prüfe, ob die Zahlung fehlgeschlagen ist.",
    "Si el cliente es nuevo, ofrece un descuento.",
    "检查支付是否失败。",
]


@pytest.mark.parametrize("sentence", PATHS)
def test_a_sentence_that_says_what_to_do_on_failure_is_a_path(sentence: str) -> None:
    packet = read_packet(
        f"Task: Find invoice 4711 of Mrs Ito.\nContext: Paid on 3 May.\nOutput format: a date.\n{sentence}"
    )
    assert examine(packet) == []
    assert missing_parts(packet) == ()


@pytest.mark.parametrize("sentence", NO_PATHS)
def test_a_sentence_about_failures_of_others_is_no_path(sentence: str) -> None:
    packet = read_packet(
        f"Task: Work on case 4711 of Mrs Ito. {sentence}\nContext: Paid on 3 May.\nOutput format: a date."
    )
    assert [problem.mode for problem in examine(packet)] == ["failure"]
    assert missing_parts(packet) == ("on_failure",)


def test_what_an_example_leaves_out_is_named_by_the_contracts_own_names() -> None:
    contract = {
        "type": "object",
        "properties": {"order": {"type": "string"}, "amount": {"type": "number"}},
        "required": ["order", "amount"],
    }
    packet = Packet(WHOLE.task, WHOLE.context, '{"order": "..."}', WHOLE.on_failure)
    (problem,) = examine(packet, receiver_contract=contract)
    assert (problem.mode, problem.part) == ("format", "output_format")
    assert problem.text == "it leaves out what the receiver's contract requires: amount"


def test_nothing_is_claimed_of_a_language_that_is_not_read() -> None:
    arabic = Packet("أعد المبلغ إلى العميل صاحب الفاتورة", "دفع مرتين في الثاني من مايو", "رقم الحجز")
    assert examine(arabic) == []


def test_a_healthy_packet_has_no_problem_even_with_a_contract_it_does_not_mention() -> None:
    contract = {"type": "object", "properties": {"booking": {"type": "string"}}, "required": ["booking"]}
    packet = Packet(WHOLE.task, WHOLE.context, "as your contract says", WHOLE.on_failure)
    assert examine(packet, receiver_contract=contract) == []


def test_the_receivers_own_fields_may_be_missing_from_what_is_carried() -> None:
    contract = {
        "type": "object",
        "properties": {"order": {"type": "string"}, "amount": {"type": "number"}, "paid": {"type": "boolean"}},
        "required": ["order", "amount", "paid"],
    }
    carried = Packet(WHOLE.task, '{"order": "A-1", "amount": 3.5}', "the same, completed", WHOLE.on_failure)
    assert examine(carried, receiver_contract=contract) == []


# -- hostile input -------------------------------------------------------------------------------------


def test_no_input_crashes_and_no_problem_repeats_content() -> None:
    contracts = [
        None,
        {"type": "string"},
        {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
        {},
    ]

    def check(chance: random.Random) -> None:
        text = hostile_text(chance)
        fields = None
        if chance.random() < 0.4:
            fields = {hostile_key(chance): hostile_value(chance) for _ in range(chance.randint(0, 4))}
        packet = read_packet(text, fields)
        problems = examine(
            packet,
            sent_bytes=chance.choice((None, 0, 10**9)),
            received_bytes=chance.choice((None, 0, 10)),
            history_trimmed=chance.random() < 0.2,
            cut_by_length=chance.random() < 0.2,
            receiver_contract=chance.choice(contracts),
            run_input=hostile_text(chance) if chance.random() < 0.5 else text,
        )
        assert not [problem for problem in problems if SECRET in problem.text or "hunter2" in problem.text]
        missing_parts(packet)
        render(packet)

    seeds(check)


def test_millions_of_characters_take_no_longer_than_their_length_allows() -> None:
    for text in huge_texts():  # a pattern that backtracks over one of these never comes back
        packet = read_packet(text)
        examine(packet, receiver_contract={"type": "object", "properties": {"a": {"type": "number"}}}, run_input=text)
        examine(Packet(text, text, text, text), receiver_contract={"type": "object"}, run_input=text)
        missing_parts(packet)
