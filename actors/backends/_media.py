"""Images and PDFs: which vendor takes them, and the most tokens they can cost.

A model reads an image in its own measure, whatever the file's size, so its worst case is a table. The figures are the
vendors' largest for one image at full detail, rounded up; a PDF's page is read as text and as an image.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Sequence

from bessemer.actors.backends.base import Attachment

IMAGE_TOKENS = {"anthropic": 5_000, "openai": 12_000, "google": 2_600, "xai": 2_000}
"""Most input tokens of one image, by provider."""
OTHER_IMAGE_TOKENS = 12_000
PAGE_TEXT_TOKENS = 4_000
"""Input tokens of the text on one page of a PDF: a page set solid in small type has about half of them."""
PAGE_BYTES = 200
"""No page of a PDF takes fewer bytes; bounds the pages of a file whose page tree cannot be read."""
MAX_OBJECTS_BYTES = 64_000_000

_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_OBJECT_STREAM = re.compile(rb"/Type\s*/ObjStm")
_STREAM = re.compile(rb"(<<[^\x00]{0,2000}?>>)\s*stream\r?\n")


def attachment_tokens(provider: str, attachments: Sequence[Attachment]) -> int:
    """The most input tokens that `attachments` can cost at `provider`."""
    image = IMAGE_TOKENS.get(provider, OTHER_IMAGE_TOKENS)
    pages = sum(page_count(one.content) for one in attachments if not one.is_image)
    return image * sum(one.is_image for one in attachments) + pages * (image + PAGE_TEXT_TOKENS)


def page_count(pdf: bytes) -> int:
    """Pages of a PDF; where none can be told, as many as its bytes could hold."""
    pages = len(_PAGE.findall(pdf)) + sum(len(_PAGE.findall(objects)) for objects in _object_streams(pdf))
    return pages or max(1, math.ceil(len(pdf) / PAGE_BYTES))


def _object_streams(pdf: bytes) -> Iterator[bytes]:
    """What the compressed object streams hold: newer files keep their page tree there."""
    for found in _STREAM.finditer(pdf):
        if _OBJECT_STREAM.search(found[1]):
            try:
                yield zlib.decompressobj().decompress(pdf[found.end() :], MAX_OBJECTS_BYTES)
            except zlib.error:
                continue
