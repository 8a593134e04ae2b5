"""Opens what bounds the edge: the error budget of the semantic cache, and the tenants' quotas."""

import sqlite3
from contextlib import AsyncExitStack

from cloud.wire.service.settings import StartUpError
from edge.adapters.budget_rows import BudgetRows
from edge.adapters.quota_file import QuotaFile, read_spent
from edge.error_budget import Bin, Budget, ErrorBudget
from edge.quotas import Quotas
from edge.settings import EdgeSettings
from edge.telemetry import EdgeMetrics


def open_budget(
    settings: EdgeSettings,
    *,
    floor: float,
    calibration: tuple[Bin, ...],
    metrics: EdgeMetrics,
    stack: AsyncExitStack,
) -> tuple[ErrorBudget, BudgetRows]:
    """The budget with what was learnt before the last stop, and where it keeps what it learns now."""
    wanted = Budget(max_wrong_hit_rate=settings.cache_max_wrong_hit_rate)
    budget = ErrorBudget(
        budget=wanted,
        sampled=settings.cache_shadow_rate,
        floor=floor,
        calibration=calibration,
        noted=lambda namespace, held: metrics.budget_moved(namespace, held, wanted),
    )
    path = settings.data_dir / "semantic" / "budget.db"
    try:
        rows = BudgetRows(path, window=wanted.window)
    except (OSError, sqlite3.Error) as error:
        raise StartUpError(f"cannot keep the error budget in {path}: {error}") from error
    stack.push_async_callback(rows.aclose)
    for namespace, samples in rows.kept():
        budget.record(namespace, samples)
    return budget, rows


def open_quotas(settings: EdgeSettings, stack: AsyncExitStack) -> Quotas:
    """The quotas as far as they were used up before the last stop."""
    path = settings.data_dir / "quotas.json"
    quotas = Quotas(spent=read_spent(path))
    stack.push_async_callback(QuotaFile(path, quotas).aclose)
    return quotas
