"""What type checkers are to make of programs that use the package; it is checked, never run."""

from collections.abc import Iterator
from typing import assert_type

from registry_async import (
    AsyncPaginator,
    AsyncRegistryClient,
    CleanupResult,
    Cluster,
    DockerConfig,
    GarbageSize,
    Image,
    IssuedToken,
    Layer,
    Page,
    Paginator,
    Registry,
    RegistryClient,
    RegistryStatus,
    Repository,
    Scan,
    ScanError,
    ScannedImage,
    ScannedRepository,
    ScanReport,
    Token,
    TokenScope,
    TokenV1,
    sync,
)
from registry_async import scan as async_scan

SCOPE = TokenScope(all_registries=True, read_write=False)


def sync_lists(client: RegistryClient) -> None:
    paginator = client.registries.list(sort_field="size", sort_type="desc")
    assert_type(paginator, Paginator[Registry])
    for registry in paginator:
        assert_type(registry, Registry)
        assert_type(registry.size, int)
        assert_type(registry.status, RegistryStatus | str)
    assert_type(paginator.pages(), Iterator[Page[Registry]])
    assert_type(paginator.first(), Registry | None)
    assert_type(paginator.count(), int)
    assert_type(paginator.collect(max_items=3)[0], Registry)
    assert_type(client.repositories.list("id"), Paginator[Repository])
    assert_type(client.repositories.list_names("id"), Paginator[str])
    assert_type(client.images.list("id", "app", api_version=1), Paginator[Image])
    assert_type(client.tokens.list(scope_mode="ro"), Paginator[Token])


def sync_calls(client: RegistryClient) -> None:
    assert_type(client.registries.create("name", wait=True), Registry)
    assert_type(client.registries.get_by_name("name"), Registry)
    assert_type(client.registries.list_clusters("id"), tuple[Cluster, ...])
    assert_type(client.registries.get_garbage_size("id"), GarbageSize)
    assert_type(client.registries.wait_until_active("id", timeout=3), Registry)
    assert_type(client.repositories.cleanup("id", "app", tags=["a"]), CleanupResult)
    assert_type(client.repositories.list_tags("id", "app"), tuple[str, ...])
    assert_type(client.images.get("id", "app", "latest"), Image)
    assert_type(client.images.list_layers("id", "app", "latest"), tuple[Layer, ...])
    issued = client.tokens.create(scope=SCOPE, expires_at=None)
    assert_type(issued, IssuedToken)
    assert_type(issued.secret, str)
    assert_type(client.tokens.create_docker_config(scope=SCOPE, expires_at=None), DockerConfig)
    assert_type(client.tokens.update("id", name="name"), Token)
    assert_type(client.tokens.regenerate("id", expires_at=None), IssuedToken)
    assert_type(client.tokens_v1.create(ttl="1y"), TokenV1)
    assert_type(client.label, str | None)


def sync_scans(client: RegistryClient) -> None:
    with client.scan(concurrency=4, repository="team/*") as scan:
        assert_type(scan, Scan[ScannedImage])
        for found in scan:
            assert_type(found, ScannedImage)
            assert_type(found.image, Image)
        for batch in scan.batches():
            assert_type(batch, list[ScannedImage])
        assert_type(scan.errors, tuple[ScanError, ...])
        assert_type(scan.complete, bool)
    with client.scan(images=False) as repositories:
        assert_type(next(repositories), ScannedRepository)
    assert_type(sync.scan([client]), Scan[ScannedImage])
    assert_type(sync.scan([client], images=False), Scan[ScannedRepository])
    assert_type(client.scan_report(), ScanReport)


def sync_clients() -> None:
    with RegistryClient.from_env() as client:
        assert_type(client, RegistryClient)
    assert_type(RegistryClient(token="t").with_options(timeout=3), RegistryClient)


class Special(RegistryClient):
    """A client of someone's own."""


def sync_subclasses() -> None:
    with Special.from_env() as client:
        assert_type(client, Special)
    assert_type(Special(token="t").with_options(timeout=3), Special)


async def async_words(client: AsyncRegistryClient) -> None:
    paginator = client.images.list("id", "app")
    assert_type(paginator, AsyncPaginator[Image])
    async for image in paginator:
        assert_type(image, Image)
    assert_type(await paginator.first(), Image | None)
    assert_type((await paginator.collect())[0], Image)
    assert_type(await client.registries.get("id"), Registry)
    assert_type(await client.scan_report(), ScanReport)
    async with client.scan(images=False) as scan:
        async for found in scan:
            assert_type(found, ScannedRepository)
    async with async_scan([client, client]) as several:
        async for each in several:
            assert_type(each, ScannedImage)
    async with AsyncRegistryClient.from_env() as entered:
        assert_type(entered, AsyncRegistryClient)
