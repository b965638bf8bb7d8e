"""One run of an agent that does what it should not, and one of each that does what it should."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import BudgetRefused, read_answer
from bessemer.actors.backends.base import CallFailure, Reply
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.sandbox import find_door
from tests.sandbox.conftest import alive

from ._upstream import Upstream, says
from .conftest import KEY, House, call

FAKE = str(Path(__file__).with_name("_fake_agent.py"))
GPT = 600 * 2.5 + 400 * 0.25 + 50 * 15
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


@pytest.fixture(autouse=True)
def _bubblewrap() -> None:
    try:
        find_door("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
async def house(upstream: Upstream, keys: None, short_tmp: Path) -> AsyncIterator[House]:
    made = House(upstream, short_tmp, agents={"codex": {"program": FAKE}})
    yield made
    await made.service.close()


async def ask(house: House, prompt: str, **changes: Any) -> Reply | CallFailure:
    return read_answer(await house.service.call(call("codex/gpt-5.4", prompt, **changes)))


async def test_an_answer_and_what_it_cost(house: House, upstream: Upstream) -> None:
    reply = await ask(house, "What is it?", request_instructions="Be short.")
    assert isinstance(reply, Reply)
    assert reply.text == "the answer"
    assert upstream.bodies[0]["input"] == "Be short.\n\nWhat is it?\n"
    mine, agents = (next(row for row in house.rows() if row["path"] == path) for path in ("s", "s/agent-0.1"))
    assert (mine["cost"], agents["cost"]) == (0, GPT)
    assert house.ledger.used == GPT
    told = reply.message["provider_details"]
    assert (told["metered"], told["requests"], told["metered_cost_micro_usd"]) == (True, 1, GPT)
    assert told["reported_usage"]["input"] == 9


async def test_a_schema_is_asked_for_in_words_and_one_block_is_read(house: House, upstream: Upstream) -> None:
    upstream.text = 'Sure.\n\n```json\n{"score": 7}\n```\n'
    reply = await ask(house, "Judge.", request_output_schema=SCHEMA)
    assert isinstance(reply, Reply)
    assert reply.data == {"score": 7}
    assert "exactly one fenced block" in upstream.bodies[0]["input"]


@pytest.mark.parametrize(
    "text",
    ['{"score": 7}', '```json\n{"score": 7}\n```\n```json\n{"score": 1}\n```', '```json\n{"score": "x"}\n```'],
    ids=["no fence", "two", "not the schema"],
)
async def test_an_answer_that_is_not_one_block_is_malformed_and_paid(
    house: House, upstream: Upstream, text: str
) -> None:
    upstream.text = text
    failure = await ask(house, "Judge.", request_output_schema=SCHEMA)
    assert isinstance(failure, CallFailure)
    assert failure.kind == "malformed_output"
    assert house.ledger.used == GPT


async def test_a_run_that_does_not_end_is_ended_with_all_it_started(house: House) -> None:
    failure = await ask(house, "sleep", request_timeout=1.5)
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.maybe_billed) == ("timeout", False)
    assert "did not end within" in failure.message
    assert not alive("600.271828")
    assert house.ledger.states() == ["released"]


async def test_a_flood_is_cut_off(house: House) -> None:
    failure = await ask(house, "flood")
    assert isinstance(failure, CallFailure)
    assert failure.kind == "infrastructure"
    assert "wrote more than it may" in failure.message


async def test_a_fork_bomb_ends(house: House) -> None:
    failure = await ask(house, "fork", request_timeout=20.0)
    assert isinstance(failure, CallFailure)
    assert failure.kind in ("infrastructure", "timeout")
    assert not alive("600.314159")


async def test_what_a_run_leaves_running_ends_with_it(house: House) -> None:
    reply = await ask(house, "stay")
    assert isinstance(reply, Reply)
    assert not alive("600.161803")


@pytest.mark.parametrize(
    ("deed", "kind", "said"),
    [
        ("garble", "malformed_output", "holds no events"),
        ("crash", "infrastructure", "ended with code 3: it broke"),
        ("silent", "infrastructure", "answered nothing"),
    ],
)
async def test_a_run_without_an_answer_says_why(house: House, deed: str, kind: str, said: str) -> None:
    failure = await ask(house, deed)
    assert isinstance(failure, CallFailure)
    assert failure.kind == kind
    assert said in failure.message


async def test_it_sees_no_key_no_home_and_no_prompt_on_its_command_line(
    house: House, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = short_tmp / "secret.txt"
    secret.write_text("a-secret")
    mine = Path.home() / ".netrc-of-a-test"
    mine.write_text("a-secret")
    monkeypatch.setenv("SOME_SECRET", "a-secret")
    try:
        reply = await ask(house, f"look {secret} {mine} /etc/shadow /proc/1/environ {house.settings.agents.login_dir}")
    finally:
        mine.unlink()
    assert isinstance(reply, Reply)
    told = json.loads(reply.text)
    assert "a-secret" not in reply.text
    assert KEY not in reply.text
    assert str(secret) not in told["command"]
    assert told["files"][str(secret)] == told["files"][str(mine)] == "FileNotFoundError"
    keys = {name for name, value in told["env"].items() if value.startswith("bsm-")}
    assert keys == {"BESSEMER_GATEWAY_TOKEN"}
    assert not {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SOME_SECRET"} & told["env"].keys()


async def test_it_reaches_the_gateway_and_nothing_else(house: House, upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as near, socket.create_server(("", 0)) as wide:
        places = [f"127.0.0.1:{near.getsockname()[1]}", upstream.url.removeprefix("http://"), "192.0.2.1:80"]
        places += [f"{_own_address()}:{wide.getsockname()[1]}", "example.org:443"]
        reply = await ask(house, f"reach {' '.join(places)}")
    assert isinstance(reply, Reply)
    told = json.loads(reply.text)
    assert [told[place] for place in places if told[place] == "reached"] == []
    assert (told["/"], told["/v1/models"], told["/v1/files"], told["/v1/messages"]) == (404, 404, 404, 403)
    assert upstream.bodies == []


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


async def test_each_run_starts_from_nothing(house: House) -> None:
    first, second = await ask(house, "keep"), await ask(house, "keep", index=1)
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    before, after = json.loads(first.text), json.loads(second.text)
    assert before["seen"] == after["seen"] == ["config.toml"]
    assert before["home"] != after["home"]
    assert not Path(before["home"]).exists()


async def test_a_cap_ends_the_run_and_is_no_outcome(house: House) -> None:
    house.ledger.cap = 500_000
    ended = await house.service.call(call("codex/gpt-5.4", "spend 400"))
    assert isinstance(ended, BudgetRefused)
    assert "left" in ended.failure.message
    assert house.ledger.used <= 500_000
    house.ledger.cap = None
    again = await house.service.call(call("codex/gpt-5.4", "spend 400"))
    assert isinstance(again, Outcome)
    paths = {row["path"] for row in house.rows()}
    assert {"s/agent-0.1", "s/agent-0.2"} <= paths


async def test_a_finished_call_starts_no_agent_again(house: House, upstream: Upstream) -> None:
    await ask(house, "What?")
    await ask(house, "What?")
    assert len(upstream.bodies) == 1


async def test_an_error_of_the_vendor_is_told_to_people(house: House, upstream: Upstream) -> None:
    upstream.script = [says(400, {"error": {"message": "that model is retired"}})]
    failure = await ask(house, "What?")
    assert isinstance(failure, CallFailure)
    assert "that model is retired" in failure.message
    assert house.ledger.used == 0


async def test_a_cancelled_call_leaves_nothing_running(house: House) -> None:
    asked = asyncio.create_task(house.service.call(call("codex/gpt-5.4", "sleep")))
    await _until(lambda: alive("600.271828"))
    asked.cancel()
    await asyncio.wait([asked])
    await _until(lambda: not alive("600.271828"))
    assert list(Path(house.settings.agents.work_dir).iterdir()) == []


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


async def test_a_host_that_dies_leaves_the_agents_requests_charged_and_its_successor_starts_anew(
    house: House, upstream: Upstream
) -> None:
    going = asyncio.Event()

    async def never(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        going.set()
        await asyncio.sleep(3600)
        return web.Response()

    upstream.script = [never]
    lost = asyncio.create_task(house.service.call(call("codex/gpt-5.4", "What?")))
    await going.wait()
    successor = BackendService(house.ledger, settings=house.settings)
    reply = read_answer(await successor.call(call("codex/gpt-5.4", "What?")))
    assert isinstance(reply, Reply)
    states = {name: stored.state for name, stored in house.ledger.attempts.items()}
    assert states["r|s|0|1"] == "in_doubt"
    assert states["r|s/agent-0.1|0|1"] == "reserved"
    assert states["r|s/agent-0.2|0|1"] == states["r|s|0|2"] == "settled"
    assert house.ledger.used == GPT + house.ledger.attempts["r|s/agent-0.1|0|1"].worst
    await successor.close()
    lost.cancel()
    await asyncio.wait([lost])


async def test_tools_are_refused(house: House) -> None:
    tool = {"name": "read", "description": "reads", "parameters": {}}
    failure = await ask(house, "What?", request_tools=(tool,))
    assert isinstance(failure, CallFailure)
    assert failure.kind == "bad_request"


async def test_the_prompt_may_be_long(house: House, upstream: Upstream) -> None:
    prompt = "Read this. " + "Ünïcode 文字 " * 40_000
    reply = await ask(house, prompt)
    assert isinstance(reply, Reply)
    assert upstream.bodies[0]["input"] == prompt + "\n"


COMMANDS: dict[str, Any] = {
    "echo": {"argv": ["cat"]},
    "priced": {
        "argv": ["/bin/echo", '{"out": [{"text": "x"}], "usd": 0.25, "in": 5, "done": 6}'],
        "output": "json",
        "text_at": "out.0.text",
        "cost_at": "usd",
        "input_tokens_at": "in",
        "output_tokens_at": "done",
    },
    "file": {"argv": ["/bin/cat", "{prompt_file}"], "prompt": "file"},
    "lost": {"argv": ["/no/such/program"]},
    "wrong": {"argv": ["/bin/echo", "{}"], "output": "json"},
    "fails": {"argv": ["/bin/sh", "-c", "echo partly; echo why >&2; exit 4"]},
    "env": {"argv": ["/usr/bin/env"], "env": {"MINE": "yes"}},
}


@pytest.fixture
async def commands(upstream: Upstream, keys: None, short_tmp: Path) -> AsyncIterator[House]:
    prices = {"overrides": {"command/priced": {"call": 0.5}, "command/echo": {"call": 0.01}}}
    made = House(upstream, short_tmp, commands=COMMANDS, prices=prices)
    yield made
    await made.service.close()


async def run(house: House, name: str, prompt: str = "hello") -> Reply | CallFailure:
    return read_answer(await house.service.call(call(f"command/{name}", prompt)))


async def test_a_command_gets_its_prompt_and_its_output_is_the_answer(commands: House) -> None:
    for name in ("echo", "file"):
        reply = await run(commands, name, "one\ntwo")
        assert isinstance(reply, Reply)
        assert reply.text == "one\ntwo"


async def test_what_a_command_says_it_cost_is_booked(commands: House) -> None:
    reply = await run(commands, "priced")
    assert isinstance(reply, Reply)
    assert (reply.text, reply.usage.input, reply.usage.output) == ("x", 5, 6)
    assert commands.ledger.used == 250_000


async def test_a_command_that_tells_no_cost_costs_its_price_for_a_call(commands: House) -> None:
    await run(commands, "echo")
    assert commands.ledger.used == 10_000
    assert commands.rows()[0]["price_version"] != "unmetered"


async def test_a_command_without_a_price_is_marked_unmetered(commands: House) -> None:
    reply = await run(commands, "file")
    assert isinstance(reply, Reply)
    assert commands.rows()[0]["price_version"] == "unmetered"
    assert commands.ledger.used == 0
    reserved = [operation for operation in commands.ledger.log if operation.op == "reserve"]
    assert [operation.unmetered for operation in reserved] == [True]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [("wrong", "malformed_output", "nothing at 'text'"), ("fails", "infrastructure", "code 4: why")],
)
async def test_a_command_that_fails_says_why(commands: House, name: str, kind: str, said: str) -> None:
    failure = await run(commands, name)
    assert isinstance(failure, CallFailure)
    assert (failure.kind, said in failure.message) == (kind, True)


async def test_a_command_gets_its_own_variables_and_no_key(commands: House) -> None:
    reply = await run(commands, "env")
    assert isinstance(reply, Reply)
    assert "MINE=yes" in reply.text
    assert KEY not in reply.text
    assert os.environ["OPENAI_API_KEY"] == KEY
