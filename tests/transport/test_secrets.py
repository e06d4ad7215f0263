"""Secrets show nowhere: not in errors, tracebacks, logs, pickles or warnings."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import pytest

from registry_async import (
    AsyncRegistryClient,
    ConfigurationError,
    ContainerRegistryError,
    KeystoneApplicationCredential,
    KeystonePassword,
    RetryPolicy,
    StaticToken,
    TokenScope,
)
from registry_async._secrets import scrub
from tests.support.clock import FakeClock
from tests.support.faults import (
    FIVE_MEGABYTES,
    Behaviour,
    Drop,
    FaultServer,
    Garbage,
    GzipBomb,
    Hang,
    Reply,
    Reset,
    Truncate,
    refused_port,
)
from tests.support.wire import SeenRequest

# They are looked up as globals where they are needed: a local variable of a test would be found in
# the tracebacks that run through it.
TOKEN: Final = "canary-iam-token-7f3a91"
V1_TOKEN: Final = "canary+v1/token=b2c4 d6"
PASSWORD: Final = 'canary"pass\\wörd<&>9e1d'
APP_SECRET: Final = "canary-application-secret-55aa"

ONCE: Final = RetryPolicy(attempts=1)
TWICE: Final = RetryPolicy(attempts=2)


def forms(secret: str) -> set[str]:
    """Give every form in which a secret may be written."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret, safe="/"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        str(secret.encode())[2:-1],
    }


FORBIDDEN: Final = frozenset(
    form for secret in (TOKEN, V1_TOKEN, PASSWORD, APP_SECRET) for form in forms(secret)
)


def assert_clean(text: str, where: str) -> None:
    for secret in FORBIDDEN:
        if secret in text:
            start = text.index(secret)
            raise AssertionError(f"{where} shows a secret: …{text[max(0, start - 300) : start]}")


def related(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all errors that hang on it."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [e for e in (current.__cause__, current.__context__) if e is not None]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions


def assert_error_clean(error: BaseException) -> None:
    for current in related(error):
        kind = type(current).__name__
        assert_clean(str(current), f"str({kind})")
        assert_clean(repr(current), f"repr({kind})")
        assert_clean(repr(current.args), f"args of {kind}")
        assert_clean(repr(vars(current)), f"vars({kind})")
        for value in (*current.args, *vars(current).values()):
            # An object may hide in its repr what its attributes hold.
            assert_clean(repr(getattr(value, "__dict__", "")), f"attributes of an argument: {kind}")
        report = traceback.TracebackException.from_exception(current, capture_locals=True)
        assert_clean("".join(report.format(chain=True)), f"traceback of {kind}")
        if isinstance(current, ContainerRegistryError):
            pickled = pickle.dumps(current)
            assert_clean(pickled.decode("latin-1"), f"pickle of {kind}")
            assert_clean(pickled.decode("utf-8", "replace"), f"pickle of {kind}")
            for twin in (pickle.loads(pickled), copy.copy(current), copy.deepcopy(current)):
                assert type(twin) is type(current)
                assert str(twin) == str(current)
                assert vars(twin) == vars(current)


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def assert_clean(self) -> None:
        for record in self.records:
            assert_clean(record.getMessage(), f"a message of the logger {record.name}")
            assert_clean(repr(record.__dict__), f"a record of the logger {record.name}")
            error = record.exc_info[1] if record.exc_info else None
            # The scripted server's own failures hold what it was told to answer.
            if error is not None and not _is_servers_own(error):
                assert_error_clean(error)


def _is_servers_own(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any("support" in frame.filename for frame in frames)


@pytest.fixture
def records() -> Iterator[_Records]:
    """Record everything that any logger says, from DEBUG on."""
    root, handler = logging.getLogger(), _Records()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)
    handler.assert_clean()
    assert handler.records


@pytest.fixture(autouse=True)
def _clean_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        assert_clean(str(warning.message), "a warning")


def echo(status: int, v1: str) -> Reply:
    """Answer with an error that repeats what the client sent, in body and headers."""
    body = {"error": {"id": TOKEN, "message": f"bad: {TOKEN} {v1} {quote(v1, safe='')}"}}
    headers = {
        "X-Request-Id": f"id-{TOKEN}-{quote(v1, safe='')}",
        "X-Auth-Token": TOKEN,
        "Retry-After": "0",
    }
    return Reply.json(body, status, headers=headers)


def echoes(status: int) -> Callable[[str], Behaviour]:
    return lambda v1: echo(status, v1)


HTML: Final = {"Content-Type": "text/html"}
# By what was sent: the v1 token, where there was one.
FAILURES: Final[dict[str, Callable[[str], Behaviour]]] = {
    **{
        f"echo {status}": echoes(status)
        for status in (400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504)
    },
    "echo as HTML": lambda v1: Reply(500, f"<p>{TOKEN} {v1}</p>".encode(), HTML),
    "echo as text": lambda v1: Reply(400, f"{TOKEN} {v1}".encode()),
    "large error": lambda v1: Reply(503, f"{TOKEN} {v1}".encode() + FIVE_MEGABYTES),
    "redirect": lambda v1: Reply.redirect(f"/elsewhere?{TOKEN}"),
    "not JSON": lambda v1: Reply(200, f"{TOKEN} {v1}".encode()),
    "wrong type": lambda v1: Reply.json({"token": 1, "expireAt": TOKEN, "expireIn": v1}),
    "wrong shape": lambda v1: Reply.json([TOKEN, v1]),
    "drop": lambda v1: Drop(),
    "reset": lambda v1: Reset(),
    "reset in the body": lambda v1: Reset(after_head=True),
    "truncated": lambda v1: Truncate(json.dumps({"token": v1, "a": TOKEN}).encode()),
    "truncated error": lambda v1: Truncate(json.dumps({"error": TOKEN}).encode(), status=500),
    "truncated chunks": lambda v1: Truncate(b'{"a": 1}', chunked=True),
    "garbage": lambda v1: Garbage(f"{TOKEN} {v1}\r\n\r\n".encode()),
    "bad header": lambda v1: Garbage(f"HTTP/1.1 200 OK\r\n{TOKEN}\r\n\r\n".encode()),
    "gzip bomb": lambda v1: GzipBomb(size=8 << 20),
    "hang": lambda v1: Hang(),
    "hang in the body": lambda v1: Hang.in_body(b"{"),
}

Call = Callable[[AsyncRegistryClient], Awaitable[Any]]
CALLS: Final[dict[str, Call]] = {
    "get v1 token": lambda client: client.tokens_v1.get(V1_TOKEN),
    "refresh v1 token": lambda client: client.tokens_v1.refresh(V1_TOKEN),
    "revoke v1 token": lambda client: client.tokens_v1.revoke(V1_TOKEN),
    "request by hand": lambda client: client.request(
        "GET", f"/v1/token/{quote(V1_TOKEN, safe='')}"
    ),
    "list": lambda client: client.registries.list().collect(),
    "delete": lambda client: client.repositories.delete("r", "team/app"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_failure_shows_a_secret(failure: str, call: str, records: _Records) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    timeout = 0.2 if "hang" in failure else 30.0

    def behave(request: SeenRequest) -> Behaviour:
        return FAILURES[failure](V1_TOKEN if "/v1/token/" in request.target else "-")

    async with FaultServer(handler=behave) as server:
        async with AsyncRegistryClient(
            token=TOKEN,
            base_url=server.base_url,
            retry=TWICE,
            timeout=timeout,
            clock=FakeClock(),
            max_response_size=1 << 20,
        ) as client:
            assert_clean(repr(client) + repr(vars(client)), "the client")
            try:
                await CALLS[call](client)
            except ContainerRegistryError as error:
                assert_error_clean(error)
            else:
                # Nothing is wrong with an answer that nobody reads, or that may have any form.
                assert failure in ("wrong type", "wrong shape", "not JSON")
                assert call in ("revoke v1 token", "delete", "request by hand", "list")
        assert server.requests[0].header("X-Auth-Token") == TOKEN
    loop.set_debug(False)


@pytest.mark.anyio
async def test_an_error_says_what_the_service_said_around_the_secret(records: _Records) -> None:
    async with FaultServer(echo(400, V1_TOKEN)) as server:
        async with AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client:
            with pytest.raises(ContainerRegistryError) as caught:
                await client.tokens_v1.get(V1_TOKEN)
        # A blank error would be clean as well.
        assert "bad: *** *** ***" in str(caught.value)
        assert "/v1/token/***" in str(caught.value)
        assert server.requests[0].raw_path == f"/api/v1/token/{quote(V1_TOKEN, safe='')}"


@pytest.mark.anyio
async def test_success_shows_no_secret(records: _Records) -> None:
    answer = {"token": V1_TOKEN, "expireAt": 1_900_000_000, "expireIn": 43200}
    login = {"auth": "x", "username": "token", "password": V1_TOKEN}
    async with (
        FaultServer(
            Reply.json(answer),
            Reply.json({key: answer[key] for key in ("expireAt", "expireIn")}),
            Reply.json({"auths": {"cr.test": login}}, 201),
        ) as server,
        AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client,
    ):
        created = await client.tokens_v1.create()
        seen = await client.tokens_v1.get(created.secret)
        config = await client.tokens_v1.create_docker_config()
        assert created.secret == seen.secret == config.auths["cr.test"].password == V1_TOKEN
        for value in (created, seen, config):
            assert_clean(repr(value) + str(value), "a result")
        assert_clean(repr(vars(client)), "the client")


@pytest.mark.anyio
@pytest.mark.parametrize("call", CALLS)
async def test_a_refused_connection_shows_no_secret(call: str, records: _Records) -> None:
    with refused_port() as port:
        async with AsyncRegistryClient(
            token=TOKEN, base_url=f"http://127.0.0.1:{port}/api", retry=ONCE
        ) as client:
            with pytest.raises(ContainerRegistryError) as caught:
                await CALLS[call](client)
            assert_error_clean(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("behaviour", [Hang(), Hang.in_body(b"{")], ids=["head", "body"])
async def test_cancellation_shows_no_secret(
    call: str, behaviour: Behaviour, records: _Records
) -> None:
    async with (
        FaultServer(default=behaviour) as server,
        AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client,
    ):
        running = asyncio.ensure_future(CALLS[call](client))
        await server.wait_for_requests(1)
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        assert_error_clean(caught.value)


@pytest.mark.anyio
async def test_a_time_limit_of_the_callers_shows_no_secret(records: _Records) -> None:
    async with (
        FaultServer(default=Hang()) as server,
        AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client,
    ):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.2):
                await client.tokens_v1.get(V1_TOKEN)
        assert_error_clean(caught.value)


def test_a_keyboard_interrupt_shows_no_secret() -> None:
    # In a process of its own, where Ctrl-C does what it does to users: cancel the main task.
    program = """
        import asyncio, os, signal, traceback
        from registry_async import AsyncRegistryClient
        from tests.support.faults import FaultServer, Hang

        async def main():
            async with FaultServer(default=Hang()) as server:
                async with AsyncRegistryClient(
                    token=os.environ["CANARY"], base_url=server.base_url
                ) as client:
                    async def interrupt():
                        await server.wait_for_requests(1)
                        os.kill(os.getpid(), signal.SIGINT)
                    task = asyncio.create_task(interrupt())
                    await client.tokens_v1.get(os.environ["CANARY_V1"])

        try:
            asyncio.run(main())
        except KeyboardInterrupt as error:
            report = traceback.TracebackException.from_exception(error, capture_locals=True)
            print("".join(report.format(chain=True)))
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, "CANARY": TOKEN, "CANARY_V1": V1_TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "KeyboardInterrupt" in done.stdout, done.stderr
    assert str(Path("_transport") / "exchange.py") in done.stdout
    assert_clean(done.stdout + done.stderr, "the interrupted program")


# -- logins


def refuse_login(status: int) -> Callable[[str], Behaviour]:
    return lambda secret: Reply.json(
        {"error": {"code": status, "message": f"refused: {secret}"}}, status
    )


SUBJECT: Final = {"X-Subject-Token": TOKEN}
LOGIN_FAILURES: Final[dict[str, Callable[[str], Behaviour]]] = {
    **{f"refused with {status}": refuse_login(status) for status in (400, 401, 403, 429, 500, 503)},
    "as text": lambda secret: Reply(400, secret.encode()),
    "escaped": lambda secret: Reply(400, json.dumps({"e": [secret, "é"]}).encode()),
    "redirect": lambda secret: Reply.redirect("http://127.0.0.1:9/"),
    "no token": lambda secret: Reply.json({"token": {"expires_at": secret}}, 201),
    "no time": lambda secret: Reply.json({"token": {}}, 201, headers=SUBJECT),
    "bad token": lambda secret: Reply.json(
        {"token": {"expires_at": "x"}}, 201, headers={"X-Subject-Token": TOKEN + "\x80"}
    ),
    "not JSON": lambda secret: Reply(201, secret.encode(), SUBJECT),
    "drop": lambda secret: Drop(),
    "reset": lambda secret: Reset(),
    "garbage": lambda secret: Garbage(),
    "hang": lambda secret: Hang(),
}


def misbehave(failure: str) -> Callable[[SeenRequest], Behaviour]:
    def behave(request: SeenRequest) -> Behaviour:
        sent = request.json()["auth"]["identity"]
        return LOGIN_FAILURES[failure](PASSWORD if "password" in sent else APP_SECRET)

    return behave


LOGINS: Final[dict[str, Callable[[str], KeystonePassword | KeystoneApplicationCredential]]] = {
    "password": lambda url: KeystonePassword(
        username="robot", password=PASSWORD, account="1", project_name="p", auth_url=url
    ),
    "application credential": lambda url: KeystoneApplicationCredential(
        id="robot", secret=APP_SECRET, auth_url=url
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("failure", LOGIN_FAILURES)
async def test_no_failed_login_shows_a_secret(failure: str, login: str, records: _Records) -> None:
    async with FaultServer(handler=misbehave(failure)) as server:
        credentials = LOGINS[login](server.url)
        assert_clean(repr(credentials) + repr(vars(credentials)), "the credentials")
        async with AsyncRegistryClient(
            credentials,
            base_url=server.base_url,
            retry=TWICE,
            timeout=0.2 if failure == "hang" else 30,
            clock=FakeClock(),
        ) as client:
            with pytest.raises(ContainerRegistryError) as caught:
                await client.registries.list().collect()
            assert_error_clean(caught.value)
            assert_clean(repr(vars(credentials)), "the credentials")
        assert server.count("POST") == len(server.requests) > 0


@pytest.mark.anyio
@pytest.mark.parametrize("failure", sorted(LOGIN_FAILURES.keys() - {"hang"}))
async def test_no_failed_login_over_a_session_shows_a_secret(
    failure: str, records: _Records
) -> None:
    async with (
        FaultServer(handler=misbehave(failure)) as server,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(ContainerRegistryError) as caught:
            await LOGINS["password"](server.url).get_token(session)
        assert_error_clean(caught.value)


@pytest.mark.anyio
async def test_a_cancelled_login_shows_no_secret(records: _Records) -> None:
    async with FaultServer(default=Hang()) as server, aiohttp.ClientSession() as session:
        credentials = LOGINS["password"](server.url)
        async with AsyncRegistryClient(credentials, base_url=server.base_url) as client:
            for number, call in enumerate((client.registries.list().first, None), 1):
                running = asyncio.ensure_future(
                    call() if call is not None else credentials.get_token(session)
                )
                await server.wait_for_requests(number)
                running.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await running
                assert_error_clean(caught.value)


# -- arguments


REFUSED: Final[dict[str, Callable[[], object]]] = {
    "token with a line break": lambda: StaticToken(TOKEN + "\n"),
    "token that is bytes": lambda: StaticToken(TOKEN.encode()),  # type: ignore[arg-type]
    "client's token with a space": lambda: AsyncRegistryClient(token=TOKEN + " "),
    "client's token that is bytes": lambda: AsyncRegistryClient(token=TOKEN.encode()),  # type: ignore[arg-type]
    "token as credentials": lambda: AsyncRegistryClient(TOKEN),  # type: ignore[arg-type]
    "token with credentials": lambda: AsyncRegistryClient(StaticToken(TOKEN), token=TOKEN),
    "client's other argument": lambda: AsyncRegistryClient(token=TOKEN, timeout=-1),
    "password with two projects": lambda: KeystonePassword(
        username="robot", password=PASSWORD, account="1", project_id="p", project_name="q"
    ),
    "password that is bytes": lambda: KeystonePassword(
        username="robot",
        password=PASSWORD.encode(),  # type: ignore[arg-type]
        account="1",
        project_id="p",
    ),
    "secret without an id": lambda: KeystoneApplicationCredential(id="", secret=APP_SECRET),
    "secret that is bytes": lambda: KeystoneApplicationCredential(
        id="x",
        secret=APP_SECRET.encode(),  # type: ignore[arg-type]
    ),
    "bad auth URL": lambda: KeystonePassword(
        username="r", password=PASSWORD, account="1", project_id="p", auth_url="nowhere"
    ),
    "password in the base URL": lambda: AsyncRegistryClient(
        token="t", base_url=f"https://user:{APP_SECRET}@127.0.0.1"
    ),
    "password with a slash in the base URL": lambda: AsyncRegistryClient(
        token="t", base_url=f"https://user:{APP_SECRET}/9@127.0.0.1"
    ),
    "password with a slash in the auth URL": lambda: KeystoneApplicationCredential(
        id="x", secret="s", auth_url=f"https://user:{APP_SECRET}/9@127.0.0.1"
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_argument_shows_no_secret(case: str) -> None:
    with pytest.raises((ValueError, ConfigurationError)) as caught:
        REFUSED[case]()
    assert_error_clean(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("bad", [V1_TOKEN + "\n", V1_TOKEN + "\ud800", f"../{V1_TOKEN}", "//x"])
@pytest.mark.parametrize("method", ["get", "refresh", "revoke"])
async def test_a_refused_v1_token_shows_no_secret(method: str, bad: str) -> None:
    async with FaultServer() as server:
        async with AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client:
            failure = await refused(client, method, [bad])
            del bad
            assert "token" in str(failure)
            report = traceback.TracebackException.from_exception(failure, capture_locals=True)
            assert_clean("".join(report.format()), "the traceback")
        assert not server.requests


async def refused(client: AsyncRegistryClient, method: str, tokens: list[str]) -> ValueError:
    """Call with a bad token and give the error without the frames of this file."""
    with pytest.raises(ValueError, match="token") as caught:
        await getattr(client.tokens_v1, method)(tokens.pop())
    assert caught.tb.tb_next is not None
    return caught.value.with_traceback(caught.tb.tb_next)


@pytest.mark.parametrize(
    "variables",
    [
        {"REGISTRY_TOKEN": TOKEN + " x"},
        {"OS_TOKEN": TOKEN + "\x00".replace("\x00", "é")},
        {"OS_APPLICATION_CREDENTIAL_SECRET": APP_SECRET},
        {"OS_USERNAME": "robot", "OS_PASSWORD": PASSWORD},
        {"REGISTRY_TOKEN": TOKEN, "REGISTRY_BASE_URL": "nowhere"},
    ],
    ids=["token", "os token", "secret alone", "password without domain", "base URL"],
)
def test_a_refused_environment_shows_no_secret(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REGISTRY_TOKEN", "OS_TOKEN", "OS_PASSWORD", "OS_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    variables.clear()
    value = ""
    failure: BaseException
    try:
        AsyncRegistryClient.from_env()
    except ConfigurationError as error:
        failure = error
    assert_error_clean(failure)


@pytest.mark.anyio
async def test_issued_tokens_keep_their_secret_out_of_repr() -> None:
    token = {
        "id": "t",
        "status": "active",
        "scope": {"allRegistries": True, "modeRW": False},
        "expiration": {"isSet": False},
        "token": APP_SECRET,
    }
    async with (
        FaultServer(Reply.json(token, 201)) as server,
        AsyncRegistryClient(token=TOKEN, base_url=server.base_url) as client,
    ):
        issued = await client.tokens.create(scope=TokenScope(True, False), expires_at=None)
    assert issued.secret == APP_SECRET
    assert_clean(f"{issued} {issued!r}", "an issued token")


def test_a_secret_is_scrubbed_in_every_form_it_is_written_in() -> None:
    for form in forms(PASSWORD) | forms(V1_TOKEN):
        cleaned = scrub(f"<{form}>", [PASSWORD, V1_TOKEN])
        assert_clean(cleaned, "a scrubbed text")
        assert cleaned == "<***>"


@pytest.mark.parametrize("upper", [True, False])
def test_percent_encoding_is_scrubbed_in_either_case(upper: bool) -> None:
    text = quote("päss/wörd", safe="")
    assert scrub(text if upper else text.lower(), ["päss/wörd"]) == "***"
