#!/usr/bin/env python3
"""A small agent with Codex's command line and output. The first word of its prompt says what it does."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def main() -> None:
    prompt = sys.stdin.read()
    deed, _, rest = prompt.strip().partition(" ")
    work = getattr(Agent, deed, None)
    if work is None:
        say(ask(prompt))
    else:
        work(rest)


def option(name: str) -> str:
    words = [word.partition("=")[2] for word in sys.argv if word.startswith(f"{name}=")]
    return str(json.loads(words[-1]))


def ask(prompt: str, **more: object) -> str:
    """One request to the model behind the gateway."""
    body = {"model": sys.argv[sys.argv.index("-m") + 1], "input": prompt, "stream": False, **more}
    status, answer = post(option("model_providers.bessemer.base_url") + "/responses", body)
    if status != 200:
        fail(answer["error"]["message"])
    return str(answer["output"][0]["content"][0]["text"])


def post(url: str, body: object) -> tuple:
    token = os.environ[option("model_providers.bessemer.env_key")]
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Authorization": f"Bearer {token}"})
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def say(text: str) -> None:
    print(json.dumps({"type": "thread.started", "thread_id": "t-1"}))
    print(json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": text}}))
    print(json.dumps({"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 3}}))


def fail(why: str) -> None:
    print(json.dumps({"type": "turn.failed", "error": {"message": why}}))
    sys.exit(1)


class Agent:
    @staticmethod
    def sleep(_: str) -> None:
        subprocess.Popen(["sleep", "600.271828"])
        time.sleep(600)

    @staticmethod
    def flood(_: str) -> None:
        while True:
            sys.stdout.write("x" * 65536)

    @staticmethod
    def fork(_: str) -> None:
        for _number in range(20_000):
            try:
                subprocess.Popen(["sleep", "600.314159"])
            except OSError:
                time.sleep(0.01)
        time.sleep(600)

    @staticmethod
    def garble(_: str) -> None:
        print("Here you are! {not json")

    @staticmethod
    def crash(_: str) -> None:
        print("it broke", file=sys.stderr)
        sys.exit(3)

    @staticmethod
    def silent(_: str) -> None:
        say("")

    @staticmethod
    def look(rest: str) -> None:
        """Tell all it can find of secrets, and what it was started with."""
        found = {}
        for path in rest.split():
            try:
                found[path] = pathlib.Path(path).read_text()[:200]
            except OSError as error:
                found[path] = type(error).__name__
        command = pathlib.Path("/proc/self/cmdline").read_text()
        say(json.dumps({"env": dict(os.environ), "files": found, "command": command}))

    @staticmethod
    def reach(rest: str) -> None:
        """Try hosts, by socket and through the gateway."""
        told = {}
        for place in rest.split():
            host, _, port = place.rpartition(":")
            try:
                socket.create_connection((host, int(port)), 3).close()
                told[place] = "reached"
            except OSError as error:
                told[place] = type(error).__name__
        gateway = option("model_providers.bessemer.base_url").removesuffix("/v1")
        for path in ("/", "/v1/models", "/v1/files", "/v1/messages"):
            told[path] = post(gateway + path, {"model": "claude-opus-4-6", "messages": [], "max_tokens": 9})[0]
        say(json.dumps(told))

    @staticmethod
    def spend(rest: str) -> None:
        """Ask until the budget refuses."""
        for number in range(int(rest.split()[0])):
            ask(f"request {number}")
        say("spent")

    @staticmethod
    def stay(_: str) -> None:
        """Leave a process behind that outlives it."""
        subprocess.Popen(["setsid", "sleep", "600.161803"])
        say("left")

    @staticmethod
    def keep(_: str) -> None:
        """Write where the next run would find it."""
        home = pathlib.Path(os.environ["HOME"])
        seen = sorted(path.name for path in home.rglob("*") if path.is_file())
        (home / "left-behind").write_text("x")
        (pathlib.Path.cwd() / "work").write_text("x")
        say(json.dumps({"seen": seen, "home": str(home), "cwd": str(pathlib.Path.cwd())}))


if __name__ == "__main__":
    main()
