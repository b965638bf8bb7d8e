"""What no cluster can be joined with is said in one line, before anything starts."""

from __future__ import annotations

import pytest

from bessemer.cluster import ray_session
from bessemer.cluster.errors import ClusterError


def test_ray_clients_address_in_the_settings_says_where_it_belongs() -> None:
    with pytest.raises(ClusterError) as caught:
        ray_session.join("ray://head.example.org:10001")
    assert "--address on the command line" in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://127.0.0.1:9", "nobody answers at --address ray://127.0.0.1:9"),
        ("ray://nonsense", "give ray://HOST:PORT"),
        ("ray://a..b:1", "nobody answers"),
    ],
)
def test_a_head_that_cannot_be_reached_is_told_at_once(address: str, said: str) -> None:
    with pytest.raises(ClusterError) as caught:
        ray_session.connect(address)
    assert said in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize(("mode", "said"), [("", "wants a token"), ("token", "does not take this token")])
def test_an_error_about_the_token_names_the_variables(monkeypatch: pytest.MonkeyPatch, mode: str, said: str) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    told = ray_session._token_refused("InvalidAuthToken: Authentication token is missing")
    assert said in told and "RAY_AUTH_TOKEN_PATH" in told
    assert ray_session._token_refused("connection refused") == ""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody answers at"),
        ("head", "no address of a cluster"),
        ("head:abc", "no address of a cluster"),
    ],
)
def test_an_address_where_no_cluster_is_is_told_of_at_once(address: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said) as caught:
        ray_session.join(address)
    assert "\n" not in caught.value.message
