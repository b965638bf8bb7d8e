"""What vendors' rate headers say, in each vendor's spelling."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bessemer.actors.backends._rate_headers import rate_hint, retry_after, seconds_to
from bessemer.cluster.limits import RateHint

NOW = datetime(2026, 11, 21, 4, 0, 0, tzinfo=UTC)


def test_anthropic_says_times_and_counts_input_and_output_tokens_apart() -> None:
    hint = rate_hint(
        {
            "Anthropic-Ratelimit-Requests-Limit": "1000",
            "anthropic-ratelimit-requests-remaining": "990",
            "anthropic-ratelimit-requests-reset": "2026-11-21T04:00:06Z",
            "anthropic-ratelimit-tokens-limit": "100000",
            "anthropic-ratelimit-tokens-remaining": "90000",
            "anthropic-ratelimit-tokens-reset": "2026-11-21T04:00:06Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "400",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-21T04:00:57Z",
        },
        NOW,
    )
    assert hint == RateHint(
        requests_limit=1000,
        requests_remaining=990,
        requests_reset_seconds=6,
        tokens_limit=8000,
        tokens_remaining=400,
        tokens_reset_seconds=57,
    )


def test_openai_says_durations() -> None:
    hint = rate_hint(
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "1000",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    )
    assert hint is not None
    assert (hint.requests_reset_seconds, hint.tokens_reset_seconds) == (0.012, 360)


def test_the_answers_own_date_is_the_clock() -> None:
    headers = {"date": "Sat, 21 Nov 2026 04:00:00 GMT", "anthropic-ratelimit-requests-reset": "2026-11-21T04:01:00Z"}
    hint = rate_hint(headers)
    assert hint is not None
    assert hint.requests_reset_seconds == 60


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/html"},
        {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"},
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-reset-requests": "soon"},
        {"x-ratelimit-limit-requests": "nan", "x-ratelimit-remaining-requests": "inf"},
    ],
)
def test_what_says_nothing_is_no_hint(headers: dict[str, str]) -> None:
    assert rate_hint(headers, NOW) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("250ms", 0.25),
        ("1d", 86_400),
        ("17", 17),
        ("2026-11-21T04:00:30Z", 30),
        ("2026-11-21T05:00:30+01:00", 30),
        ("2026-11-21T03:00:00Z", 0),
        ("1s?", None),
        ("", None),
    ],
)
def test_resets_in_every_spelling(text: str, seconds: float | None) -> None:
    assert seconds_to(text, NOW) == seconds


def test_retry_after_is_a_number_milliseconds_or_a_date() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"retry-after": "7", "retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after": "Sat, 21 Nov 2026 04:00:09 GMT"}, NOW) == 9
    assert retry_after({"retry-after": "later"}) is None
    assert retry_after({}) is None
