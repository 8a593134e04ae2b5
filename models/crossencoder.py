"""The verifier's network: one MiniLM pass over two questions gives one logit; its training."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoModel

from models.network import base_directory, device
from models.pairs import Pair

WIDTH: Final = 384
MOST_TOKENS: Final = 96
"""Longer pairs are never verified; in training they are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Every number of one training run."""

    seed: int = 0
    epochs: float = 3.0
    batch: int = 128
    rate: float = 1e-4
    head_rate: float = 1e-3
    warm_up: float = 0.06
    dropout: float = 0.1
    smoothing: float = 0.02
    quora_weight: float = 1.0
    teaching: float = 0.0
    """Share of the loss that comes from the teachers' logits."""


class CrossEncoder(nn.Module):
    """MiniLM reading `[CLS] a [SEP] b [SEP]`; a linear head on its first token and its mean."""

    def __init__(self, base: Path, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base, add_pooling_layer=False)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1)
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """All of shape (batch, tokens); returns logits (batch, 1)."""
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        logits: Tensor = self.head(torch.cat([states[:, 0], mean], dim=1))
        return logits


def pair_tokenizer() -> Tokenizer:
    """The base tokenizer, without padding or truncation."""
    made = Tokenizer.from_file(str(base_directory() / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    return made


def encoded(made: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """Token ids and token types of each pair."""
    return [(one.ids, one.type_ids) for one in made.encode_batch(list(pairs))]


def batched(
    rows: Sequence[tuple[list[int], list[int]]], where: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and types, padded to the longest row."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for index, (row, kinds) in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        types[index, : len(row)] = torch.tensor(kinds)
        mask[index, : len(row)] = 1
    return ids.to(where), mask.to(where), types.to(where)


def train_verifier(
    pairs: Sequence[Pair],
    plan: Plan,
    *,
    start: dict[str, Tensor] | None = None,
    teacher: Sequence[float] | None = None,
    name: str = "verifier",
) -> CrossEncoder:
    """Trains on `pairs`; `teacher` holds a logit for each of them."""
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)  # noqa: S311
    where = device()
    net = CrossEncoder(base_directory(), dropout=plan.dropout).to(where)
    if start is not None:
        net.load_state_dict(start)
    net.encoder.embeddings.word_embeddings.requires_grad_(False)
    made = pair_tokenizer()
    forward = encoded(made, [(one.a, one.b) for one in pairs])
    backward = encoded(made, [(one.b, one.a) for one in pairs])
    kept = [row for row, (ids, _) in enumerate(forward) if len(ids) <= MOST_TOKENS]
    steps = max(1, math.ceil(plan.epochs * len(kept) / plan.batch))
    encoder = [one for one in net.encoder.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": plan.rate}, {"params": net.head.parameters(), "lr": plan.head_rate}],
        weight_decay=0.01,
    )
    rise = max(1, round(plan.warm_up * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / rise) * max(0.0, (steps - step) / steps)
    )
    order: list[list[int]] = []
    while len(order) < steps:
        rng.shuffle(kept)
        span = plan.batch * 50
        batches = []
        for first in range(0, len(kept), span):
            bucket = sorted(kept[first : first + span], key=lambda row: len(forward[row][0]))
            batches += [bucket[at : at + plan.batch] for at in range(0, len(bucket), plan.batch)]
        rng.shuffle(batches)
        order += batches
    net.train()
    for rows in tqdm(order[:steps], desc=name, mininterval=10):
        turned = [forward[row] if rng.random() < 0.5 else backward[row] for row in rows]
        with torch.autocast(where.type, dtype=torch.bfloat16):
            logits = net(*batched(turned, where))[:, 0]
        truth = torch.tensor([float(pairs[row].equivalent) for row in rows], device=where)
        weight = torch.tensor(
            [plan.quora_weight if pairs[row].source == "quora" else 1.0 for row in rows], device=where
        )
        target = truth * (1 - 2 * plan.smoothing) + plan.smoothing
        if teacher is not None:
            soft = torch.tensor([teacher[row] for row in rows], device=where).sigmoid()
            target = (1 - plan.teaching) * target + plan.teaching * soft
        loss = (
            nn.functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none") * weight
        ).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return net.eval()


def scores(net: CrossEncoder, pairs: Sequence[tuple[str, str]], *, both_orders: bool = True) -> list[float]:
    """A logit for each pair; of both orders the mean."""
    where = device()
    net.to(where)
    made = pair_tokenizer()
    sums = [0.0] * len(pairs)
    orders = (False, True) if both_orders else (False,)
    for turned in orders:
        rows = encoded(made, [(b, a) if turned else (a, b) for a, b in pairs])
        rows = [(ids[:512], types[:512]) for ids, types in rows]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]))
        for first in range(0, len(order), 256):
            places = order[first : first + 256]
            with torch.no_grad(), torch.autocast(where.type, dtype=torch.bfloat16):
                logits = net(*batched([rows[place] for place in places], where))[:, 0].float().cpu()
            for place, logit in zip(places, logits.tolist(), strict=True):
                sums[place] += logit / len(orders)
    return sums


def averaged(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several networks' weights (model soups, arXiv 2203.05482)."""
    first = states[0]
    return {
        key: torch.stack([state[key].float() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for key, value in first.items()
    }
