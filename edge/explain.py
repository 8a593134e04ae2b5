"""A judgement told to the caller: what was found, every threshold, and why it was decided so."""

from typing import Any, assert_never

from edge.domain import AnswerLocally, Decline, Examined, Forward, Refused, Reuse
from edge.error_budget import ErrorBudget, Namespace
from edge.judge import Judgement, Thresholds

_TOP = 3


def explained(
    judgement: Judgement, *, upstream: str, thresholds: Thresholds, budget: ErrorBudget
) -> dict[str, Any]:
    """JSON of `POST /v1/route`. Questions of the caller's own tenant are told; nobody else's are near."""
    encoding, routed, uses = judgement.encoding, judgement.routed, judgement.uses
    return {
        "decision": _decision(judgement, upstream),
        "entry": judgement.keys.entry,
        "scope": judgement.keys.scope.digest,
        "reading": None
        if encoding is None
        else {
            "intents": [
                {"intent": one.label, "confidence": one.probability}
                for one in encoding.classification.top[:_TOP]
            ],
            "out_of_scope": encoding.classification.out_of_scope,
            "complexity": encoding.complexity,
            "injection": encoding.injection,
            "truncated": encoding.truncated,
            "bundle": encoding.bundle,
        },
        "rule": None
        if routed is None
        else {
            "table": routed.table,
            "sure": routed.is_sure,
            "cache": routed.rule.cache,
            "knowledge": routed.rule.knowledge,
            "ttl_s": routed.rule.ttl_s,
            "stale_s": routed.rule.stale_s,
            "min_confidence": routed.rule.min_confidence,
            "agent": routed.rule.agent,
            "tier": routed.rule.tier,
            "complex_from": routed.rule.complex_from,
            "complex_tier": routed.rule.complex_tier,
        },
        "thresholds": {"injection": thresholds.injection, "candidates": thresholds.candidates},
        "not_used": None
        if uses is None
        else {
            "exact": uses.exact,
            "knowledge": uses.knowledge,
            "semantic": uses.semantic,
            "store_exact": uses.store_exact,
            "store_semantic": uses.store_semantic,
        },
        "error_budget": None if judgement.namespace is None else _budget(judgement.namespace, budget),
        "knowledge": [_candidate(one) for one in judgement.known],
        "cached": [_candidate(one) for one in judgement.cached],
    }


def _budget(namespace: Namespace, budget: ErrorBudget) -> dict[str, Any]:
    held = budget.of(namespace)
    return {
        "namespace": f"{namespace.tenant}/{namespace.table}",
        "max_wrong_hit_rate": budget.budget.max_wrong_hit_rate,
        "exact_only": held.is_exact_only,
        "threshold": None if held.is_exact_only else held.threshold,
        "because_of": held.by,
        "wrong_hit_rate": held.evidence.rate,
        "bound": held.bound(budget.budget.confidence),
        "samples": held.samples,
    }


def _decision(judgement: Judgement, upstream: str) -> dict[str, Any]:
    decision = judgement.decision
    match decision:
        case Reuse():
            return {"route": "cache", "kind": decision.kind, "entry": decision.answer.id}
        case AnswerLocally():
            return {"route": "local", "kind": "knowledge", "entry": decision.answer.id}
        case Forward():
            routed = judgement.routed if judgement.routed is not None and judgement.routed.is_sure else None
            return {
                "route": "cloud",
                "to": upstream,
                "cause": decision.cause,
                "reason": decision.reason,
                "agent": routed.rule.agent if routed else None,
                "tier": routed.tier if routed else None,
            }
        case Decline():
            return {"route": "none", "reason": decision.reason}
        case _:
            assert_never(decision)


def _candidate(examined: Examined) -> dict[str, Any]:
    verdict = examined.verdict
    return {
        "question": examined.candidate.question,
        "similarity": examined.candidate.similarity,
        "entry": examined.candidate.answer.id,
        "verified": not isinstance(verdict, Refused),
        "refused": verdict.reason if isinstance(verdict, Refused) else None,
        "probability": verdict.probability,
    }
