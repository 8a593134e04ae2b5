"""Recognises what must survive in a sentence: facts about the user, decisions, identifiers, tasks. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["fact", "decision", "identifier", "task", "number", "plain"]

_FACT = re.compile(
    r"\b(?:my|our)\s+(?:[\w'’-]+\s+){1,4}?(?:is|are|was|will be|starts?|ends?)\b"
    r"|\bcall me\b|\bI(?:['’]m| am)\s+(?:an?|the|from|in|at|based|allergic|vegetarian|vegan|married|"
    r"\d|not|called|responsible|using|running|on)\b"
    r"|\bI (?:live|work|study|grew up|was born|come from|moved|own|have|use|speak|manage|lead|run|drive)\b"
    r"|\bI(?: really| always| never| usually| do not| don['’]t)? (?:prefer|like|love|hate|dislike|avoid|eat|"
    r"drink|want)\b"
    r"|\ballerg(?:y|ic|ies)\b|\bfavou?rite\b|\bremember (?:that|this|me|my|to)\b|\bkeep in mind\b"
    r"|\bnote that\b|\balways\b|\bnever\b|\bfrom now on\b",
    re.IGNORECASE,
)
_DECISION = re.compile(
    r"\b(?:we|I)(?:['’]ve| have|['’]ll| will)? (?:decided?|agreed?|chose|choose|settled?|pick(?:ed)?|"
    r"go|went)\b|\blet['’]?s (?:go|use|take|make|do|stick|say|call|set|keep|move|meet)\b"
    r"|\bthe decision\b|\bdecision:|\bagreed\b|\bfinal(?:ly)? (?:choice|answer|version)\b",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\bremind me\b|\bdo(?: not|n['’]t) forget\b|\bto-?do\b|\bstill (?:need|have) to\b"
    r"|\bI (?:need|have|must|should) to\b|\bneeds to be\b|\bwe (?:need|have|must|should) (?:to )?\b"
    r"|\bfollow up\b|\bnext step\b|\bopen question\b",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"\b(?:done|finished|completed|resolved|never ?mind|no longer needed|cancel(?:led|ed)?|"
    r"already (?:did|sent|paid))\b",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(
    r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*\b|\b\d{5,}\b|[\w.+-]+@[\w-]+\.[\w.]+|https?://\S+"
)
_NUMBER = re.compile(r"\d")
_NAME = re.compile(r"(?<![.!?…]\s)(?<!^)\b(?:[A-Z][\w’'-]+)(?:\s+(?:[A-Z][\w’'-]+|of|de|van|von)(?=\s|\b))*")
_SUBJECT = re.compile(
    r"\b(?:my|our)\s+((?:[\w'’-]+\s+){1,4}?)(?:is|are|was|will be|starts?|ends?)\b|\b(call me)\b"
    r"|\bI(?: now)? (live|work) (?:in|at|for)\b",
    re.IGNORECASE,
)
_NOT_NAMES = frozenset({"i", "i'm", "i’m", "i'd", "i'll", "i've", "the", "ok", "please", "thanks", "user"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What a sentence is worth keeping for."""

    kind: Kind
    weight: float
    """Among its kind: more survives longer."""
    subject: str | None = None
    """What the fact is of: a later one of the same subject takes its place."""


def note_of(sentence: str, *, by_user: bool) -> Note:
    """What the sentence is, as its speaker wrote it (not in the third person)."""
    is_question = sentence.rstrip().endswith("?")
    if by_user and not is_question:
        if _FACT.search(sentence):
            subject = _subject_of(sentence)
            return Note(kind="fact", weight=3.5 if subject else 3.0, subject=subject)
        if _DECISION.search(sentence):
            return Note(kind="decision", weight=3.0)
        if _TASK.search(sentence):
            return Note(kind="task", weight=2.0)
    if not is_question and _DECISION.search(sentence):
        return Note(kind="decision", weight=1.5)
    if _IDENTIFIER.search(sentence):
        return Note(kind="identifier", weight=2.5 if by_user and not is_question else 1.0)
    if _NUMBER.search(sentence):
        return Note(kind="number", weight=1.5 if by_user and not is_question else 0.5)
    return Note(kind="plain", weight=0.0)


def closes_a_task(sentence: str) -> bool:
    return _DONE.search(sentence) is not None


def names_in(sentence: str) -> list[str]:
    """Capitalised names that do not merely begin a sentence."""
    found = (match.strip() for match in _NAME.findall(sentence))
    return [name for name in found if len(name) > 2 and name.lower() not in _NOT_NAMES]


def _subject_of(sentence: str) -> str | None:
    match = _SUBJECT.search(sentence)
    return " ".join(next(group for group in match.groups() if group).lower().split()) if match else None
