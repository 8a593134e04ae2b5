"""How sure a semantic hit must be, so that the wrong ones stay within the operator's budget."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edge.bounds import proves_above, proves_at_most, upper_bound

BY_RULE = 1.0
"""The probability of what the guards alone find to be the same question but for its wrapping."""
EXACT_ONLY = math.inf
"""The threshold of a namespace whose budget cannot be held: no probability reaches it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """Whose hits share a budget, and an estimate."""

    tenant: str
    table: str
    """The route table's name for the intent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A would-be hit, and whether the upstream's own answer turned out to be another one."""

    score: float
    wrong: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """How many calibration pairs scored from `score` up to the next bin's."""

    score: float
    right: int
    wrong: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What the operator asks for, and how sure to be of it."""

    max_wrong_hit_rate: float = 0.01
    confidence: float = 0.95
    window: int = 2000
    """Samples of a namespace that count; older ones are let go."""

    @property
    def least_evidence(self) -> int:
        """Hits without a wrong one that prove the budget."""
        return math.ceil(math.log(1 - self.confidence) / math.log(1 - self.max_wrong_hit_rate))


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Hits that were looked at, and how many of them were wrong."""

    wrong: int = 0
    total: int = 0

    @property
    def rate(self) -> float:
        return self.wrong / self.total if self.total else 0.0

    def proves(self, budget: Budget) -> bool:
        return proves_at_most(budget.max_wrong_hit_rate, self.wrong, self.total, confidence=budget.confidence)

    def refutes(self, budget: Budget) -> bool:
        return proves_above(budget.max_wrong_hit_rate, self.wrong, self.total, confidence=budget.confidence)


Speaks = Literal["samples", "calibration", "trust", "nothing"]
"""What speaks for a threshold: the traffic itself, the verifier's table, or, for what has neither,
nothing against it. `nothing`: even the strictest threshold has failed."""


_SHIFT = 0.5
"""Share of the budget that a table must prove: the traffic's pairs are not the table's. On streams of
Quora's questions the share of wrong hits was three times that of the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A namespace's threshold, and what is known about the hits above it."""

    threshold: float
    by: Speaks
    evidence: Evidence
    """At the threshold; where nothing is served, at the strictest one."""
    samples: int
    """How many samples of the namespace's own there are, of any score."""

    @property
    def is_exact_only(self) -> bool:
        return self.threshold == EXACT_ONLY

    def bound(self, confidence: float) -> float:
        """Upper confidence bound of the share of wrong hits; 1 where nothing is known."""
        return upper_bound(self.evidence.wrong, self.evidence.total, tail=1 - confidence)


def held(samples: Sequence[Sample], calibration: Sequence[Bin], *, floor: float, budget: Budget) -> Held:
    """The lowest threshold, at least `floor`, whose hits are proven to keep the budget.

    Thresholds are tried from the strictest down, and the first that fails ends the search: a fixed
    sequence, so that trying many costs no confidence (Angelopoulos et al., "Learn then Test", 2021). The
    namespace's own samples decide wherever they are enough to. Where they are not yet, the verifier's
    table does, or, for what no table covers (the guards' own verdicts, a verifier without a table), a
    threshold holds until samples refute it.
    """
    bins = sorted((one for one in calibration if one.score >= floor), key=lambda one: -one.score)
    scored = [one.score for one in bins] or [floor]
    best = Held(threshold=EXACT_ONLY, by="nothing", evidence=Evidence(), samples=len(samples))
    for level in [BY_RULE, *(score for score in scored if score < BY_RULE)]:
        own = [one.wrong for one in samples if one.score >= level]
        seen = Evidence(wrong=sum(own), total=len(own))
        above = [one for one in bins if level <= one.score < BY_RULE]
        told = Evidence(
            wrong=sum(one.wrong for one in above), total=sum(one.wrong + one.right for one in above)
        )
        by: Speaks
        if seen.total >= budget.least_evidence:
            by, known, holds = "samples", seen, seen.proves(budget)
        elif seen.refutes(budget):
            by, known, holds = "samples", seen, False
        elif not above:
            by, known, holds = "trust", seen, True
        elif told.total < budget.least_evidence / _SHIFT:
            continue  # too few to tell, whatever they say
        else:
            by, known = "calibration", told
            holds = told.proves(replace(budget, max_wrong_hit_rate=_SHIFT * budget.max_wrong_hit_rate))
        if not holds:
            return replace(best, evidence=known) if best.is_exact_only else best
        best = replace(best, threshold=level, by=by, evidence=known)
    return best


@dataclass(kw_only=True, slots=True)
class _State:
    samples: deque[Sample]
    held: Held


_MOST_NAMESPACES = 4096
_YOUNG_UNTIL = 50
"""Samples of its own that a namespace has while it is young."""
_YOUNG = 5.0


@dataclass(kw_only=True)
class ErrorBudget:
    """The thresholds of all namespaces, moved by each sample. In memory; the least used are let go."""

    budget: Budget = field(default_factory=Budget)
    sampled: float = 0.02
    """Share of the hits served that are sampled; five times that while a namespace is young."""
    floor: float = BY_RULE
    """The verifier's own threshold: what it refuses is no would-be hit."""
    calibration: tuple[Bin, ...] = ()
    noted: Callable[[Namespace, Held], None] = lambda *_: None

    def __post_init__(self) -> None:
        self._states: OrderedDict[Namespace, _State] = OrderedDict()
        self._untouched = self._held(())

    def of(self, namespace: Namespace) -> Held:
        state = self._states.get(namespace)
        if state is None:
            return self._untouched
        self._states.move_to_end(namespace)
        return state.held

    def rate(self, namespace: Namespace, score: float) -> float:
        """The share of such would-be hits to sample.

        What is forwarded anyway is sampled always, for it costs nothing. That gives the less certain ones
        more weight than they have in the traffic, so the estimate errs to the safe side.
        """
        found = self.of(namespace)
        if self.sampled == 0 or score < found.threshold:
            return float(self.sampled > 0)
        return self.sampled * (_YOUNG if found.samples < _YOUNG_UNTIL else 1.0)

    def record(self, namespace: Namespace, samples: Iterable[Sample]) -> Held:
        """Count samples, oldest first, and move the threshold."""
        state = self._states.get(namespace)
        if state is None:
            state = _State(samples=deque(maxlen=self.budget.window), held=self._untouched)
            self._states[namespace] = state
            if len(self._states) > _MOST_NAMESPACES:
                self._states.popitem(last=False)
        self._states.move_to_end(namespace)
        state.samples.extend(samples)
        state.held = self._held(state.samples)
        self.noted(namespace, state.held)
        return state.held

    def _held(self, samples: Iterable[Sample]) -> Held:
        return held(tuple(samples), self.calibration, floor=self.floor, budget=self.budget)
