"""The subcommands: a module each, that adds itself to the command line."""

from bench.commands import (
    cache,
    cost,
    decisions,
    endurance,
    error_budget,
    faults,
    load,
    memory,
    overhead,
    overload,
    sessions,
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
    faults,
    sessions,
    memory,
    endurance,
    soak,
    start,
)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
