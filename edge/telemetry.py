"""What the edge counts of its own: hits by kind, refusals, stores, tokens it saved, feedback."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge

from edge.error_budget import Budget, Held, Namespace

_MOST_SHOWN = 100
"""Namespaces with series of their own: those first sampled."""


class EdgeMetrics:
    """Prometheus series of the edge alone. Labels come from fixed sets, never from a request."""

    def __init__(
        self, registry: CollectorRegistry, *, price_input: float = 0.0, price_output: float = 0.0
    ) -> None:
        """Prices are of a million tokens, in any one currency."""
        self._price_input = price_input
        self._price_output = price_output
        hits = Counter(
            "wayside_cache_hits",
            "Answers given without the upstream, by kind: exact, semantic, knowledge",
            ["kind"],
            registry=registry,
        )
        self.forwards = Counter(
            "wayside_cache_forwards", "Requests sent on, by cause", ["cause"], registry=registry
        )
        self.stores = Counter(
            "wayside_cache_stores",
            "Finished answers, by what became of them: stored, or why not",
            ["outcome"],
            registry=registry,
        )
        saved_tokens = Counter(
            "wayside_saved_tokens",
            "Tokens that answers from storage would have cost, as first reported",
            ["direction", "kind"],
            registry=registry,
        )
        self.refusals = Counter(
            "wayside_verifier_refusals",
            "Candidates the verifier refused, by reason",
            ["kind", "reason"],
            registry=registry,
        )
        self.routes_refused = Gauge(
            "wayside_route_table_refused",
            "1 while the route table on disk is bad and an older one is in force",
            registry=registry,
        )
        saved_money = Counter(
            "wayside_saved_money",
            "What those tokens would have cost, by the price_input and price_output settings",
            ["kind"],
            registry=registry,
        )
        self.shadows = Counter(
            "wayside_shadow_samples",
            "Would-be hits whose answer was compared with the upstream's, by outcome",
            ["outcome"],
            registry=registry,
        )
        self._wrong_rate = Gauge(
            "wayside_wrong_hit_rate",
            "Estimated share of wrong semantic hits at the namespace's threshold",
            ["namespace"],
            registry=registry,
        )
        self._wrong_rate_bound = Gauge(
            "wayside_wrong_hit_rate_bound", "Its upper confidence bound", ["namespace"], registry=registry
        )
        self._threshold = Gauge(
            "wayside_semantic_threshold",
            "Least probability of a semantic hit; above 1 where there are none",
            ["namespace"],
            registry=registry,
        )
        self._exact_only = Gauge(
            "wayside_exact_only_namespaces",
            "Namespaces that fell back to exact hits because their error budget could not be held",
            registry=registry,
        )
        # `labels` checks and locks on every call, and a hit is short.
        self._hits = cache(hits.labels)
        self._saved_tokens = cache(saved_tokens.labels)
        self._saved_money = cache(saved_money.labels)
        self._shown: set[Namespace] = set()
        self._fallen: set[Namespace] = set()
        self.feedback = Counter(
            "wayside_feedback", "Answers that callers called wrong or right", ["verdict"], registry=registry
        )

    def hit(self, kind: str) -> None:
        """An answer was given without the upstream."""
        self._hits(kind).inc()

    def saved(self, kind: str, *, input_tokens: int, output_tokens: int) -> None:
        """An answer from storage took the place of one that would have cost so many tokens."""
        self._saved_tokens("input", kind).inc(input_tokens)
        self._saved_tokens("output", kind).inc(output_tokens)
        cost = input_tokens * self._price_input + output_tokens * self._price_output
        self._saved_money(kind).inc(cost / 1e6)

    def budget_moved(self, namespace: Namespace, held: Held, budget: Budget) -> None:
        """Show a namespace's estimate. Beyond a number of namespaces only the fallen are counted."""
        (self._fallen.add if held.is_exact_only else self._fallen.discard)(namespace)
        self._exact_only.set(len(self._fallen))
        if namespace not in self._shown and len(self._shown) >= _MOST_SHOWN:
            return
        self._shown.add(namespace)
        label = f"{namespace.tenant}/{namespace.table}"
        self._wrong_rate.labels(label).set(held.evidence.rate)
        self._wrong_rate_bound.labels(label).set(held.bound(budget.confidence))
        self._threshold.labels(label).set(held.threshold)
