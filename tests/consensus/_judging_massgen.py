#!/usr/bin/env python3
"""Stands in for a MassGen that judges: it asks both its models once, and its result is one of `ANSWERS`.

The schema that its prompt asks for says which answer; work that doubles is judged well.
"""

import json
import os
import pathlib
import re
import sys
import urllib.request

ANSWERS = "{}"
"""Filled in where it is installed: it sees no other file."""


def main() -> None:
    words = sys.argv[1:]
    result = pathlib.Path(words[words.index("--output-file") + 1])
    config = json.loads(pathlib.Path(words[words.index("--config") + 1]).read_text())
    prompt = config["agents"][0]["system_message"].replace("${BESSEMER_DOLLAR}", os.environ["BESSEMER_DOLLAR"])
    wanted = re.findall(r'"title": "(\w+Answer)"', prompt)[-1]
    good = "-good" if wanted == "EvaluationAnswer" and "return a * 2" in prompt else ""
    ask("/v1/messages", {"model": "claude-opus-4-6", "messages": [{"role": "user", "content": "judge"}]}, "ANTHROPIC")
    ask("/v1/responses", {"model": "gpt-5.4", "input": "judge"}, "OPENAI")
    answer = json.loads(ANSWERS)[wanted + good]
    result.write_text(f"The panel agrees.\n\n```json\n{json.dumps(answer)}\n```\n")


def ask(path: str, body: dict, vendor: str) -> None:
    key = os.environ["ANTHROPIC_API_KEY"]
    headers = {"content-type": "application/json", "x-api-key": key, "Authorization": f"Bearer {key}"}
    base = os.environ[f"{vendor}_BASE_URL"].removesuffix("/v1")
    about = {"stream": False, "max_tokens": 100} if vendor == "ANTHROPIC" else {"stream": False}
    request = urllib.request.Request(base + path, json.dumps({**body, **about}).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        json.load(answer)


if __name__ == "__main__":
    main()
