"""Write the pages that are made from code: `docs/cli.md` and `configs/settings.schema.json`.

`--check` writes nothing and ends with 1 where a page is not what it would be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def schema() -> str:
    from bessemer.cluster.settings import settings_schema

    return json.dumps(settings_schema(), indent=2, ensure_ascii=False) + "\n"


def cli() -> str:
    from bessemer.interfaces.cli._pages import reference

    return reference()


PAGES: dict[str, Callable[[], str]] = {"configs/settings.schema.json": schema, "docs/cli.md": cli}


def main(arguments: list[str]) -> int:
    """Write or check every page; returns the exit code."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    said = "not current, run `make docs`" if "--check" in arguments else "written"
    for name in stale:
        print(f"{name}: {said}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
