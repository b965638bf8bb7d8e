"""What no cluster can be joined with is said in one line, before anything starts."""

from __future__ import annotations

import platform

import pytest
import ray
from ray._private.utils import check_version_info

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


class Head:
    """A head that answers as it is told to, once for each time it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Exception | None) -> None:
        self.left = list(answers)
        monkeypatch.setattr(ray_session, "_check_answer", lambda *_: None)
        monkeypatch.setattr(ray_session, "_set_environment", lambda: None)
        monkeypatch.setattr(ray_session, "leave", lambda: None)
        monkeypatch.setattr(ray_session, "SETTLE_SECONDS", 0.0)
        monkeypatch.setattr(ray_session, "_why_not_connected", lambda _: self.left.pop(0))


def _other_versions() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        check_version_info({"ray_version": "2.1.0", "python_version": "3.8.1"}, "Ray Client")
    return caught.value


def test_a_head_with_other_versions_is_refused_at_once_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Head(monkeypatch, _other_versions())
    with pytest.raises(ClusterError) as caught:
        ray_session.connect("ray://head:10001")
    told = caught.value.message
    assert "\n" not in told and "use the cluster's Ray and Python" in told
    assert all(version in told for version in ("2.1.0", "3.8.1", ray.__version__, platform.python_version()))


def test_a_head_that_does_not_answer_may_want_another_token(monkeypatch: pytest.MonkeyPatch) -> None:
    Head(monkeypatch, ConnectionError("ray client connection timeout"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ClusterError, match="RAY_AUTH_TOKEN_PATH"):
        ray_session.connect("ray://head:10001")


def test_a_head_whose_process_for_us_hangs_is_asked_again_and_in_the_end_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = ConnectionError("the Ray client has already been disconnected: StatusCode.NOT_FOUND")
    head = Head(monkeypatch, hangs, hangs, None, hangs)
    ray_session.connect("ray://head:10001")
    assert head.left == [hangs]
    monkeypatch.setattr(ray_session, "CLIENT_SECONDS", -1.0)
    with pytest.raises(ClusterError, match="23000 to 23999"):
        ray_session.connect("ray://head:10001")


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
