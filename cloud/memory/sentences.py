"""Cuts turns into sentences and tells them in the third person. Pure, deterministic, no model."""

import re
from collections.abc import Iterator

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_END = re.compile(r"(?<=[.!?…。！？])[\"')\]]*\s+|\n+|(?<=[。！？])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|Mr|Mrs|Ms|Dr|Prof|St|vs|approx|No)\.$", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•>#]+|\d{1,2}[.)])\s+")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LONGEST_CHARACTERS = 240
_MOST_CHARACTERS = 20_000
"""Of a text that are looked at: a pasted book is not a conversation."""

_FILLERS = re.compile(
    r"^(?:(?:ok(?:ay)?|well|so|hi|hello|hey|thanks|thank you|sure|great|right|yes|no|oh|also|and|but|"
    r"by the way|of course|certainly|got it|noted|perfect|please note that|"
    r"just so you know)(?:[,.!:]|\s-)*\s+)+",
    re.IGNORECASE,
)

STOP_WORDS = frozenset(
    "a about after again all also am an and any are as at be because been but by can could did do does for "
    "from get go had has have he her here him his how i if in into is it its just let like me more my no not "
    "of on one or our out over please she should so some than that the their them then there these they this "
    "to too up us very was we well were what when where which who why will with would yes you your the user "
    "assistant user's thanks thank okay ok sure".split()
)


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of a text's beginning, without code, bullets and openings that say nothing."""
    held = ""
    for piece in _END.split(_CODE.sub(" ", text[:_MOST_CHARACTERS])):
        held = f"{held} {piece.strip()}".strip() if held else _BULLET.sub("", piece).strip()
        if len(held) < _LONGEST_CHARACTERS and _ABBREVIATION.search(held):
            continue
        sentence, held = _FILLERS.sub("", held).strip(), ""
        if len(sentence) > 1:
            yield shortened(sentence, _LONGEST_CHARACTERS)
    if held:
        yield shortened(held, _LONGEST_CHARACTERS)


def shortened(text: str, most: int) -> str:
    """At most `most` characters, cut at the end of a clause if there is one late enough, else of a word."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    clause = max(head.rfind(mark) for mark in (", ", "; ", ": ", " – ", " ("))
    at = clause if clause > most // 2 else head.rfind(" ")
    return (head[:at] if at > most // 2 else head).rstrip(" ,;:(–") + "…"


def words_of(text: str) -> list[str]:
    """Its words in lower case, those that carry meaning."""
    return [word for word in (match.lower() for match in _WORD.findall(text)) if word not in STOP_WORDS]


_SAME_WITHOUT_S = "will|would|can|could|should|must|may|might|was|had|did|shall|never|always|also|just|really"
_PERSONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\bI['’]m\b|\bI am\b", "{who} is"),
        (r"\bI['’]ve\b|\bI have\b", "{who} has"),
        (r"\bI['’]d\b", "{who} would"),
        (r"\bI['’]ll\b", "{who} will"),
        (r"\bI do(n['’]t| not)\b", "{who} does not"),
        (rf"\bI (?=(?:{_SAME_WITHOUT_S})\b)", "{who} "),
        (r"\b(?:myself)\b", "themselves"),
        (r"\bmy\b", "{who}'s"),
        (r"\bmine\b", "{who}'s"),
    )
)
_VERB = re.compile(
    r"\bI (?P<verb>want|need|like|love|hate|prefer|live|work|use|think|know|plan|hope|go|play|read|write|"
    r"speak|own|run|drive|eat|drink|suggest|recommend|study|teach|manage|lead|keep|take|find|see|feel|remember|expect|wish)\b",
    re.IGNORECASE,
)


def in_third_person(sentence: str, *, speaker: str, listener: str) -> str:
    """`I` becomes the speaker and `you` the listener, so that the sentence stands without its turn."""
    told = _VERB.sub(lambda match: f"{speaker} {_with_s(match['verb'].lower())}", sentence)
    for pattern, replacement in _PERSONS:
        told = pattern.sub(replacement.format(who=speaker), told)
    told = re.sub(r"\bI\b|\bme\b", speaker, told)
    told = re.sub(r"\byour(?:s)?\b", f"{listener}'s", told, flags=re.IGNORECASE)
    told = re.sub(r"\byou(?:['’]re| are)\b", f"{listener} is", told, flags=re.IGNORECASE)
    told = re.sub(r"\byou\b", listener, told, flags=re.IGNORECASE)
    return told[:1].upper() + told[1:]


def _with_s(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "o", "x")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"
