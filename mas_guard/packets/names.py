"""What the four parts are called, in the keys of a handoff's input and in the headings of its text."""

from __future__ import annotations

import re
import unicodedata

from mas_guard.packets.packet import Part

_NAMES: dict[Part, str] = {
    "task": """
        task, tasks, task description, the task, your task, current task, subtask, sub task, next task, assignment, job,
        objective, objectives, goal, goals, your goal, aim, mission, mandate, instruction, instructions, request, query,
        question, prompt, action, what to do, todo, to do, work item, brief, purpose
        aufgabe, auftrag, ziel, arbeitsauftrag, anweisung, anweisungen, frage, anfrage, deine aufgabe, todos
        tâche, mission, objectif, consigne, consignes, demande, travail à faire, question, ta tâche, votre tâche
        tarea, objetivo, encargo, instrucción, instrucciones, petición, solicitud, pregunta, tu tarea
        tarefa, objetivo, instrução, instruções, pedido, pergunta, compito, obiettivo, istruzioni, richiesta, domanda
        taak, opdracht, doel, vraag, zadanie, cel, polecenie, задача, задание, цель, запрос, поручение
        任务, 任務, 目标, 目標, 指示, 要求, 问题, 工作, タスク, 課題, 依頼, 依頼内容, 作業, 目的, 과제, 작업, 업무, 목표, 요청
    """,
    "context": """
        context, the context, additional context, relevant context, background, background information, background info,
        history, conversation history, conversation, summary, summary so far, conversation summary, situation, facts,
        known facts, known, what is known, what we know, findings, findings so far, data, input, inputs, input data,
        information, info, details, given, source, sources, material, materials, notes, evidence, state, case, progress,
        previous results, prior work, prior results, payload, documents, document, problem, message, reason
        kontext, hintergrund, hintergrundinformationen, vorgeschichte, verlauf, sachverhalt, lage, fakten, bekannt, daten,
        bisheriges, bisher bekannt, zusammenfassung, angaben, informationen, eingabe
        contexte, historique, situation, faits, données, informations, résumé, éléments connus, entrée
        contexto, antecedentes, historial, situación, hechos, datos, información, resumen, entrada
        histórico, situação, fatos, factos, dados, informações, resumo, contesto, sfondo, situazione, fatti, dati, riassunto
        achtergrond, situatie, feiten, gegevens, samenvatting, kontekst, tło, dane, контекст, предыстория, данные, ситуация
        背景, 上下文, 背景信息, 已知信息, 资料, 情况, 数据, 历史, コンテキスト, 文脈, 経緯, 状況, 前提, データ, 맥락, 배경, 상황, 컨텍스트
    """,
    "output_format": """
        output format, output, outputs, expected output, expected outputs, expected format, expected result, format,
        response format, response, reply format, answer format, return format, result format, deliverable,
        deliverables, output schema, response schema, schema, json schema, output structure, structure, output type,
        format of the answer, format of the output, required output, required format, desired output, desired format,
        output requirements, output spec, answer as, reply as, respond with
        ausgabeformat, ausgabe, antwortformat, format der antwort, format der ausgabe, ergebnisformat, erwartete ausgabe,
        erwartetes ergebnis, rückgabe, rückgabeformat, form der antwort
        format de sortie, format de réponse, format de la réponse, format attendu, sortie attendue, sortie, livrable,
        résultat attendu
        formato de salida, formato de respuesta, formato esperado, formato, salida, salida esperada, resultado esperado,
        entregable, formato de saída, formato da resposta, formato de resposta, saída, saída esperada, entrega
        formato di output, formato di uscita, formato della risposta, formato, risultato atteso, uitvoerformaat,
        uitvoer, antwoordformaat, format odpowiedzi, format wyjścia, формат вывода, формат ответа, формат
        输出格式, 输出, 回复格式, 返回格式, 格式, 输出要求, 出力形式, 出力, 回答形式, 出力フォーマット, フォーマット, 출력 형식, 출력, 응답 형식
    """,
    "on_failure": """
        on failure, if it fails, if this fails, if that fails, if you fail, when it fails, in case of failure, failure,
        failure instructions, failure instruction, failure handling, failure path, failure mode, failure output, on error,
        on errors, error handling, in case of error, in case of errors, if error, fallback, fall back, fallback plan,
        fallback instructions, backup plan, plan b, escalation, escalation path, if blocked, when blocked,
        if stuck, when stuck, if unable, if you are stuck, if you get stuck, if you are blocked, if you cannot,
        if you can't, if impossible, if not possible, if unsuccessful, if something goes wrong, if things go wrong,
        otherwise, failing that, exceptions, edge cases, on fail, if failed, if fails, contingency
        bei fehler, bei fehlern, im fehlerfall, bei fehlschlag, falls es scheitert, wenn es scheitert, bei misserfolg,
        falls es nicht klappt, wenn es nicht klappt, falls das nicht geht, fehlerbehandlung, fehlerfall, eskalation, sonst,
        andernfalls, notfallplan, wenn nicht möglich, falls nicht möglich
        en cas d'échec, en cas d'erreur, en cas de problème, si échec, si ça échoue, si cela échoue, si impossible, repli,
        à défaut, gestion des erreurs, escalade
        en caso de fallo, en caso de error, en caso de fracaso, si falla, si fracasa, si no es posible, plan alternativo,
        escalamiento, escalada, em caso de falha, em caso de erro, se falhar, se der erro, se não for possível,
        in caso di errore, in caso di fallimento, se fallisce, se non è possibile, bij fouten, als het mislukt, bij falen
        w razie błędu, w razie niepowodzenia, если не получится, в случае ошибки, в случае неудачи, при ошибке
        失败时, 如果失败, 若失败, 如失败, 失败处理, 出错时, 异常处理, 失敗時, 失敗した場合, エラー時, できない場合, 실패 시, 실패할 경우, 오류 시
    """,
}

_MARKS = re.compile(r"[\W_]+", re.UNICODE)


def normal_name(name: str) -> str:
    """*name* with no accents, case, signs or underlines: `outputFormat`, `OUTPUT_FORMAT` are `outputformat`."""
    spread = unicodedata.normalize("NFKD", name[:200])
    plain = "".join(sign for sign in spread if not unicodedata.combining(sign))
    return _MARKS.sub("", unicodedata.normalize("NFKC", plain).casefold())


_PART_OF: dict[str, Part] = {
    normal_name(name): part
    for part, names in reversed(_NAMES.items())
    for line in names.strip().splitlines()
    for name in line.split(",")
    if name.strip()
}
CORE_NAMES: tuple[str, ...] = (
    *("task", "context", "output format", "expected output", "if it fails", "if this fails", "on failure", "on error"),
    *("in case of failure", "fallback", "format", "background", "aufgabe", "kontext", "hintergrund", "ausgabeformat"),
    *("bei fehler", "im fehlerfall", "tâche", "contexte", "format de sortie", "en cas d'échec", "tarea", "contexto"),
    *("formato de salida", "formato", "si falla", "en caso de fallo", "tarefa", "formato de saída", "se falhar"),
    *("任务", "任務", "背景", "上下文", "输出格式", "失败时", "如果失败", "タスク", "課題", "出力形式", "失敗時"),
)
"""Names that begin a part also in the middle of a line; the others do so only at a line's beginning."""


def part_named(name: str) -> Part | None:
    """The part that a key or heading called *name* stands for; `None` where it stands for none."""
    return _PART_OF.get(normal_name(name))
