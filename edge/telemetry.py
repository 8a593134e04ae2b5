"""What the edge counts of its own: hits by kind, refusals, stores, tokens it saved, feedback."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class EdgeMetrics:
    """Prometheus series of the edge alone. Labels come from fixed sets, never from a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.hits = Counter(
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
        self.saved_tokens = Counter(
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
        self.feedback = Counter(
            "wayside_feedback", "Answers that callers called wrong or right", ["verdict"], registry=registry
        )
