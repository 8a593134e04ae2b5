"""The tools `search_memory` and `search_documents`: passages from long-term memory, with their sources."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import Episode, RecallQuery, ToolContext, ToolResult, ToolSpec
from cloud.ports import Recall
from cloud.tools import arguments as args
from cloud.wire.errors import WaysideError

MAX_RESULT_CHARACTERS = 8_000
MAX_PASSAGES = 10


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: Annotated[str, Meta(min_length=1, max_length=2_000, description="What to look for")]
    limit: Annotated[int, Meta(ge=1, le=MAX_PASSAGES, description="Most passages to return")] = 3


class Search:
    """Only what the context's tenant, and user, may see; the model cannot ask on another's behalf."""

    def __init__(self, recall: Recall, *, spec: ToolSpec, documents_only: bool) -> None:
        self.spec = spec
        self._recall = recall
        self._documents_only = documents_only

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        given = args.read(arguments, Arguments)
        if isinstance(given, ToolResult):
            return given
        query = RecallQuery(
            tenant=context.tenant,
            text=given.query,
            user=context.user,
            session=context.session,
            agent=context.agent,
            documents_only=self._documents_only,
            limit=given.limit,
        )
        try:
            async with asyncio.timeout_at(context.deadline):
                episodes = await self._recall.recall(query)
        except TimeoutError:
            return ToolResult(text="The search took too long.", is_error=True)
        except WaysideError as error:
            return ToolResult(text=f"The search failed: {error.message}", is_error=True)
        if not episodes:
            return ToolResult(text="Nothing was found. Say so rather than guessing.")
        return ToolResult(text=_shown(episodes[: given.limit]), is_untrusted=True)


def search_memory(recall: Recall) -> Search:
    spec = ToolSpec(
        name="search_memory",
        description=(
            "Search what this user said and was told before, and the documents. "
            "Cite the source of what you use as [1]."
        ),
        parameters=args.schema(Arguments),
    )
    return Search(recall, spec=spec, documents_only=False)


def search_documents(recall: Recall) -> Search:
    spec = ToolSpec(
        name="search_documents",
        description="Search the organisation's documents. Cite the source of what you use as [1].",
        parameters=args.schema(Arguments),
    )
    return Search(recall, spec=spec, documents_only=True)


def _shown(episodes: Sequence[Episode]) -> str:
    """Numbered passages, each with its source; a long one is cut so that all of them fit."""
    room = MAX_RESULT_CHARACTERS // len(episodes)
    return "\n\n".join(_passage(number, episode, room) for number, episode in enumerate(episodes, start=1))


def _passage(number: int, episode: Episode, room: int) -> str:
    said = datetime.fromtimestamp(episode.valid_from, UTC).date().isoformat()
    speaker = f", {episode.speaker}" if episode.speaker else ""
    text = episode.text if len(episode.text) <= room else episode.text[:room] + " … (cut)"
    return f"[{number}] source: {episode.source}{speaker}, {said}\n{text}"
