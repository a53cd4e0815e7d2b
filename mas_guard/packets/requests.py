"""What of a text asks for something: sentences that begin with a request, and those that name the answer's form."""

from __future__ import annotations

import re

from mas_guard.packets.failure_words import CONDITION, OPENING_CONDITION
from mas_guard.packets.sentences import ends_of, sentences_of, word_set, words_of

REQUESTS: frozenset[str] = word_set(
    """
    add adjust analyse analyze answer apply approve arrange ask assemble assess audit book build calculate call cancel
    categorise categorize change check choose classify clean close collect compare compile compose compute confirm convert
    correct count create debug decide define delete deliver describe design determine diagnose document draft edit email
    estimate evaluate examine execute explain extract fetch file fill find fix forecast format gather generate get give handle
    help identify implement improve inform inspect install interview investigate issue label list locate look make mark measure
    merge migrate model monitor move negotiate notify optimise optimize order outline parse pay perform plan post prepare price
    prioritise process produce propose prove provide publish pull query quote rank read rebook recommend reconcile record reduce
    refactor refund register reject remove rename render replace reply report reproduce request research reschedule resolve
    respond return review revise rewrite route run scan schedule score search select send settle set shorten simulate solve sort
    split suggest sum summarise summarize take test trace track transcribe transfer translate triage tune update upgrade validate
    verify visit write
    analysiere antworte beantworte berechne beschreibe bestelle bewerte buche entwirf erfasse erkläre erledige ermittle ersetze
    erstatte erstelle extrahiere fasse finde formuliere führe gib gleiche hilf kläre klassifiziere korrigiere kündige lies liste
    mach mache nenne ordne plane prüfe rechne recherchiere repariere schätze schick schicke schlage schreib schreibe sortiere
    storniere suche teste übersetze überarbeite überprüfe untersuche verfasse vergleiche werte wähle zähle
    ajoute analyse analysez annule annulez calcule calculez cherche cherchez classe classez compare comparez corrige corrigez crée
    créez décris explique expliquez extrais extrayez fais faites liste listez prépare préparez propose recherche réponds répondez
    rédige rédigez rembourse remboursez réserve réservez résume résumez traduis traduisez trouve trouvez vérifie vérifiez écris
    actualiza analiza analice ayuda busca busque calcula calcule cancela clasifica clasifique compara compare comprueba corrige crea
    cree describe elabora encuentra envía escribe escriba explica explique extrae extraiga genera haz haga identifica investiga lista
    prepara prepare procesa redacta redacte reembolsa reserva reserve responde resume resuma revisa revise traduce traduzca verifica
    verifique
    analise atualize calcule cancele classifique compare confira corrija crie descreva encontre escreva explique extraia faça gere
    liste prepare procure reembolse reserve responda resuma reveja revise traduza verifique
    analizza calcola cerca classifica compila confronta controlla correggi crea descrivi elenca estrai fai genera prepara prenota
    riassumi rimborsa rispondi scrivi traduci trova verifica
    analyseer bereken boek controleer maak schrijf vat vergelijk vertaal zoek zet
    napisz oblicz porównaj przetłumacz przygotuj sprawdź streść znajdź zwróć
    вычисли найди напиши объясни переведи подготовь посчитай проверь рассчитай составь сравни
    """
)
"""Verbs that a request begins with."""

_POLITE = word_set(
    "please kindly now then first next also and bitte nun dann zuerst por favor svp merci de prego alsjeblieft proszę пожалуйста "
    "can could would will you we i need want to must should have your task is job just"
)
_ASKS_FOR_FORM = re.compile(
    r"^(?:[\s\-*•>]|please |kindly |bitte |then |and |por favor |dann |finally ){0,6}"
    r"(?:reply|respond|answer|return|output|give|write|format|deliver|provide|produce|present|send|hand back|use|i need|i want|expected"
    r"|antworte|gib|liefere|schreib\w*|formatiere|ausgabe|als ergebnis|das ergebnis|die antwort|réponds|répondez|renvoie|renvoyez|rends|donne|fournis|présente"
    r"|le résultat|responde\w*|devuelve|devuelva|entrega|escribe|da|el resultado|la respuesta|responda|devolva|entregue|retorne|rispondi|restituisci|fornisci|antwoord|geef"
    r"|odpowiedz|ответь|верни|the (?:answer|output|result|reply|response)|your (?:answer|output|result|reply|response))\b",
    re.IGNORECASE,
)
_FORM = re.compile(
    r"\b(?:json|yaml|xml|csv|tsv|html|markdown|table|list|bullets?|bullet points?|sentences?|paragraphs?|lines?|words?|number|integer|boolean"
    r"|fields?|keys?|columns?|schema|plain text|prose|diff|patch|code block|email|e-mail|memo|yes or no|one of|percent\w*|object|array"
    r"|tabelle|liste|stichpunkte\w*|sätze\w*|satz|absatz|absätze\w*|zeilen?|zahl|feldern?|spalten|wörter\w*|format"
    r"|tableau|phrases?|paragraphe|puces|lignes?|nombre|champs|colonnes|mots"
    r"|tabla|lista|frases?|párrafos?|viñetas|líneas?|número|campos|columnas|palabras|tabela|linhas|parágrafos?|tabella|frasi|righe|campi"
    r"|tabel|lijst|zinnen|tabel\w*|zdania|список|таблиц\w*|предложени\w*)\b|表格|列表|句|字以内|字段|段落|表形式|箇条書き|文字以内|목록|문장",
    re.IGNORECASE,
)
_FORM_IN_NO_SPACES = re.compile(
    r"(?:以|用|按|返回|输出|回复|回答|で|として|形式で|にまとめて|로|형식).{0,30}(?:json|csv|表格|列表|格式|句|字|表|箇条書き|形式|返して|回答|목록|문장)",
    re.IGNORECASE,
)


def asks(sentence: str) -> bool:
    """True where *sentence* begins, after courtesies, with a verb that asks for something, or with a condition."""
    if OPENING_CONDITION.search(sentence[:80]) or CONDITION.match(sentence[:80]):
        return True
    for word in words_of(sentence[:200])[:10]:
        if word in REQUESTS:
            return True
        if word not in _POLITE:
            return False
    return False


def sentences_with_format(text: str) -> list[str]:
    """The sentences of *text* that say in what form the answer is wanted."""
    return [one for one in sentences_of(ends_of(text)) if _names_form(one)]


def _names_form(sentence: str) -> bool:
    if _FORM_IN_NO_SPACES.search(sentence[:500]):
        return True
    return _ASKS_FOR_FORM.search(sentence) is not None and _FORM.search(sentence) is not None
