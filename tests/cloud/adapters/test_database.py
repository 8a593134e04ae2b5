"""One database behind one door: its transactions and its errors."""

from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.adapters.database import open_database
from cloud.wire.service.settings import StartUpError

pytestmark = pytest.mark.anyio


async def test_what_a_transaction_wrote_is_there_when_it_ended_and_gone_when_it_raised(
    database_url: str,
) -> None:
    async with open_database(database_url) as database:
        async with database.writing() as connection:
            await connection.execute(text("CREATE TABLE kept (n INTEGER)"))
            await connection.execute(text("INSERT INTO kept VALUES (1)"))
        with pytest.raises(RuntimeError):  # noqa: PT012 - the block itself is what raises
            async with database.writing() as connection:
                await connection.execute(text("INSERT INTO kept VALUES (2)"))
                raise RuntimeError
        async with database.reading() as connection:
            assert (await connection.execute(text("SELECT n FROM kept"))).scalars().all() == [1]


async def test_opening_a_database_twice_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        async with open_database(database_url) as database, database.reading() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1


@pytest.mark.parametrize(
    "url", ["", "mysql://x/y", "sqlite://", "postgresql://nobody:secret@127.0.0.1:1/none"]
)
async def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    with pytest.raises(StartUpError) as caught:
        async with open_database(url):
            pass
    assert "secret" not in str(caught.value)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cloud.db"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StartUpError, match="not a database"):
        async with open_database(f"sqlite:///{file}"):
            pass
