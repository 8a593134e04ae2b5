"""Builds a prompt out of state, memories and turns, never a token over its budget. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cloud.domain import Episode
from cloud.domain_sessions import Assembled, LeftOut, State, Turn, Utterance
from cloud.memory.render import as_message, document_of, memory_text, state_text
from cloud.ports import Tokens
from cloud.wire.errors import InvalidRequest

_WORD = re.compile(r"\w+")
_SAID_ALREADY = 0.8
"""Share of a memory's words that one text in the prompt has too: it would say nothing new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What a prompt may be made of."""

    instructions: tuple[Utterance, ...] = ()
    """The caller's system messages."""
    state: State = field(default_factory=State)
    context: tuple[Utterance, ...] = ()
    """History that the caller sent and the session does not have."""
    turns: tuple[Utterance, ...] = ()
    """What was said after the state, oldest first."""
    memories: tuple[Episode, ...] = ()
    """Best first."""
    session: str | None = None
    """Whose turns `turns` are."""
    query: tuple[Utterance, ...]
    """What is new."""


def assemble(material: Material, *, budget: int, memory_tokens: int, tokens: Tokens) -> Assembled:
    """Instructions ▸ state ▸ context ▸ turns ▸ memories ▸ query, in at most `budget` tokens.

    What stands before the memories only grows at its end until the next checkpoint, so that a provider's
    prompt cache finds it again. When room is short, memories beyond `memory_tokens` go first, then the
    caller's context, then the oldest turns, then lines of the state. Raises InvalidRequest when the
    instructions and the query alone are too long.
    """
    older, needed = _split_off_what_is_answered(material)
    whole = [utterance.message for utterance in (*material.instructions, *needed, *material.query)]
    used = tokens.of_messages(whole)
    if used > budget:
        raise InvalidRequest(
            f"the new messages are {used} tokens long; a prompt of this session has at most {budget}",
            param="messages",
            code="context_length_exceeded",
        )
    left_out: list[LeftOut] = []
    # Half of what is left at most: the newest turns must not starve beside a long past.
    state, state_cost = _fitting_state(material.state, most=(budget - used) // 2, tokens=tokens)
    if state != material.state:
        left_out.append(
            LeftOut(
                what="state", reference=f"version {material.state.version}", reason="over budget", tokens=0
            )
        )
    used += state_cost
    # Recalled for a question; nothing may stand between a tool call and its result.
    asked_at = next((at for at, one in enumerate(material.query) if one.role == "user"), None)
    most = min(memory_tokens, (budget - used) // 2)
    # What stays in the window even beside as many memories as there may be.
    staying, _ = _newest_that_fit("turn", older, budget, used + most, [], tokens)
    memories = _outside_of(
        (*staying, *needed),
        material.memories if asked_at is not None else (),
        material.session,
        left_out,
        tokens,
    )
    said = [utterance.text for utterance in (*staying, *needed, *material.query)]
    memories = _new_to((*said, state_text(state)), memories, left_out, tokens)
    memories, memory_cost = _fitting_memories(memories, most=most, left_out=left_out, tokens=tokens)
    used += memory_cost
    turns, used = _newest_that_fit("turn", older, budget, used, left_out, tokens)
    # Context that is older than turns that were left out would stand beside a gap.
    context: Sequence[Utterance] = ()
    if len(turns) == len(older):
        context, used = _newest_that_fit("context", material.context, budget, used, left_out, tokens)
    else:
        left_out.extend(_outside("context", utterance, tokens) for utterance in material.context)
    stable = [utterance.document for utterance in material.instructions]
    if not state.is_empty:
        stable.append(document_of(as_message(state_text(state))))
    stable.extend(utterance.document for utterance in (*context, *turns, *needed))
    new = [utterance.document for utterance in material.query]
    if memories and asked_at is not None:
        new.insert(asked_at, document_of(as_message(memory_text(memories))))
    return Assembled(
        messages=(*stable, *new),
        tokens=used,
        stable_messages=len(stable),
        memories=len(memories),
        turns=len(turns) + len(needed),
        left_out=tuple(left_out),
    )


def groups_of(turns: Sequence[Utterance]) -> list[list[Utterance]]:
    """Turns that belong together: each group begins with a user's message and holds all it led to."""
    groups: list[list[Utterance]] = []
    for turn in turns:
        if turn.role == "user" or not groups:
            groups.append([turn])
        else:
            groups[-1].append(turn)
    return groups


def _split_off_what_is_answered(
    material: Material,
) -> tuple[Sequence[Utterance], Sequence[Utterance]]:
    """Where the query is a tool's result, the exchange with its call must not be missing."""
    if not material.turns or material.query[0].role != "tool":
        return material.turns, ()
    needed = groups_of(material.turns)[-1]
    return material.turns[: len(material.turns) - len(needed)], needed


def state_cost(state: State, tokens: Tokens) -> int:
    """What a state adds to a prompt."""
    return 0 if state.is_empty else tokens.of_message(as_message(state_text(state)))


def _fitting_state(state: State, *, most: int, tokens: Tokens) -> tuple[State, int]:
    """The state without as many lines as it takes, the oldest of the summary first."""
    while (cost := state_cost(state, tokens)) > most:
        if state.entities:
            state = msgspec.structs.replace(state, entities=())
        elif state.summary:
            state = msgspec.structs.replace(state, summary=state.summary[1:])
        elif state.facts:
            state = msgspec.structs.replace(state, facts=state.facts[1:])
        else:
            state = msgspec.structs.replace(state, open_tasks=state.open_tasks[1:])
    return state, cost


def _outside_of(
    window: Sequence[Utterance],
    memories: Sequence[Episode],
    session: str | None,
    left_out: list[LeftOut],
    tokens: Tokens,
) -> list[Episode]:
    """Memories of other sessions, and those of this one that hold a turn the prompt does not."""
    # By their texts as well: a session that was deleted and made again counts its turns anew.
    shown = {turn.seq: turn.text for turn in window if isinstance(turn, Turn)}
    kept = []
    for episode in memories:
        is_of_it = episode.session is not None and episode.session == session
        if is_of_it and all(seq in shown and shown[seq] in episode.text for seq in episode.seqs):
            left_out.append(_memory_left_out(episode, "in the window", tokens))
        else:
            kept.append(episode)
    return kept


def _new_to(
    said: Sequence[str], memories: Sequence[Episode], left_out: list[LeftOut], tokens: Tokens
) -> list[Episode]:
    """Semantic pruning: memories that the prompt does not say anyway."""
    known = [_words(text) for text in said]
    kept = []
    for episode in memories:
        words = _words(episode.text)
        if words and any(len(words & text) >= _SAID_ALREADY * len(words) for text in known):
            left_out.append(_memory_left_out(episode, "already said", tokens))
            continue
        known.append(words)
        kept.append(episode)
    return kept


def _fitting_memories(
    memories: Sequence[Episode], *, most: int, left_out: list[LeftOut], tokens: Tokens
) -> tuple[list[Episode], int]:
    kept: list[Episode] = []
    cost = 0
    for episode in memories:
        with_it = tokens.of_message(as_message(memory_text([*kept, episode])))
        if with_it <= most:
            kept.append(episode)
            cost = with_it
        else:
            left_out.append(_memory_left_out(episode, "over budget", tokens))
    return kept, cost


def _newest_that_fit(
    what: Literal["turn", "context"],
    turns: Sequence[Utterance],
    budget: int,
    used: int,
    left_out: list[LeftOut],
    tokens: Tokens,
) -> tuple[list[Utterance], int]:
    """The sliding window: whole groups from the newest back, until one does not fit."""
    kept: list[Utterance] = []
    groups = groups_of(turns)
    while groups:
        cost = sum(tokens.of_message(turn.message) for turn in groups[-1])
        if used + cost > budget:
            break
        used += cost
        kept = groups.pop() + kept
    left_out.extend(_outside(what, turn, tokens) for group in groups for turn in group)
    return kept, used


def _outside(what: Literal["turn", "context"], utterance: Utterance, tokens: Tokens) -> LeftOut:
    return LeftOut(
        what=what,
        reference=str(utterance.seq) if isinstance(utterance, Turn) else "sent with the request",
        reason="outside the window",
        tokens=tokens.of_message(utterance.message),
    )


def _memory_left_out(
    episode: Episode, reason: Literal["already said", "in the window", "over budget"], tokens: Tokens
) -> LeftOut:
    return LeftOut(what="memory", reference=episode.id, reason=reason, tokens=tokens.of_text(episode.text))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
