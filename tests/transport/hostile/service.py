"""A service that does all at once what services do on their worst day. Runs as a program.

It prints its port, serves until its standard input ends, and keeps the truth: what was created and
deleted, and how often. ``GET /truth`` tells it.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tests.support.faults import (
    Behaviour,
    Connection,
    Drip,
    Drop,
    FaultServer,
    Garbage,
    Hang,
    Reply,
    Reset,
    Truncate,
    retry_after_forms,
)
from tests.support.wire import SeenRequest

FAULT_SHARE: Final = 0.06
KINDS: Final = (
    "401",
    "429",
    "500",
    "502",
    "503",
    "504",
    "drop",
    "drip",
    "garbage",
    "half a gzip",
    "hang",
    "redirect",
    "reset",
    "truncate",
)
# Refused by what stands before the service, so that nothing was carried out.
REFUSALS: Final = frozenset({"401", "429", "503", "redirect"})
REGISTRIES: Final = 2
REPOSITORIES: Final = 3
IMAGES: Final = 25


@dataclass(frozen=True)
class ThenStray:
    """Answer, and then write an answer that nobody asked for on the connection, now idle."""

    answer: Reply
    written: asyncio.Event

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        await self.answer.perform(connection, request)
        # Another packet than the answer's own: the client has read that one.
        await connection.pause(0.005)
        await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.written.set()
        return True


@dataclass(frozen=True)
class WhenWritten:
    """Answer once the stray answer has been written."""

    written: asyncio.Event

    async def perform(self, connection: Connection, request: SeenRequest) -> bool:
        await self.written.wait()
        return await Reply.json({}).perform(connection, request)


@dataclass
class Service:
    """State, and the faults that hide it.

    Attributes:
        chance: Where the faults come from; seeded, so that a run can be run again.
        created: How often each token was created, by name.
        deleted: How often each image was deleted, by digest.
        faults: How often each kind of fault was served.
    """

    chance: random.Random
    created: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    strays: dict[str, asyncio.Event] = field(default_factory=dict)
    poisoned: set[int] = field(default_factory=set)

    def __call__(self, request: SeenRequest) -> Behaviour:
        path = request.raw_path.split("/")
        name = path[-1]
        if name == "truth":
            return Reply.json(
                {"created": self.created, "deleted": self.deleted, "faults": self.faults}
            )
        if path[-2] == "stray-written":
            return WhenWritten(self.strays.pop(name))
        if request.connection in self.poisoned:
            # Nothing is carried out: whoever takes the stray answer for ours is found out.
            return Drop()
        if name.startswith("stray-") and request.method == "GET":
            self.faults["stray"] += 1
            self.poisoned.add(request.connection)
            self.strays[name] = asyncio.Event()
            return ThenStray(self.carry_out(request), self.strays[name])
        if "calm-" in name or self.chance.random() >= FAULT_SHARE:
            return self.carry_out(request)
        return self.fail(request)

    def fail(self, request: SeenRequest) -> Behaviour:
        kind = self.chance.choice(KINDS)
        self.faults[kind] += 1
        if kind in REFUSALS:
            headers = {}
            if kind in ("429", "503"):
                forms = list(retry_after_forms(datetime.now(UTC)).values())
                headers["Retry-After"] = self.chance.choice(forms)
            if kind == "redirect":
                return Reply.redirect("http://127.0.0.1:9/elsewhere")
            echoed = request.header("x-auth-token")
            return Reply.json({"error": f"refused {echoed}"}, int(kind), headers=headers)
        answer = self.carry_out(request)
        body = answer.body or b'{"nothing": true}'
        packed = gzip.compress(body)
        head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        half = len(packed) // 2
        # A whole HTTP message around a gzip stream that is not.
        torn = f"{half:x}\r\n".encode() + packed[:half] + b"\r\n0\r\n\r\n"
        faults: dict[str, Behaviour] = {
            "500": Reply.json({"error": "broken"}, 500),
            "502": Reply(502, b"<html>"),
            "504": Reply(504),
            "drop": Drop(),
            "drip": Drip(body, interval=0.001, piece=max(len(body) // 8, 1)),
            "garbage": Garbage(),
            "half a gzip": Drop(head.encode() + torn),
            "hang": Hang(),
            "reset": Reset(after_head=self.chance.random() < 0.5),
            "truncate": Truncate(body),
        }
        return faults[kind]

    def carry_out(self, request: SeenRequest) -> Reply:
        path = request.raw_path.split("/")
        if request.method == "POST":
            name = request.json()["name"]
            self.created[name] += 1
            return Reply.json(
                {
                    "id": f"id-{name}",
                    "name": name,
                    "status": "active",
                    "scope": request.json()["scope"],
                    "expiration": {"isSet": False},
                    "token": f"secret-{name}",
                },
                201,
            )
        if request.method == "DELETE":
            if self.deleted[path[-1]]:
                return Reply.json({"error": "Image not found."}, 404)
            self.deleted[path[-1]] += 1
            return Reply(204)
        if path[-1] == "garbage-size" or path[-1] == "size":
            return Reply.json({"sizeNonReferenced": 0, "sizeUntagged": 0, "sizeTotal": 0})
        lists = {"registries": REGISTRIES, "repositories": REPOSITORIES, "images": IMAGES}
        if path[-1] in lists:
            return self.page(request, path[-1], lists[path[-1]])
        return Reply.json({"name": path[-1], "size": len(path[-1]), "type": "docker"})

    def page(self, request: SeenRequest, kind: str, total: int) -> Reply:
        query = dict(pair.split("=") for pair in request.query.split("&") if pair)
        start, limit = int(query.get("offset", 0)), int(query.get("limit", 10))
        numbers = range(start, min(start + limit, total))
        make = {"registries": registry, "repositories": repository, "images": image}[kind]
        answer = {"totalCount": total, kind: [make(number) for number in numbers]}
        if kind != "registries":
            answer["filteredCount"] = total
        return Reply.json(answer)


def registry(number: int) -> dict[str, object]:
    created = "2024-01-02T03:04:05.000000006Z"
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "name": f"registry-{number}",
        "status": "ACTIVE",
        "size": 10,
        "createdAt": created,
        "sizeLimit": 100,
        "used": 10,
    }


def repository(number: int) -> dict[str, object]:
    moment = "2024-01-02T03:04:05.000000006Z"
    return {"name": f"team/app-{number}", "size": 10, "type": "docker", "updatedAt": moment}


def image(number: int) -> dict[str, object]:
    digest = f"sha256:{number:064x}"
    return {
        "digest": digest,
        "tags": [f"v{number}"],
        "size": 10,
        "createdAt": "2024-01-02T03:04:05.000000006Z",
        "architecture": "amd64",
        "os": "linux",
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "layers": [{"digest": digest, "size": 10}],
    }


async def main(seed: int) -> None:
    service = Service(random.Random(seed))
    async with FaultServer(handler=service) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not ended.done():
            # What it saw is of no use here, and would be all that grows.
            server.requests.clear()
            await asyncio.wait([ended], timeout=0.5)
    json.dump(service.faults, sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(main(parser.parse_args().seed))
