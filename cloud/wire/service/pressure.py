"""What a service counts when it protects itself, or whoever it calls."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Pressure:
    """Prometheus series of breakers, shared calls and refused requests. Labels are from fixed sets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._breakers = Gauge(
            "wayside_breakers", "Circuit breakers that are not closed", ["state"], registry=registry
        )
        self._breaker_changes = Counter(
            "wayside_breaker_changes",
            "Changes of circuit breakers, by new state",
            ["state"],
            registry=registry,
        )
        self.collapsed = Counter(
            "wayside_collapsed",
            "Requests that joined a call already under way for an identical one",
            registry=registry,
        )
        shed = Counter(
            "wayside_shed", "Requests turned away because of load, by where", ["at"], registry=registry
        )
        self.shed_at_door = shed.labels("door")
        self.shed_at_upstream = shed.labels("upstream")
        self.shed_at_encoder = shed.labels("encoder")
        for state in ("open", "half_open"):
            self._breakers.labels(state)
        for state in ("open", "half_open", "closed"):
            self._breaker_changes.labels(state)

    def breaker_changed(self, before: str, after: str) -> None:
        if before != "closed":
            self._breakers.labels(before).dec()
        if after != "closed":
            self._breakers.labels(after).inc()
        self._breaker_changes.labels(after).inc()
