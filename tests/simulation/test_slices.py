"""The simulation of slices: what it says of a cluster and of a hot tenant keeps to the rules that the store has."""

from __future__ import annotations

import pytest

from benchmarks.slices.hot_tenant import Tenant, simulate
from benchmarks.slices.rules import RULES, share
from benchmarks.slices.shared_account import SharedAccount
from benchmarks.slices.splitting import equal, server_of, slot, split
from mas_guard.ledger.redis.keys import books_key

SMALL = 2_000


@pytest.mark.parametrize("crashes", [0.0, 1.0], ids=["nobody crashes", "every worker crashes"])
@pytest.mark.parametrize("skew", [0.0, 2.0], ids=["equal workers", "unlike workers"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_more_is_ever_handed_out_than_the_limit_and_every_call_of_it_is_accounted_for(rule, skew, crashes) -> None:
    found = simulate(Tenant(SMALL, 12, servers=3, skew=skew, rule=rule, crashes=crashes))
    assert found.most_at_once == SMALL
    assert found.made + found.lost_under_way + found.burnt + found.left_at_end == SMALL
    assert found.left_at_end == 0


def test_without_slices_the_limit_is_reached_and_never_passed() -> None:
    found = simulate(Tenant(SMALL, 12))
    assert (found.most_at_once, found.made, found.left_at_first) == (SMALL, SMALL, 0)


def test_the_same_seed_plays_the_same() -> None:
    tenant = Tenant(SMALL, 12, servers=3, skew=1.0, rule=share, crashes=0.5)
    assert simulate(tenant) == simulate(tenant)


def test_what_a_worker_does_not_use_comes_back_to_those_who_wait() -> None:
    found = simulate(Tenant(SMALL, 12, tasks=1, servers=3, skew=2.0, rule=RULES["100 calls"]))
    assert found.left_at_first > 0
    assert found.longest_wait > 0
    assert found.made == SMALL


def test_without_crashes_nothing_is_burnt_and_with_them_only_what_was_in_hand() -> None:
    assert simulate(Tenant(SMALL, 12, servers=3, rule=share)).burnt == 0
    crashed = simulate(Tenant(SMALL, 12, servers=3, rule=share, crashes=1.0))
    assert 0 < crashed.burnt <= 12 * crashed.most_in_one_hand


def test_one_server_limits_a_tenant_until_its_window_is_sliced() -> None:
    few, many = (simulate(Tenant(SMALL * 5, workers)).rate for workers in (16, 64))
    assert many < few * 1.1
    assert simulate(Tenant(SMALL * 5, 64, servers=6, rule=share)).rate > 3 * many


def test_a_slice_cannot_be_settled_above_what_was_given() -> None:
    account = SharedAccount(10)
    assert account.take(20) == 10
    with pytest.raises(ValueError, match="11 calls were made of a slice of 10"):
        account.settle(10, 11)


def test_roots_are_spread_as_the_client_of_a_cluster_spreads_them() -> None:
    crc = pytest.importorskip("redis.crc", reason="redis-py tells what a cluster does")
    for root in ("7f3a", "acme", "tenant with spaces", "ü"):
        assert slot(root) == crc.key_slot(books_key("mas-guard", root))
    assert {server_of(f"{number:x}", 3) for number in range(100)} == {0, 1, 2}


def test_one_root_gains_nothing_from_more_servers() -> None:
    assert split(equal(1), 6).even == 1.0
    assert split(equal(10_000), 6, calls=500).even > 5.5
