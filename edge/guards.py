"""What two questions must agree on before one answer may serve both. Pure, and closed when in doubt.

A guard never says that two questions are the same: it says why they may not be. It knows English only,
so text that does not look like English passes none of them.
"""

import re
from collections.abc import Callable
from itertools import pairwise

from edge.guard_text import Text, read, stem
from edge.guard_words import (
    ALWAYS_UNITS,
    FILLER,
    MONTHS,
    NAMES,
    NEGATORS,
    NUMBERS,
    OPPOSITES,
    RESTRICTORS,
    SAME_NAME,
    STOP,
    UNITS,
)

MOST_CHARACTERS = 1000
"""Longer texts differ in places where nobody looks."""

_QUOTED = re.compile(r"```(.*?)```|`([^`]+)`|\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|(?<!\w)'([^']+)'(?!\w)", re.S)
_IDENTIFIER = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+\.\w+|(?<![\w)])(?:[A-Za-z]:)?[/\\][\w./\\-]+|[@#]\w+"
    r"|\b[A-Za-z_][\w.]*\([^\s)]*\)|\b\w+\.(?:py|js|ts|java|cpp|c|h|go|rs|txt|csv|json|xml|html|pdf|exe)\b"
    r"|\bv?\d+\.\d+[\w.]*|\b[A-Za-z]+[+#]+|\b\.[A-Z]\w+"
    r"|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{2,}|\b\w+_\w+\b|\b[a-z]+[A-Z]\w*|(?<![\w-])--?[a-z][\w-]+\b"
)
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")


def differing(first: str, second: str) -> str | None:
    """The name of the first guard that the two questions do not pass together, or None."""
    one, other = read(first), read(second)
    if len(first) > MOST_CHARACTERS or len(second) > MOST_CHARACTERS:
        return "too long"
    for name, agrees in _GUARDS:
        if not agrees(one, other):
            return name
    return None


def hard_difference(first: str, second: str) -> str | None:
    """As `differing`, without the guards whose question a network that reads both answers better."""
    one, other = read(first), read(second)
    if len(first) > MOST_CHARACTERS or len(second) > MOST_CHARACTERS:
        return "too long"
    return next((name for name, agrees in _GUARDS if name not in SOFT and not agrees(one, other)), None)


def _english(text: Text) -> bool:
    letters = [char for char in text.raw if char.isalpha()]
    foreign = sum(not char.isascii() for char in letters)
    if foreign > 0.1 * len(letters):
        return False
    return len(text.tokens) < 6 or not text.words.isdisjoint(STOP)


def _same_quotes(one: Text, other: Text) -> bool:
    """What one quotes stands in the other, quoted or not."""
    return _quoted_in(one, other) and _quoted_in(other, one)


def _quoted_in(one: Text, other: Text) -> bool:
    quotes = (" ".join("".join(parts).split()).strip(".,;") for parts in _QUOTED.findall(one.raw))
    theirs = " ".join(other.raw.split())
    # Letter for letter, but for a capital at its start.
    return all(not quote or quote in theirs or quote[0].swapcase() + quote[1:] in theirs for quote in quotes)


def _same_identifiers(one: Text, other: Text) -> bool:
    mine, theirs = _identifiers(one), _identifiers(other)
    return mine - other.words <= theirs and theirs - one.words <= mine


def _identifiers(text: Text) -> set[str]:
    found = (match.lower().rstrip(".,?!:;") for match in _IDENTIFIER.findall(text.raw))
    return {one for one in found if not _ORDINAL.fullmatch(one)}


_MAGNITUDES = frozenset({"100", "1000", "1000000", "1000000000"})


def _same_numbers(one: Text, other: Text) -> bool:
    return _numbers(one) == _numbers(other)


def _numbers(text: Text) -> list[str]:
    numbers: list[str] = []
    for token in text.tokens:
        value = token if token[0].isdigit() else NUMBERS.get(token)
        if value is not None:
            if value in _MAGNITUDES and numbers[-1:] == ["1"]:
                numbers.pop()  # "1 million" is "a million"
            numbers.append(value.replace(",", "") if not _ORDINAL.fullmatch(value) else value)
    return numbers


def _same_units(one: Text, other: Text) -> bool:
    return _units(one) == _units(other)


def _units(text: Text) -> set[str]:
    found = set()
    for index, token in enumerate(text.tokens):
        after_number = index > 0 and (
            text.tokens[index - 1][0].isdigit() or text.tokens[index - 1] in NUMBERS
        )
        if token in ALWAYS_UNITS or (token in UNITS and after_number):
            found.add(UNITS[token])
    return found


def _same_dates(one: Text, other: Text) -> bool:
    return _dates(one) == _dates(other)


def _dates(text: Text) -> set[str]:
    return {MONTHS[token] for token in text.tokens if token in MONTHS}


def _same_negation(one: Text, other: Text) -> bool:
    if _count(one, NEGATORS) != _count(other, NEGATORS):
        return False
    return not _negates_by_prefix(one, other) and not _negates_by_prefix(other, one)


def _count(text: Text, words: frozenset[str]) -> int:
    return sum(token in words for token in text.tokens)


_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "non-", "anti", "anti-", "de", "mis")


def _negates_by_prefix(one: Text, other: Text) -> bool:
    """Unsafe against safe, disallow against allow."""
    extra, missing = set(one.content) - set(other.content), set(other.content) - set(one.content)
    return any(prefix + word in extra for word in missing if len(word) > 2 for prefix in _PREFIXES)


def _same_restriction(one: Text, other: Text) -> bool:
    return one.words & RESTRICTORS == other.words & RESTRICTORS


def _no_opposites(one: Text, other: Text) -> bool:
    mine, theirs = _sides(one), _sides(other)
    return all(mine[axis] == theirs[axis] for axis in mine.keys() & theirs.keys())


def _sides(text: Text) -> dict[int, frozenset[int]]:
    sides: dict[int, frozenset[int]] = {}
    for token in text.tokens:
        for axis, side in OPPOSITES.get(token, ()):
            sides[axis] = sides.get(axis, frozenset()) | {side}
    return sides


def _same_names(one: Text, other: Text) -> bool:
    return _named(one, other) and _named(other, one)


def _named(one: Text, other: Text) -> bool:
    """Every name of one is in the other: whole, as initials, or as the surname alone."""
    tokens = other.tokens
    theirs = {_name(token) for token in tokens} | {"".join(pair) for pair in pairwise(tokens)}
    theirs |= {
        "".join(word[0] for word in tokens[at : at + size]) for size in (2, 3, 4) for at in range(len(tokens))
    }
    alone = {span[0] for span in _names(other) if len(span) == 1} | (
        theirs - {n for s in _names(other) for n in s}
    )
    return all(
        all(name in theirs for name in span)
        or (len(span) > 1 and span[-1] in alone and not _cased_names(other, span))
        for span in _names(one)
    )


def _cased_names(other: Text, span: tuple[str, ...]) -> bool:
    """Another name stands before the surname that the two share."""
    return any(found[-1] == span[-1] and len(found) > 1 for found in _names(other))


def _names(text: Text) -> list[tuple[str, ...]]:
    """Runs of names, each as it is compared."""
    spans: list[tuple[str, ...]] = []
    shouted, at_start, follows = text.raw.isupper(), True, False
    for token in text.cased:
        lowered = token.lower().removesuffix("'s")
        is_capital = token[0].isupper() and not shouted and lowered not in STOP and token != "I"
        begins_sentence = at_start and not (len(token) > 1 and token.isupper())
        if lowered not in FILLER and (
            lowered in NAMES or lowered in SAME_NAME or (is_capital and not begins_sentence)
        ):
            parts = tuple(_name(part) for part in lowered.split("-") if part)
            spans[-1:] = [(*spans[-1], *parts)] if follows else [*spans[-1:], parts]
            follows = is_capital
        else:
            follows = False
        at_start = token in ".?!:"
    return [span for span in spans if span]


def _name(token: str) -> str:
    token = SAME_NAME.get(token.strip("."), token.strip("."))
    return token[:-1] if len(token) > 4 and token.endswith("s") and not token.endswith("ss") else token


_LINKS = {
    word: group[0]
    for group in (
        ["to", "into", "towards", "onto"],
        ["from"], ["than"], ["before"], ["after"], ["over"], ["under"], ["by"],
        ["against"],
        ["behind"], ["above"], ["below"], ["without"], ["instead"], ["except"], ["for"], ["on"], ["in"],
    )
    for word in group
}  # fmt: skip
_ROLES = frozenset({"to", "from", "before", "after", "than", "by", "without", "instead", "except"})


def _same_direction(one: Text, other: Text) -> bool:
    mine, theirs = _Order(one), _Order(other)
    for word in mine.roles.keys() & theirs.keys:
        if mine.roles[word] != theirs.roles.get(word, mine.roles[word]):
            return False
    shared = [word for word in mine.order if word in theirs.keys]
    for index, left in enumerate(shared):
        for right in shared[index + 1 :]:
            if theirs.at[left] > theirs.at[right] and mine.between(left, right) & theirs.between(right, left):
                return False
    return True


class _Order:
    """Where the content words of a text stand, and what links them."""

    def __init__(self, text: Text) -> None:
        self.tokens = text.tokens
        self.at: dict[str, int] = {}
        self.roles: dict[str, str] = {}
        for index, token in enumerate(text.tokens):
            if token in STOP or token in _LINKS:
                continue
            word = stem(token)
            self.at.setdefault(word, index)
            link = _LINKS.get(text.tokens[index - 1]) if index else None
            if link in _ROLES:
                self.roles.setdefault(word, link)
        self.order = sorted(self.at, key=self.at.__getitem__)
        self.keys = self.at.keys()

    def between(self, left: str, right: str) -> set[str]:
        """Links and words that stand between the two: what one does to the other."""
        inside = self.tokens[self.at[left] + 1 : self.at[right]]
        return {_LINKS.get(token) or stem(token) for token in inside if token in _LINKS or token not in STOP}


_TYPES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.I))
    for name, pattern in (
        (
            "why",
            r"\b(why|how come|what (is|are|was|were) the (main |real )?(reasons?|causes?)|what causes?"
            r"|for what reason)\b",
        ),
        ("when", r"\b(when|what (time|date|day|year|month)|which (day|year|month|date)|since when)\b"),
        ("where", r"\b(where|(what|which) (place|location))\b"),
        ("who", r"\b(who|whom|whose|which person|what person)\b"),
        ("how many", r"\b(how many|what number of|number of)\b"),
        ("how much", r"\b(how (much|expensive)|what is the (price|cost|amount))\b"),
        ("how long", r"\b(how (long|soon|quickly|fast))\b"),
        ("how often", r"\b(how (often|frequently))\b"),
        ("how far", r"\b(how (far|big|large|tall|high|deep|old|heavy|wide))\b"),
    )
)
_YES_NO = re.compile(
    r"\s*(is|are|was|were|do|does|did|has|have|had|will|would|should|must|may|can|could|am)\b"
    r"(?! (you|u) (please |kindly )?(tell|explain|help|give|show|list|describe|say|recommend|suggest))"
    r"(?! there (a|any|some) (good |easy |simple |better )?ways?)",
    re.I,
)
_WHAT_ELSE = re.compile(r"\b(what|which|how)\b", re.I)


def question_type(text: str) -> str:
    """What kind of answer is asked for; `open` where a procedure, a thing or a description is."""
    at_start = text[:160]
    found = [(match.start(), name) for name, pattern in _TYPES if (match := pattern.search(at_start))]
    if _YES_NO.match(at_start):
        return "yes or no"
    first_open = _WHAT_ELSE.search(at_start)
    if found and (first_open is None or min(found)[0] <= first_open.start()):
        return min(found)[1]
    return "open"


def _same_type(one: Text, other: Text) -> bool:
    return question_type(one.plain) == question_type(other.plain)


def _same_reach(one: Text, other: Text) -> bool:
    """Neither asks for all that the other asks for and something on top."""
    mine, theirs = _matters(one), _matters(other)
    return not (mine < theirs or theirs < mine)


def _matters(text: Text) -> set[str]:
    """Stems that carry the question; names and numbers have guards of their own."""
    named = {name for span in _names(text) for name in span}
    return {
        stem(token)
        for token in text.words - STOP - FILLER
        if _name(token) not in named and token not in NUMBERS and not token[0].isdigit()
    }


_GUARDS: tuple[tuple[str, Callable[[Text, Text], bool]], ...] = (
    ("language", lambda one, other: _english(one) and _english(other)),
    ("quoted", _same_quotes),
    ("identifiers", _same_identifiers),
    ("numbers", _same_numbers),
    ("units", _same_units),
    ("dates", _same_dates),
    ("negation", _same_negation),
    ("restriction", _same_restriction),
    ("opposites", _no_opposites),
    ("names", _same_names),
    ("question type", _same_type),
    ("direction", _same_direction),
    ("scope", _same_reach),
)
SOFT = frozenset({"question type", "scope"})
"""Guards of last resort: they refuse every other true rewording, and decide only where nobody reads both."""
GUARD_NAMES = ("too long", *(name for name, _ in _GUARDS))
