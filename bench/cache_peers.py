"""What other semantic caches serve by default: their rules, from their source, on the edge's own encoder."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRule:
    """When another cache serves the nearest stored question. It looks at nothing but their similarity."""

    name: str
    version: str
    """Whose source the rule was read in. Its store and its network are not run."""
    told: str
    serves: Callable[[float], bool]
    """Of the cosine of the two questions, whose embeddings have unit norm."""


def gptcache(cosine: float) -> bool:
    """`Config.similarity_threshold` 0.8, of what `SearchDistanceEvaluation` leaves of a distance of 4.

    The distance is that of its Faiss store, a flat index with METRIC_L2, which is the square of the length.
    """
    largest, threshold = 4.0, 0.8
    distance = min(max(2.0 - 2.0 * cosine, 0.0), largest)
    return largest - distance >= threshold * largest


def redisvl(cosine: float) -> bool:
    """`SemanticCache.distance_threshold` 0.1, a cosine distance."""
    return 1.0 - cosine <= 0.1


PEERS = (
    PeerRule(
        name="GPTCache", version="0.1.44", told="search distance of its Faiss store, 0.8", serves=gptcache
    ),
    PeerRule(name="RedisVL", version="0.28.0", told="cosine distance, 0.1", serves=redisvl),
)
