"""A question as the guards read it: its words, cut and folded."""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from edge.guard_words import STOP

_TOKEN = re.compile(r"[$€£¥₹%]|\d+(?:[.,:/]\d+)*(?:st|nd|rd|th)?|[^\W\d_]+(?:[-'.][^\W\d_]+)*|\S")
_CONTRACTIONS = (
    (re.compile(r"[’`´](?=\w)"), "'"),
    (re.compile(r"\bcan't\b|\bcannot\b", re.I), "can not"),
    (re.compile(r"\bwon't\b", re.I), "will not"),
    (re.compile(r"n't\b", re.I), " not"),
    (
        re.compile(
            r"\b(dont|doesnt|didnt|isnt|arent|wasnt|werent|wont|cant|shouldnt|couldnt|wouldnt)\b", re.I
        ),
        "do not",
    ),
    (re.compile(r"\b(what|who|where|when|how|that|it|there|he|she)'s\b", re.I), r"\1 is"),
    (re.compile(r"\bwhats\b", re.I), "what is"),
    (re.compile(r"\b(i)'m\b", re.I), r"\1 am"),
    (re.compile(r"'(re|ve|ll|d)\b", re.I), r" \1"),
    (re.compile(r"\b(at|more|less|fewer) (least|most|than)\b", re.I), r"\1-\2"),
    (re.compile(r"\b(turn|switch)(?:ing|ed)? (?:it |\w+ )?(on|off)\b", re.I), r"\1-\2"),
    (re.compile(r"\b(log|sign)(?:ging|ing)? (in|out)(?:to| of)?\b", re.I), r"\1\2"),
)


_MAY_CONTRACT = re.compile(
    r"['’`´]|cannot|dont|doesnt|didnt|isnt|arent|wasnt|werent|wont|cant|shouldnt|couldnt|wouldnt|whats"
    r"|least|most|than|turn|switch|log|sign",
    re.IGNORECASE,
)
"""In every text that one of the contractions changes, and in few others: one look in place of twelve."""
_MOST_KEPT = 4096
_LONGEST_KEPT = 1000


@dataclass(frozen=True)
class Text:
    """A question as the guards read it."""

    raw: str

    @cached_property
    def plain(self) -> str:
        text = self.raw
        if not _MAY_CONTRACT.search(text):
            return text
        for pattern, replacement in _CONTRACTIONS:
            text = pattern.sub(replacement, text)
        return text

    @cached_property
    def cased(self) -> list[str]:
        """Tokens as written, punctuation included."""
        return _TOKEN.findall(self.plain)

    @cached_property
    def tokens(self) -> list[str]:
        """Words, numbers and signs that carry meaning, in lower case, possessive endings gone."""
        kept = (token.lower().removesuffix("'s").rstrip("'") for token in self.cased)
        return [token for token in kept if token and (token[0].isalnum() or token in "$€£¥₹%")]

    @cached_property
    def content(self) -> list[str]:
        """Stems of the words that are not grammar."""
        return [stem(token) for token in self.tokens if token not in STOP]

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(self.tokens)


def read(raw: str) -> Text:
    """The text, read once however many others it is compared with."""
    return _read(raw) if len(raw) <= _LONGEST_KEPT else Text(raw)


@lru_cache(_MOST_KEPT)
def _read(raw: str) -> Text:
    return Text(raw)


def stem(word: str) -> str:
    """Without its commonest endings: enough to see that two forms are one word."""
    for ending, least in (("ies", 2), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3), ("ly", 4), ("e", 4)):
        if (
            word.endswith(ending)
            and len(word) - len(ending) >= least
            and not word.endswith(("ss", "us", "is"))
        ):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]  # running, stopped
    return word.removesuffix("e") if len(word) > 4 else word
