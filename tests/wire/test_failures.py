"""Everything that can go wrong at a vendor, through its real SDK, as data."""

from __future__ import annotations

from typing import Any

import pytest

from ._vendors import Drop, Fault, Hang
from .conftest import BACKENDS, SECRET, Vendor

HTTP = ("anthropic", "openai", "google")
_TYPES = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    503: ("api_error", "UNAVAILABLE"),
    504: ("timeout_error", "DEADLINE_EXCEEDED"),
    529: ("overloaded_error", "UNAVAILABLE"),
}
_GRPC = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def fault(provider: str, status: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any) -> Fault:
    """A refusal in the vendor's own form."""
    if provider == "xai":
        return Fault(_GRPC[status], message, headers or {})
    anthropic, google = _TYPES[status]
    body: dict[str, Any] = {
        "anthropic": {"type": "error", "error": {"type": anthropic, "message": message}},
        "openai": {"error": {"message": message, "type": "x", "param": None, "code": more.get("code")}},
        "google": {"error": {"code": status, "message": message, "status": google, **more.get("google", {})}},
    }[provider]
    return Fault(status, body, headers or {})


KINDS = [
    (400, "bad_request", False, False),
    (401, "auth", False, False),
    (403, "permission", False, False),
    (404, "bad_request", False, False),
    (413, "context_length", False, False),
    (429, "rate_limited", True, False),
    (500, "infrastructure", True, True),
    (503, "overloaded", True, False),
    (504, "infrastructure", True, True),
    (529, "overloaded", True, False),
]


@pytest.mark.parametrize(("status", "kind", "retryable", "maybe_billed"), KINDS)
async def test_a_status_becomes_a_failure_of_its_kind(
    vendor: Vendor, status: int, kind: str, retryable: bool, maybe_billed: bool
) -> None:
    if vendor.provider == "xai" and status not in _GRPC:
        pytest.skip("gRPC has no such status")
    vendor.server.then = fault(vendor.provider, status, "overloaded, try again" if status in (503, 529) else "no")
    failure = await vendor.fails()
    assert (failure.kind, failure.retryable, failure.maybe_billed) == (kind, retryable, maybe_billed), failure
    assert len(vendor.server.requests) == 1, "the SDK must not retry by itself"
    assert "\n" not in failure.message
    assert failure.usage is None


async def test_a_refused_key_is_named_by_its_variable_and_never_shown(vendor: Vendor) -> None:
    vendor.server.then = fault(vendor.provider, 401, f"Incorrect API key provided: {SECRET}")
    failure = await vendor.fails()
    assert failure.kind == "auth"
    assert f"the key in {vendor.variable} was refused" in failure.message
    assert SECRET not in failure.message


async def test_geminis_word_for_a_wrong_key_is_auth(vendor: Vendor) -> None:
    if vendor.provider != "google":
        pytest.skip("Google's own form")
    details = {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}
    vendor.server.then = fault("google", 400, "API key not valid.", google=details)
    assert (await vendor.fails()).kind == "auth"


TOO_LONG = {
    "anthropic": ("prompt is too long: 1200000 tokens > 1000000 maximum", None),
    "openai": ("Your input exceeds the context window of this model.", "context_length_exceeded"),
    "google": ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", None),
    "xai": ("This model's maximum prompt length is 1000000 but the request contains 1200000 tokens.", None),
}


async def test_a_prompt_that_is_too_long_is_told_from_other_bad_requests(vendor: Vendor) -> None:
    message, code = TOO_LONG[vendor.provider]
    vendor.server.then = fault(vendor.provider, 400, message, code=code)
    assert (await vendor.fails()).kind == "context_length"


async def test_an_unknown_model_brings_the_nearest_names(vendor: Vendor) -> None:
    from bessemer.actors.backends import open_backend
    from bessemer.cluster.backend_settings import BackendSettings

    near = {"anthropic": "claude-opus-4-6", "openai": "gpt-5.4", "google": "gemini-3.1-pro-preview", "xai": "grok-4.5"}
    name = f"{vendor.provider}/{near[vendor.provider]}x"
    backend, vendor.backend = vendor.backend, open_backend(name, BackendSettings())
    vendor.server.then = fault(vendor.provider, 404, "no such model")
    failure = await vendor.fails(vendor.ask(backend=name))
    assert f"{vendor.provider}/{near[vendor.provider]}" in failure.message.partition("known models")[2]
    await vendor.backend.close()
    vendor.backend = backend


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "1.5"}, 1.5, 1.5),
        ({"retry-after-ms": "250"}, 0.25, 0.25),
        ({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, 1e8, 1e10),
        ({"retry-after": "soon"}, None, None),
        ({}, None, None),
    ],
)
async def test_how_long_to_wait_is_read_in_every_form(
    vendor: Vendor, headers: dict[str, str], least: float | None, most: float | None
) -> None:
    named = {**headers, "x-request-id": "req-9"}
    vendor.server.then = fault(vendor.provider, 429, headers=named)
    failure = await vendor.fails()
    assert failure.request_id == "req-9"
    if least is None or most is None:
        assert failure.retry_after is None
    else:
        assert failure.retry_after is not None
        assert least <= failure.retry_after <= most


async def test_geminis_retry_info_is_read(vendor: Vendor) -> None:
    if vendor.provider != "google":
        pytest.skip("Google's own form")
    details = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14.5s"}]}
    vendor.server.then = fault("google", 429, google=details)
    assert (await vendor.fails()).retry_after == 14.5


@pytest.mark.parametrize(("status", "retryable"), [(200, False), (404, False), (502, True)])
async def test_a_web_page_is_told_as_what_it_is(vendor: Vendor, status: int, retryable: bool) -> None:
    if vendor.provider not in HTTP:
        pytest.skip("a proxy's page cannot come over gRPC")
    vendor.server.then = Fault(status, "<!doctype html><html><body>Sign in</body></html>", content_type="text/html")
    failure = await vendor.fails()
    assert (failure.kind, failure.retryable) == ("infrastructure", retryable), failure
    assert "web page" in failure.message
    assert "base URL" in failure.message


async def test_a_lost_connection_may_be_billed(vendor: Vendor) -> None:
    vendor.server.then = Drop()
    failure = await vendor.fails()
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("connection", True, True), failure
    assert len(vendor.server.requests) == 1


async def test_a_refused_connection_was_not_billed(vendor: Vendor) -> None:
    await vendor.server.stop()
    failure = await vendor.fails()
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("connection", True, False), failure


async def test_an_answer_that_never_comes_is_a_timeout(vendor: Vendor) -> None:
    vendor.server.then = Hang()
    failure = await vendor.fails(vendor.ask(timeout=0.3))
    assert (failure.kind, failure.retryable, failure.maybe_billed) == ("timeout", True, True), failure


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "maybe_billed"),
    [
        ("CANCELLED", "connection", True, True),
        ("UNAVAILABLE", "connection", True, True),
        ("DEADLINE_EXCEEDED", "timeout", True, True),
        ("ABORTED", "overloaded", True, True),
        ("UNKNOWN", "infrastructure", True, True),
        ("DATA_LOSS", "infrastructure", True, True),
        ("OUT_OF_RANGE", "bad_request", False, False),
        ("FAILED_PRECONDITION", "bad_request", False, False),
        ("UNIMPLEMENTED", "bad_request", False, False),
    ],
)
async def test_every_grpc_status_has_its_kind(
    vendor: Vendor, status: str, kind: str, retryable: bool, maybe_billed: bool
) -> None:
    if vendor.provider != "xai":
        pytest.skip("only xAI speaks gRPC")
    vendor.server.then = Fault(status, "no", {"x-request-id": "req-9"})
    failure = await vendor.fails()
    assert (failure.kind, failure.retryable, failure.maybe_billed) == (kind, retryable, maybe_billed), failure
    assert failure.request_id == "req-9"


def test_every_vendor_is_tried() -> None:
    assert set(BACKENDS) == {"anthropic", "openai", "google", "xai"}
