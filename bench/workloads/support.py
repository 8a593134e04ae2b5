"""Support tickets: a few questions asked very often, in different words, some with follow-ups.

`support` is written for this benchmark, so its truth is exact: two questions mean the same only if topic and
object agree, and many differ in the object alone (an amount, a country, a plan), which is what a cache gets wrong.
`banking77` draws from the test split of Banking77 (Casanueva et al., 2020; CC BY 4.0) where it is present: real
questions, 77 intents. Its truth is coarse: questions of one intent count as alike, though some are not.
"""

import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, partial

from bench.reporting import CannotRun
from bench.workload import DATA, Ticket, Turn, Workload, Zipf, poisson

_SYSTEM = "You are the support assistant of a shop. Answer in a few sentences."
_FOLLOW_UP_SHARE = 0.3
_PARAPHRASE_SHARE = 0.4
"""Of the questions that are not asked in their commonest words."""

_TOPICS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("reset password", ("How do I reset my password?", "I forgot my password, what now?",
        "What do I do to set a new password?", "Can you tell me how to change a forgotten password?"), ("",)),
    ("delivery time", ("How long does delivery to {x} take?", "When will a parcel to {x} arrive?",
        "What is the delivery time for {x}?", "How many days until an order reaches {x}?"),
        ("Germany", "France", "Norway", "Canada", "Japan", "Brazil")),
    ("delivery cost", ("What does shipping to {x} cost?", "How much is delivery to {x}?",
        "What do you charge for sending a parcel to {x}?"),
        ("Germany", "France", "Norway", "Canada", "Japan", "Brazil")),
    ("return", ("How do I return {x}?", "I want to send back {x}, how does that work?",
        "What is the way to return {x} that I bought?"),
        ("a pair of shoes", "a laptop", "a damaged lamp", "a gift", "an opened game", "a mattress")),
    ("refund after", ("When do I get my money back after {x}?", "How long does a refund take after {x}?",
        "After {x}, when is the refund paid?"), ("a return", "a cancelled order", "a lost parcel")),
    ("plan price", ("How much is the {x} plan?", "What does the {x} plan cost a month?",
        "What is the monthly price of the {x} plan?"), ("basic", "plus", "family", "business")),
    ("upgrade", ("How do I switch to the {x} plan?", "I would like to move to the {x} plan, how?",
        "What must I do to get the {x} plan?"), ("basic", "plus", "family", "business")),
    ("cancel", ("How can I cancel my {x}?", "I want to cancel my {x}, please tell me how.",
        "What do I do to get out of my {x}?"), ("order", "subscription", "trial", "appointment")),
    ("pay with", ("Can I pay with {x}?", "Do you accept {x}?", "Is {x} a way to pay at your shop?"),
        ("PayPal", "a credit card", "an invoice", "a bank transfer", "gift cards", "crypto")),
    ("invoice", ("Where do I find the invoice for {x}?", "How do I download the invoice of {x}?",
        "I need the invoice for {x}, where is it?"), ("my last order", "my subscription", "the year 2024")),
    ("address", ("How do I change my {x}?", "I need to update my {x}, where do I do that?",
        "Where can I edit my {x}?"), ("delivery address", "billing address", "email address", "phone number")),
    ("warranty", ("How long is the warranty on {x}?", "What warranty do I get for {x}?",
        "For how many years is {x} under warranty?"), ("phones", "laptops", "headphones", "fridges")),
    ("fault", ("My {x} does not turn on, what can I do?", "What should I do when my {x} won't start?",
        "The {x} I bought stays dark, how do I fix it?"), ("phone", "laptop", "tablet", "printer", "router")),
    ("discount", ("Is there a discount for {x}?", "Do {x} get a lower price?",
        "Do you offer a discount to {x}?"), ("students", "teachers", "companies", "members")),
    ("over weight", ("Is there a surcharge for parcels over {x} kg?", "Do parcels above {x} kg cost extra?",
        "What do I pay extra for a parcel heavier than {x} kg?"), ("10", "20", "30", "50")),
    ("hours", ("When is the shop in {x} open?", "What are the opening hours in {x}?",
        "Until when is your {x} shop open?"), ("Berlin", "Paris", "Oslo", "Toronto")),
)  # fmt: skip
_FOLLOW_UPS = (
    "Thanks. How long does that take?",
    "And what if that does not work?",
    "Does it cost anything?",
    "Can someone do it for me?",
)

_Groups = tuple[tuple[str, tuple[str, ...]], ...]
"""What is meant, and the ways to say it, the commonest first."""


def own() -> _Groups:
    return tuple(
        (f"{name}: {thing}" if thing else name, tuple(way.format(x=thing) for way in ways))
        for name, ways, things in _TOPICS
        for thing in things
    )


@cache
def banking77() -> _Groups:
    path = DATA / "banking77" / "test.csv"
    if not path.exists():
        raise CannotRun(f"the workload banking77 needs {path.name} of Banking77 in {path.parent}")
    said: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            said[row["category"]].append(row["text"].strip())
    return tuple((intent, tuple(texts)) for intent, texts in said.items())


def tickets(seed: int, *, own_words: bool = True) -> Iterator[Ticket]:
    groups = list(own() if own_words else banking77())
    chance = random.Random(seed)  # noqa: S311  # reproducible traffic, not a secret
    random.Random(0).shuffle(groups)  # noqa: S311  # popularity is a property of the workload, not of the run
    popular = Zipf(len(groups))
    ways = {count: Zipf(count) for count in {len(said) for _, said in groups}}
    while True:
        meaning, said = groups[popular.draw(chance)]
        way = ways[len(said)].draw(chance) if chance.random() < _PARAPHRASE_SHARE else 0
        turns = [Turn(text=said[way], meaning=meaning)]
        while len(turns) < 3 and chance.random() < _FOLLOW_UP_SHARE:
            text = chance.choice(_FOLLOW_UPS)
            turns.append(Turn(text=text, meaning=text, pause_s=chance.uniform(0.5, 1.5)))
        yield Ticket(system=_SYSTEM, turns=tuple(turns))


def _told() -> tuple[tuple[tuple[str, ...], str], ...]:
    """An operator's file of frequent questions: each topic's first object, in two of its wordings."""
    return tuple(
        (tuple(way.format(x=things[0]) for way in ways[:2]), f"{name}: {things[0]}" if things[0] else name)
        for name, ways, things in _TOPICS[:6]
    )


WORKLOAD = Workload(name="support", tickets=tickets, arrivals=poisson, knowledge=_told())
BANKING77 = Workload(name="banking77", tickets=partial(tickets, own_words=False), arrivals=poisson)
