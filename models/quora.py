"""How well the embedding tells paraphrases from near misses: AUC over Quora pairs, never trained on."""

import gzip
import json
from pathlib import Path

import numpy as np

from edge.adapters.onnx_encoder import Network
from models.fit import embed
from models.labels import normalised
from models.metrics import auroc


def quora_auc(network: Network, data: Path, *, every: int) -> float:
    """AUC of the cosine over every n-th pair of the development part (57,018 pairs)."""
    with gzip.open(data / "qqp_pairs" / "pairs.jsonl.gz", "rt", encoding="utf-8") as stream:
        pairs = [json.loads(line) for number, line in enumerate(stream) if number % every == 0]
    texts = sorted({text for pair in pairs for text in (pair["a"], pair["b"])}, key=normalised)
    rows = {text: row for row, text in enumerate(texts)}
    vectors = embed(network, texts, title="Quora pairs")
    cosines = np.array([float(vectors[rows[pair["a"]]] @ vectors[rows[pair["b"]]]) for pair in pairs])
    same = np.array([bool(pair["equivalent"]) for pair in pairs])
    return auroc(cosines[~same], cosines[same])
