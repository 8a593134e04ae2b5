"""The card of a bundle, written from its manifest."""

from typing import Final

from models.reading.bundle import Manifest

INTENDED: Final = {
    "general": "Routes requests to an assistant by ten tasks, and gives complexity, injection and tool need.",
    "assistant": "Recognises 150 everyday intents in ten domains, and what lies outside them.",
}
LIMITS: Final = """\
- English. Other languages pass through the tokenizer, and the labels mean little there.
- The window is {tokens} tokens: of a longer text both ends are read and the middle is not. Two long texts
  with the same ends have the same embedding; `truncated` says so.
- `factual_qa` against `general_chat` has no sharp border, nor has `summarization` against `text_transform`;
  the second label of `evaluate` counts both.
- Complexity comes from multiple-choice and grade-school questions answered by one weak and one strong
  model of 2023. On subjects it has not seen it orders prompts little better than their length does.
- The injection head is one signal, not a wall: it is measured on known collections of attacks, and the
  bundle's threshold is the operator's choice of false alarms.
- int8 weights: never mix its vectors in one index with those of another bundle, or of the fp32 network.
- int8 products need VNNI to be exact; on processors without it the network is slower and slightly less true.
"""
QUORA: Final = """\
No Quora pair trains any layer here. The base encoder has learned from them (its authors list them among
its training data), and the embedding is held to the base encoder's own vectors, which carries that along;
the pairs are otherwise only measured on.
"""


def card(manifest: Manifest) -> str:
    """Markdown: what it is for, what shaped it, what it cannot do."""
    lines = [
        f"# {manifest.name}",
        "",
        INTENDED.get(manifest.name, "Recognises an operator's own intents."),
        "",
        f"Base: {manifest.base}. One int8 ONNX pass gives the embedding ({manifest.embedding.dimensions}-d, "
        f"{manifest.embedding.pooling}) and every head below.",
        "",
        "| head | labels | temperature |",
        "|---|---|---|",
    ]
    for head in manifest.heads:
        labels = ", ".join(head.labels) if len(head.labels) <= 10 else f"{len(head.labels)} intents"
        lines.append(f"| {head.name} | {labels} | {head.temperature:.2f} |")
    lines += ["", "## Training data", "", "| collection | rows | licence | use |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.rows} | {one.licence} | {one.use} |" for one in manifest.sources]
    lines += [
        "",
        "Examples marked as written, and the task labels of public prompts, were made for this project. No",
        "collection here forbids commercial use.",
        "",
        "## Quora pairs",
        "",
        QUORA,
        "## Limits",
        "",
        LIMITS.format(tokens=manifest.window.max_tokens),
        "## Figures at export",
        "",
        *(f"- {name}: {value:.4g}" for name, value in manifest.metrics.items()),
        "",
        "Test figures stand in `models/README.md`.",
        "",
    ]
    return "\n".join(lines)
