"""Long-term memory: turns become memories, documents become passages, questions find episodes."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cloud.domain import Episode, RecallQuery
from cloud.domain_memory import TURNS_OF, Memory, NewMemory, Scope, Stamp
from cloud.memory.embedding import unpacked
from cloud.memory.lexical import Floats
from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import Weights, rank
from cloud.memory.retrieve import Found, episodes, newest_first
from cloud.ports import Embedder, MemoryStore, MemoryVectors, SessionStore
from cloud.wire.chat import Message

MOST_OWNERS: Final = 256
"""Owners whose passages are kept in memory, the latest asked for."""
MOST_BYTES: Final = 512 * 2**20
"""What their passages may take together, by our estimate."""
BYTES_A_PASSAGE: Final = 1100
BYTES_A_DIMENSION: Final = 4
BYTES_A_CHARACTER: Final = 3
"""A passage's share of the index, and of each character of its text with the postings of its words."""
MOST_GONE: Final = 0.25
"""Share of an owner's passages that may be deleted before what is left is read anew."""
PIECE_CHARACTERS: Final = 800
_HEADING: Final = re.compile(r"^#{1,6}\s+(.+)$")
_REMEMBERED_ROLES: Final = ("user", "assistant")


@dataclass(kw_only=True, slots=True)
class _Ready:
    """One owner's passages as of a stamp; whoever reads or renews them holds the lock."""

    stamp: Stamp = field(default_factory=Stamp)
    passages: Passages = field(default_factory=Passages)
    embedded: int = 0
    """Of the owner's changes: up to here the passages have their embeddings."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def forget(self) -> None:
        self.stamp, self.passages, self.embedded = Stamp(), Passages(), 0

    @property
    def size_bytes(self) -> int:
        return (BYTES_A_PASSAGE + BYTES_A_DIMENSION * self.passages.dimensions) * len(
            self.passages
        ) + BYTES_A_CHARACTER * self.passages.characters


class LongTermMemory:
    """The port Recall over a store; the passages of recent owners are kept ready, and only added to."""

    def __init__(
        self,
        store: MemoryStore,
        *,
        weights: Weights,
        vectors: MemoryVectors | None = None,
        embedder: Embedder | None = None,
        clock: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._store = store
        self._weights = weights
        self._vectors = vectors
        self._embedder = embedder
        self._clock = clock
        self._most_bytes = most_bytes
        self._ready: dict[tuple[str, Scope, str], _Ready] = {}

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        """Of every scope the query's owner may see; a scope's best first, scopes by their best."""
        vector: Floats | None = None
        found: list[Episode] = []
        for scope, owner in _visible(query):
            key = (query.tenant, scope, owner)
            ready = self._ready.pop(key, None) or _Ready()
            self._ready[key] = ready
            async with ready.lock:
                await self._renew(ready, *key)
                if len(ready.passages):
                    if vector is None and ready.passages.dimensions and self._embedder is not None:
                        vector = await self._embedder.embed(query.text)
                    found += await asyncio.to_thread(self._search, ready.passages, query, vector)
                elif not ready.stamp.last_seq:
                    self._ready.pop(key, None)
            self._make_room()
        found.sort(key=lambda episode: -episode.score)
        return tuple(found[: query.limit])

    async def let_go(self, tenant: str | None = None) -> None:
        """Forgets the passages of owners of whom something was deleted: its words are in the index, too.

        Of one tenant, or of all. What is left of them is read anew by the next search.
        """
        for key, ready in list(self._ready.items()):
            if tenant is not None and key[0] != tenant:
                continue
            async with ready.lock:
                stamp = await self._store.stamp(*key)
                known = (ready.stamp.incarnation, ready.stamp.removed)
                if ready.passages.gone or (stamp.incarnation, stamp.removed) != known:
                    ready.forget()
                    if self._ready.get(key) is ready:
                        del self._ready[key]

    def _search(self, passages: Passages, query: RecallQuery, vector: Floats | None) -> list[Episode]:
        visible = passages.visible(as_of=query.as_of, now=self._clock())
        rows, scores = rank(passages, query.text, vector, self._weights, visible=visible)
        by_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        order = newest_first(passages, rows.tolist())
        told = episodes(passages, order, [by_row[row] for row in order], limit=query.limit, visible=visible)
        return [_episode(passages, one) for one in told]

    async def _renew(self, ready: _Ready, tenant: str, scope: Scope, owner: str) -> None:
        """Takes in what changed since the stamp it has."""
        stamp = await self._store.stamp(tenant, scope, owner)
        if stamp != ready.stamp:
            await self._take_in(ready, stamp, tenant, scope, owner)
        if self._vectors is not None and self._embedder is not None and ready.embedded < stamp.last_seq:
            await self._embed(ready, self._vectors, self._embedder, tenant, scope, owner)

    async def _embed(
        self,
        ready: _Ready,
        vectors: MemoryVectors,
        embedder: Embedder,
        tenant: str,
        scope: Scope,
        owner: str,
    ) -> None:
        while True:
            through, kept = await vectors.since(
                tenant, scope, owner, embedder.identity, seq=ready.embedded, up_to=ready.stamp.last_seq
            )
            if through <= ready.embedded:
                return
            await asyncio.to_thread(_embed_all, ready.passages, kept, embedder.dimensions)
            ready.embedded = through

    async def _take_in(self, ready: _Ready, stamp: Stamp, tenant: str, scope: Scope, owner: str) -> None:
        if stamp.incarnation != ready.stamp.incarnation:
            ready.forget()
        known, seq = ready.stamp, ready.stamp.last_seq
        while fresh := await self._store.since(tenant, scope, owner, seq=seq):
            await asyncio.to_thread(_add_all, ready.passages, [memory for _, memory in fresh])
            seq = fresh[-1][0]
        if known.incarnation and stamp.removed != known.removed:
            # Read after what is new, which must be among them.
            kept = await self._store.ids(tenant, scope, owner)
            await asyncio.to_thread(ready.passages.take_out, kept)
            if ready.passages.gone > MOST_GONE * len(ready.passages):
                ready.forget()
                await self._take_in(ready, stamp, tenant, scope, owner)
                return
        ready.stamp = stamp

    def _make_room(self) -> None:
        """Lets go of the owners asked for least recently; the last one stays, however large."""
        size = sum(one.size_bytes for one in self._ready.values())
        while len(self._ready) > 1 and (len(self._ready) > MOST_OWNERS or size > self._most_bytes):
            size -= self._ready.pop(next(iter(self._ready))).size_bytes


class Ingest:
    """Turns what a session appended into memories. Woken after an append; what was missed is found again."""

    def __init__(self, sessions: SessionStore, store: MemoryStore) -> None:
        self._sessions = sessions
        self._store = store

    async def session(self, tenant: str, session: str) -> int:
        """How many turns were remembered. Nothing recalled is among them: prompts are not turns."""
        after = await self._store.ingested_through(tenant, session)
        turns = await self._sessions.turns(tenant, session, after=after)
        fresh = []
        for turn in turns:
            message: Message = turn.message
            if message.role not in _REMEMBERED_ROLES or not message.text.strip():
                continue
            person = turn.user
            fresh.append(
                NewMemory(
                    scope="user" if person else "session",
                    owner=person or session,
                    user=person,
                    text=message.text[:20_000],
                    group=f"{TURNS_OF}{session}",
                    place=turn.seq,
                    source=f"session {session}, turn {turn.seq}",
                    speaker=message.role,
                    said_at=turn.created_at,
                )
            )
        if fresh:
            await self._store.add(tenant, fresh)
        return len(fresh)


def pieces(text: str, *, source: str, said_at: float) -> Iterator[NewMemory]:
    """A document's passages: paragraphs joined up to PIECE_CHARACTERS, each cited by its heading."""
    heading, place, gathered = "", 0, ""

    def made(content: str) -> NewMemory:
        return NewMemory(
            scope="tenant",
            owner="",
            text=content.strip(),
            group=f"document/{source}",
            place=place,
            source=f"{source}#{heading}" if heading else source,
            said_at=said_at,
        )

    for paragraph in re.split(r"\n\s*\n", text):
        found = _HEADING.match(paragraph.strip().split("\n", 1)[0])
        too_long = gathered and len(gathered) + len(paragraph) > PIECE_CHARACTERS
        if (found or too_long) and gathered.strip():
            yield made(gathered)
            place, gathered = place + 1, ""
        if found:
            heading = found.group(1).strip()
        gathered = f"{gathered}\n\n{paragraph}" if gathered else paragraph
        while len(gathered) > 2 * PIECE_CHARACTERS:
            cut = gathered.rfind(" ", 0, PIECE_CHARACTERS)
            cut = cut if cut > 0 else PIECE_CHARACTERS
            yield made(gathered[:cut])
            place, gathered = place + 1, gathered[cut:]
    if gathered.strip():
        yield made(gathered)


def _visible(query: RecallQuery) -> list[tuple[Scope, str]]:
    if query.documents_only:
        return [("tenant", "")]
    owners: list[tuple[Scope, str | None]] = [
        ("user", query.user),
        ("session", query.session),
        ("agent", query.agent),
        ("tenant", ""),
    ]
    return [(scope, owner) for scope, owner in owners if owner is not None]


def _add_all(passages: Passages, memories: Sequence[Memory]) -> None:
    for memory in memories:
        if memory.id in passages:
            if memory.valid_until is not None:
                passages.end(memory.id, memory.valid_until)
            continue
        passages.add(
            Passage(
                id=memory.id,
                group=memory.group,
                text=memory.text,
                speaker=memory.speaker,
                at=memory.said_at,
                place=memory.place,
                source=memory.source,
            ),
            until=memory.valid_until,
            expires=memory.expires_at,
        )


def _embed_all(passages: Passages, kept: Sequence[tuple[str, bytes]], dimensions: int) -> None:
    for identity, one in kept:
        vector = unpacked(one, dimensions=dimensions)
        if vector is not None and identity in passages:
            passages.embed(identity, vector)


def _episode(passages: Passages, found: Found) -> Episode:
    passage = passages.rows[found.row]
    is_talk = passage.group.startswith(TURNS_OF)
    return Episode(
        id=passage.id,
        text=found.text,
        source=passage.source,
        score=found.score,
        valid_from=passage.at or 0.0,
        valid_until=passages.until(found.row),
        speaker=passage.speaker or None,
        session=passage.group.removeprefix(TURNS_OF) if is_talk else None,
        seqs=tuple(passages.rows[row].place or 0 for row in found.rows) if is_talk else (),
    )
