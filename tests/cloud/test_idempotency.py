"""The same key and body are answered once; half an answer is never kept; tenants have keys of their own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from cloud.adapters.database import Database, open_database
from cloud.adapters.processes import Processes
from cloud.adapters.sql_idempotency import SqlIdempotency
from cloud.domain import Answer, Call
from cloud.idempotency import REPLAYED, Claimed, Idempotent, Kept, Taken
from cloud.wire.errors import IdempotencyConflict, UpstreamBroken, UpstreamUnavailable
from tests.support.cloud_calls import call

pytestmark = pytest.mark.anyio
MIGRATIONS = Path(__file__).parents[2] / "cloud" / "migrations"


class Inner:
    """Answers with two documents, or breaks after the first; counts how often it was asked."""

    def __init__(self, *, breaks: bool = False, pause_s: float = 0.0) -> None:
        self.asked = 0
        self.breaks = breaks
        self.pause_s = pause_s
        self.given_up = 0

    async def answer(self, call: Call) -> Answer:
        self.asked += 1
        return Answer(documents=self._documents(self.asked), headers={"x": "1"})

    async def _documents(self, number: int) -> AsyncGenerator[bytes]:
        try:
            await asyncio.sleep(self.pause_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        yield b'{"n":%d}' % number
        if self.breaks:
            raise UpstreamBroken("cut")
        yield b'{"end":true}'


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """This process."""
    here = Processes(tmp_path / "workers")
    yield here
    here.close()


@pytest.fixture
def kept(database: Database, processes: Processes) -> SqlIdempotency:
    return SqlIdempotency(database, processes, ttl_s=100, term_s=30)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Processes]:
    """A process of another machine."""
    there = Processes(tmp_path / "elsewhere")
    yield there
    there.close()


def keyed(text: str = "hi", key: str = "k1", tenant: str = "acme") -> Call:
    return replace(call(text), idempotency_key=key, tenant=tenant)


async def told(layer: Idempotent, asked: Call) -> tuple[list[bytes], dict[str, str]]:
    answer = await layer.answer(asked)
    return [document async for document in answer.documents], dict(answer.headers)


async def test_a_repetition_is_told_what_was_told_before(kept: SqlIdempotency) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    first, _ = await told(layer, keyed())
    again, headers = await told(layer, keyed())
    assert again == first == [b'{"n":1}', b'{"end":true}']
    assert headers == {"x": "1", REPLAYED: "true"}
    assert inner.asked == 1


async def test_another_body_under_the_same_key_is_refused(kept: SqlIdempotency) -> None:
    layer = Idempotent(inner=Inner(), kept=kept)
    await told(layer, keyed())
    with pytest.raises(IdempotencyConflict):
        await layer.answer(keyed("something else"))


async def test_tenants_have_keys_of_their_own_and_calls_without_a_key_are_left_alone(
    kept: SqlIdempotency,
) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    await told(layer, keyed())
    await told(layer, keyed(tenant="other"))
    await told(layer, call())
    await told(layer, call())
    assert inner.asked == 4


async def test_repetitions_at_once_wait_for_the_first(kept: SqlIdempotency) -> None:
    inner = Inner(pause_s=0.1)
    layer = Idempotent(inner=inner, kept=kept)
    answers = await asyncio.gather(*(told(layer, keyed()) for _ in range(8)))
    assert inner.asked == 1
    assert len({tuple(documents) for documents, _ in answers}) == 1


async def test_half_an_answer_is_not_kept(kept: SqlIdempotency) -> None:
    inner = Inner(breaks=True)
    layer = Idempotent(inner=inner, kept=kept)
    with pytest.raises(UpstreamBroken):
        await told(layer, keyed())
    inner.breaks = False
    assert (await told(layer, keyed()))[0] == [b'{"n":2}', b'{"end":true}']


async def test_a_caller_that_leaves_frees_the_key(kept: SqlIdempotency) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    answer = await layer.answer(keyed())
    await answer.documents.__anext__()
    await answer.documents.aclose()
    await told(layer, keyed())
    assert inner.asked == 2


async def test_an_answer_that_nobody_began_to_read_frees_the_key(kept: SqlIdempotency) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    await (await layer.answer(keyed())).documents.aclose()
    await told(layer, keyed())
    assert inner.asked == 2


async def test_what_is_too_large_to_be_kept_is_told_and_made_anew(kept: SqlIdempotency) -> None:
    class Large(Inner):
        async def _documents(self, number: int) -> AsyncGenerator[bytes]:
            for _ in range(5):
                yield b"x" * 1024 * 1024

    inner = Large()
    layer = Idempotent(inner=inner, kept=kept)
    assert [len(one) for one in (await told(layer, keyed()))[0]] == 5 * [1024 * 1024]
    await told(layer, keyed())
    assert inner.asked == 2


async def test_a_claim_of_a_process_seen_to_have_died_is_taken_over_at_once(
    database: Database, kept: SqlIdempotency, tmp_path: Path
) -> None:
    neighbour = Processes(tmp_path / "workers")
    theirs = SqlIdempotency(database, neighbour, ttl_s=100, term_s=30)
    assert isinstance(await theirs.claim("acme", "k1", "h", user=None), Claimed)
    assert await kept.claim("acme", "k1", "h", user=None) == Taken(by_other_request=False)
    neighbour.close()
    assert isinstance(await kept.claim("acme", "k1", "h", user=None), Claimed)


def at_two(
    database: Database, here: Processes, there: Processes, now: list[float], *, ttl_s: float = 100
) -> tuple[SqlIdempotency, SqlIdempotency]:
    """The same answers as two processes see them, by one clock; a claim's term is 10 s."""
    one, other = (
        SqlIdempotency(database, each, ttl_s=ttl_s, term_s=10, clock=lambda: now[0]) for each in (here, there)
    )
    return one, other


async def test_a_claim_from_elsewhere_lapses_unless_it_is_renewed(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    now = [0.0]
    here, there = at_two(database, processes, elsewhere, now)
    theirs = await there.claim("acme", "k1", "h", user=None)
    assert isinstance(theirs, Claimed)
    now[0] = 9.0
    assert await here.claim("acme", "k1", "h", user=None) == Taken(by_other_request=False)
    assert await there.renew("acme", "k1", theirs.holder)
    now[0] = 18.0
    assert await here.claim("acme", "k1", "h", user=None) == Taken(by_other_request=False)
    now[0] = 19.5
    assert isinstance(await here.claim("acme", "k1", "h", user=None), Claimed)
    assert not await there.renew("acme", "k1", theirs.holder)
    assert not await there.keep("acme", "k1", theirs.holder, [b"{}"], {})


async def test_of_many_who_find_a_lapsed_claim_one_gets_it(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    now = [0.0]
    here, there = at_two(database, processes, elsewhere, now)
    await there.claim("acme", "k1", "h", user=None)
    now[0] = 11.0
    claims = await asyncio.gather(*(here.claim("acme", "k1", "h", user=None) for _ in range(8)))
    assert sum(isinstance(one, Claimed) for one in claims) == 1


async def test_a_held_claim_outlives_the_time_its_answer_would_have_been_kept_for(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    now = [0.0]
    here, there = at_two(database, processes, elsewhere, now, ttl_s=5)
    await there.claim("acme", "k1", "h", user=None)
    now[0] = 6.0
    assert await here.claim("acme", "k1", "h", user=None) == Taken(by_other_request=False)


async def test_an_answer_that_takes_longer_than_a_term_is_made_once(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    inner = Inner(pause_s=3.0)
    here, there = (
        Idempotent(inner=inner, kept=SqlIdempotency(database, one, ttl_s=100, term_s=1.5))
        for one in (processes, elsewhere)
    )
    (first, _), (second, _) = await asyncio.gather(told(here, keyed()), told(there, keyed()))
    assert first == second == [b'{"n":1}', b'{"end":true}']
    assert inner.asked == 1


class Unrenewed(SqlIdempotency):
    """The database is away whenever a claim is to be renewed."""

    async def renew(self, tenant: str, key: str, holder: str) -> bool:
        raise UpstreamUnavailable("the database does not answer")


async def test_who_cannot_renew_a_claim_stops_before_anybody_else_begins(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    stuck, inner = Inner(pause_s=20.0), Inner()
    here = Idempotent(inner=stuck, kept=Unrenewed(database, processes, ttl_s=100, term_s=1.0))
    there = Idempotent(inner=inner, kept=SqlIdempotency(database, elsewhere, ttl_s=100, term_s=1.0))

    async def after_it() -> None:
        await told(there, keyed())
        assert stuck.given_up == 1

    async with asyncio.timeout(10):
        refused, _ = await asyncio.gather(told(here, keyed()), after_it(), return_exceptions=True)
    assert isinstance(refused, UpstreamUnavailable)
    assert (stuck.given_up, inner.asked) == (1, 1)


async def test_an_answer_whose_claim_was_taken_over_is_not_told_as_whole(
    database: Database, processes: Processes, elsewhere: Processes
) -> None:
    now = [0.0]
    here, there = at_two(database, processes, elsewhere, now)
    answer = await Idempotent(inner=Inner(), kept=here).answer(keyed())
    now[0] = 11.0
    await told(Idempotent(inner=Inner(), kept=there), keyed())
    assert await anext(answer.documents) == b'{"n":1}'
    with pytest.raises(UpstreamUnavailable):
        await anext(answer.documents)


async def test_a_key_is_its_bodys_until_it_expires(database: Database, processes: Processes) -> None:
    now = [0.0]
    kept = SqlIdempotency(database, processes, ttl_s=100, term_s=30, clock=lambda: now[0])
    await kept.claim("acme", "k1", "another body", user=None)
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    now[0] = 31.0
    with pytest.raises(IdempotencyConflict):
        await layer.answer(keyed())
    now[0] = 101.0
    await told(layer, keyed())
    assert inner.asked == 1


async def test_what_an_earlier_release_claimed_and_kept_is_read(
    database_url: str, processes: Processes
) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "accounting_0001")
    with engine.begin() as connection:
        for key, documents, until in (("kept", b'["{}"]', 0.0), ("held", None, 300.0)):
            connection.execute(
                text(
                    "INSERT INTO idempotent_answers VALUES "
                    "('acme', :key, 'h', NULL, :documents, :headers, 'somebody', :until, 900)"
                ),
                {"key": key, "documents": documents, "headers": documents and b"{}", "until": until},
            )
    engine.dispose()
    now = [10.0]
    async with open_database(database_url) as database:
        kept = SqlIdempotency(database, processes, ttl_s=100, term_s=30, clock=lambda: now[0])
        assert await kept.claim("acme", "kept", "h", user=None) == Kept(documents=(b"{}",), headers={})
        assert await kept.claim("acme", "held", "h", user=None) == Taken(by_other_request=False)
        now[0] = 301.0
        assert isinstance(await kept.claim("acme", "held", "h", user=None), Claimed)
