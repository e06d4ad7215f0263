"""Many requests through random faults: each ends right, nothing is done twice, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pytest

from registry_async import (
    AsyncRegistryClient,
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TokenScope,
    UnexpectedResponseError,
)
from tests.support.faults import (
    Behaviour,
    Drop,
    FaultServer,
    Garbage,
    Hang,
    Reply,
    Reset,
    Truncate,
)
from tests.support.wire import SeenRequest

AT_ONCE: Final = 64
FAULT_SHARE: Final = 0.05
SCOPE: Final = TokenScope(all_registries=True, read_write=False)
# Long enough for a machine that is busy with all the others at once, short enough for hangs.
LIMIT: Final = 3.0


@dataclass
class Service:
    """A service with state that fails now and then, before or after it has done what was asked.

    Attributes:
        chance: Where the faults come from; seeded, so a run that fails can be run again.
        deleted: How often each image was deleted.
        created: How often each token was created, by name.
        faults: How often each kind of fault was served.
    """

    chance: random.Random
    deleted: Counter[str] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    on: bool = True

    def __call__(self, request: SeenRequest) -> Behaviour:
        if not self.on or self.chance.random() >= FAULT_SHARE:
            return self.carry_out(request)
        kind = self.chance.choice(
            ["429", "503", "drop", "reset", "truncate", "502", "504", "hang", "500", "garbage"]
        )
        self.faults[kind] += 1
        # What a gateway refuses never reached the service; the rest was done, its answer lost.
        if kind in ("429", "503"):
            return Reply(int(kind), headers={"Retry-After": "0"})
        answer = self.carry_out(request)
        body = answer.body or b'{"nothing": true}'
        faults: dict[str, Behaviour] = {
            "drop": Drop(),
            "reset": Reset(after_head=self.chance.random() < 0.5),
            "truncate": Truncate(body),
            "502": Reply(502, b"<html>"),
            "504": Reply(504),
            "500": Reply.json({"error": "broken"}, 500),
            "hang": Hang(),
            "garbage": Garbage(),
        }
        return faults[kind]

    def carry_out(self, request: SeenRequest) -> Reply:
        if request.method == "POST":
            name = request.json()["name"]
            self.created[name] += 1
            token = {
                "id": f"id-{name}",
                "name": name,
                "status": "active",
                "scope": request.json()["scope"],
                "expiration": {"isSet": False},
                "token": f"secret-{name}",
            }
            return Reply.json(token, 201)
        if request.method == "DELETE":
            name = request.raw_path.rpartition("/")[2]
            if self.deleted[name]:
                return Reply.json({"error": "Image not found."}, 404)
            self.deleted[name] += 1
            return Reply(204)
        name = request.raw_path.rpartition("/")[2]
        return Reply.json({"name": name, "size": len(name), "type": "docker"})


# What a caller may see of these faults, once repetition has done what it can. A 404 is not among
# them: what a request finds gone, it has deleted itself.
EXPECTED: Final = (
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedResponseError,
)


async def soak(requests: int, seed: int) -> tuple[Service, Counter[str], list[int]]:
    """Send so many requests, 64 at once; give the service, the outcomes, and objects as it went."""
    service = Service(random.Random(seed))
    outcomes: Counter[str] = Counter()
    objects: list[int] = []
    tasks_before = asyncio.all_tasks()
    async with (
        FaultServer(handler=service) as server,
        AsyncRegistryClient(
            token="t",
            base_url=server.base_url,
            timeout=LIMIT,
            retry=RetryPolicy(attempts=6, base_delay=0.001, max_delay=0.01),
            max_connections=AT_ONCE,
        ) as client,
    ):
        numbers = iter(range(requests))

        async def work() -> None:
            for number in numbers:
                outcomes[await one(client, service, number)] += 1
                if number % (requests // 10) == requests // 20:
                    # What the server keeps of what it saw is not the client's.
                    server.requests.clear()
                    gc.collect()
                    objects.append(len(gc.get_objects()))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert server.open_connections <= AT_ONCE
        # The client is as good as new.
        service.on = False
        patient = client.with_options(timeout=60)
        repositories = (patient.repositories.get("r", f"after-{n}") for n in range(200))
        assert len(await asyncio.gather(*repositories)) == 200
        await client.aclose()
        await server.wait_for_connections(0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks_before
    assert sum(outcomes.values()) == requests
    return service, outcomes, objects


async def one(client: AsyncRegistryClient, service: Service, number: int) -> str:
    """Send one request and judge what came of it."""
    name = f"n{number}"
    kind = ("GET", "GET", "POST", "DELETE")[number % 4]
    try:
        if kind == "GET":
            found = await client.repositories.get("r", name)
            assert (found.name, found.size) == (name, len(name))
        elif kind == "POST":
            token = await client.tokens.create(scope=SCOPE, expires_at=None, name=name)
            assert (token.id, token.secret) == (f"id-{name}", f"secret-{name}")
            assert service.created[name] == 1
        else:
            await client.images.delete("r", "p", f"sha256:{name}")
            # A success is one, even where the answer to it was lost.
            assert service.deleted[f"sha256%3A{name}"] == 1
    except EXPECTED as error:
        return f"{kind} {type(error).__name__}"
    return f"{kind} succeeded"


def judge(service: Service, outcomes: Counter[str], requests: int) -> None:
    # Each POST was carried out at most once, whatever became of its answer.
    assert max(service.created.values()) == 1
    assert max(service.deleted.values()) == 1
    succeeded = {kind: outcomes[f"{kind} succeeded"] for kind in ("GET", "POST", "DELETE")}
    # GET and DELETE are repeated: what is left are the faults that are final, 500 and garbage.
    assert succeeded["GET"] >= requests / 2 * 0.97
    assert succeeded["DELETE"] >= requests / 4 * 0.97
    assert succeeded["POST"] >= requests / 4 * 0.90
    # Every kind of fault was met.
    assert len(service.faults) == 10
    assert sum(service.faults.values()) >= requests * FAULT_SHARE * 0.7


@pytest.mark.anyio
async def test_a_short_soak() -> None:
    service, outcomes, _ = await soak(1_500, seed=1)
    judge(service, outcomes, 1_500)


@pytest.mark.soak
@pytest.mark.anyio
@pytest.mark.timeout(600)
async def test_a_long_soak() -> None:
    service, outcomes, objects = await soak(20_000, seed=2)
    judge(service, outcomes, 20_000)
    # Nothing is kept of a request that is over: sixteen thousand of them leave no trace.
    assert objects[-1] - objects[1] < 8_000, objects
