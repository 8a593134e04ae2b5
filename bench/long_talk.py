"""A conversation of hundreds of turns: what its prompts cost beside sending the whole log, what is kept."""

import asyncio
import gzip
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import percentile
from cloud.adapters.database import open_database
from cloud.adapters.sql_checkpoints import SqlCheckpoints
from cloud.adapters.sql_sessions import SqlSessions
from cloud.adapters.tokens import ByteTokens, tokens_of_vocabulary
from cloud.conversations import Conversations, PromptLimits
from cloud.domain import Answer, Call, Model
from cloud.memory.compact import Compactor
from cloud.memory.fold import FoldPolicy
from cloud.memory.summarize import ExtractiveSummarizer
from cloud.ports import Tokens
from cloud.providers.gguf_vocabulary import read_vocabulary
from cloud.providers.weights import find_weights
from cloud.session_leases import Leases
from cloud.wire.chat import parse
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.observe import Log

_TOPICS = (
    "gardens",
    "rivers",
    "bridges",
    "engines",
    "bakeries",
    "harbours",
    "violins",
    "glaciers",
    "markets",
    "lanterns",
    "orchards",
    "railways",
    "deserts",
    "libraries",
    "telescopes",
    "beehives",
    "castles",
    "tides",
    "forests",
    "kitchens",
    "maps",
    "clocks",
    "festivals",
    "mountains",
)
_THINGS = ("locker", "order", "ticket", "invoice", "badge", "parking", "flight", "policy", "member", "case")


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """User's and assistant's texts by turns, and what must not be forgotten of them."""

    exchanges: tuple[tuple[str, str], ...]
    planted: tuple[str, ...]
    """Values stated in its first quarter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Talked:
    """What the prompts of one conversation came to. Tokens are of the counter named."""

    turns: int
    limit: int
    counter: str
    sent_tokens: int
    raw_tokens: int
    largest_prompt: int
    over_budget: int
    checkpoints: int
    pairs: int
    """Prompts that follow one another with the same checkpoint."""
    stable_pairs: int
    """Of those, ones that begin with all of the former's stable part, to the byte."""
    stable_share: float
    """Of the former's tokens, how many the next begins with, on average."""
    planted: int
    planted_kept: int
    """Found in the last prompt."""
    state_tokens: int
    turn_p95_ms: float
    """Of everything we add to an answer, write included."""

    @property
    def share(self) -> float:
        return self.sent_tokens / self.raw_tokens


def written(turns: int, seed: int) -> Talk:
    """A made-up conversation of plausible length a turn, with facts about the user in its first quarter."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    exchanges, planted = [], []
    count = turns // 2
    at = {position * (count // 4) // len(_THINGS) + 1: thing for position, thing in enumerate(_THINGS)}
    for number in range(count):
        topic, other = chance.sample(_TOPICS, 2)
        asked = f"What should I know about {topic}, and how do they compare with {other} in daily life?"
        if thing := at.get(number):
            value = f"{thing[:2].upper()}-{chance.randrange(1000, 10_000)}"
            planted.append(value)
            asked = f"My {thing} number is {value}. {asked}"
        parts = [
            f"There is a lot to say about {topic}, and most of it depends on where you look.",
            f"People who work with {topic} usually begin small, keep notes, and learn from {other}.",
            f"In daily life {topic} need patience, while {other} reward those who plan ahead.",
            f"A common mistake is to treat {topic} and {other} alike, although they share little.",
            f"Should you want to go further, visit a place known for its {topic} and ask there.",
        ]
        exchanges.append((asked, " ".join(parts[: chance.randint(3, 5)])))
    return Talk(exchanges=tuple(exchanges), planted=tuple(planted))


def from_locomo(path: Path, turns: int) -> list[Talk]:
    """The conversations of a file of LoCoMo's shape that are long enough, cut to `turns`."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    samples: list[dict[str, Any]] = msgspec.json.decode(content)
    talks = []
    for sample in samples:
        conversation = sample["conversation"]
        said = [
            turn["text"]
            for number in range(1, 100)
            for turn in conversation.get(f"session_{number}", ())
            if turn.get("text")
        ][:turns]
        if len(said) == turns:
            pairs = tuple(zip(said[::2], said[1::2], strict=True))
            talks.append(Talk(exchanges=pairs, planted=()))
    return talks


def counter_here() -> tuple[str, Tokens]:
    """The local model's own, where it is installed."""
    try:
        counter = tokens_of_vocabulary(read_vocabulary(find_weights(None)))
    except UpstreamUnavailable:
        counter = ByteTokens()
    return ("bytes" if isinstance(counter, ByteTokens) else "the local model's tokenizer"), counter


def hold(talk: Talk, *, limit: int, counter: tuple[str, Tokens]) -> Talked:
    return asyncio.run(_hold(talk, limit=limit, name=counter[0], tokens=counter[1]))


@dataclass(kw_only=True, slots=True)
class _Scripted:
    """Answers with the conversation's own next text, and keeps the prompts it got."""

    answers: Sequence[str]
    prompts: list[Call] = field(default_factory=list)

    async def answer(self, call: Call) -> Answer:
        self.prompts.append(call)
        return Answer(documents=self._documents(self.answers[len(self.prompts) - 1]))

    async def _documents(self, text: str) -> AsyncGenerator[bytes]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield msgspec.json.encode({"id": "a", "object": "chat.completion", "choices": [choice]})


async def _hold(talk: Talk, *, limit: int, name: str, tokens: Tokens) -> Talked:
    inner = _Scripted(answers=[answer for _, answer in talk.exchanges])
    told: list[dict[str, int]] = []
    took: list[float] = []
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        async with open_database(f"sqlite:///{folder}/talk.db") as database:
            store = SqlSessions(database, lease_s=15, compaction_at=0.70)
            checkpoints = SqlCheckpoints(database, compaction_at=0.70)
            counters: Callable[[str | None], Tokens] = lambda _: tokens  # noqa: E731
            folding = Compactor(
                store=checkpoints,
                summarizer=ExtractiveSummarizer(),
                fallback=ExtractiveSummarizer(),
                tokens_of=counters,
                policy=FoldPolicy(),
                log=Log(service="bench"),
                poll_s=1,
            )
            layer = Conversations(
                inner=inner,
                store=checkpoints,
                leases=Leases(store, conflict="wait", wait_s=5, term_s=15),
                recall=None,
                tokens_of=counters,
                limits=PromptLimits(
                    prompt_tokens=limit,
                    context_tokens=1_000_000,
                    reserve_tokens=0,
                    memory_tokens=0,
                    episodes=0,
                ),
                on_append=lambda *_: None,
            )
            for asked, _ in talk.exchanges:
                began = time.perf_counter()
                answer = await layer.answer(_call(asked))
                [_ async for _ in answer.documents]
                took.append(1000 * (time.perf_counter() - began))
                parts = (part.split("=") for part in answer.headers["wayside-context"].split("; "))
                told.append({key: int(value) for key, value in parts})
                while await folding.run_once():
                    pass
            session = await store.session("bench", "s")
    counted = [tokens.of_messages(call.request.messages) for call in inner.prompts]
    pairs, stable, shares = _stability(inner.prompts, told, tokens)
    last = "\n".join(message.text for message in inner.prompts[-1].request.messages)
    state = [message for message in inner.prompts[-1].request.messages if message.text.startswith("[wayside")]
    return Talked(
        turns=session.turns,
        limit=limit,
        counter=name,
        sent_tokens=sum(counted),
        raw_tokens=session.raw_tokens,
        largest_prompt=max(counted),
        over_budget=sum(count > limit for count in counted),
        checkpoints=session.state_version,
        pairs=pairs,
        stable_pairs=stable,
        stable_share=shares,
        planted=len(talk.planted),
        planted_kept=sum(value in last for value in talk.planted),
        state_tokens=sum(map(tokens.of_message, state)),
        turn_p95_ms=percentile(took, 0.95),
    )


def _stability(
    prompts: Sequence[Call], told: Sequence[dict[str, int]], tokens: Tokens
) -> tuple[int, int, float]:
    pairs = stable = 0
    shares = []
    for before, after, first, second in zip(prompts, prompts[1:], told, told[1:], strict=False):
        if first["state"] != second["state"]:
            continue
        pairs += 1
        old, new = before.request.messages, after.request.messages
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        stable += same == len(old)
        shares.append(tokens.of_messages(old[:same]) / tokens.of_messages(old))
    return pairs, stable, sum(shares) / max(1, len(shares))


def _call(text: str) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return Call(
        document=parse(msgspec.json.encode(body), max_depth=8),
        model=Model(name="m", provider="p", upstream_name="m"),
        deadline=asyncio.get_running_loop().time() + 60,
        tenant="bench",
        session="s",
        request_id="r",
    )
