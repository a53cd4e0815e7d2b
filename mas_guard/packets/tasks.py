"""Ambiguous tasks: nothing that could be done differently for another run. Only ever a warning."""

from __future__ import annotations

import re

from mas_guard.packets.packet import Packet, is_given
from mas_guard.packets.requests import REQUESTS
from mas_guard.packets.sentences import has_no_spaces, word_set, words_of

_LONGEST = 400  # characters; a longer task says something
_LONGEST_COMPARED = 20_000  # characters that are compared word by word
_LEAST_SIGNS = 5  # of a script without spaces
_POINTS_AT_SOMETHING = re.compile(
    r"\d|https?://|[\\/][\w.-]+[\\/.]|\w\.\w{2,4}\b|[\"“„«「『`]\S|\b[A-Z]{2,}[-_]?\w*\b|\b\w+_\w+\b"
)

_GENERIC = word_set(
    """
    it its this that these those them they he she him her his their theirs one ones something anything everything thing things stuff
    same such all any some what which who the a an and or of to in on at by for from with into about as is are be been was were do does
    done doing did make makes get gets go goes going have has had will would should could can may might must shall need needs needed want
    wants wanted please kindly now here there then next so just also too up out off over back again further yourself myself you your i me
    my we us our if not no yes ok okay sure well properly quickly asap soon possible best right good carefully thanks thank hello hi let
    task tasks request requests question questions issue issues problem problems matter matters case cases situation job work topic
    subject query user users customer customers client clients person people guy message messages conversation chat item items ticket
    information info details data rest remaining work'em accordingly appropriate appropriately necessary needful required whatever
    handle help assist deal take care look process continue proceed finish complete resolve solve fix address manage respond answer
    reply start try perform execute follow support act run sort support further
    es das dies diese dieser dieses diesen ihn ihm ihr ihnen sie er ihre sein seine der die den dem des ein eine einen und oder zu im in
    mit für von um auf an bitte mal jetzt nun hier dann weiter alles etwas was man kann können soll sollen muss du dich ich wir uns mach
    mache machen kümmere kümmern erledige erledigen bearbeite bearbeiten hilf helfen löse lösen übernimm übernehmen schau anfrage
    aufgabe problem fall sache thema frage kunde kunden kundin nutzer anliegen rest bitte darum dabei damit bescheid
    ça cela ceci ce cet cette ces le la les un une des du de et ou à au aux en dans pour par sur avec il elle lui leur leurs son sa ses
    que qui quoi tout chose choses s'il te vous plaît svp maintenant merci fais faites faire occupe occupez t'en vous-en aide aidez
    aider gère gérez traite traitez résous résolvez continue continuez réponds répondez demande tâche problème client utilisateur cas
    sujet question suite y
    esto eso esta este ese esa estos lo la los las le les un una unos y o de del al a en con por para se su sus que qué todo algo cosa
    cosas favor ahora aquí haz haga hacer hazlo encárgate encargarse ayuda ayude ayudar ayúdale atiende resuelve resuelva resolver
    resuélvelo continúa continuar gestiona procesa responde tarea problema cliente usuario caso asunto pregunta solicitud tema
    isso isto este essa aquilo o os as um uma e ou do da no na com para por ele ela seu sua tudo algo coisa faça fazer ajude ajudar
    cuide resolva resolver continue trate pedido tarefa pergunta assunto agora favor
    questo quello ciò lo gli il di da nel con per tutto qualcosa cosa fai fare aiuta risolvi gestisci continua occupati richiesta
    compito domanda utente prego dit dat deze die het een van met voor doe help los regel behandel verder klant vraag taak
    to tym tego ten ta zrób pomóż zajmij się sprawą klientem proszę это этот эту этим его ему её им их и в на с по для сделай сделайте
    помоги помогите реши разберись займись займитесь вопрос вопросом задачу клиенту клиентом пожалуйста
    """
)
"""Pronouns, courtesies, function words, and the nouns and verbs that fit every task."""

_GENERIC_SIGNS = re.compile(
    r"请|請|帮|幫|处理|處理|一下|这个|這個|那个|它|他|她|们|用户|客户|客戶|问题|問題|任务|任務|请求|事情|解决|解決|继续|繼續|完成|的|了|把|做|好|吧|您|你|我"
    r"|これ|それ|あれ|この|その|件|を|に|の|は|が|で|て|対応|処理|お願い|します|ください|して|解決|続け|ユーザー|お客様|顧客|問題|タスク|よろしく|これら|進め"
    r"|이것|그것|이|그|을|를|은|는|에|처리|해결|해|주세요|부탁|고객|사용자|문제|작업|계속|진행"
    r"|[\s、。，,.!！?？]"
)


def task_problem(packet: Packet, run_input: str) -> str:
    """What is wrong with the task of *packet*; empty where it is clear."""
    task = packet.task.strip()
    if not is_given(task):
        return "it names no task: say what is to be done, and with what"
    if len(task) > 4 * len(run_input) + _LONGEST:
        return ""
    if run_input.strip() and _same(task, run_input):
        return "the task is the run's whole input again: say which part of it is meant for the receiver"
    if len(task) > _LONGEST:
        return ""
    return _unclear(task, is_given(packet.context))


def _unclear(task: str, has_context: bool) -> str:
    points = _POINTS_AT_SOMETHING.search(task) is not None
    if has_no_spaces(task):
        left = _GENERIC_SIGNS.sub("", task)
        if points or (len(left) >= 2 and len(task) >= _LEAST_SIGNS):
            return ""
        return "the task does not say what it is about: name the thing to work on, and what is to come of it"
    words = words_of(task)
    if not any(word in _GENERIC or word in REQUESTS or word.isascii() for word in words) and len(words) >= 2:
        return ""  # a language that is not known here
    if len(words) < 3 and not points:
        return f"the task has {len(words)} word{'' if len(words) == 1 else 's'}: name the thing to work on, and what is to come of it"
    telling = telling_words(task)
    things = [word for word in telling if word not in REQUESTS]
    if points or things or (telling and has_context):
        return ""
    return "the task does not say what it is about: name the thing to work on, and what is to come of it"


def telling_words(text: str) -> list[str]:
    """The words of *text* that another text would not have anyway."""
    return [word for word in words_of(text) if word.removesuffix("'s") not in _GENERIC]


def _same(task: str, run_input: str) -> bool:
    if len(run_input) > _LONGEST_COMPARED or len(task) > 2 * _LONGEST_COMPARED:
        return task.strip() == run_input.strip()
    asked, given = words_of(task), words_of(run_input)
    if has_no_spaces(run_input):
        asked, given = list("".join(asked)), list("".join(given))
    if len(given) < 3 or len(asked) < len(given):
        return asked == given and bool(given)
    extra = len(asked) - len(given)
    if extra > 4 or extra > len(given) // 2 + 1:
        return False
    # The input with no more than a courtesy before or after it.
    return any(asked[at : at + len(given)] == given for at in range(extra + 1))
