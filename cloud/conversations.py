"""Continues conversations: history lives here, the client sends only what is new."""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from cloud.domain import Answer, Call, Episode, RecallQuery
from cloud.domain_sessions import Assembled, Lease, NewTurn, Utterance, Window
from cloud.memory.assemble import Material, assemble, groups_of
from cloud.memory.render import is_ours
from cloud.ports import Answering, CheckpointStore, Recall, Tokens
from cloud.session_answer import SessionAnswer
from cloud.session_leases import Leases
from cloud.wire import headers as names
from cloud.wire.answers import Usage
from cloud.wire.chat import ChatDocument
from cloud.wire.errors import InvalidRequest, WaysideError

NEW = "new"
"""As a session's name: make me one."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LONGEST_USER = 256
_RECALL_WITHIN_S = 1.0
_DEFAULT_OUTPUT_TOKENS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLimits:
    """How long a session's prompt may be."""

    prompt_tokens: int
    """What it is kept to. Only what cannot be told more briefly, the question and the exchange before it,
    may make it longer."""
    context_tokens: int
    """Of a model whose operator did not say."""
    reserve_tokens: int
    """Left for what later layers add: an agent's instructions, its tools."""
    memory_tokens: int
    """Of the prompt, at most, for recalled memories."""
    episodes: int
    """Recalled for each prompt, at most."""

    def most(self, call: Call, tokens: Tokens) -> int:
        """Tokens that the model leaves for the messages of this call, not one more."""
        context = call.model.context_tokens or self.context_tokens
        answer = call.request.output_limit or min(_DEFAULT_OUTPUT_TOKENS, context // 4)
        tools = tokens.of_text(msgspec.json.encode(call.request.tools).decode()) if call.request.tools else 0
        left = context - answer - tools - min(self.reserve_tokens, context // 8)
        if left <= 0:
            raise InvalidRequest(
                "the answer's limit and the tools leave no room in this model for the prompt",
                param="max_tokens",
                code="context_length_exceeded",
            )
        return left

    def budget(self, *, most: int, sent: "Sent", window: Window, tokens: Tokens) -> int:
        """For this prompt: what it is kept to, or what its newest part needs and half of that."""
        newest = groups_of(window.turns)[-1] if window.turns else []
        needed = tokens.of_messages([one.message for one in (*sent.instructions, *newest, *sent.new)])
        return min(most, max(self.prompt_tokens, needed + self.prompt_tokens // 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A request's messages, by what they are to the session."""

    instructions: tuple[Utterance, ...]
    """Of this request alone; never kept."""
    history: tuple[Utterance, ...]
    """Up to the last answer: what a client that keeps its own history sends again."""
    new: tuple[Utterance, ...]


class Conversations:
    """An Answering around another: calls without a session pass untouched.

    Of a call with one, the prompt is put together from what is kept, and the new messages are appended
    with their answer in one transaction, before the answer's end is handed on. An answer that fails, or
    that nobody waits for, appends nothing: the client asks again.
    """

    def __init__(
        self,
        *,
        inner: Answering,
        store: CheckpointStore,
        leases: Leases,
        recall: Recall | None,
        tokens_of: Callable[[str | None], Tokens],
        limits: PromptLimits,
        on_append: Callable[[str, str], None],
    ) -> None:
        self._inner = inner
        self._store = store
        self._leases = leases
        self._recall = recall
        self._tokens_of = tokens_of
        self._limits = limits
        self._on_append = on_append

    async def answer(self, call: Call) -> Answer:
        """The port's `answer`; also SessionConflict when another turn is under way."""
        if call.session is None:
            return await self._inner.answer(call)
        if call.user is not None and len(call.user) > _LONGEST_USER:
            raise InvalidRequest(f"`user` may have {_LONGEST_USER} characters", param="user")
        call = replace(call, session=session_id(call.session))
        assert call.session is not None
        sent = read_messages(call.document)
        tokens = self._tokens_of(call.model.name)
        most = self._limits.most(call, tokens)
        lease = await self._leases.take(call.tenant, call.session, user=call.user, deadline=call.deadline)
        try:
            window = await self._store.window(call.tenant, call.session)
            limit = self._limits.budget(most=most, sent=sent, window=window, tokens=tokens)
            prompt = assemble(
                Material(
                    instructions=sent.instructions,
                    state=window.state,
                    # What the session has of it stands there already.
                    context=sent.history[: max(0, len(sent.history) - window.turn_count)],
                    turns=window.turns,
                    memories=await self._memories(call, sent.new),
                    session=call.session,
                    query=sent.new,
                ),
                budget=limit,
                memory_tokens=self._limits.memory_tokens,
                tokens=tokens,
            )
            inner = await self._inner.answer(
                replace(call, document=with_messages(call.document, prompt.messages))
            )
        except BaseException:
            await self._leases.release(lease)
            raise

        async def keep(answer: bytes, usage: Usage | None) -> None:
            await self._keep(
                call,
                lease,
                (*sent.new, Utterance(document=answer)),
                usage,
                prompt=prompt,
                limit=min(most, self._limits.prompt_tokens),
            )

        return Answer(
            documents=SessionAnswer(
                inner.documents,
                streams=call.request.streams,
                keep=keep,
                give_up=lambda: self._leases.release(lease),
            ),
            headers={
                **inner.headers,
                names.SESSION: call.session,
                names.CONTEXT: told(prompt, window, limit=limit),
            },
        )

    async def _memories(self, call: Call, new: Sequence[Utterance]) -> tuple[Episode, ...]:
        """What long-term memory has to the question; nothing when it cannot say in time."""
        text = next((utterance.text for utterance in reversed(new) if utterance.role == "user"), "")
        if self._recall is None or not text.strip() or not self._limits.episodes:
            return ()
        query = RecallQuery(
            tenant=call.tenant,
            text=text,
            user=call.user,
            session=call.session,
            agent=call.agent,
            limit=self._limits.episodes,
        )
        try:
            async with asyncio.timeout(min(_RECALL_WITHIN_S, call.remaining_s())):
                return await self._recall.recall(query)
        except (WaysideError, TimeoutError):
            return ()

    async def _keep(
        self,
        call: Call,
        lease: Lease,
        turns: Sequence[Utterance],
        usage: Usage | None,
        *,
        prompt: Assembled,
        limit: int,
    ) -> None:
        tokens = self._tokens_of(call.model.name)
        *asked, answer = (
            NewTurn(document=turn.document, tokens=tokens.of_message(turn.message)) for turn in turns
        )
        if usage is None:  # a stream that was not asked for it: by our own count
            whole = prompt.tokens + answer.tokens
            usage = Usage(prompt_tokens=prompt.tokens, completion_tokens=answer.tokens, total_tokens=whole)
        answer = replace(answer, model=call.model.name, usage=usage)
        await self._leases.append(
            lease, [*asked, answer], user=call.user, prompt_tokens=prompt.tokens, limit_tokens=limit
        )
        self._on_append(lease.tenant, lease.session)


def session_id(asked: str) -> str:
    """The session's name, or a new one. Raises InvalidRequest."""
    if asked.lower() == NEW:
        return f"ses_{secrets.token_hex(12)}"
    if not _ID.fullmatch(asked):
        raise InvalidRequest(
            "Wayside-Session must be `new`, or 1 to 128 letters, digits, `.`, `_`, `:` or `-`",
            param="Wayside-Session",
        )
    return asked


def read_messages(document: ChatDocument) -> Sent:
    """What the request brings: only what follows the last answer in it is new.

    Raises InvalidRequest when nothing does.
    """
    found = [
        Utterance(document=bytes(raw)) for raw in msgspec.json.decode(document.body, type=_Body).messages
    ]
    instructions = tuple(one for one in found if one.role in ("system", "developer"))
    said = [one for one in found if one.role not in ("system", "developer") and not is_ours(one.message)]
    answered = max((at for at, one in enumerate(said, start=1) if one.role == "assistant"), default=0)
    if answered == len(said):
        raise InvalidRequest("the last message is an answer: there is nothing new to say", param="messages")
    return Sent(instructions=instructions, history=tuple(said[:answered]), new=tuple(said[answered:]))


def with_messages(document: ChatDocument, messages: Sequence[bytes]) -> ChatDocument:
    """The same request with other messages, every other field as it was written."""
    fields = msgspec.json.decode(document.body, type=dict[str, msgspec.Raw])
    fields["messages"] = msgspec.Raw(b"[" + b",".join(messages) + b"]")
    read = [Utterance(document=message).message for message in messages]
    return ChatDocument(
        request=msgspec.structs.replace(document.request, messages=read), body=msgspec.json.encode(fields)
    )


def told(prompt: Assembled, window: Window, *, limit: int) -> str:
    """What the prompt was made of, as a header: tokens by our own count."""
    return (
        f"prompt={prompt.tokens}; limit={limit}; log={window.log_tokens}; state={window.state.version}; "
        f"turns={prompt.turns}; memories={prompt.memories}; left_out={len(prompt.left_out)}"
    )


class _Body(msgspec.Struct, frozen=True):
    messages: list[msgspec.Raw]
