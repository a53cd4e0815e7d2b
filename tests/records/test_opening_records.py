"""Which records a URL names, and what is said where it names none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mas_guard.errors import ConfigError
from mas_guard.records import open_records
from mas_guard.records.sqlite import SqliteRecordStore

REDIS_URLS = (
    "redis://localhost:6379/0",
    "rediss://localhost:6379",
    "unix:///tmp/redis.sock",
    "redis+sentinel://localhost:26379/fleet",
    "redis+cluster://localhost:6379,localhost:6380",
    "valkey://localhost",
)


def test_a_file_may_be_relative_or_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_records("sqlite:///a/b.db").place == str(tmp_path / "a" / "b.db")
    assert open_records(f"sqlite:///{tmp_path}/with%20space.db").place == str(tmp_path / "with space.db")
    store = open_records("sqlite:///b.db", retention=5.0, timeout=0.5)
    assert isinstance(store, SqliteRecordStore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", REDIS_URLS)
def test_each_way_to_a_redis_is_known_and_nothing_is_connected_yet(url):
    pytest.importorskip("redis", reason="the Redis store needs redis-py")
    store = open_records(url)
    assert store.shared
    assert store.place == url


def test_the_retention_in_the_url_stands_above_the_one_that_is_given():
    pytest.importorskip("redis", reason="the Redis store needs redis-py")
    assert open_records("redis://localhost?retention=50", retention=9.0)._retention == 50.0
    assert open_records("redis://localhost", retention=9.0)._retention == 9.0


@pytest.mark.parametrize("url", ["mystore://host", "sqlite://b.db", "sqlite:///", "", "redis"])
def test_a_url_that_names_no_records_is_refused_with_what_to_write(url):
    with pytest.raises(ConfigError, match="no store for records. Use sqlite:///path") as caught:
        open_records(url)
    assert caught.value.key == "STORE"


@pytest.mark.parametrize("url", ["redis+sentinel://user:secret@localhost:26379", "redis://localhost?retention=long"])
def test_a_url_that_names_no_server_is_refused_without_its_password(url):
    pytest.importorskip("redis", reason="the Redis store needs redis-py")
    with pytest.raises(ConfigError, match="names no server that can be used") as caught:
        open_records(url, setting="REVIEW__STORE")
    assert caught.value.key == "REVIEW__STORE"
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r'pip install "mas-guard\[redis\]"'):
        open_records("redis://user:secret@localhost")


def test_no_driver_is_imported_before_it_is_needed():
    code = "import sys, mas_guard.records; assert not {'redis', 'sqlite3'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
