"""What type checkers are to refuse, and where; it is checked, never run."""

from datetime import UTC, datetime

import registry_async
from registry_async import AsyncRegistryClient, RegistryClient, TokenScope, sync

SCOPE = TokenScope(all_registries=True, read_write=False)


def sync_mistakes(client: RegistryClient) -> None:
    client.images.list("id")  # type: ignore[call-arg]
    client.images.list("id", "app", "search")  # type: ignore[call-arg]
    client.registries.list(page_size="10")  # type: ignore[arg-type]
    client.registries.lists()  # type: ignore[attr-defined]
    client.registries.get("id").colour  # type: ignore[attr-defined]  # noqa: B018
    client.registries.list()[0]  # type: ignore[index]
    client.tokens.create(scope=SCOPE)  # type: ignore[call-arg]
    client.tokens.create(scope=SCOPE, expires_at="soon")  # type: ignore[arg-type]
    client.tokens.update("id", name=None)  # type: ignore[arg-type]
    client.repositories.cleanup("id", "app", digests=[1])  # type: ignore[list-item]
    client.scan(images="no")  # type: ignore[call-overload]
    client.with_options(label="mine")  # type: ignore[call-arg]
    client.request("GET", "/v2/registries", json=datetime.now(UTC))  # type: ignore[arg-type]
    name: int = client.registries.get("id").name  # type: ignore[assignment]
    first: str = client.registries.list().first()  # type: ignore[assignment]
    print(name, first)


def clients_mistaken_for_each_other(mine: RegistryClient, theirs: AsyncRegistryClient) -> None:
    sync.scan([theirs])  # type: ignore[list-item]
    registry_async.scan([mine])  # type: ignore[list-item]
    theirs.registries.get("id").name  # type: ignore[attr-defined]  # noqa: B018
    for registry in theirs.registries.list():  # type: ignore[attr-defined]
        print(registry)
    with theirs:  # type: ignore[attr-defined]
        pass
    mine.aclose()  # type: ignore[attr-defined]
    RegistryClient("token")  # type: ignore[arg-type]
    registry_async.RegistryKlient()  # type: ignore[attr-defined]


async def awaiting_what_is_there_already(client: RegistryClient) -> None:
    await client.registries.get("id")  # type: ignore[misc]
    async for registry in client.registries.list():  # type: ignore[attr-defined]
        print(registry)
    async with client:  # type: ignore[attr-defined]
        pass
