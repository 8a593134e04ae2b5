"""One provider in place of many: each call goes to the first model of its line that can answer it.

for model in line:                     the model asked for, then its fallbacks
    breaker.admit()                    open: next model, at once
    for attempt in retries:            jittered waits, Retry-After, within a retry budget
        hold chunks until content      an early fault: retry or next model, silently
        relay                          the commit point: from here on this answer binds
        fault after it                 a model that takes a prefill goes on from the exact text, or an error
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from cloud.domain import Call, Model
from cloud.gateway.attempt import attempt
from cloud.gateway.commitment import Said, continuation, joined
from cloud.gateway.extra_calls import ExtraCalls
from cloud.gateway.hedge import Runner, first_to_begin
from cloud.gateway.policy import GatewayLimits, disposition, is_larger, line_up, wait_s
from cloud.ports import Provider
from cloud.wire.errors import DeadlineExceeded, UpstreamBroken, UpstreamUnavailable, WaysideError
from cloud.wire.service.breaker import Breakers

Note = Callable[[str, Mapping[str, str]], None]
"""Told of `retry`, `failover`, `hedge` and `continued` on the way, with the model and the error."""


class Gateway:
    """A Provider over all providers; see the module for its line of steps."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        models: tuple[Model, ...],
        breakers: Breakers,
        limits: GatewayLimits,
        patience_s: float,
        note: Note,
    ) -> None:
        """`patience_s`: a deadline that passes after this wait counts as the provider's failure."""
        self._providers = providers
        self._models = models
        self._breakers = breakers
        self._limits = limits
        self._patience_s = patience_s
        self._note = note
        self._retries = ExtraCalls(limits.retry_share, most=limits.retry_reserve, saved=limits.retry_reserve)
        self._hedges = ExtraCalls(limits.hedge_share)

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        self._retries.earn()
        self._hedges.earn()
        line = line_up(call.model, self._models)
        error: WaysideError | None = None
        outgrown: Model | None = None
        for index, model in enumerate(line):
            rest = line[index + 1 :]
            if outgrown is not None and not is_larger(model, outgrown):
                continue
            if error is not None:
                self._tell("failover", model, error)
            tries = 0
            while True:
                said, binds = Said(), False
                documents = self._begin(call, model, rest, said, is_first=error is None)
                try:
                    async with aclosing(documents):
                        async for document in documents:
                            binds = True
                            yield document
                    return
                except WaysideError as found:
                    error = found
                if binds:
                    async with aclosing(self._continued(call, rest, said, error)) as continued:
                        async for document in continued:
                            yield document
                    return
                tries += 1
                what = disposition(error)
                if what == "final":
                    raise error
                outgrown = model if what == "larger" else outgrown
                pause = wait_s(tries, error, self._limits, chance=random.random())  # noqa: S311
                if what != "retry" or pause is None or pause >= call.remaining_s():
                    break
                if self._is_open(model) or not self._retries.spend():
                    break
                self._tell("retry", model, error)
                await asyncio.sleep(pause)
        assert error is not None
        raise error

    async def check(self) -> None:
        """Return when any provider can answer; raise the last one's UpstreamUnavailable when none can."""
        problem: UpstreamUnavailable | None = None
        for provider in self._providers.values():
            try:
                await provider.check()
            except UpstreamUnavailable as error:
                problem = error
            else:
                return
        if problem is not None:
            raise problem

    def _attempt(self, call: Call, model: Model, said: Said, *, has_next: bool) -> AsyncGenerator[bytes]:
        return attempt(
            replace(call, model=model),
            self._providers[model.provider],
            self._breakers.of(_key(model)),
            said,
            # Where nobody else could answer, a slow model is better than none.
            first_content_s=self._limits.first_token_s if has_next else None,
            patience_s=self._patience_s,
        )

    def _begin(
        self, call: Call, model: Model, rest: tuple[Model, ...], said: Said, *, is_first: bool
    ) -> AsyncGenerator[bytes]:
        """An attempt; the first of a call with the next model as its hedge, where that is wanted."""
        if not (is_first and rest and self._limits.hedge_after_s) or self._is_open(rest[0]):
            return self._attempt(call, model, said, has_next=bool(rest))

        def runner(one: Model, *, has_next: bool) -> Runner:
            heard = Said()
            return Runner(documents=self._attempt(call, one, heard, has_next=has_next), said=heard)

        def spare() -> Runner:
            self._note("hedge", {"model": rest[0].name, "provider": rest[0].provider, "error": "slow"})
            return runner(rest[0], has_next=len(rest) > 1)

        return first_to_begin(
            runner(model, has_next=True),
            spare,
            said,
            after_s=self._limits.hedge_after_s,
            may_spend=self._hedges.spend,
        )

    async def _continued(
        self, call: Call, rest: tuple[Model, ...], said: Said, error: WaysideError
    ) -> AsyncGenerator[bytes]:
        """The rest of an answer that broke, from a model that takes what was said as a prefill."""
        if said.finish is not None or not said.can_be_continued or isinstance(error, DeadlineExceeded):
            raise error
        for model in rest:
            if not model.takes_prefill:
                continue
            self._tell("continued", model, error)
            going_on = continuation(call, model, said)
            try:
                async with aclosing(self._attempt(going_on, model, Said(), has_next=False)) as documents:
                    async for document in documents:
                        part = joined(document, said)
                        if part is not None:
                            yield part
            except WaysideError as again:
                raise UpstreamBroken(
                    f"the answer broke off, and `{model.name}` could not go on with it: {again.message}"
                ) from again
            return
        raise error

    def _is_open(self, model: Model) -> bool:
        return self._breakers.of(_key(model)).state == "open"

    def _tell(self, what: str, model: Model, error: WaysideError) -> None:
        self._note(what, {"model": model.name, "provider": model.provider, "error": error.code or error.type})


def _key(model: Model) -> str:
    return f"{model.provider}/{model.name}"
