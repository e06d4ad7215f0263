"""What our workarounds rely on in aiohttp. A failure here means: read `aiohttp_quirks` again."""

from __future__ import annotations

import asyncio
import inspect
import socket
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import calculate_timeout_when

from registry_async._transport.aiohttp_quirks import (
    PRECISE,
    begin_closing_with_loop,
    loop_of,
    session_middlewares,
    without_aiohttp,
)

pytestmark = pytest.mark.anyio


async def passing(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    return await handler(request)


async def test_a_session_keeps_its_middlewares_where_we_look() -> None:
    async with aiohttp.ClientSession(middlewares=[passing]) as session:
        assert list(session_middlewares(session)) == [passing]
    async with aiohttp.ClientSession() as session:
        assert list(session_middlewares(session)) == []


async def test_middlewares_that_cannot_be_found_are_an_error_and_not_left_out() -> None:
    renamed = cast("aiohttp.ClientSession", SimpleNamespace(_renamed=[passing]))
    with pytest.raises(AttributeError):
        session_middlewares(renamed)


async def test_middlewares_of_a_request_replace_those_of_the_session() -> None:
    seen: list[str] = []

    def named(name: str) -> aiohttp.ClientMiddlewareType:
        async def middleware(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            seen.append(name)
            raise LookupError

        return middleware

    async with aiohttp.ClientSession(middlewares=[named("session")]) as session:
        with pytest.raises(LookupError):
            await session.get("http://127.0.0.1:1/", middlewares=[named("request")])
    assert seen == ["request"]


async def test_a_connector_knows_its_event_loop() -> None:
    async with aiohttp.ClientSession() as session:
        assert session.connector is not None
        assert loop_of(session.connector) is asyncio.get_running_loop()


async def test_a_request_is_sent_by_a_method_that_an_attribute_can_replace() -> None:
    calls: list[aiohttp.connector.Connection] = []

    async def handle(request: web.Request) -> web.Response:
        return web.Response()

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        send = request.send

        async def noted(connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            calls.append(connection)
            assert isinstance(connection.protocol, ResponseHandler)
            assert connection.protocol.transport is not None
            assert connection.protocol.transport.get_extra_info("socket") is not None
            return await send(connection)

        vars(request)["send"] = noted
        return await handler(request)

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with aiohttp.ClientSession(middlewares=[middleware]) as session:
            assert (await session.get(url)).status == 200
        await runner.cleanup()
    assert len(calls) == 1


async def test_a_protocol_says_that_it_holds_what_nobody_asked_for() -> None:
    protocol = ResponseHandler(asyncio.get_running_loop())
    assert not protocol.should_close
    protocol.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert protocol.should_close


async def test_an_answer_that_comes_after_the_last_one_shows_as_well() -> None:
    protocol = ResponseHandler(asyncio.get_running_loop())
    protocol.set_response_params()
    protocol.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
    await protocol.read()
    assert not protocol.should_close
    protocol.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert protocol.should_close


async def test_time_limits_are_rounded_unless_they_are_precise() -> None:
    assert calculate_timeout_when(100.25, 6.3, 5) == 107
    assert calculate_timeout_when(100.25, 6.3, PRECISE) == 106.55
    assert "ceil_threshold" in inspect.signature(aiohttp.ClientTimeout).parameters


def test_sessions_are_closed_when_their_loop_ends() -> None:
    opened: list[aiohttp.ClientSession] = []
    kept: list[Any] = []

    async def use() -> None:
        opened.append(aiohttp.ClientSession())
        kept.append(begin_closing_with_loop(opened, set()))

    asyncio.run(use())
    assert [session.closed for session in opened] == [True]


async def test_only_frames_of_aiohttp_are_cut() -> None:
    async def failing(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        raise LookupError("vault sealed")

    async with aiohttp.ClientSession(middlewares=[failing]) as session:
        with pytest.raises(LookupError) as caught:
            await session.get("http://127.0.0.1:1/")
    modules = [str(entry.path) for entry in caught.traceback]
    assert any("aiohttp/client.py" in module for module in modules)
    error = without_aiohttp(caught.value)
    names: list[str] = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        assert not str(traceback.tb_frame.f_globals["__name__"]).startswith("aiohttp")
        traceback = traceback.tb_next
    assert names[-1] == "failing"
