"""Keys open what they were made for; what is stored of them opens nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire.keys import TENANT, KeyRecord, Keyring, new_key

NOW = "2026-01-01T00:00:00+00:00"
TOKEN, RECORD = new_key(tenant="acme", role="client", created_at=NOW)


def test_a_key_opens_its_own_record() -> None:
    others = [new_key(tenant=f"t{number}", role="edge", created_at=NOW)[1] for number in range(3)]
    assert Keyring((*others, RECORD)).authenticate(TOKEN) == RECORD


def test_a_record_does_not_hold_its_key() -> None:
    secret = TOKEN.split("-", 2)[2]  # which may hold hyphens itself
    assert secret not in msgspec.json.encode(RECORD).decode()
    assert RECORD.sha256 not in TOKEN


def test_two_keys_are_never_alike() -> None:
    assert len({new_key(tenant="acme", role="client", created_at=NOW)[0] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ws-",
        TOKEN[:-1],
        TOKEN + "x",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.upper(),
        TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "B"),
        f"ws-{RECORD.id}-{'x' * 43}",
        f"ws-000000000000-{TOKEN[16:]}",
        RECORD.sha256,
        f"ws-{RECORD.id}-{RECORD.sha256[:43]}",
        "\ud800",
    ],
)
def test_anything_but_the_key_opens_nothing(token: str) -> None:
    assert Keyring((RECORD,)).authenticate(token) is None


@given(st.text())
def test_no_text_makes_the_check_fail_or_pass(token: str) -> None:
    assert Keyring((RECORD,)).authenticate(token) is None


def test_an_empty_ring_opens_to_nobody() -> None:
    ring = Keyring(())
    assert len(ring) == 0
    assert ring.authenticate(TOKEN) is None


def test_a_record_whose_hash_is_no_hash_opens_nothing() -> None:
    broken = msgspec.structs.replace(RECORD, sha256="é" * 64)
    assert Keyring((broken,)).authenticate(TOKEN) is None


def test_the_role_and_the_mark_of_a_development_key_are_kept() -> None:
    _, record = new_key(tenant="dev", role="edge", created_at=NOW, development=True)
    again = msgspec.json.decode(msgspec.json.encode(record), type=KeyRecord)
    assert (again.tenant, again.role, again.development, again.created_at) == ("dev", "edge", True, NOW)


@pytest.mark.parametrize("name", ["a", "acme", "A.b_c-9", "0", "x" * 64])
def test_a_plain_name_is_a_tenant(name: str) -> None:
    assert TENANT.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a\n", "é", "x" * 65, "a,b", "../a"])
def test_a_name_that_could_mean_more_is_no_tenant(name: str) -> None:
    assert not TENANT.fullmatch(name)
