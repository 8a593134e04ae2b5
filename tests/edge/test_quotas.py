"""Quotas: what is counted, when it is refused, and what a restart remembers."""

from pathlib import Path

import pytest

from cloud.wire.answers import Ready
from cloud.wire.errors import QuotaExceeded
from edge.adapters.quota_file import QuotaFile, read_spent
from edge.domain import Principal, Quota
from edge.quotas import Quotas
from tests.support.caches import Clock

pytestmark = pytest.mark.anyio

USAGE = b'{"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12,"total_tokens":42}}'


def asking(key: str = "k", **limits: int) -> Principal:
    return Principal(tenant="acme", key_id=key, quota=Quota(**limits))


def test_a_key_without_limits_is_never_counted() -> None:
    quotas = Quotas()
    assert quotas.admit(Principal(tenant="acme", key_id="k")) == {}
    assert quotas.spent == {}


def test_the_request_after_the_last_is_told_when_to_come_back() -> None:
    clock = Clock()
    clock.now = 600.0
    quotas = Quotas(clock=clock)
    assert quotas.admit(asking(requests_per_minute=2))["x-ratelimit-remaining-requests"] == "1"
    assert quotas.admit(asking(requests_per_minute=2))["x-ratelimit-remaining-requests"] == "0"
    clock.now = 640.0
    with pytest.raises(QuotaExceeded) as refused:
        quotas.admit(asking(requests_per_minute=2))
    assert refused.value.retry_after_s == 21
    assert refused.value.headers["x-ratelimit-limit-requests"] == "2"
    clock.now = 661.0
    quotas.admit(asking(requests_per_minute=2))


def test_of_two_limits_on_requests_the_nearer_binds_and_keys_do_not_share() -> None:
    quotas = Quotas(clock=Clock())
    left = quotas.admit(asking(requests_per_minute=10, requests_per_day=1))
    assert left["x-ratelimit-limit-requests"] == "1"
    with pytest.raises(QuotaExceeded, match="1 requests a day"):
        quotas.admit(asking(requests_per_minute=10, requests_per_day=1))
    quotas.admit(asking("other", requests_per_minute=10, requests_per_day=1))


@pytest.mark.parametrize(
    ("documents", "tokens"),
    [([b"{}", USAGE], 42), ([b'{"choices":[]}'] * 5, 105)],
    ids=["as reported", "estimated"],
)
async def test_tokens_are_counted_once_when_an_answer_is_closed(documents: list[bytes], tokens: int) -> None:
    quotas = Quotas(clock=Clock())
    metered = quotas.metered(Ready(documents), asking(tokens_per_day=40), body_bytes=400)
    assert [one async for one in metered] == documents
    await metered.aclose()
    await metered.aclose()
    assert quotas.spent["k"].day_tokens == tokens
    with pytest.raises(QuotaExceeded, match="40 tokens a day"):
        quotas.admit(asking(tokens_per_day=40))


async def test_a_restart_hands_out_no_new_quota_and_a_damaged_file_only_forgets(tmp_path: Path) -> None:
    path = tmp_path / "quotas.json"
    quotas = Quotas(spent=read_spent(path), clock=Clock())
    file = QuotaFile(path, quotas)
    quotas.admit(asking(requests_per_day=1))
    await file.aclose()
    again = Quotas(spent=read_spent(path), clock=Clock())
    with pytest.raises(QuotaExceeded):
        again.admit(asking(requests_per_day=1))
    path.write_bytes(b'{"k": 5}')
    assert read_spent(path) == {}
