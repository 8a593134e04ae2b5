"""The exact cache on disk: restarts, damage, pickles, full disks."""

import os
import random
import shutil
import sqlite3
from pathlib import Path

import diskcache
import pytest

from edge.adapters.diskcache_exact import BytesDisk, DiskcacheExact
from tests.ports.test_exact_cache import answer, keys
from tests.support.caches import Clock

pytestmark = pytest.mark.anyio
ROUNDS = int(os.environ.get("WAYSIDE_FUZZ_ROUNDS", "30"))
"""Copies of the folder that are damaged: a few here, a thousand when asked for."""
BIG = b"y" * 50_000


async def filled(folder: Path, clock: Clock, *, count: int = 20) -> None:
    cache = DiskcacheExact(folder, max_bytes=10_000_000, clock=clock)
    for index in range(count):
        assert await cache.put(
            keys(entry=f"{index:043}"), answer(clock, (BIG if index % 2 else b"small") + b"%d" % index)
        )
    await cache.aclose()


async def test_answers_survive_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    await filled(tmp_path / "exact", clock)
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000, clock=clock)
    for index in range(20):
        found = await cache.get(keys(entry=f"{index:043}"))
        assert found is not None
        assert found.completion.endswith(b"%d" % index)
    await cache.aclose()


async def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "exact").mkdir(mode=0o755)
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000)
    assert (tmp_path / "exact").stat().st_mode & 0o777 == 0o700
    await cache.aclose()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(BOMBED),)


BOMBED = Path("planted-pickle-ran")


@pytest.mark.parametrize("in_a_file", [False, True])
async def test_a_planted_pickle_is_a_miss_and_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_a_file: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    planted = diskcache.Cache(str(tmp_path / "exact"), disk_min_file_size=0 if in_a_file else 1_000_000)
    planted.set(f"acme/{'e' * 43}", Bomb())
    planted.close()
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000)
    assert await cache.get(keys()) is None
    await cache.aclose()
    assert list(tmp_path.iterdir()) == [tmp_path / "exact"]


def test_nothing_but_text_keys_and_bytes_values_is_written(tmp_path: Path) -> None:
    disk = BytesDisk(str(tmp_path))
    for refused in (
        lambda: disk.put(("a",)),
        lambda: disk.store({"a": 1}, False),
        lambda: disk.store("text", False),
    ):
        with pytest.raises(Exception, match=r"^$"):
            refused()


async def test_a_value_moved_under_another_key_is_a_miss(tmp_path: Path) -> None:
    clock = Clock()
    await filled(tmp_path / "exact", clock, count=2)
    with sqlite3.connect(tmp_path / "exact" / "cache.db") as database:
        database.execute(
            "UPDATE Cache SET key = 'acme/' || ? WHERE key = 'acme/' || ?", ("z" * 43, f"{0:043}")
        )
    database.close()
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000, clock=clock)
    assert await cache.get(keys(entry="z" * 43)) is None
    await cache.aclose()


async def test_damaged_files_are_misses_never_other_answers(tmp_path: Path) -> None:
    clock, chance = Clock(), random.Random(5)
    await filled(tmp_path / "whole", clock)
    for round_ in range(ROUNDS):
        folder = tmp_path / f"damaged-{round_}"
        shutil.copytree(tmp_path / "whole", folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in chance.sample(files, k=min(len(files), chance.randint(1, 4))):
            data = bytearray(path.read_bytes())
            if chance.random() < 0.5:
                del data[chance.randrange(len(data) + 1) :]
            else:
                for _ in range(chance.randint(1, 200)):
                    if data:
                        data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data)
        cache = DiskcacheExact(folder, max_bytes=10_000_000, clock=clock)
        for index in range(20):
            found = await cache.get(keys(entry=f"{index:043}"))
            assert found is None or found.completion == (BIG if index % 2 else b"small") + b"%d" % index
        assert isinstance(await cache.put(keys(), answer(clock, b"new")), bool)
        await cache.aclose()
        shutil.rmtree(folder)


async def test_a_full_disk_loses_the_answer_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=10_000_000, clock=clock)
    await cache.put(keys(entry="1" * 43), answer(clock, b"before"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BytesDisk, "_write", full)
    assert not await cache.put(keys(entry="2" * 43), answer(clock, BIG))
    assert await cache.get(keys(entry="2" * 43)) is None
    assert await cache.get(keys(entry="1" * 43)) is not None
    await cache.aclose()


async def test_the_size_is_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    clock = Clock()
    cache = DiskcacheExact(tmp_path / "exact", max_bytes=1_000_000, clock=clock)
    for index in range(100):
        await cache.put(keys(entry=f"{index:043}"), answer(clock, BIG))
    size = sum(path.stat().st_size for path in (tmp_path / "exact").rglob("*.val"))
    assert size < 1_500_000
    assert await cache.get(keys(entry=f"{0:043}")) is None
    assert await cache.get(keys(entry=f"{99:043}")) is not None
    await cache.aclose()


async def test_without_a_place_to_write_everything_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "exact").write_bytes(b"a file where the folder should be")
    cache = DiskcacheExact(tmp_path / "exact" / "below", max_bytes=1_000_000)
    assert not await cache.put(keys(), answer(Clock()))
    assert await cache.get(keys()) is None
    assert await cache.drop("acme") == 0
    await cache.aclose()
