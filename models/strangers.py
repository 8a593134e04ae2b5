"""Texts assumed to lie outside an operator's intents, for calibrating out-of-scope."""

from pathlib import Path

from models.rows import OUT_OF_SCOPE, read_intents


def strangers() -> list[str]:
    """Prompts of every general task, written for this project, in a fixed shuffle-free order."""
    rows = read_intents(Path(__file__).parent / "packs" / "general" / "written.jsonl")
    tasks: dict[str, list[str]] = {}
    for row in rows:
        if row.intent not in (OUT_OF_SCOPE, "smalltalk"):
            tasks.setdefault(row.intent, []).append(row.text)
    # Every task in turn, so that the first few hundred hold them all.
    longest = max(len(texts) for texts in tasks.values())
    return [texts[index] for index in range(longest) for texts in tasks.values() if index < len(texts)]
