"""Folds old turns into state objects, behind everybody's back: a worker that may die at any point."""

import asyncio
import contextlib
from collections.abc import Callable

from cloud.domain_sessions import State, Summary, Turn, Window
from cloud.memory.assemble import state_cost
from cloud.memory.fold import FoldPolicy, turns_to_fold
from cloud.ports import CheckpointStore, Summarizer, Tokens
from cloud.wire.errors import WaysideError
from cloud.wire.service.observe import Log

_CLAIMED_AT_ONCE = 8
_LONGEST_PAUSE_S = 60.0


class Compactor:
    """Looks for sessions that are due, folds each, publishes by compare-and-swap.

    What is due stands in the database, written with the turns that made it so: a wake-up that is lost
    costs time, and a worker that is killed leaves nothing half-done, since publishing is one transaction.
    """

    def __init__(
        self,
        *,
        store: CheckpointStore,
        summarizer: Summarizer,
        fallback: Summarizer,
        tokens_of: Callable[[str | None], Tokens],
        policy: FoldPolicy,
        log: Log,
        poll_s: float,
    ) -> None:
        self._store = store
        self._summarizer = summarizer
        self._fallback = fallback
        self._tokens_of = tokens_of
        self._policy = policy
        self._log = log
        self._poll_s = poll_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may be due now."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = self._poll_s
        while True:
            self._woken.clear()
            try:
                is_idle = not await self.run_once()
                pause_s = self._poll_s
            except Exception as error:  # whatever it is, tomorrow's conversations need folding, too
                self._log.event("compaction_failed", type=type(error).__name__)
                is_idle, pause_s = True, min(_LONGEST_PAUSE_S, 2 * pause_s)
            if is_idle:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause_s)

    async def run_once(self) -> int:
        """Fold what is due now; how many sessions that were."""
        due = await self._store.claim_due(limit=_CLAIMED_AT_ONCE)
        for tenant, session in due:
            try:
                await self.fold(tenant, session)
            except WaysideError as error:  # its claim lapses; the others need not wait for that
                self._log.event("compaction_failed", session=session, code=error.code or error.type)
        return len(due)

    async def fold(self, tenant: str, session: str) -> bool:
        """Give the session a new state object if it is due; whether one was published.

        Running twice at once, or once more, does no harm: the first to publish wins, the others see it.
        """
        window = await self._store.window(tenant, session, from_oldest=True)
        tokens = self._tokens_of(next((turn.model for turn in reversed(window.turns) if turn.model), None))
        costs = await asyncio.to_thread(_costs, window, tokens)
        count = turns_to_fold(
            window.turns,
            costs,
            state_tokens=state_cost(window.state, tokens),
            limit_tokens=window.limit_tokens,
            policy=self._policy,
        )
        if count == 0:
            return False
        folded = window.turns[:count]
        source = state_cost(window.state, tokens) + sum(costs[:count])
        most = min(self._policy.state_tokens(window.limit_tokens), source - 1)
        state = await self._new_state(tenant, window, folded, most=most, tokens=tokens)
        if state is None:
            self._log.event("compaction_refused", session=session, turns=count)
            return False
        return await self._store.publish(
            tenant, session, state, replaces=window, state_tokens=state_cost(state, tokens)
        )

    async def _new_state(
        self, tenant: str, window: Window, folded: tuple[Turn, ...], *, most: int, tokens: Tokens
    ) -> State | None:
        for summarizer in dict.fromkeys((self._summarizer, self._fallback)):
            try:
                summary = await summarizer.summarize(
                    folded, window.state, tenant=tenant, max_tokens=most, tokens=tokens
                )
            except WaysideError as error:
                self._log.event("summarizer_failed", code=error.code or error.type)
                continue
            state = _state_of(summary, window.state, folded)
            if is_publishable(state, window.state, most=most, tokens=tokens):
                return state
        return None


def _costs(window: Window, tokens: Tokens) -> list[int]:
    return [tokens.of_message(turn.message) for turn in window.turns]


def is_publishable(state: State, previous: State, *, most: int, tokens: Tokens) -> bool:
    """Neither empty, nor longer than allowed, nor about turns that it does not cover."""
    seqs = [
        seq
        for line in (*state.facts, *state.open_tasks, *state.summary, *state.entities)
        for seq in line.seqs
    ]
    return (
        not state.is_empty
        and state.covered_through > previous.covered_through
        and all(1 <= seq <= state.covered_through for seq in seqs)
        and state_cost(state, tokens) <= most
    )


def _state_of(summary: Summary, previous: State, folded: tuple[Turn, ...]) -> State:
    return State(
        version=previous.version + 1,
        covered_through=folded[-1].seq,
        facts=summary.facts,
        open_tasks=summary.open_tasks,
        summary=summary.summary,
        entities=summary.entities,
        written_by=summary.written_by,
    )
