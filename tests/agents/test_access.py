"""How an agent is paid, what replaces a missing one, and what an unmetered call may not do."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors._backend_service import book_of
from bessemer.actors._calls import BudgetRefused, read_answer
from bessemer.actors.backends import billing, capabilities, check_keys, priced_as, resolve_name, substitute
from bessemer.actors.backends.agents import AGENTS, access_of, has_login, login_home
from bessemer.actors.backends.agents._login import borrowed_login
from bessemer.actors.backends.agents._tunnel import Tunnel
from bessemer.actors.backends.base import CallFailure, Reply
from bessemer.cluster.agent_settings import AgentsSettings
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import MissingKey, SettingsError, UnknownBackend, UnpricedModel
from bessemer.cluster.ledger import Ledger
from bessemer.interfaces._agent_login import log_in
from tests.ledger._make import opening

from ._upstream import Upstream
from .conftest import House, call

FAKE = str(Path(__file__).with_name("_fake_agent.py"))
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def settings(place: Path, **agents: Any) -> BackendSettings:
    given = AgentsSettings.model_validate({"login_dir": str(place / "logins"), **agents})
    return BackendSettings(agents=given)


def logged_in(provider: str, given: BackendSettings, token: str = "{}") -> Path:
    path = login_home(provider, given) / AGENTS[provider].credentials[0]
    path.parent.mkdir(parents=True)
    path.write_text(token)
    return path


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("codex", "codex/gpt-5.4"),
        ("claude_code/claude-opus-4-6", "claude-code/claude-opus-4-6"),
        ("claude-code:claude-opus-4-6", "claude-code/claude-opus-4-6"),
        ("gemini-cli/gemini-3.1-pro-preview", "gemini-cli/gemini-3.1-pro-preview"),
        ("copilot/gpt-5.4", "copilot/gpt-5.4"),
        ("command/mine", "command/mine"),
    ],
)
def test_names(spec: str, name: str) -> None:
    assert resolve_name(spec) == name
    able = capabilities(name)
    assert (able.tools, able.may_judge, able.structured, able.images) == (False, True, True, False)


@pytest.mark.parametrize(("agent", "vendor"), [("codex", "openai"), ("claude-code", "anthropic")])
def test_a_missing_program_is_replaced_by_its_vendors_api_with_a_notice(
    tmp_path: Path, agent: str, vendor: str
) -> None:
    missing = settings(tmp_path, **{agent.replace("-", "_"): {"program": "no-such-program"}})
    name, notice = substitute(f"{agent}/some-model", missing)
    assert name == f"{vendor}/some-model"
    assert notice.endswith(f"npm install -g {AGENTS[agent].package}; {vendor}/some-model answers in its place")


@pytest.mark.parametrize("agent", ["gemini-cli", "copilot"])
def test_a_missing_program_without_a_replacement_says_how_to_install_it(tmp_path: Path, agent: str) -> None:
    missing = settings(tmp_path, **{agent.replace("-", "_"): {"program": "no-such-program"}})
    with pytest.raises(SettingsError, match=f"npm install -g {AGENTS[agent].package}"):
        substitute(f"{agent}/some-model", missing)


def test_a_program_that_is_there_is_used(tmp_path: Path) -> None:
    assert substitute("codex/m", settings(tmp_path, codex={"program": FAKE})) == ("codex/m", "")
    assert substitute("openai/m", settings(tmp_path)) == ("openai/m", "")


def test_a_key_comes_before_a_login_and_without_either_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(tmp_path)
    with pytest.raises(MissingKey, match=r"set OPENAI_API_KEY .* or run `bessemer backend login codex`"):
        check_keys("codex/gpt-5.4", given)
    logged_in("codex", given)
    assert access_of("codex", given) == "login"
    assert "codex" in billing(given).unmetered
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert access_of("codex", given) == "key"
    assert "codex" in billing(given).metered
    assert access_of("codex", settings(tmp_path, codex={"access": "login"})) == "login"
    assert access_of("claude-code", settings(tmp_path, claude_code={"access": "login"})) == ""


def test_a_model_the_agent_cannot_reach_with_a_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    check_keys("copilot/gpt-5.4", settings(tmp_path))
    with pytest.raises(SettingsError, match="cannot reach the model 'gemini-3"):
        check_keys("copilot/gemini-3.1-pro-preview", settings(tmp_path))


def test_a_command_that_is_not_configured_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownBackend, match=r"command/mine is not configured .*backends\.commands\.mine\.argv"):
        check_keys("command/mine", settings(tmp_path))


def test_a_metered_agent_is_priced_by_its_vendors_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    given = settings(tmp_path)
    assert priced_as("codex/gpt-5.4", given) == "openai/gpt-5.4"
    prices = book_of(given)
    assert prices.worst_case("codex/gpt-5.4", 10_000, 1000) == 0
    assert not prices.is_unmetered("codex/gpt-5.4")
    with pytest.raises(UnpricedModel):
        prices.require(priced_as("codex/unheard-of", given))


def test_a_price_for_each_call_is_the_worst_case_of_an_unmetered_one(tmp_path: Path) -> None:
    given = settings(tmp_path)
    logged_in("codex", given)
    assert book_of(given).is_unmetered("codex/gpt-5.4")
    priced = given.model_copy(update={"prices": given.prices.model_validate({"overrides": {"codex/*": {"call": 0.2}}})})
    assert not book_of(priced).is_unmetered("codex/gpt-5.4")
    assert book_of(priced).worst_case("codex/gpt-5.4", 10_000, 1000) == 200_000


async def test_an_agents_own_login_answers_unmetered_without_a_cap(upstream: Upstream, short_tmp: Path) -> None:
    house = House(upstream, short_tmp, agents={"codex": {"program": FAKE}})
    token = logged_in("codex", house.settings, '{"token": "t"}')
    house.service = type(house.service)(house.ledger, settings=house.settings)
    prompt = "look " + " ".join(str(path) for path in (token, token.parent.parent))
    reply = read_answer(await house.service.call(call("codex/gpt-5.4", prompt)))
    await house.service.close()
    assert isinstance(reply, Reply)
    assert '"HTTPS_PROXY": "http://127.0.0.1:' in reply.text
    assert "BESSEMER_GATEWAY_TOKEN" not in reply.text
    assert house.rows()[0]["price_version"] == "unmetered"
    assert house.rows()[0]["input_tokens"] == 9
    # The kept login itself is not there: the run has a copy of its files.
    assert f'"{token}": "FileNotFoundError"' in reply.text


async def test_an_unmetered_call_under_a_cap_is_refused_as_a_budget(upstream: Upstream, short_tmp: Path) -> None:
    from bessemer.actors._backend_service import BackendService
    from bessemer.cluster.ledger import GroupCommit, LedgerClient

    house = House(upstream, short_tmp, commands={"echo": {"argv": ["cat"]}})
    with Ledger.open(f"sqlite:///{short_tmp / 'l.db'}") as ledger:
        keeper = GroupCommit(ledger)
        client = LedgerClient.local(keeper)
        await client.open_run(opening(caps={"run:r": 10**9}))
        service = BackendService(client, settings=house.settings)
        ended = await service.call(call("command/echo"))
        await service.close()
        await keeper.close()
    assert isinstance(ended, BudgetRefused)
    failure = read_answer(ended)
    assert isinstance(failure, CallFailure)
    assert failure.kind == "budget"
    assert "set a price for each call" in failure.message


async def test_a_login_is_lent_as_its_files_alone_and_only_a_renewed_token_comes_back(tmp_path: Path) -> None:
    given = settings(tmp_path)
    agent = AGENTS["claude-code"]
    kept = logged_in("claude-code", given, '{"token": 1}').parent.parent
    (kept / ".claude.json").write_text('{"account": "a"}')
    (kept / ".claude" / "settings.json").write_text('{"hooks": "evil"}')
    home = tmp_path / "home"
    home.mkdir()
    async with borrowed_login(agent, home, given) as (socket, env):
        assert Path(socket).exists()
        assert set(env.values()) == {"@GATEWAY@"}
        lent = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
        assert lent == [".claude.json", ".claude/.credentials.json"]
        assert stat.S_IMODE((home / ".claude/.credentials.json").stat().st_mode) == 0o600
        (home / ".claude/.credentials.json").write_text('{"token": 2}')
        (home / ".claude.json").write_text('{"mcpServers": "evil"}')
    assert (kept / ".claude/.credentials.json").read_text() == '{"token": 2}'
    assert (kept / ".claude.json").read_text() == '{"account": "a"}'
    assert has_login("claude-code", given)


async def test_a_run_cannot_put_a_link_in_the_place_of_its_token(tmp_path: Path) -> None:
    given = settings(tmp_path)
    kept = logged_in("codex", given, '{"token": 1}')
    secret = tmp_path / "secret"
    secret.write_text("secret")
    home = tmp_path / "home"
    async with borrowed_login(AGENTS["codex"], home, given):
        (home / ".codex/auth.json").unlink()
        (home / ".codex/auth.json").symlink_to(secret)
    assert kept.read_text() == '{"token": 1}'


async def test_the_tunnel_reaches_the_hosts_it_names_and_no_other(short_tmp: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo:" + await reader.read(100))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tunnel = Tunnel(frozenset({"localhost"}), port)
    await tunnel.start(str(short_tmp / "t"))

    async def through(head: str, said: bytes = b"hi") -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(short_tmp / "t"))
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b"200" in answer:
            writer.write(said)
            answer = await reader.read()
        writer.close()
        return answer

    assert await through(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x") == b"echo:hi"
    for head in (
        f"CONNECT 127.0.0.1:{port} HTTP/1.1",
        f"CONNECT localhost.evil.org:{port} HTTP/1.1",
        "CONNECT localhost:22 HTTP/1.1",
        f"GET http://localhost:{port}/ HTTP/1.1",
        f"CONNECT localhost:{port}@evil HTTP/1.1",
    ):
        assert b"403" in await through(head)
    assert len(tunnel.refused) == 5
    await tunnel.close()
    server.close()


@pytest.mark.parametrize("makes_it", [True, False])
def test_a_login_is_made_by_the_agent_in_a_home_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, makes_it: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    program = tmp_path / "agent"
    deed = "mkdir .codex && env > .codex/auth.json" if makes_it else "true"
    program.write_text(f'#!/bin/sh\n[ "$1" = login ] && {deed}\n')
    program.chmod(0o755)
    given = settings(tmp_path, codex={"program": str(program)})
    assert log_in("codex", given) == (0 if makes_it else 2)
    home = login_home("codex", given)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    if makes_it:
        seen = (home / ".codex/auth.json").read_text()
        assert f"HOME={home}" in seen
        assert "a-key" not in seen


def test_an_agent_nobody_knows_has_no_login(tmp_path: Path) -> None:
    with pytest.raises(UnknownBackend, match="choose one of claude-code"):
        log_in("cursor", settings(tmp_path))
    with pytest.raises(SettingsError, match="npm install -g @openai/codex"):
        log_in("codex", settings(tmp_path, codex={"program": "no-such-program"}))
