"""Long-term memory: turns become memories, documents become passages, questions find episodes."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cloud.domain import Episode, RecallQuery
from cloud.domain_memory import Memory, NewMemory, Scope
from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import Weights, rank
from cloud.memory.retrieve import episodes, newest_first
from cloud.ports import MemoryStore, SessionStore
from cloud.wire.chat import Message

MOST_OWNERS: Final = 256
"""Owners whose passages are kept in memory, the latest asked for."""
PIECE_CHARACTERS: Final = 800
_HEADING: Final = re.compile(r"^#{1,6}\s+(.+)$")
_SESSION: Final = "session/"
"""Begins the group of what was said in a session; its name follows."""
_REMEMBERED_ROLES: Final = ("user", "assistant")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    stamp: tuple[int, float]
    passages: Passages
    memories: tuple[Memory, ...]


class LongTermMemory:
    """The port Recall over a store; the passages of recent owners are kept ready."""

    def __init__(self, store: MemoryStore, *, weights: Weights) -> None:
        self._store = store
        self._weights = weights
        self._ready: dict[tuple[str, Scope, str], _Read] = {}

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        """Of every scope the query's owner may see; a scope's best first, scopes by their best."""
        found: list[Episode] = []
        for scope, owner in _visible(query):
            read = await self._read(query.tenant, scope, owner)
            if len(read.passages):
                found += await asyncio.to_thread(self._search, read, query)
        found.sort(key=lambda episode: -episode.score)
        return tuple(found[: query.limit])

    def _search(self, read: _Read, query: RecallQuery) -> list[Episode]:
        rows, scores = rank(read.passages, query.text, None, self._weights)
        by_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        order = newest_first(read.passages, rows.tolist())
        if query.as_of is not None:
            order = [row for row in order if read.memories[row].said_at <= query.as_of]
        told = episodes(read.passages, order, [by_row[row] for row in order], limit=query.limit)
        return [
            Episode(
                id=read.memories[one.row].id,
                text=one.text,
                source=read.memories[one.row].source,
                score=one.score,
                valid_from=read.memories[one.row].said_at,
                speaker=read.memories[one.row].speaker or None,
                session=(session := _session_of(read.memories[one.row])),
                seqs=tuple(read.memories[row].place for row in one.rows) if session else (),
            )
            for one in told
        ]

    async def _read(self, tenant: str, scope: Scope, owner: str) -> _Read:
        key = (tenant, scope, owner)
        stamp = await self._store.stamp(tenant, scope, owner)
        known = self._ready.pop(key, None)
        if known is None or known.stamp != stamp:
            memories = await self._store.of(tenant, scope, owner)
            known = _Read(
                stamp=stamp, passages=await asyncio.to_thread(_passages, memories), memories=memories
            )
        self._ready[key] = known
        while len(self._ready) > MOST_OWNERS:
            del self._ready[next(iter(self._ready))]
        return known


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
                    group=f"{_SESSION}{session}",
                    place=turn.seq,
                    source=f"session {session}, turn {turn.seq}",
                    speaker=message.role,
                    said_at=turn.created_at,
                    is_turn=True,
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


def _session_of(memory: Memory) -> str | None:
    return memory.group.removeprefix(_SESSION) if memory.group.startswith(_SESSION) else None


def _passages(memories: tuple[Memory, ...]) -> Passages:
    passages = Passages()
    for memory in memories:
        passages.add(
            Passage(
                id=memory.id, group=memory.group, text=memory.text, speaker=memory.speaker, at=memory.said_at
            )
        )
    return passages
