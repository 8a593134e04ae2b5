"""Memories that an earlier release kept are found, revised and exported by this one."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from cloud.adapters.database import open_database
from cloud.adapters.sql_memories import SqlMemories
from cloud.domain import RecallQuery
from cloud.memory.ranker import read_weights
from cloud.memory.remember import LongTermMemory

pytestmark = pytest.mark.anyio
MIGRATIONS = Path(__file__).parents[3] / "cloud" / "migrations"


def as_first_released(url: str) -> None:
    """A database with the first schema of memories and two of them in it."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "memory_0001")
    with engine.begin() as connection:
        for number, said in enumerate(("I live in Leeds", "I play the oboe")):
            connection.execute(
                text(
                    "INSERT INTO memories VALUES ('acme', :id, 'user', 'ada', 'ada', 'told/user/ada', :n, "
                    "'told', '', :said, :said, 1.0, NULL, :n)"
                ),
                {"id": f"mem_{number}", "n": number, "said": said},
            )
    engine.dispose()


async def test_what_the_first_release_kept_is_found_and_can_be_revised(database_url: str) -> None:
    as_first_released(database_url)
    async with open_database(database_url) as database:
        store = SqlMemories(database)
        recall = LongTermMemory(store, weights=read_weights())
        query = RecallQuery(tenant="acme", text="Where do I live?", user="ada", limit=1)
        assert "Leeds" in (await recall.recall(query))[0].text
        assert (await store.revise("acme", "mem_0", "I live in Porto", valid_from=None)).lineage == "mem_0"
        assert "Porto" in (await recall.recall(query))[0].text
        assert [seq for seq, _ in await store.since("acme", "user", "ada")] == [2, 3, 4]
