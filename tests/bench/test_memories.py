"""The benchmark of long-term memory at scale, small: it writes what it says, and finds it again."""

import sqlite3
from pathlib import Path

from bench import memories, progress


def test_every_memory_is_written_once_and_found_in_its_own_words(tmp_path: Path) -> None:
    file = tmp_path / "bench.db"
    with progress.bar(220, "memories") as shown:
        report = memories.measure(f"sqlite:///{file}", count=200, searches=20, shown=shown)
    with sqlite3.connect(file) as connection:
        (kept,) = connection.execute("SELECT count(*) FROM memories").fetchone()
    connection.close()
    assert kept == 220
    assert report.found_again >= 0.9
    assert report.search_p95_ms >= report.search_p50_ms > 0
    assert "200 memories" in memories.render([report])
