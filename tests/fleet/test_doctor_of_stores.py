"""`mas-guard doctor` says of a store whether it is there, and whether it would keep what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mas_guard.adapter import Finding
from mas_guard.cli._store_checks import store_findings
from mas_guard.config import policy_of
from tests.ledger.redis_server import RedisServer


def found(url: str) -> list[Finding]:
    return list(store_findings(policy_of(store=url)))


def marks(url: str) -> dict[str, str]:
    return {finding.text: finding.mark for finding in found(url)}


@pytest.fixture(scope="module")
def careless() -> Iterator[RedisServer]:
    with RedisServer("--maxmemory-policy", "allkeys-lru") as server:
        yield server


def test_memory_is_a_warning_that_names_both_stores() -> None:
    (only,) = found("memory://")
    assert only.mark == "warning" and "sqlite:///" in only.fix and "redis://" in only.fix


def test_a_file_on_a_local_disk_is_fine_and_one_without_a_folder_is_not(tmp_path: Path) -> None:
    assert {mark for text, mark in marks(f"sqlite:///{tmp_path}/ledger.db").items()} <= {"ok", "warning"}
    (missing,) = found(f"sqlite:///{tmp_path}/nowhere/ledger.db")
    assert missing.mark == "error" and "there is no folder" in missing.text


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mas_guard.ledger.sqlite import network_file_system

    nfs = network_file_system.FileSystem("nfs4", "network")
    monkeypatch.setattr(network_file_system, "file_system_of", lambda path: nfs)
    (only,) = found(f"sqlite:///{tmp_path}/ledger.db")
    assert only.mark == "error" and "nfs4" in only.text


def test_a_server_that_forgets_is_named_with_what_to_set(careless: RedisServer) -> None:
    said = found(f"redis://127.0.0.1:{careless.port}/0")
    errors = [finding for finding in said if finding.mark == "error"]
    assert [("allkeys-lru" in finding.text, "noeviction" in finding.fix) for finding in errors] == [(True, True)]
    assert any("appendonly is off" in finding.text for finding in said)


def test_a_durable_server_is_fine() -> None:
    with RedisServer("--maxmemory-policy", "noeviction", durable=True) as server:
        assert set(marks(f"redis://127.0.0.1:{server.port}/0").values()) == {"ok"}


def test_replicas_that_are_asked_for_and_not_there_are_an_error(careless: RedisServer) -> None:
    said = marks(f"redis://127.0.0.1:{careless.port}/0?replicas=1")
    assert any("1 replicas and 0 are connected" in text and mark == "error" for text, mark in said.items())


def test_a_setting_that_the_server_hides_is_unknown_and_not_fine() -> None:
    with RedisServer("--rename-command", "CONFIG", "hidden") as server:
        said = marks(f"redis://127.0.0.1:{server.port}/0")
    assert sum("is unknown" in text and mark == "warning" for text, mark in said.items()) == 2


def test_a_server_that_is_not_there_is_an_error_that_says_what_would_happen() -> None:
    (only,) = found("redis://127.0.0.1:1/0")
    assert only.mark == "error" and "an app would start" in only.text
