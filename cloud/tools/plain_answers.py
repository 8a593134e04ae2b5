"""Answers plain questions about the user's table without a model: planned, computed, put in a sentence."""

from cloud.tools.questions import phrased, plan
from cloud.tools.sandbox_jobs import Failed
from cloud.tools.workspace import Workspace
from cloud.wire.chat import ChatRequest


class PlainAnswers:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def answer(self, request: ChatRequest, *, remaining_s: float) -> str | None:
        """Markdown with the number or the table and its SQL; None where only a model can answer."""
        if request.tools or request.n not in (None, 1) or request.stop or _wants_form(request):
            return None
        found = await self._workspace.found(request)
        if len(found.tables) != 1 or found.problems:
            return None
        planned = plan(found.question, await self._workspace.described(found))
        if planned is None:
            return None
        rows = await self._workspace.query(planned.sql, found, remaining_s=remaining_s)
        if isinstance(rows, Failed) or rows.is_cut:
            return None
        return phrased(planned, rows)


def _wants_form(request: ChatRequest) -> bool:
    return request.response_format is not None and request.response_format.type != "text"
