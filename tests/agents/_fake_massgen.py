#!/usr/bin/env python3
"""Stands in for MassGen: its command line, its configuration, its files. The prompt's first word says what it does."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request


def main() -> None:
    word = sys.argv[1:]
    config = pathlib.Path(word[word.index("--config") + 1]).read_text()
    result = pathlib.Path(word[word.index("--output-file") + 1])
    prompt = json.loads(config)["agents"][0]["system_message"].replace(
        "${BESSEMER_DOLLAR}", os.environ["BESSEMER_DOLLAR"]
    )
    assert "--automation" in word
    assert prompt not in word
    deed = prompt.split()[0]
    print("LOG_DIR: somewhere\nSTATUS: somewhere/status.json", flush=True)
    if deed == "hang":
        subprocess.Popen(["sleep", "600.577215"])
        time.sleep(600)
    while deed == "flood":
        sys.stdout.write("x" * 65536)
    if deed == "garbage":
        status("completed", raw="{not json")
        result.write_bytes(b"\xff\xfe \x00 what is this")
    elif deed == "nothing":
        pass
    elif deed == "crash":
        sys.exit("it went wrong")
    elif deed == "failed":
        status("error", winner="agent_1")
        result.write_text("half an answer")
    elif deed == "link":
        result.symlink_to("/etc/passwd")
    elif deed == "file-less":
        final = status("timeout", winner="agent_2") / "final" / "agent_2"
        final.mkdir(parents=True)
        (final / "answer.txt").write_text("the winner's own")
    else:
        said = [ask("/v1/messages", "x-api-key", {"model": "claude-opus-4-6"}), ask("/v1/responses", "", {})]
        status("completed", winner="agent_1")
        result.write_text(f"{said[0]}\n{json.dumps({'config': config, 'home': os.environ['HOME']})}\n{said[1]}")


def ask(path: str, header: str, more: dict) -> str:
    base = os.environ["ANTHROPIC_BASE_URL" if header else "OPENAI_BASE_URL"].removesuffix("/v1")
    key = os.environ["ANTHROPIC_API_KEY"]
    body = {"model": "gpt-5.4", "stream": False, "max_tokens": 100, **more}
    if header:
        body["messages"] = [{"role": "user", "content": "judge"}]
    else:
        body = {"model": "gpt-5.4", "input": "judge", "stream": False}
    headers = {"content-type": "application/json", "x-api-key": key}
    if not header:
        headers = {"content-type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)
    return told["content"][0]["text"] if header else told["output"][0]["content"][0]["text"]


def status(reason: str, winner: str = "", raw: str = "") -> pathlib.Path:
    for number in (1, 2):
        folder = pathlib.Path(f".massgen/massgen_logs/log_2026010{number}/turn_1/attempt_1")
        folder.mkdir(parents=True)
        old = {"finish_reason": "error", "results": {"winner": "agent_9"}}
        costs = {"total_estimated_cost": 0.25, "total_input_tokens": 700, "total_output_tokens": 70}
        new = {"finish_reason": reason, "results": {"winner": winner}, "costs": costs}
        (folder / "status.json").write_text(json.dumps(old) if number == 1 else raw or json.dumps(new))
    return folder


if __name__ == "__main__":
    main()
