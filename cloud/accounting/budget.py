"""The operator's budgets, and what a call may cost at most. Pure but for the reading."""

import tomllib
from pathlib import Path

import msgspec

from cloud.domain import Call
from cloud.domain_accounting import Budget, Cost
from cloud.wire.answers import Usage
from cloud.wire.service.settings import StartUpError

_BYTES_A_TOKEN = 3
"""Fewer than any tokenizer of today has on text, so that an estimate is not below the truth."""


class BudgetsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: Budget = Budget()
    """Of each tenant that is not named."""
    tenants: dict[str, Budget] = {}

    def of(self, tenant: str) -> Budget:
        return self.tenants.get(tenant, self.default)


def read(path: Path | None) -> BudgetsFile:
    """Raises StartUpError naming what is wrong."""
    if path is None:
        return BudgetsFile()
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), BudgetsFile)
    except OSError as error:
        raise StartUpError(f"cannot read the budgets file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StartUpError(f"{path}: {error}") from error


def most(call: Call, *, usual_output: int) -> Cost:
    """What a call may cost, by the size of its prompt and the limit of its answer.

    `usual_output`: tokens of an answer for which the caller set no limit.
    """
    written = call.request.output_limit or usual_output
    choices = call.request.n or 1
    return cost(
        call,
        Usage(
            prompt_tokens=len(call.document.body) // _BYTES_A_TOKEN + 1,
            completion_tokens=written * choices,
        ),
    )


def cost(call: Call, usage: Usage) -> Cost:
    """What was used, at the price of the call's model."""
    return Cost(tokens=usage.prompt_tokens + usage.completion_tokens, usd=call.model.price.of(usage))
