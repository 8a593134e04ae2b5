"""The subcommands: a module each, that adds itself to the command line."""

from bench.commands import (
    cache,
    compare,
    cost,
    decisions,
    endurance,
    error_budget,
    faults,
    load,
    memory,
    overhead,
    overload,
    report,
    sessions,
    small,
    soak,
    start,
    summaries,
)

COMMANDS = (
    overhead,
    decisions,
    overload,
    load,
    cost,
    cache,
    error_budget,
    memory,
    sessions,
    summaries,
    endurance,
    soak,
    start,
    faults,
    small,
    compare,
    report,
)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
