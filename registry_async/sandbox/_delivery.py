"""How an answer leaves: whole, cut short, or not at all."""

import json
import uuid

from aiohttp import web

from registry_async.sandbox._faults import Fault
from registry_async.sandbox._pulls import Download
from registry_async.sandbox._requests import Answer

_PIECE = 1 << 18
_PHRASES = {429: "Too many requests.", 500: "Internal server error."}


def as_response(answer: Answer) -> web.Response:
    """Write an answer's body as JSON."""
    if answer.body is None:
        response = web.Response(status=answer.status, headers=answer.headers)
    else:
        text = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
        response = web.Response(
            status=answer.status,
            body=text.encode("utf-8", "replace"),
            headers={"Content-Type": "application/json", **answer.headers},
        )
    response.headers["X-Request-Id"] = str(uuid.uuid4())
    return response


def as_fault(fault: Fault) -> web.Response:
    """Write the answer of a fault that has a status."""
    status = fault.status or 500
    body = fault.body
    if body is None and status >= 400:
        error = {"error": _PHRASES.get(status, f"Injected fault {status}.")}
        body = json.dumps(error).encode()
    named = any(name.lower() == "content-type" for name in fault.headers)
    headers = fault.headers if named else {"Content-Type": "application/json", **fault.headers}
    response = web.Response(status=status, body=body, headers=headers)
    response.headers.setdefault("X-Request-Id", str(uuid.uuid4()))
    return response


async def deliver(
    request: web.BaseRequest, reply: web.Response | Download, fault: Fault | None
) -> web.StreamResponse:
    """Send a reply as far as a fault lets it go.

    Args:
        request: What is answered.
        reply: The answer, or what is to be sent from the store.
        fault: The fault that strikes.

    Returns:
        What aiohttp is to finish; of no effect where the connection was dropped.
    """
    transport = request.transport
    if fault is not None and fault.drop is not None and transport is not None:
        transport.abort() if fault.drop == "reset" else transport.close()
        return web.Response(status=204)
    if isinstance(reply, Download):
        return await _download(request, reply, None if fault is None else fault.truncate)
    if fault is None or fault.truncate is None:
        return reply
    body = reply.body if isinstance(reply.body, bytes) else b""
    cut = web.StreamResponse(status=reply.status, headers=reply.headers)
    cut.content_length = len(body)
    await cut.prepare(request)
    await cut.write(body[: fault.truncate])
    if transport is not None:
        transport.close()
    return cut


async def _download(
    request: web.BaseRequest, download: Download, truncate: int | None
) -> web.StreamResponse:
    response = web.StreamResponse(status=download.status, headers=download.headers)
    response.headers["X-Request-Id"] = str(uuid.uuid4())
    response.content_length = download.stop - download.start
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    left = response.content_length if truncate is None else min(truncate, response.content_length)
    # Opened before anything is awaited, so that a collection cannot take it away in between.
    with download.open() as source:
        source.seek(download.start)
        await response.prepare(request)
        while left > 0 and (piece := source.read(min(_PIECE, left))):
            left -= len(piece)
            await response.write(piece)
    if truncate is not None and request.transport is not None:
        request.transport.close()
    return response
