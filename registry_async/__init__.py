"""Manage container registries: an async client, a sync one, and scans of many registries.

`AsyncRegistryClient` is awaited; `RegistryClient` has the same words without ``await``. The
operations are on its resources: `AsyncRegistries`, `AsyncRepositories`, `AsyncImages`,
`AsyncTokens` and `AsyncTokensV1`, each method with the operation of the service that it stands
for. What follows is a guide to the ways in which people use them. Every example runs as it
stands.

# In an async service

Make one client when the service starts and close it when it ends. It keeps connections open, logs
in once however many requests need a token, and may be shared by all tasks of the event loop.

```python
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, HTTPException, Request

from registry_async import AsyncRegistryClient, NotFoundError, Registry, Repository


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncRegistryClient.from_env(timeout=10) as client:
        app.state.registries = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/registries")
async def registries(request: Request) -> list[Registry]:
    client: AsyncRegistryClient = request.app.state.registries
    return await client.registries.list().collect(max_items=100)


@app.get("/registries/{name}/repositories")
async def repositories(request: Request, name: str) -> list[Repository]:
    client: AsyncRegistryClient = request.app.state.registries
    try:
        with anyio.fail_after(30):  # repeats and pages included
            registry = await client.registries.get_by_name(name)
            return await client.repositories.list(registry.id).collect()
    except NotFoundError as error:
        raise HTTPException(404, str(error)) from None
    except TimeoutError:
        raise HTTPException(504, "the registry took too long") from None
```

``timeout=`` bounds one attempt in seconds, from sending to the last byte;
``RetryPolicy.total_timeout`` bounds a call with its repeats; a scope such as ``anyio.fail_after``
or ``asyncio.timeout`` bounds whatever is inside it. A cancelled call ends at once, and leaves no
task and no connection behind. A POST that was cancelled, or whose answer was lost, may have been
carried out: it is never sent a second time.

# Bulk scans

`AsyncRegistryClient.scan` gives every image of every registry, as it comes, in memory that does
not grow with their number. What cannot be read is in ``errors``, and the rest goes on.

```python
import asyncio

from registry_async import AsyncRegistryClient


async def main() -> None:
    async with AsyncRegistryClient.from_env() as client:
        async with client.scan(registries="prod*", concurrency=32, max_rate=100) as scan:
            async for found in scan:
                if found.image.size > 2**30:
                    print(found.registry.name, found.repository.name, found.image.digest)
        for failure in scan.errors:
            print("not read:", failure.registry, failure.repository, failure.error)


asyncio.run(main())
```

`AsyncRegistryClient.scan_report` counts instead, and gives a `ScanReport`. An image without a tag
is not an unused one: the parts of a multi-architecture image have no tags.

# In a notebook

The sync client works where an event loop runs already, as in a notebook's kernel. Lists,
paginators and reports show as tables, and ``to_dataframe()`` gives a data frame (extra
``pandas``).

```python
from registry_async import RegistryClient

with RegistryClient.from_env() as client:
    report = client.scan_report()
    frame = report.to_dataframe()
print(frame.sort_values("size", ascending=False).head())
```

# When something fails

Every error is a `ContainerRegistryError`. A refusal of the service is an `ApiError` with a class
for each status; a `RequestError` is any request that failed, an answer that is not what the
contract says (`UnexpectedResponseError`) included. Arguments that make no sense are a
``ValueError`` before anything is sent. GET and DELETE are repeated after lost connections,
time-outs, 429, 502, 503 and 504; a POST or PATCH only when it cannot have been carried out.

```python
from registry_async import ApiError, RegistryClient, RequestError, RetryPolicy

policy = RetryPolicy(attempts=6, total_timeout=60)
with RegistryClient.from_env(retry=policy) as client:
    try:
        client.registries.get("00000000-0000-4000-8000-000000000000")
    except ApiError as error:
        print(error.status, error.message, error.request_id)
    except RequestError as error:
        print("no answer:", error)
```

# In tests

`registry_async.sandbox` is the service in one process: with state, with a registry that Docker
can push to, and with faults on demand.

```python
from registry_async import RetryPolicy
from registry_async.sandbox import Sandbox

with Sandbox() as sandbox, sandbox.sync_client(retry=RetryPolicy(base_delay=0)) as client:
    sandbox.faults.add(status=503)
    assert client.registries.list().count() > 0  # repeated once
```
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from registry_async._version import __version__ as __version__

# Each public name stands once: in the `__all__` of the module that defines it. These modules are
# asked in turn when a name is first used, so that an import alone costs next to nothing.
_MODULES: Final = (
    "errors",
    "models",
    "references",
    "_clock",
    "retry",
    "credentials",
    "_environment",
    "_pagination",
    "_plain",
    "_report",
    "_scan",
    "_resources",
    "client",
    "scanning",
    "accounts",
    # Functions that both clients have are the async one's here.
    "sync",
)

# Type checkers read the same lists. `sync` is named in full, since it repeats names of others.
if TYPE_CHECKING:
    from registry_async._clock import *
    from registry_async._environment import *
    from registry_async._pagination import *
    from registry_async._plain import *
    from registry_async._report import *
    from registry_async._resources import *
    from registry_async._scan import *
    from registry_async.accounts import *
    from registry_async.client import *
    from registry_async.credentials import *
    from registry_async.errors import *
    from registry_async.models import *
    from registry_async.references import *
    from registry_async.retry import *
    from registry_async.scanning import *
    from registry_async.sync import Images as Images
    from registry_async.sync import OpenProjects as OpenProjects
    from registry_async.sync import Paginator as Paginator
    from registry_async.sync import Registries as Registries
    from registry_async.sync import RegistryClient as RegistryClient
    from registry_async.sync import Repositories as Repositories
    from registry_async.sync import Scan as Scan
    from registry_async.sync import Tokens as Tokens
    from registry_async.sync import TokensV1 as TokensV1

    __all__: list[str]
else:

    def __getattr__(name):
        if name == "__all__":
            names = {each for module in _MODULES for each in _names(module)}
            globals()[name] = sorted({*names, "__version__"})
            return globals()[name]
        if not name.startswith("_"):
            # `from registry_async import retention` asks here first. A module must not load all
            # others before it.
            if find_spec(f"{__name__}.{name}") is not None:
                return import_module(f"{__name__}.{name}")
            for module in _MODULES:
                if name in _names(module):
                    value = getattr(import_module(f"{__name__}.{module}"), name)
                    globals()[name] = value
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def _names(module):
        return import_module(f"{__name__}.{module}").__all__

    def __dir__():
        return sorted({*globals(), *__getattr__("__all__")})
