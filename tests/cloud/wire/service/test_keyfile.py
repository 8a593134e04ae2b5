"""The key file: private, whole, shared between processes, followed by a running service."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cloud.wire.keys import KeyRecord
from cloud.wire.service.cli import require_keys
from cloud.wire.service.keyfile import KeyFile, WatchedKeyring, write_private
from cloud.wire.service.settings import StartUpError


class Clock:
    """Stands still until told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_a_key_is_kept_without_being_kept(file: KeyFile) -> None:
    token = file.add(tenant="acme", role="edge")
    (record,) = file.records()
    assert (record.tenant, record.role, record.development) == ("acme", "edge", False)
    assert token not in file.path.read_text("utf-8")
    assert token.split("-", 2)[2] not in file.path.read_text("utf-8")


def test_the_file_is_its_owners_alone_whatever_it_was(file: KeyFile) -> None:
    file.path.write_text("[]", "utf-8")
    file.path.chmod(0o666)
    file.add(tenant="acme")
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_what_is_written_privately_was_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "dev.key"
    path.touch(mode=0o644)
    write_private(path, b"x")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"x"


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    KeyFile(tmp_path / "a" / "keys.json").add(tenant="acme")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_without_a_file_there_are_no_keys(file: KeyFile) -> None:
    assert file.records() == ()
    assert file.revoke("000000000000") is False


def test_only_the_revoked_key_is_forgotten(file: KeyFile) -> None:
    for tenant in ("a", "b", "c"):
        file.add(tenant=tenant)
    second = file.records()[1]
    assert file.revoke(second.id) is True
    assert [record.tenant for record in file.records()] == ["a", "c"]
    assert file.revoke(second.id) is False


def test_a_record_takes_the_place_of_the_one_with_its_id(file: KeyFile) -> None:
    file.add(tenant="a")
    (record,) = file.records()
    file.keep(msgspec.structs.replace(record, tenant="b"))
    assert [kept.tenant for kept in file.records()] == ["b"]


@pytest.mark.parametrize("tenant", ["", "a b", "../x", "é", "x" * 65])
def test_a_tenant_with_a_name_that_could_mean_more_gets_no_key(file: KeyFile, tenant: str) -> None:
    with pytest.raises(StartUpError, match="tenant's name"):
        file.add(tenant=tenant)
    assert not file.path.exists()


ADDS_TEN = """
import sys
from pathlib import Path
from cloud.wire.service.keyfile import KeyFile
for number in range(10):
    KeyFile(Path(sys.argv[1])).add(tenant=f"{sys.argv[2]}{number}")
"""


def test_processes_that_add_at_once_lose_nothing(file: KeyFile) -> None:
    adding = [subprocess.Popen([sys.executable, "-c", ADDS_TEN, str(file.path), name]) for name in "ab"]
    assert [process.wait(30) for process in adding] == [0, 0]
    assert {record.tenant for record in file.records()} == {f"{name}{n}" for name in "ab" for n in range(10)}


BROKEN = {
    "empty": b"",
    "cut short": b'[{"id":"',
    "another file": b'{"keys":[]}',
    "a field of another type": b'[{"id":1,"tenant":"a","sha256":"0","created_at":""}]',
    "not UTF-8": b'[{"id":"\xff"}]',
    "endlessly deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_and_never_overwritten(file: KeyFile, content: bytes) -> None:
    file.path.write_bytes(content)
    with pytest.raises(StartUpError, match=r"keys\.json is not a key file"):
        file.add(tenant="acme")
    assert file.path.read_bytes() == content


def test_a_folder_in_the_place_of_the_file_is_named(file: KeyFile) -> None:
    file.path.mkdir()
    with pytest.raises(StartUpError, match=r"cannot read the key file .*keys\.json"):
        file.records()


def test_a_file_in_the_place_of_its_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StartUpError, match=r"cannot write the key file .*keys\.json"):
        KeyFile(tmp_path / "data" / "keys.json").add(tenant="acme")


def test_a_new_key_opens_and_a_revoked_one_does_not_within_a_second(file: KeyFile) -> None:
    clock = Clock()
    keys = WatchedKeyring(file, honours_development_keys=True, clock=clock)
    assert len(keys.current()) == 0
    token = file.add(tenant="acme")
    clock.now += 1.0
    assert keys.current().authenticate(token) is not None
    file.revoke(file.records()[0].id)
    clock.now += 1.0
    assert keys.current().authenticate(token) is None


def test_the_file_is_looked_at_once_a_second(file: KeyFile) -> None:
    clock = Clock()
    keys = WatchedKeyring(file, honours_development_keys=True, clock=clock)
    before = keys.current()
    file.add(tenant="acme")
    clock.now += 0.9
    assert keys.current() is before


def test_a_deleted_file_honours_nobody(file: KeyFile) -> None:
    clock = Clock()
    token = file.add(tenant="acme")
    keys = WatchedKeyring(file, honours_development_keys=True, clock=clock)
    assert keys.current().authenticate(token) is not None
    file.path.unlink()
    clock.now += 1.0
    assert keys.current().authenticate(token) is None


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_breaks_honours_nobody_until_it_is_mended(file: KeyFile, content: bytes) -> None:
    clock = Clock()
    token = file.add(tenant="acme")
    whole = file.path.read_bytes()
    keys = WatchedKeyring(file, honours_development_keys=True, clock=clock)
    assert len(keys.current()) == 1
    file.path.write_bytes(content)
    clock.now += 1.0
    assert keys.current().authenticate(token) is None
    file.path.write_bytes(whole)
    clock.now += 1.0
    assert keys.current().authenticate(token) is not None


class Hiccuping(KeyFile):
    """A file that cannot be read the first time, as when the process is out of descriptors."""

    faults = 1

    def records(self) -> tuple[KeyRecord, ...]:
        if self.faults:
            self.faults -= 1
            raise StartUpError("too many open files")
        return super().records()


def test_a_fault_that_passes_does_not_lock_everybody_out_for_good(file: KeyFile) -> None:
    clock = Clock()
    token = file.add(tenant="acme")
    keys = WatchedKeyring(Hiccuping(file.path), honours_development_keys=True, clock=clock)
    assert keys.current().authenticate(token) is None
    clock.now += 1.0
    assert keys.current().authenticate(token) is not None


@pytest.mark.parametrize("honours", [True, False])
def test_a_development_key_is_honoured_only_where_it_may_be(file: KeyFile, honours: bool) -> None:
    token, other = file.add(tenant="dev", development=True), file.add(tenant="acme")
    ring = WatchedKeyring(file, honours_development_keys=honours).current()
    assert (ring.authenticate(token) is not None) is honours
    assert ring.authenticate(other) is not None


@pytest.mark.parametrize(
    ("development", "is_loopback", "complaint"),
    [
        ([], True, "no API key in .*; make one: python -m edge keys add --tenant NAME"),
        ([], False, "no API key"),
        ([True], True, None),
        ([True, True], False, "development keys work on a loopback bind only"),
        ([True, False], False, None),
        ([False], False, None),
    ],
)
def test_a_service_starts_only_with_a_key_it_may_honour(
    file: KeyFile, development: list[bool], is_loopback: bool, complaint: str | None
) -> None:
    for is_development in development:
        file.add(tenant="acme", development=is_development)
    if complaint is None:
        require_keys(file, service="edge", is_loopback=is_loopback)
        return
    with pytest.raises(StartUpError, match=complaint):
        require_keys(file, service="edge", is_loopback=is_loopback)
