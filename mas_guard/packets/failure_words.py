"""The words in which failure instructions are given: a condition, a sign of failure, and a way out of it.

English and German in full, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian, Chinese, Japanese and Korean as
far as instructions to agents use them.
"""

from __future__ import annotations

import re

from mas_guard.packets.sentences import word_set

CONDITION = re.compile(
    r"\b(?:if|in case|in the event|wenn|falls|sofern|im falle?|im fehlerfall|bei fehler\w*|bei zweifel\w*|im zweifel"
    r"|on (?:any |an? |repeated )?(?:failure|error|exception|timeout)s?|after (?:\w+ )?failed \w+"
    r"|si|s'il|s'ils|s’il|en cas|au cas|en caso|em caso|in caso|nel caso|caso|qualora|indien|jeśli|jeżeli|w razie|w przypadku"
    r"|если|в случае|при ошибке)\b|如果|若|如遇|万一|萬一|一旦|遇到|場合|たら|れば|ときは|時は|경우|만약|하면|으면|않으면|없으면|지면",
    re.IGNORECASE,
)
"""What begins a condition anywhere in a sentence."""

OPENING_CONDITION = re.compile(
    r"^[\s\-*•>(\d.)]{0,8}(?:when|whenever|where|once|should|upon|sollte|sollten|solltest|sobald|bei|quand|lorsque|dès que|cuando"
    r"|quando|se|ove|als|wanneer|mocht|gdy|gdyby|когда|при)\b|^[\s\-*•>(\d.)]{0,8}[当當遇]",
    re.IGNORECASE,
)
"""What begins a condition only at a sentence's beginning; elsewhere it tells a time or a place."""

OTHERWISE = re.compile(
    r"^[\s\-*•(]{0,8}(?:otherwise|failing that|failing this|or else|else|as a last resort|andernfalls|sonst|ansonsten|sinon"
    r"|à défaut|autrement|de lo contrario|si no|en su defecto|caso contrário|senão|altrimenti|in mancanza|anders"
    r"|in het andere geval|w przeciwnym razie|иначе|в противном случае|否则|否則|さもなければ|그렇지 않으면)(?!\w)",
    re.IGNORECASE,
)

FAILING = re.compile(
    r"\b(?:fail(?:s|ed|ing|ure|ures)?|cannot|can't|can not|could not|couldn't|unable|unavailable|unreachable|time[sd]? out"
    r"|timeouts?|errors?|exceptions?|stuck|blocked|impossible|crash(?:es|ed)?|unsuccessful|outages?|goes wrong|went wrong|is down|breaks|trouble"
    r"|doesn't work|does not work|isn't possible|is not possible|in doubt|not (?:be )?(?:found|available|reachable|accessible|readable|legible|loaded|opened)"
    r"|(?:nothing|none|nobody|no one|no \w{1,20}(?: \w{1,20})?) (?:is|are|was|were|can be|could be|fits|matches|works|answers)|unsure|uncertain|not sure|don't know"
    r"|scheitert|scheitern|fehlschlägt|fehlschlagen|fehler\w*|nicht möglich|unmöglich|nicht erreichbar|nicht klappt|nicht geht"
    r"|nicht gelingt|misslingt|schiefgeht|schief geht|zweifel\w*|nicht weiterkommst|unsicher|störung\w*|nicht auffindbar"
    r"|échoue\w*|échec\w*|erreurs?|indisponible|injoignable|ne peux pas|ne peut pas|ne parviens pas|doute|bloqué\w*"
    r"|falla\w*|fallo\w*|fracas\w*|errore?s?|imposible|no puedes?|no se puede|no es posible|no logras?|duda\w*|bloquead\w*"
    r"|falh\w*|erros?|impossível|não puder|não conseguir|não for possível|dúvida\w*"
    r"|fallisc\w*|fallimento|impossibile|non riesc\w*|non puoi|non è possibile|dubbio"
    r"|mislukt|fouten|fout|niet lukt|niet kunt|onmogelijk|błęd\w*|nie uda|niepowodzeni\w*|nie można|nie możesz"
    r"|ошибк\w*|не удаётся|не удается|не удастся|не получ\w*|невозможно|неудач\w*|сбо\w*|недоступ\w*)\b"
    r"|失败|失敗|出错|错误|錯誤|无法|無法|不能|异常|超时|エラー|できな|できませ|不可能|わからな|不明な|見つから|실패|오류|불가능|못하|못할|수 없",
    re.IGNORECASE,
)
"""Signs that the work itself failed."""

LACKING = re.compile(
    r"\b(?:not|no|none|nothing|nobody|never|without|missing|isn't|aren't|doesn't|don't|didn't|won't|wasn't|hasn't|haven't"
    r"|unclear|ambiguous|incomplete|insufficient|inconclusive|conflict(?:s|ing)?|contradict\w*|disagree\w*|doubt\w*|exceeds?"
    r"|below|refuses?|refused|denied|rejected|declined|empty|invalid|wrong|unknown|lacks?|mismatch\w*|differs?|low|neither|down"
    r"|fewer|less|nicht|kein\w*|nichts|ohne|fehlt|fehlen|unklar\w*|unvollständig\w*|widersp\w*|abweich\w*|leer\w*|ungültig\w*"
    r"|unbekannt\w*|pas|aucun\w*|rien|sans|manqu\w*|incomplet\w*|introuvable\w*|absent\w*|contradi\w*|inconnu\w*"
    r"|ningun\w*|ningún|nada|sin|falta\w*|inválid\w*|desconocid\w*|não|nenhum\w*|sem|manc\w*|nessun\w*|niente|senza|non"
    r"|niet|geen|niets|zonder|ontbre\w*|nie|brak\w*|bez|не|нет|нечего|без|отсутств\w*)\b"
    r"|没|沒|不|未|无|無|缺|ない|なけれ|なかった|ません|ずに|欠け|없|않|부족",
    re.IGNORECASE,
)
"""Signs that something is not there or not as it should be; a rule of the trade has these as well."""

WAY_OUT = re.compile(
    r"\b(?:report|escalate|(?:hand|give|forward|pass|refer) (?:it |this |them |the \w+ )?(?:back|over|on|up|to)|roll (?:it|this|\w+) back|send (?:it )?back|stop|abort"
    r"|say (?:so|that|which|what|why|how)|tell (?:me|us|him|her|them|the \w+|triage|support)|let (?:me|us|him|her|them|the \w+) know|inform|notify|ask|flag"
    r"|mark|retry|try (?:again|once|twice|it)|repeat|fall back|fallback|fail the|raise|(?:reply|respond|answer|come back|return)(?: \w+){0,3} (?:with|that|saying|status|null|empty|an?|the|it|to)"
    r"|return (?:null|none|empty|nothing|failed|partial|\W?\{|[\"'`])|note|skip|leave|list (?:it|them|what|which|the missing)|state (?:it|that|which|what|why)|explain (?:why|what)"
    r"|(?:do not|don't|never) (?:guess|invent|assume|make)|use (?:the )?(?:last|previous|default|cached|backup|older|fallback|another|a different)|transfer (?:it|this|back|to)"
    r"|wait|set (?:the )?status|status\W{1,4}(?:failed|partial|error)|log it|open a (?:ticket|review|case)|pause|roll back|revert|undo"
    r"|write (?:unknown|n/a|none|null|\W?unknown)|contact|alert|defer|route (?:it|the|to)|switch to|\w+ instead"
    r"|melde|melden|gib|gebt|zurückgeben|zurück|eskaliere|eskalieren|brich|abbrechen|stoppe|stopp|sag|sage|frag|frage|nachfragen|informiere|bescheid|markiere"
    r"|vermerke|wiederhole|versuche|überspringe|lass|lasse|notiere|nenne|antworte|rate nicht|übergib|nutze|nimm|warte|benachrichtige|leite"
    r"|signale|signalez|signaler|renvoie|renvoyez|rends|remonte|escalade|arrête|arrêtez|préviens|prévenez|informe|informez|demande|demandez|marque|réessaie|réessayez"
    r"|indique|indiquez|dis-le|dites|réponds|répondez|n'invente\w*|laisse|laissez|utilise|utilisez|transmets|transmettez|transfère|avertis|attends"
    r"|devuelve|devuelva|devolver|informa|avisa|avise|escala|escale|detén|detente|detenga|pregunta|pregunte|marca|marque|reintenta|reintente|indica|dilo|responde|responda|no inventes"
    r"|deja|deje|notifica|notifique|reporta|pide|pida|pasa|espera|transfiere"
    r"|devolva|pergunte|tente|diga|deixe|relate|peça|passe|encaminhe|não invente|interrompa"
    r"|restituisci|segnala|segnalalo|avvisa|fermati|chiedi|riprova|rispondi|lascia|non inventare|interrompi|inoltra"
    r"|meld|geef|vraag|markeer|laat|zwróć|zgłoś|przerwij|zapytaj|oznacz|poinformuj|przekaż"
    r"|сообщи|сообщите|верни|верните|остановись|остановитесь|спроси|спросите|отметь|передай|передайте|укажи|укажите|повтори|напиши|напишите)\b"
    r"|报告|報告|返回|上报|停止|说明|說明|告知|通知|询问|詢問|标记|標記|重试|重試|跳过|转交|轉交|转给|升级|回复|回覆|请勿猜测|不要猜测|不要编造"
    r"|知らせ|伝え|戻|中止|止め|エスカレ|再試行|質問|連絡|記録|マーク|返し|返す|返答|推測しない|推測せず|알려|보고|반환|중단|문의|표시|재시도|넘겨|전달",
    re.IGNORECASE,
)
"""What may be done where the work fails, as an instruction."""

ASKING = re.compile(
    r"\b(?:check|find out|see|determine|verify|establish|investigate|look up|test|know|understand|explain|analy[sz]e|clarify|decide"
    r"|figure out|work out|assess|confirm|show|list|count|describe|learn|prüfe\w*|kläre\w*|stelle? fest|finde heraus|ermittle|untersuche"
    r"|schau|erkläre|vérifi\w*|détermin\w*|cherche|regarde|expliqu\w*|comprueba|verifica\w*|averigua|determina|revisa|mira|explica"
    r"|investiga|verifique|descubra|controlla|accerta|scopri|spiega|controleer|onderzoek|sprawdź|ustal|проверь\w*|выясни\w*|узнай\w*"
    r"|определи\w*)\s+(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)
"""What makes a question of the condition that follows: `find out if the payment failed`."""

PEOPLE = re.compile(
    r"^\W*(?:the |a |an |der |die |das |le |la |l'|el |los |o |a |il )?(?:customer|client|user|caller|buyer|guest|patient|passenger"
    r"|tenant|member|applicant|he|she|they|kunde|kundin|nutzer|nutzerin|gast|client|cliente|clienta|usuario|utilisateur|utente"
    r"|hóspede|klant|klient|клиент)\b",
    re.IGNORECASE,
)
"""Somebody the work is about: what they cannot do is a case of the work, not its failure."""

INSTEAD = re.compile(
    r"\b(?:report|escalate|flag|forward|raise|hand back) (?:any |all |every )?(?:failures?|errors?|blockers?|doubts?|gaps?|problems?)\b"
    r".{0,60}\b(?:instead of|rather than)\b",
    re.IGNORECASE,
)
"""A path without a condition: `report failures instead of guessing`."""

FORBIDDING = re.compile(
    r"\b(?:must|should|shall|may|do|does|can|will) ?(?:not|n't) fail\w*|never fail|not an option|no (?:errors?|mistakes|failures?)"
    r"|darf nicht scheitern|keine fehler|pas d'erreurs?|sin errores",
    re.IGNORECASE,
)

VACUOUS = word_set(
    "do try your best be careful please carefully fail failure fails error errors handle it this that them the a an gracefully is "
    "properly appropriately accordingly with care as well and or in case of avoid mistakes make sure not don't must should if you "
    "good luck bitte vorsichtig sorgfältig fehler vermeiden behandeln faites attention ten cuidado manage any deal issue issues "
    "problem problems something goes wrong sensibly yourself possible best are there figure out somehow things"
)
"""Words that instruct nobody: `handle errors gracefully`, `do your best`."""
