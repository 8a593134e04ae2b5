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
    memories,
    memory,
    overhead,
    overload,
    report,
    runs,
    sessions,
    small,
    soak,
    start,
)

COMMANDS = (
    overhead,
    decisions,
    overload,
    load,
    cost,
    cache,
    error_budget,
    memories,
    memory,
    sessions,
    endurance,
    soak,
    start,
    faults,
    runs,
    small,
    compare,
    report,
)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
