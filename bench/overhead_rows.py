"""The rows of `overhead`: which system is asked what, and where its answers must come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from bench.peers import CACHING_PEER, peers
from bench.questions import POPULAR, STATIC_REPLY, Questions
from bench.systems import FORWARDING_ALONE, Edge, Floor, System
from bench.truth import Route

Mode = Literal["JSON", "SSE"]


_CANNED = "canned floor"
_REWORDED = {
    "cache_max_wrong_hit_rate": "0.2",
    "cache_shadow_rate": "0",
    "semantic_entries_per_tenant": "200000",
}
"""Until there are samples, the default budget of 1 % lets no question be answered that only a reader finds to
be the same. A sampled wording would be known to the letter when it comes again. At the default quota 100,000
entries are a full cache, which is `endurance`'s matter."""

PEERS = ("floor", *(peer.name for peer in peers()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row of the table."""

    system: System
    mode: Mode
    is_ours: bool
    questions: Questions = "fixed"
    floor: str = "floor"
    """The row it is compared with."""
    served: Route | None = None
    """Where its answers must come from; each that does not is a fault."""
    fill: int = 0
    """Other questions in the same scope of the semantic cache."""

    @property
    def name(self) -> str:
        return f"{self.system.name} ({self.mode})"


def entries(
    names: Sequence[str],
    edge_settings: dict[str, str],
    *,
    streams_peers: bool,
    semantic_entries: Sequence[int] = (),
) -> list[Entry]:
    """Ours in both modes, then the systems asked for; the floor in both, since each mode needs its own."""
    edge = Edge(settings=FORWARDING_ALONE | edge_settings)
    deciding = Edge(settings=edge_settings, name="wayside edge, deciding")
    found = [
        Entry(system=edge, mode="JSON", is_ours=True),
        Entry(system=edge, mode="SSE", is_ours=True),
        Entry(system=deciding, mode="JSON", is_ours=True),
        *_hits(edge_settings, semantic_entries),
    ]
    if "floor" in names:
        found.append(Entry(system=Floor(is_canned=True), mode="JSON", is_ours=False, floor=_CANNED))
    others: tuple[System, ...] = (Floor(), *peers())
    for system in others:
        if system.name == CACHING_PEER and system.name in names:
            found.append(_hit_of(system))
        elif system.name in names:
            found.append(Entry(system=system, mode="JSON", is_ours=False))
            if streams_peers or system.name == "floor":
                found.append(Entry(system=system, mode="SSE", is_ours=False))
    return found


def _hit_of(peer: System) -> Entry:
    """A peer that is asked the same again and again."""
    return Entry(system=peer, mode="JSON", is_ours=False, questions="same", floor=_CANNED, served="exact")


def _hits(edge_settings: dict[str, str], semantic_entries: Sequence[int]) -> list[Entry]:
    """What the edge answers itself: no upstream is asked."""

    def entry(
        name: str,
        served: Route,
        questions: Questions,
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
        fill: int = 0,
        knows: bool = False,
    ) -> Entry:
        known = (((POPULAR,), STATIC_REPLY),) if knows else ()
        return Entry(
            system=Edge(settings={**settings, **edge_settings}, name=f"wayside edge, {name}", knows=known),
            mode="JSON",
            is_ours=True,
            questions=questions,
            floor=_CANNED,
            served=served,
            fill=fill,
        )

    return [
        entry("exact hit", "exact", "same"),
        *(
            entry(
                f"semantic hit of {count:,}, budget 20 %",
                "semantic",
                "reworded",
                settings=_REWORDED,
                fill=count,
            )
            for count in semantic_entries
        ),
        entry("local answer", "local", "same", knows=True),
    ]
