"""An assistant's mixed tasks: writing, code, sums, summaries, translation, small talk; few are ever repeated."""

import random
from collections.abc import Iterator

from bench.workload import Ticket, Turn, Workload, poisson

_THINGS = ("a garden", "tea", "night trains", "a bakery", "chess", "solar panels", "a library", "cycling",
    "home insurance", "a startup", "bread", "rivers", "a film club", "sailing", "bees", "old maps")  # fmt: skip
_PEOPLE = ("my landlord", "a colleague", "a customer", "my teacher", "the council", "an old friend")
_CODE = ("parses a date", "merges two sorted lists", "counts the words of a file", "checks a bracket sequence",
    "finds the longest common prefix", "retries a call three times")  # fmt: skip
_LANGUAGES = ("German", "French", "Spanish", "Italian", "Dutch", "Polish")
_SMALL_TALK = ("Hello!", "Thanks a lot.", "Good morning, how are you?", "What can you do?")


def tickets(seed: int) -> Iterator[Ticket]:
    chance = random.Random(seed)  # noqa: S311  # reproducible traffic, not a secret
    while True:
        texts = [_task(chance)]
        while len(texts) < 4 and chance.random() < 0.35:
            texts.append(chance.choice(("Make it shorter.", "Say it more politely.", "Why?", "Go on.")))
        turns = [Turn(text=text, meaning=text, pause_s=chance.uniform(0.5, 1.5)) for text in texts]
        yield Ticket(turns=tuple(turns))


def _task(chance: random.Random) -> str:
    thing = f"{chance.choice(_THINGS)} and {chance.choice(_THINGS)}"
    number = chance.randint(12, 9999)
    tasks = (
        f"Write a letter of {number % 200 + 50} words to {chance.choice(_PEOPLE)} about {thing}.",
        f"Write a Python function that {chance.choice(_CODE)} and handles {number} of them.",
        f"A shop sells {number} boxes at {chance.randint(2, 90)} euros each and takes back a tenth. "
        "What is left?",
        f"Summarise in {number % 5 + 2} sentences what one should know about {thing}.",
        f"Translate into {chance.choice(_LANGUAGES)}: we talked about {thing} for {number} minutes.",
        chance.choice(_SMALL_TALK),
    )
    return chance.choices(tasks, weights=(4, 3, 2, 3, 2, 1))[0]


WORKLOAD = Workload(name="assistant", tickets=tickets, arrivals=poisson)
