"""Our labels of public prompts, kept apart from the prompts themselves."""

import gzip
import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from models.rows import IntentRow

KEY_CHARACTERS: Final = 400
"""Letters and digits of a prompt that make its key; the collections hold no two alike so far."""


class Label(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hand-labelled prompt of a public collection, named by its key."""

    key: str
    source: str
    intent: str
    alt: str | None = None
    needs_tools: bool = False


def key(text: str) -> str:
    """A prompt's key: a hash of how its letters and digits begin."""
    return blake2b(normalised(text)[:KEY_CHARACTERS].encode(), digest_size=8).hexdigest()


def normalised(text: str) -> str:
    """Letters and digits alone, lower case: two texts that differ in nothing else are the same."""
    return "".join(character for character in text.lower() if character.isalnum())


def labelled_prompts(labels: Path, data: Path) -> Iterator[IntentRow]:
    """Joins labels to the prompts they name; a prompt that is not there is left out."""
    texts = {key(text): text for text in _prompts(data)}
    for line in labels.read_bytes().splitlines():
        label = msgspec.json.decode(line, type=Label)
        if label.key in texts:
            yield IntentRow(
                text=texts[label.key],
                intent=label.intent,
                alt=label.alt,
                needs_tools=label.needs_tools,
                source=label.source,
            )


def _prompts(data: Path) -> Iterator[str]:
    with gzip.open(data / "arena_hard" / "v2.0_question.jsonl.gz", "rt", encoding="utf-8") as stream:
        yield from (json.loads(line)["prompt"] for line in stream)
    with gzip.open(data / "llmrouter" / "default_query_train.jsonl.gz", "rt", encoding="utf-8") as stream:
        yield from (json.loads(line)["query"] for line in stream)
    with (data / "vicuna_bench" / "vicuna_bench_question.jsonl").open(encoding="utf-8") as stream:
        yield from (json.loads(line)["turns"][0] for line in stream)
    with (data / "self_instruct" / "seed_tasks.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            task = json.loads(line)
            for instance in task["instances"]:
                yield f"{task['instruction']}\n\n{instance['input']}".strip()
                if instance["input"]:
                    yield f"{instance['input']}\n\n{task['instruction']}"
