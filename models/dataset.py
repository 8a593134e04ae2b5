"""Collections on disk turned into training and validation examples."""

import csv
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from models.labels import labelled_prompts, normalised
from models.rows import OUT_OF_SCOPE, IntentRow, read_intents
from models.strangers import strangers

ROUTES: Final = (
    "smalltalk",
    "factual_qa",
    "general_chat",
    "writing",
    "text_transform",
    "summarization",
    "coding",
    "math_reasoning",
    "data_analysis",
    "planning",
)
REAL: Final = frozenset({"arena_hard_v2", "self_instruct_seed", "vicuna"})
"""Sources of prompts that people sent to an assistant, or wrote as if to one."""
PACKS: Final = Path(__file__).parent / "packs"
HELD_OUT_SUBJECTS: Final = (
    "college_medicine",
    "econometrics",
    "high_school_biology",
    "high_school_macroeconomics",
    "jurisprudence",
    "moral_disputes",
    "prehistory",
    "public_relations",
)
"""MMLU subjects no complexity example is trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A text with what is known about it; what is absent trains no head."""

    text: str
    source: str
    intent: str | None = None
    alt: str | None = None
    signals: dict[str, float] = field(default_factory=dict)
    """Target in [0, 1] of each single-logit head that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """Examples of one task mix, split by source or by text, never by chance of order."""

    labels: tuple[str, ...]
    train: list[Example]
    validation: list[Example]
    served: frozenset[str] = frozenset()
    """Sources like what will be asked: where there are any, they alone set the route's temperature."""


def data_directory() -> Path:
    """Where the public collections lie: `WAYSIDE_DATA`, else `../shared/data` beside the repository."""
    return Path(os.environ.get("WAYSIDE_DATA") or Path(__file__).parents[2] / "shared" / "data")


def collect(pack: str, data: Path) -> Collection:
    """The examples of a shipped pack, none of whose training texts is held out or tested on.

    The public splits share texts that differ in a comma or an apostrophe: those leave training.
    """
    tested: list[IntentRow] = []
    match pack:
        case "general":
            collection = general(data)
        case "assistant":
            collection = assistant(data)
            tested = [*clinc(data, "test"), *clinc(data, "oos_test")]
        case "banking":
            collection = banking(data)
            tested = banking_rows(data, "test")
        case _:
            raise ValueError(f"no pack named {pack!r}")
    held = {normalised(one.text) for one in collection.validation}
    held |= {normalised(row.text) for row in tested}
    train = [one for one in collection.train if normalised(one.text) not in held]
    return replace(collection, train=train)


def assistant(data: Path) -> Collection:
    """CLINC150 (Larson et al., 2019) with its own splits; open questions teach what lies outside."""
    questions = [
        Example(text=row["query"], source="llmrouter:outside", signals={"out_of_scope": 1.0})
        for row in _jsonl(data / "llmrouter" / "default_query_train.jsonl.gz")
        if row["task_name"] in ("natural_qa", "trivia_qa")
    ]
    return Collection(
        labels=tuple(sorted({row.intent for row in clinc(data, "train")})),
        train=[
            *_of_intents(clinc(data, "train"), "clinc150"),
            *_of_intents(clinc(data, "oos_train"), "clinc150:outside"),
            *questions,
        ],
        validation=[
            *_of_intents(clinc(data, "val"), "clinc150"),
            *_of_intents(clinc(data, "oos_val"), "clinc150"),
        ],
    )


def banking(data: Path) -> Collection:
    """Banking77 (Casanueva et al., 2020); a tenth of its training rows validates.

    It has no out-of-scope rows: prompts of other tasks stand for them.
    """
    outside = {"out_of_scope": 1.0}
    rows = [
        *_of_intents(banking_rows(data, "train"), "banking77"),
        *(Example(text=text, source="written:outside", signals=outside) for text in strangers()[:600]),
    ]
    return Collection(
        labels=tuple(sorted({row.intent for row in rows if row.intent})),
        train=[row for row in rows if share(row.text) >= 0.1],
        validation=[row for row in rows if share(row.text) < 0.1],
    )


def general(data: Path) -> Collection:
    """Ten tasks, complexity, injection and tool need, from labelled prompts and public collections."""
    examples = [
        *labelled(PACKS / "general", data),
        *abstentions(data),
        *plain(data),
        *complexity(data),
        *injections(data),
    ]
    return Collection(
        labels=ROUTES,
        train=[one for one in examples if not held_out(one)],
        validation=[one for one in examples if held_out(one)],
        served=REAL,
    )


def held_out(example: Example) -> bool:
    """Whether a general example validates: a fifth of the real prompts, a tenth of the rest."""
    kind = example.source.split(":")
    if kind[0] == "mmlu":
        return kind[1] in HELD_OUT_SUBJECTS or share(example.text) < 0.1
    if kind[-1] == "validation" or kind[0] == "written_dev":
        return True
    return share(example.text) < (0.2 if kind[0] in REAL else 0.1)


def labelled(pack: Path, data: Path) -> Iterator[Example]:
    """Hand-labelled real prompts, and prompts and fragments written for this project."""
    rows = list(labelled_prompts(pack / "labels.jsonl", data))
    for name in ("written", "abstain", "dev_check"):
        rows += read_intents(pack / f"{name}.jsonl")
    for row in rows:
        outside = row.intent == OUT_OF_SCOPE
        signals = {"out_of_scope": float(outside), "injection": 0.0}
        if row.needs_tools is not None:
            signals["needs_tools"] = float(row.needs_tools)
        intent = None if outside else row.intent
        yield Example(text=row.text, source=row.source, intent=intent, alt=row.alt, signals=signals)


def plain(data: Path) -> Iterator[Example]:
    """Everyday requests that name no task: they hold the embedding in place and are no attacks."""
    ordinary = {"injection": 0.0}
    for known in clinc(data, "train"):
        if share("plain " + known.text) < 0.25:
            yield Example(text=known.text, source="clinc", signals=ordinary)
    for row in _jsonl(data / "snips" / "train.jsonl.gz"):
        if share("plain " + row["text"]) < 0.1:
            yield Example(text=row["text"], source="snips", signals=ordinary)
    for row in _jsonl(data / "llmrouter" / "default_query_train.jsonl.gz"):
        if row["task_name"] in ("natural_qa", "trivia_qa", "commonsense_qa"):
            yield Example(text=row["query"], source="llmrouter", signals=ordinary)


def abstentions(data: Path) -> Iterator[Example]:
    """Texts that ask for nothing: prompts broken off, code or prose pasted without a request."""
    outside = {"out_of_scope": 1.0}
    for row in _jsonl(data / "human_eval" / "HumanEval.jsonl.gz"):
        yield Example(text=row["canonical_solution"], source="human_eval:pasted", signals=outside)
    for row in _jsonl(data / "bipia" / "email_train.jsonl"):
        yield Example(text=row["context"], source="bipia:pasted", signals=outside)
    for written in read_intents(PACKS / "general" / "written.jsonl"):
        words = written.text.split()
        if written.intent != "smalltalk" and len(words) >= 8 and share("broken " + written.text) < 0.15:
            kept = 2 + int(share("kept " + written.text) * 3)
            yield Example(text=" ".join(words[:kept]), source="written:broken", signals=outside)


def complexity(data: Path) -> Iterator[Example]:
    """RouteLLM's outcomes (arXiv 2406.18665): 1 strong alone right, 0 weak alone right, else a half."""
    for row in _jsonl(data / "routellm" / "mmlu_responses.jsonl.gz"):
        gain = _right(row["gpt4_1106_correct"]) - _right(row["mixtral_8x7b_correct"])
        source = f"mmlu:{row['subject']}"
        yield Example(text=row["prompt"], source=source, signals={"complexity": 0.5 + gain / 2})
    for row in _jsonl(data / "routellm" / "gsm8k_responses.jsonl.gz"):
        gain = _right(row["gpt-4-1106-preview"]) - _right(row["mistralai/Mixtral-8x7B-Instruct-v0.1"])
        yield Example(text=row["prompt"], source="gsm8k", signals={"complexity": 0.5 + gain / 2})


def injections(data: Path) -> Iterator[Example]:
    """Attacks and the ordinary texts that look like them."""
    folder = data / "prompt_injection"
    for split in ("train", "validation"):
        for row in _jsonl(folder / "neuralchemy" / f"core-{split}.jsonl.gz"):
            yield _attack(row["text"], float(row["label"]), f"neuralchemy:{split}")
    with gzip.open(folder / "s-labs" / "train.csv.gz", "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield _attack(row["text"], float(row["label"]), "s-labs:train")
    with (folder / "s-labs" / "validation.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield _attack(row["text"], float(row["label"]), "s-labs:validation")
    with (folder / "yanismiraoui" / "prompt_injections.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield _attack(row["prompt_injections"], 1.0, "yanismiraoui")
    with gzip.open(data / "jailbreak_inthewild" / "inthewild_jailbreak_llms.json.gz", "rt") as stream:
        for text in json.load(stream):
            yield _attack(text, 1.0, "jailbreak_inthewild")
    emails = [row["context"] for row in _jsonl(data / "bipia" / "email_train.jsonl")]
    attacks = json.loads((data / "bipia" / "text_attack_train.json").read_text(encoding="utf-8"))
    for index, text in enumerate(text for group in attacks.values() for text in group):
        yield _attack(f"{emails[index % len(emails)]}\n{text}", 1.0, "bipia")


def clinc(data: Path, split: str) -> list[IntentRow]:
    """Rows of one split of CLINC150."""
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt") as stream:
        return [IntentRow(text=text, intent=intent) for text, intent in json.load(stream)[split]]


def banking_rows(data: Path, split: str) -> list[IntentRow]:
    """Rows of one split of Banking77."""
    with (data / "banking77" / f"{split}.csv").open(encoding="utf-8") as stream:
        return [IntentRow(text=row["text"], intent=row["category"]) for row in csv.DictReader(stream)]


def share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone: splits hold on any order and machine."""
    return int.from_bytes(blake2b(normalised(text).encode(), digest_size=6).digest()) / 2**48


def _of_intents(rows: Iterable[IntentRow], source: str) -> Iterator[Example]:
    for row in rows:
        outside = row.intent == OUT_OF_SCOPE
        signals = {"out_of_scope": float(outside)}
        yield Example(text=row.text, source=source, intent=None if outside else row.intent, signals=signals)


def _attack(text: str, label: float, source: str) -> Example:
    return Example(text=text, source=source, signals={"injection": label})


def _right(value: str) -> float:
    return float(value == "True")


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as stream:
        for line in stream:
            yield json.loads(line)
