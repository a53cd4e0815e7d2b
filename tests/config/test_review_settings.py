"""Reviews: whoever asks for one without saying how gets the line to add, and the secret is shown nowhere."""

from __future__ import annotations

import copy
import traceback
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mas_guard.cli import commands
from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError

SECRET = "3f-do-not-show-8a"
WEBHOOK = {"channel": "webhook", "webhook_url": "https://example.org/reviews", "webhook_secret": SECRET}

SENSELESS: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"on_limit": "owner,escalate,abort"}, "ON_LIMIT", ("'escalate'", 'channel = "queue" under [review]')),
    ({"unknown_confidence": "review"}, "UNKNOWN_CONFIDENCE", ("'review'", "MAS_GUARD_REVIEW__CHANNEL=queue")),
    ({"review": {"channel": "webhook"}}, "REVIEW__CHANNEL", ("WEBHOOK_URL", "webhook_url = ")),
    ({"review": {**WEBHOOK, "webhook_secret": None}}, "REVIEW__CHANNEL", ("WEBHOOK_SECRET", "webhook_secret = ")),
    ({"review": {"webhook_url": "ftp://example.org"}}, "REVIEW__WEBHOOK_URL", ("no http or https address",)),
    ({"review": {"store": "sqlite://reviews.db"}}, "REVIEW__STORE", ("sqlite:///reviews.db for a file",)),
    ({"review": {"store": "sqlite:///"}}, "REVIEW__STORE", ("sqlite:///reviews.db for a file",)),
    ({"review": {"store": "mystore://host"}}, "REVIEW__STORE", ("is no store for reviews", "memory://")),
]


@pytest.mark.parametrize(("overrides", "key", "said"), SENSELESS)
def test_a_review_that_could_not_take_place_is_refused_with_the_line_to_add(
    overrides: dict[str, Any], key: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(**overrides)
    assert [part for part in said if part not in str(caught.value)] == []
    assert (caught.value.key, caught.value.source) == (key, "code")


def test_the_line_to_add_is_a_variable_where_variables_are_used() -> None:
    with pytest.raises(ConfigError, match=r"Add MAS_GUARD_REVIEW__CHANNEL=queue, or leave escalate out"):
        load_policy(environ={"MAS_GUARD_ON_LIMIT": "escalate"})


def test_with_a_channel_a_limit_and_a_missing_confidence_may_ask_a_person() -> None:
    policy = policy_of(on_limit="owner,escalate,abort", unknown_confidence="review", review={"channel": "queue"})
    assert (policy.on_limit[1], policy.unknown_confidence, policy.review.channel) == ("escalate", "review", "queue")


def test_the_policy_reads_as_attributes() -> None:
    review = policy_of(review={**WEBHOOK, "timeout": "2h", "store": "sqlite:///r.db", "fallback": "Later."}).review
    assert (review.timeout, review.on_timeout, review.store, review.fallback) == (
        7_200.0,
        "reject",
        "sqlite:///r.db",
        "Later.",
    )
    assert (review.webhook_url, review.webhook_secret) == ("https://example.org/reviews", SECRET)


def test_a_password_in_the_webhooks_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="holds a user or a password") as caught:
        policy_of(review={**WEBHOOK, "webhook_url": f"https://me:{SECRET}@example.org"})
    assert SECRET not in str(caught.value)


def test_the_secret_stands_in_no_list_no_explanation_and_no_repr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mas-guard.toml").write_text(f'[review]\nwebhook_secret = "{SECRET} of the file"')
    monkeypatch.setenv("MAS_GUARD_REVIEW__WEBHOOK_SECRET", SECRET)
    policy = load_policy()
    assert policy.review.webhook_secret == SECRET
    assert SECRET not in repr(policy) + repr(policy.review) + repr(policy.provenance) + repr(copy.copy(policy))
    for command in (["show"], ["show", "--json"], ["explain", "review__webhook_secret"], ["schema"], ["check"]):
        result = CliRunner().invoke(commands, ["config", *command])
        assert result.exit_code == 0
        assert SECRET not in result.output


@pytest.mark.parametrize("given", [[SECRET], {"x": SECRET}], ids=["list", "table"])
def test_a_secret_that_is_no_text_is_refused_without_being_shown(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(review={"webhook_secret": given})
    assert "REVIEW__WEBHOOK_SECRET" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
