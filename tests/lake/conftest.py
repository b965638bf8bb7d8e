"""`site` runs a test twice: on a folder, and on a server that speaks S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._s3 import S3
from tests.lake._site import Site


@pytest.fixture(params=["folder", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Where no lake is yet."""
    if request.param == "folder":
        return Site(str(tmp_path / "site"), {})
    server: S3 = request.getfixturevalue("s3_server")
    # A command line has no Site; it finds the server as people's do.
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return Site(server.new_url(), server.storage)
