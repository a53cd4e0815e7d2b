"""Context that was cut: less arrived than was sent, a text ends in the middle, or it refers to what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mas_guard.packets.packet import Packet, Part, is_given
from mas_guard.packets.sentences import ends_of, has_no_spaces, word_set, words_of
from mas_guard.packets.tasks import telling_words

LEAST_SHARE = 0.7  # of what was sent; below it the packet counts as cut
LEAST_LOSS = 200  # bytes; smaller differences are white space and framing

_TAIL = 400  # characters of an end that are looked at
_CUT_MARK = re.compile(
    r"(?:\[|\(|<|…|\.\.\.)\s{0,2}(?:truncated|cut off|snip(?:ped)?|output truncated|content truncated|omitted|continued|more|gekürzt"
    r"|abgeschnitten|tronqué|truncado|cortado|troncato|afgekapt|省略|截断|以下略)[^\n]{0,60}$|(?:\w|[,，、])\s?(?:\.\.\.|…|……)$",
    re.IGNORECASE,
)
_HANGING = word_set(
    """
    the a an and or but nor of to in on at by for from with without into onto over under about between because that which who whose
    if when while although than as is are was were be been has have had will would should could must not their his her
    its our your my this these those very more most per via
    der die das den dem des ein eine einen einem einer eines und oder aber von zu zum zur im ins am an auf aus bei mit ohne für über
    unter zwischen weil dass wenn ob als ist sind war waren wird werden wurde hat haben kann soll muss nicht sein ihr ihre seine
    le la les un une des du de d' et ou mais dans sur avec sans pour par chez entre parce que qui dont est sont était a ont été son sa ses
    leur ce cette au aux
    el los las una unos del y o pero en con sin para por sobre entre porque que es son era fue ha han su sus al
    il lo gli uno di da nel nella con senza per perché che è sono suo sua ed
    os as um uma do da dos das no na em com sem mas foi ele ela seu sua ao
    het een en van met voor op niet dat i w z na do nie że oraz и в на с по к от что не для из
    """
)
_MAY_END = word_set(
    "in on over by at to with about under it is was i a no da la as o y e z do per that this those these can not more of for from"
)
_REFERENCE = re.compile(
    r"\b(?:see above|as above|the above|mentioned above|described above|discussed above|listed above|shown above|stated above|above-?mentioned"
    r"|aforementioned|aforesaid|(?:as|we|i|you|were|was|have|just) (?:just |previously |already |earlier )?(?:discussed|mentioned|described|agreed|stated|talked about|noted|explained)"
    r"|(?:earlier|previous|prior|last|preceding) (?:message|messages|conversation|discussion|turn|e-?mail|chat|step|answer|reply|results?)"
    r"|same as (?:before|last time)|like (?:before|last time)|as before|(?:the|see) (?:attached|attachment|enclosed)|attached (?:file|document|report|sheet)"
    r"|from (?:before|earlier)|we talked about|you already know|you know (?:which|what|the)|(?:see|siehe|s\.|ver|voir|cf\.?|vgl\.?|zie) (?:supra|anhang|anlage|annexe?|anexo|attachment|appendix|enclosure|bijlage)|lo de (?:antes|siempre)|siehe oben|wie oben|oben (?:genannt|erwähnt|beschrieben|aufgeführt)\w*|obig\w*"
    r"|wie (?:besprochen|vereinbart|erwähnt|zuvor|vorhin|gehabt|beim letzten mal)|im anhang|anbei|beigefügt\w*|vorherig\w* (?:nachricht|gespräch|schritt)"
    r"|voir (?:ci-dessus|plus haut)|ci-dessus|susmentionné\w*|comme (?:convenu|indiqué|discuté|mentionné|avant|d'habitude|la dernière fois)|ci-joint\w*|en pièce jointe|message précédent"
    r"|(?:véase|ver|como|lo) (?:más )?arriba|(?:lo )?(?:mencionado|indicado|descrito|anterior) (?:arriba|anteriormente)|arriba mencionad\w*"
    r"|como (?:acordamos|hablamos|quedamos|se comentó|antes|siempre|la última vez)|lo que (?:hablamos|acordamos|comentamos)|adjunt[oa]s?|mensaje anterior"
    r"|acima|conforme (?:combinado|conversado|acima)|como (?:combinado|conversamos|falamos)|em anexo|vedi sopra|come (?:sopra|concordato|discusso|detto)|in allegato|allegat[oa]|suddett\w*"
    r"|zie boven|hierboven|zoals (?:besproken|afgesproken)|bijgevoegd\w*|jak wyżej|jak ustalono|w załączniku|powyżej|см\. выше|выше|как (?:обсуждали|договорились|раньше)|во вложении)\b"
    r"|如上|上述|以上所述|前述|之前(?:讨论|提到|说)|刚才|附件|如前|上記|前述|先ほど|添付|さっき|以前の|위의|앞서|첨부|상기",
    re.IGNORECASE,
)
_EVIDENCE = re.compile(r"\d|[\"“„«「『`]|[:：]\s*\S|\n\s*[-*•|]")
_LEAST_EVIDENCE = 25  # characters before a reference that can be what it refers to
_TELLING_WORDS = 4  # beside a reference, with which a context speaks for itself
_SHORT_CONTEXT = 120  # characters; a longer context says more than that something was said before


def context_problems(
    packet: Packet,
    *,
    sent_bytes: int | None,
    received_bytes: int | None,
    history_trimmed: bool,
    cut_by_length: bool,
) -> Iterator[tuple[Part, str]]:
    """What is wrong with the context of *packet*, each with the part that it is in."""
    if cut_by_length:
        yield "context", "the sender's output was cut by its length: raise its output limit, or hand over less"
    if sent_bytes is not None and received_bytes is not None:
        lost = sent_bytes - received_bytes
        if lost >= LEAST_LOSS and received_bytes < LEAST_SHARE * sent_bytes:
            yield (
                "context",
                f"{received_bytes} of {sent_bytes} bytes arrived: hand over the rest, or a summary that says so",
            )
    if history_trimmed:
        yield "context", "the history was trimmed or filtered on the way: hand over what the receiver needs of it"
    for part in ("context", "task"):
        if _ends_in_the_middle(getattr(packet, part)):
            yield part, f"the {part} ends in the middle: hand over the whole of it"
            break
    where = _dangling(packet)
    if where is not None:
        yield where, "it refers to what was said or attached before, and the context does not hold it: write it out"


def _ends_in_the_middle(text: str) -> bool:
    end = text[-_TAIL:].rstrip()
    if not is_given(end):
        return False
    if _CUT_MARK.search(end):
        return True
    if end.endswith(tuple(",，、;；({[（「『–—&+=")) or text[-200_000:].count("```") % 2:
        return True
    line = end.rpartition("\n")[2].strip()
    if line[-1:] in ".!?。！？…)]}\"'”’»」』`*|>:：%€$":
        return False
    if re.search(r"[^\W\d_]-$", line):
        return True
    if has_no_spaces(line):
        return bool(re.search(r"[。！？][^。！？\n]{4,}$", line))
    words = words_of(line)
    if len(words) >= 3 and words[-1] in _HANGING and not (words[-1] in _MAY_END and len(words) < 6):
        return True
    # All sentences but the last of a paragraph end in a full stop.
    sentences = re.findall(r"[.!?][\"')\]]{0,2}\s{1,3}(?=[^\W\d_])", line)
    fragment = re.split(r"[.!?][\"')\]]{0,2}\s{1,3}", line)[-1]
    return len(sentences) >= 2 and len(words_of(fragment)) >= 4


def _dangling(packet: Packet) -> Part | None:
    context = packet.context.strip()
    if is_given(context):
        dangling = len(context) <= _SHORT_CONTEXT and _REFERENCE.search(context) and not _says_more(context)
        return "context" if dangling else None
    return "task" if _REFERENCE.search(ends_of(packet.task)) and not _is_held(ends_of(packet.task)) else None


def _says_more(context: str) -> bool:
    beside = telling_words(_REFERENCE.sub(" ", context))
    return len(beside) >= _TELLING_WORDS or _is_held(context)


def _is_held(text: str) -> bool:
    """True where what *text* refers to stands in it: something to refer to comes before, or data follow it."""
    found = _REFERENCE.search(text)
    if found is None:
        return True
    before, after = text[: found.start()], text[found.end() :]
    if len(before) >= _LEAST_EVIDENCE and _EVIDENCE.search(before) and re.search(r"[.!?。:：]|\n", before):
        return True
    return (
        bool(re.search(r"[:：]\s*\S.{15,}|[\"“„«「`].{15,}", after, re.DOTALL)) or len(re.findall(r"\d+", after)) >= 3
    )
