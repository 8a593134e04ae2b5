"""Whether a question means the same whatever was said before it. Pure, and closed when in doubt."""

import re

from edge.guard_text import Text
from edge.guard_words import FILLER, NAMES, STOP

_POINTS_BACK = frozenset(
    [
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "they",
        "them",
        "their",
        "theirs",
        "he",
        "she",
        "him",
        "his",
        "her",
        "hers",
        "one",
        "ones",
        "there",
        "then",
        "also",
        "too",
        "else",
        "same",
        "instead",
        "another",
        "other",
        "others",
        "again",
        "still",
        "first",
        "second",
        "third",
        "last",
        "latter",
        "former",
        "either",
        "neither",
        "both",
        "such",
        "so",
        "anyway",
        "yes",
        "yeah",
        "no",
        "yep",
        "sure",
    ]
)
"""Words that point at what was said before, or answer it."""
_OF_THE_SPEAKER = frozenset(
    ["i", "me", "my", "mine", "we", "us", "our", "ours", "myself", "i'm", "i've", "i'd", "i'll"]
)
_OF_THE_OFFERER = re.compile(
    r"\byour\b|^(?:do|does|can|will|are) you (?:offer|have|accept|take|sell|ship|support|provide|do)\b", re.I
)
_PROCEDURE = re.compile(r"^how (?:do|can|to|would|should)\b", re.I)
_ASKS = re.compile(
    r"^(?:what|which|who|when|where|why|how|is|are|do|does|did|was|were|can|could|will)\b(?!.*\bthan\b)", re.I
)
_ASIDE = re.compile(
    r"^(?:unrelated,? but|by the way,?|btw,?|separately,?|different question[,:]?|another question[,:]?)\s+",
    re.I,
)
_STANDING = re.compile(r"\bthis (?:year|month|week|season)\b|(?<=^is )there\b|(?<=^are )there\b", re.I)
"""Words that look as if they pointed back, and do not."""
_SAYS_LITTLE = frozenset(
    [
        "time",
        "day",
        "date",
        "long",
        "go",
        "open",
        "get",
        "take",
        "much",
        "many",
        "cost",
        "costs",
        "come",
        "out",
        "happen",
        "happens",
        "next",
        "now",
        "when",
        "way",
        "need",
        "today",
        "tomorrow",
        "total",
        "extra",
        "new",
    ]
)
LEAST_WORDS = 4
"""Words that say something; a name or an address to the one who offers replaces one of them."""


def stands_alone(text: str) -> bool:
    """Whether the conversation before the question can be left out of account.

    A question that points back, speaks of its asker, or says too little to be understood by itself
    does not stand alone; neither does anything that is not a question.
    """
    bare = _STANDING.sub("", _ASIDE.sub("", text.strip())).strip()
    if not _ASKS.match(bare) or len(bare) > 200:
        return False
    read = Text(bare)
    words = read.words
    if words & _POINTS_BACK:
        return False
    speaks_of_itself = words & _OF_THE_SPEAKER
    if speaks_of_itself - {"i"} or (speaks_of_itself and not _PROCEDURE.match(bare)):
        return False
    telling = words - STOP - FILLER - _SAYS_LITTLE - _OF_THE_SPEAKER
    named = any(token[0].isupper() and token.lower() not in STOP for token in read.cased[1:]) or bool(
        words & NAMES
    )
    offered = bool(_OF_THE_OFFERER.search(bare))
    if speaks_of_itself and not named:
        return False
    return len(telling) + named + offered >= LEAST_WORDS
