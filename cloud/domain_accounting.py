"""Frozen values of what tenants may spend, and do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Period = Literal["minute", "day"]
SECONDS: Mapping[Period, int] = {"minute": 60, "day": 86_400}


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one tenant; what is left out is not limited. A day begins at midnight, UTC."""

    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    requests_per_day: Annotated[int, Meta(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    tokens_per_day: Annotated[int, Meta(ge=1)] | None = None
    usd_per_day: Annotated[float, Meta(gt=0)] | None = None

    def limits(self, period: Period) -> tuple[int | None, int | None, float | None]:
        """Requests, tokens and US dollars of a period."""
        if period == "minute":
            return self.requests_per_minute, self.tokens_per_minute, None
        return self.requests_per_day, self.tokens_per_day, self.usd_per_day

    @property
    def periods(self) -> tuple[Period, ...]:
        """Those with a limit."""
        both: tuple[Period, Period] = ("minute", "day")
        return tuple(period for period in both if any(one is not None for one in self.limits(period)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Tokens read and written, and their price."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserved:
    """What was taken from a tenant's budget before a call."""

    tenant: str
    budget: Budget
    cost: Cost
    at: float
    """Unix time, seconds: it is given back to the periods it was taken from."""
