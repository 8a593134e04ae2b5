"""Semantic caches full of other questions, written by the edge's own store in place of so many requests."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bench.upstream import completion_of
from edge.adapters.onnx_encoder import OnnxEncoder
from edge.adapters.usearch_semantic import UsearchSemantic
from edge.domain import Entry, StoredAnswer
from edge.fingerprint import keys_of
from edge.policy import VERSION
from edge.routes import DEFAULT_FILE, read_routes
from edge.settings import EdgeSettings

Item = TypeVar("Item")

OTHER_ANSWER = "That is another matter: ask at the desk."
"""What every one of them is answered with: given to the popular question, it is a wrong answer."""

_DOING = (
    *("cancel", "change", "check", "close", "compare", "confirm", "download", "extend", "find", "insure"),
    *("move", "open", "order", "pay for", "print", "renew", "repair", "replace", "report", "return"),
    *("sell", "send", "share", "track", "upgrade"),
)
_THINGS = (
    *("bill", "booking", "card", "contract", "coupon", "delivery", "deposit", "email address", "fridge"),
    *(
        "gift",
        "headset",
        "house",
        "invoice",
        "invitation",
        "keyboard",
        "laptop",
        "lease",
        "letter",
        "licence",
    ),
    *("loan", "luggage", "mattress", "membership", "meter", "mortgage", "order", "parcel", "passport"),
    *("payslip", "phone", "plan", "prescription", "printer", "receipt", "router", "seat", "subscription"),
    *("tablet", "ticket", "visa"),
)
_HOW = (
    *("", " at the airport", " at the counter", " at the weekend", " by bank transfer", " by phone"),
    *(
        " for a colleague",
        " for my mother",
        " for my team",
        " for two people",
        " from abroad",
        " in a branch",
    ),
    *(" in another currency", " in Berlin", " in Brazil", " in Canada", " in France", " in instalments"),
    *(" in Japan", " in Norway", " in Spain", " in the app", " in writing", " on a Sunday", " on a tablet"),
    *(" on the website", " through the post", " with a credit card", " with a discount", " with a voucher"),
    *(" with another name", " without a card", " without a fee", " without a printer", " without a receipt"),
)
_WAYS = ("How do I {} my {}{}?", "May I {} a {}{}?", "What does it cost to {} a {}{}?")
MOST = len(_WAYS) * len(_DOING) * len(_THINGS) * len(_HOW)

READ = 10_000
"""Texts that are read; reading all would take minutes. The vectors of the rest lie between two of theirs."""
_AT_ONCE = 256
_KEPT_S = 30 * 86400.0

Matrix = npt.NDArray[np.float32]


def other_questions(count: int, *, seed: int = 0) -> list[str]:
    """So many questions, no two alike, none about a password; a shorter list begins a longer one."""
    every = [
        way.format(doing, thing, how) for way, doing, thing, how in product(_WAYS, _DOING, _THINGS, _HOW)
    ]
    random.Random(seed).shuffle(every)  # noqa: S311  # reproducible text, not a secret
    return every[:count]


def stock(
    folders: dict[int, Path], *, tenant: str, model: str, seen: Callable[[int], object] = lambda _: None
) -> None:
    """Fill each count's folder, an edge's `semantic`, with so many entries.

    They lie in the scope in which the tenant's requests `{"model", "messages": [user], "temperature": 0.2}`
    look, under the shipped bundle and route table. Raises ValueError for more than `MOST`.
    """
    if max(folders) > MOST:
        raise ValueError(f"there are {MOST:,} questions to store, not {max(folders):,}")
    asyncio.run(_stock(folders, tenant, model, seen))


async def _stock(folders: dict[int, Path], tenant: str, model: str, seen: Callable[[int], object]) -> None:
    texts = other_questions(max(folders))
    settings = EdgeSettings()
    encoder = OnnxEncoder.open(settings.bundle_path)
    try:
        read: list[Matrix] = []
        for batch in _batches(texts[:READ]):
            found = await asyncio.gather(*(encoder.encode(text) for text in batch))
            read += [one.embedding for one in found]
            seen(len(read))
        vectors = [*read, *_between(read, len(texts) - len(read))]
        policy = f"{VERSION}/{read_routes(DEFAULT_FILE).version}"
        for count, folder in folders.items():
            entries = _entries(
                texts[:count], vectors, tenant=tenant, model=model, bundle=encoder.identity, policy=policy
            )
            await _fill(folder, entries, settings.semantic_min_similarity)
    finally:
        encoder.close()


def _batches(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    left = iter(items)
    while batch := tuple(islice(left, _AT_ONCE)):
        yield batch


def _between(read: Sequence[Matrix], count: int) -> Iterator[Matrix]:
    """So many unit vectors, each between two of those given: as crowded as questions of the same kind are."""
    rng = np.random.default_rng(0)
    for first, second in rng.integers(len(read), size=(count, 2)):
        share = np.float32(rng.uniform(0.2, 0.8))
        mixed = share * read[first] + (1 - share) * read[second]
        yield mixed / np.linalg.norm(mixed)


def _entries(
    texts: Sequence[str], vectors: Sequence[Matrix], *, tenant: str, model: str, bundle: str, policy: str
) -> Iterator[Entry]:
    now = time.time()
    answer = completion_of(OTHER_ANSWER)
    for text, vector in zip(texts, vectors, strict=False):
        body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0.2}
        keys = keys_of(tenant=tenant, body=body, bundle=bundle, policy=policy)
        kept = StoredAnswer(id=keys.entry, completion=answer, created=now, expires=now + _KEPT_S)
        yield Entry(keys=keys, question=text, embedding=vector, answer=kept)


async def _fill(folder: Path, entries: Iterator[Entry], min_similarity: float) -> None:
    """The index is saved too, so that an edge that starts on a copy is as ready as one that was restarted."""
    cache = UsearchSemantic(folder, min_similarity=min_similarity, entries_per_tenant=2 * MOST)
    try:
        for batch in _batches(entries):
            if not all(await asyncio.gather(*(cache.put(entry) for entry in batch))):
                raise OSError(f"{folder} did not take an entry")
        await cache.nearest(batch[0].keys.scope, batch[0].embedding, limit=1)  # reads the scope
        await cache.settle()
    finally:
        await cache.aclose()
