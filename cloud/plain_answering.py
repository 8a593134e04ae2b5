"""Answers a plain question about the user's table by computing it; every other call goes on."""

import time

import msgspec

from cloud.domain import Answer, Call
from cloud.ports import Answering
from cloud.tools.plain_answers import PlainAnswers
from cloud.wire import headers as names
from cloud.wire.answers import AnswerMessage, Choice, Completion, Ready, Usage, as_chunks
from cloud.wire.chat import AUTO

ANALYSIS = "analysis"


class PlainAnswering:
    """An Answering around another. Only where the caller left the choice of model, or asked for analysis.

    Instructions of the caller may want something else than a number, so with them the model is asked,
    unless it is the analysis agent that was asked for.
    """

    def __init__(self, *, inner: Answering, plain: PlainAnswers) -> None:
        self._inner = inner
        self._plain = plain

    async def answer(self, call: Call) -> Answer:
        text = await self._computed(call)
        if text is None:
            return await self._inner.answer(call)
        document = msgspec.json.encode(
            Completion(
                id=f"chatcmpl-{call.request_id}",
                created=int(time.time()),
                model=call.model.name,
                choices=[Choice(message=AnswerMessage(content=text), finish_reason="stop")],
                usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
            )
        )
        documents = [document]
        if call.request.streams:
            documents = as_chunks(document, with_usage=call.request.streams_usage)
        return Answer(documents=Ready(documents), headers={names.AGENT: ANALYSIS})

    async def _computed(self, call: Call) -> str | None:
        request = call.request
        if call.agent not in (None, ANALYSIS):
            return None
        if call.agent is None:
            has_instructions = any(message.role in ("system", "developer") for message in request.messages)
            if request.model != AUTO or has_instructions:
                return None
        text = await self._plain.answer(request, remaining_s=call.remaining_s())
        if text is not None and request.output_limit is not None:
            # A token of such text has three bytes or more.
            return text if len(text.encode()) <= 3 * request.output_limit else None
        return text
