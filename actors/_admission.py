"""What is refused before it is paid for: a request that its model certainly cannot take."""

from __future__ import annotations

from bessemer.actors.backends import capabilities
from bessemer.actors.backends.base import CallFailure, ModelRequest
from bessemer.cluster.backend_settings import BackendSettings

LONGEST_TOKEN = 6
"""Bytes a token has at most on average: text has 3 to 5. What a window could just hold is left to the vendor to say."""


def why_refused(
    request: ModelRequest, most_tokens: int, settings: BackendSettings, window: int | None
) -> CallFailure | None:
    """Why `request`, of so many tokens at most, is not sent, or None.

    `window` is the model's context in tokens, where it is known.
    """
    backend = request.backend
    able = capabilities(backend, settings)
    if any(one.is_image for one in request.attachments) and not able.images:
        return _bad(f"{backend} reads no images; leave them out, or name a model that does")
    if any(not one.is_image for one in request.attachments) and not able.documents:
        return _bad(f"{backend} reads no PDFs; give their text or pictures of their pages, or name a model that does")
    least = most_tokens // LONGEST_TOKEN
    if window is not None and least > window:
        message = (
            f"{backend} reads at most {window:,} tokens and the prompt has at least {least:,}; shorten it, or name a "
            f"model with a larger context window"
        )
        return CallFailure(kind="context_length", message=message)
    return None


def _bad(message: str) -> CallFailure:
    return CallFailure(kind="bad_request", message=message)
