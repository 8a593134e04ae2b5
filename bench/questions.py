"""The requests a run sends, each with the answer that must come back."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import Literal

import msgspec

Questions = Literal["fixed", "unique", "short", "same", "reworded"]
Streaming = Literal["never", "always", "half"]

STATIC_REPLY = (
    "You can reset your password from the sign-in page: choose Forgot password, enter the address of your "
    "account, and open the link we send you within thirty minutes. If no message arrives, look in the spam "
    "folder, then ask for another one; each link works once."
)
"""What the static upstream says, whatever it is asked."""

POPULAR = "How do I reset a forgotten password?"
_OPENERS = tuple(
    f"{greeting}{mark} {word}".lstrip()
    for greeting in (
        "Hi",
        "Hello",
        "Good morning",
        "Good evening",
        "Dear team",
        "Hi there",
        "Hello all",
    )
    for mark in (",", ".")
    for word in ("", "please, ", "so, ", "well, ")
)
_STEMS = (
    "how do I go about resetting a forgotten password",
    "what should I do to reset a forgotten password",
    "what must I do to reset a forgotten password",
    "what do I need to do to reset a forgotten password",
)
"""Each is worded otherwise, also without its courtesies: only reading it tells that it asks for the same."""
_CLOSERS = (
    *(
        "?",
        " please?",
        "??",
        " ?",
        "? Please help.",
        "? Thanks",
        "? Thanks!",
        "? Thanks a lot.",
    ),
    *(
        "? Many thanks!",
        "? Cheers",
        "? Regards",
        "? Best regards",
        "? Kind regards.",
        "? Bye",
    ),
)
"""Some three thousand ways to ask the popular question."""

_ALPHABET = (
    "alpha",
    "beta",
    "naïve",
    "東京",
    "🙂",
    "a\nb",
    'say "hi"',
    "back\\slash",
    "data: x",
    "[DONE]",
    "tab\t",
)
"""Words that break careless framing: line breaks, quotes, SSE syntax, characters of several bytes."""
_LONGEST_QUESTION_WORDS = 120
_COMMON = (
    *("order", "card", "money", "house", "letter", "water", "train", "garden", "window", "paper", "school"),
    *(
        "market",
        "doctor",
        "river",
        "family",
        "summer",
        "winter",
        "music",
        "book",
        "table",
        "street",
        "kitchen",
    ),
    *("new", "old", "good", "small", "open", "late", "red", "long", "find", "send", "take", "give", "read"),
)
"""Words of one token each."""
_SHORT_WORDS = 14
"""With the two tokens that mark beginning and end: sixteen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request body and what its answer must say."""

    body: bytes
    streams: bool
    expected: str


def questions(kind: Questions, *, model: str, streaming: Streaming, seed: int) -> Iterator[Ask]:
    """Without end. `fixed`, for the static upstream: the same but for a number. `short`, likewise: sixteen
    tokens each, no two alike; `same`: the popular question, over and over; `reworded`: the same in other
    words each time. `unique`, for the script."""
    match kind:
        case "fixed":
            return _fixed(model, streaming)
        case "short":
            return _short(model, streaming, seed)
        case "same":
            return _as_ever(model, streaming)
        case "reworded":
            return _reworded(model, streaming, seed)
        case "unique":
            return _unique(model, streaming, seed)


def _fixed(model: str, streaming: Streaming) -> Iterator[Ask]:
    number = 0
    while True:
        # A number of its own, so that nobody answers from a cache or from a call under way.
        asked = f"Ticket {number}: I cannot sign in any more. How do I reset my password?"
        messages = [
            {
                "role": "system",
                "content": "You are the support assistant of a shop. Answer in three sentences.",
            },
            {"role": "user", "content": asked},
        ]
        streams = _is_streamed(streaming, number)
        yield Ask(body=_body(model, messages, streams=streams), streams=streams, expected=STATIC_REPLY)
        number += 1


def _as_ever(model: str, streaming: Streaming) -> Iterator[Ask]:
    return _asks(model, streaming, repeat(POPULAR))


def _reworded(model: str, streaming: Streaming, seed: int) -> Iterator[Ask]:
    """Each wording once, then all of them anew. The order is fixed; the seed says where to begin."""
    wordings = [f"{opener}{stem}{closer}" for opener in _OPENERS for stem in _STEMS for closer in _CLOSERS]
    random.Random(0).shuffle(wordings)  # noqa: S311  # reproducible text, not a secret
    begin = seed % len(wordings)
    return _asks(model, streaming, cycle([*wordings[begin:], *wordings[:begin]]))


def _asks(model: str, streaming: Streaming, texts: Iterable[str]) -> Iterator[Ask]:
    for number, text in enumerate(texts):
        streams = _is_streamed(streaming, number)
        body = _body(model, [{"role": "user", "content": text}], streams=streams)
        yield Ask(body=body, streams=streams, expected=STATIC_REPLY)


def _short(model: str, streaming: Streaming, seed: int) -> Iterator[Ask]:
    rng = random.Random(seed)  # noqa: S311  # reproducible text, not a secret
    number = 0
    while True:
        text = " ".join(rng.choices(_COMMON, k=_SHORT_WORDS))
        streams = _is_streamed(streaming, number)
        body = _body(model, [{"role": "user", "content": text}], streams=streams)
        yield Ask(body=body, streams=streams, expected=STATIC_REPLY)
        number += 1


def _unique(model: str, streaming: Streaming, seed: int) -> Iterator[Ask]:
    rng = random.Random(seed)  # noqa: S311  # reproducible text, not a secret
    number = 0
    while True:
        words = rng.choices(_ALPHABET, k=rng.randint(0, _LONGEST_QUESTION_WORDS))
        text = " ".join([f"question {seed}-{number}", *words])
        streams = _is_streamed(streaming, number)
        body = _body(model, [{"role": "user", "content": text}], streams=streams)
        yield Ask(body=body, streams=streams, expected=f"You said: {text}")
        number += 1


def _is_streamed(streaming: Streaming, number: int) -> bool:
    return streaming == "always" or (streaming == "half" and number % 2 == 1)


def _body(model: str, messages: list[dict[str, str]], *, streams: bool) -> bytes:
    request: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.2}
    return msgspec.json.encode({**request, "stream": True} if streams else request)
