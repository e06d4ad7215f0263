"""The client and the contract: every operation, every sample, nothing missing, nothing invented."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from registry_async import (
    AsyncRegistryClient,
    CleanupFailure,
    CleanupResult,
    Cluster,
    DeletedImage,
    DockerAuth,
    DockerConfig,
    GarbageSize,
    Image,
    IssuedToken,
    Layer,
    NotFoundError,
    Registry,
    RegistryStatus,
    Repository,
    RepositoryType,
    Token,
    TokenScope,
    TokenStatus,
    TokenV1,
)
from registry_async._paths import OPERATIONS
from tests.support import reference
from tests.support.contract import Contract
from tests.support.faults import FaultServer, Reply
from tests.support.strict_server import Paging, StrictServer, make_image

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES = reference.samples()
REGISTRY_ID = "888af692-c646-4b76-a234-81ca9b5bcafe"
OTHER_REGISTRY_ID = "6303699d-c2cd-40b1-8428-9dcd6cc3d00d"
SAMPLE_TIME = datetime(2019, 8, 24, 14, 15, 22, tzinfo=UTC)


def test_operations_are_those_of_the_contract() -> None:
    documented = {
        operation_id: (method, template)
        for operation_id, method, template in Contract.load().operations()
    }
    ours = {name: (operation.method, operation.template) for name, operation in OPERATIONS.items()}
    assert ours == documented
    assert len(documented) == 30


def test_reference_samples_are_those_of_the_text() -> None:
    text = reference.REFERENCE_PATH.read_text(encoding="utf-8")
    assert reference.extract(text) == SAMPLES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s['operation_id']}-{s['kind']}")
def test_reference_samples_fit_the_contract(sample: dict[str, Any]) -> None:
    contract = Contract.load()
    operation_id, body = sample["operation_id"], json.dumps(sample["body"]).encode()
    if sample["kind"] == "response":
        assert contract.check_answer(operation_id, sample["status"], body) == sample["body"]
        return
    operation = contract.operation(operation_id)
    headers = {"X-Auth-Token": "t", "Content-Type": "application/json"}
    path = operation.template.replace("{", "").replace("}", "")
    checked = contract.check_request(operation.method, f"/api{path}", "", headers, body)
    assert checked.body == sample["body"]


SAMPLE_REGISTRY = Registry(
    id="string",
    name="string",
    status=RegistryStatus.CREATING,
    size=5368709120,
    created_at=SAMPLE_TIME,
    size_limit=21474836480,
    used=25,
)
SAMPLE_REPOSITORY = Repository("string", 0, RepositoryType.HELM_CHART, SAMPLE_TIME)
SAMPLE_LAYERS = (Layer("sha256:abc123...", 0),)
SAMPLE_IMAGE = Image(
    digest="sha256:def456...",
    tags=("string",),
    size=0,
    created_at=SAMPLE_TIME,
    architecture="string",
    os="string",
    media_type="string",
    layers=SAMPLE_LAYERS,
)
SAMPLE_TOKEN_V1 = TokenV1("44d570a1-21a7-404f-bbda-3a99872e2776", datetime(2021, 1, 1, tzinfo=UTC))
SAMPLE_TOKEN = Token(
    id="c29e3f63-0711-4772-a415-ad79973bdaef",
    name="my-token",
    status=TokenStatus.ACTIVE,
    scope=TokenScope(False, True, (REGISTRY_ID, OTHER_REGISTRY_ID)),
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    created_at=datetime(2023, 2, 13, 15, tzinfo=UTC),
    last_used_at=datetime(2023, 2, 14, 15, 25, 10, tzinfo=UTC),
)
EARLIER = datetime(2029, 3, 20, tzinfo=UTC)


def issued(token: Token, secret: str, **changes: Any) -> IssuedToken:
    values = {name: getattr(token, name) for name in attrs.fields_dict(Token)}
    return IssuedToken(**{**values, **changes}, secret=secret)


Call = Callable[[AsyncRegistryClient], Awaitable[Any]]

# What to call for a section of the reference, and what its first sample then is.
DECODED: dict[str, tuple[Call, object]] = {
    "listRegistriesV1": (lambda c: c.registries.list(api_version=1).first(), SAMPLE_REGISTRY),
    "createRegistry": (lambda c: c.registries.create("my-registry"), SAMPLE_REGISTRY),
    "getRegistry": (lambda c: c.registries.get("r"), SAMPLE_REGISTRY),
    "listClusters": (
        lambda c: c.registries.list_clusters("r"),
        (Cluster("5d8504c1-bb11-43d2-88a8-bb07303422b3", "cluster-1", "ru-9"),),
    ),
    "startGarbageCollection": (
        lambda c: c.registries.start_garbage_collection("r"),
        "Registry not found.",
    ),
    "getGarbageSize": (
        lambda c: c.registries.get_garbage_size("r"),
        GarbageSize(56723502, 30915818, 87639320),
    ),
    "listRepositoriesV1": (
        lambda c: c.repositories.list("r", api_version=1).first(),
        SAMPLE_REPOSITORY,
    ),
    "deleteRepository": (lambda c: c.repositories.delete("r", "a"), "Registry not found."),
    "getRepository": (lambda c: c.repositories.get("r", "a"), SAMPLE_REPOSITORY),
    "cleanupRepository": (
        lambda c: c.repositories.cleanup("r", "a", tags=["v1.0"]),
        CleanupResult(
            (DeletedImage("sha256:abc123...", ("v1.0", "latest")),),
            (
                CleanupFailure(
                    "sha256:def456...",
                    ("tag1", "tag2"),
                    "Image is referenced by another manifest",
                ),
            ),
        ),
    ),
    "listImagesV1": (lambda c: c.images.list("r", "a", api_version=1).first(), SAMPLE_IMAGE),
    "deleteManifest": (
        lambda c: c.images.delete("r", "a", "sha256:" + "0" * 64),
        "Registry not found.",
    ),
    "listLayers": (lambda c: c.images.list_layers("r", "a", "latest"), SAMPLE_LAYERS),
    "createTokenV1": (lambda c: c.tokens_v1.create(ttl="12h"), SAMPLE_TOKEN_V1),
    "revokeTokenV1": (lambda c: c.tokens_v1.revoke("secret"), "Invalid or malformed token."),
    "refreshTokenV1": (
        lambda c: c.tokens_v1.refresh(SAMPLE_TOKEN_V1.secret),
        SAMPLE_TOKEN_V1,
    ),
    "listRegistries": (
        lambda c: c.registries.list().first(),
        attrs.evolve(SAMPLE_REGISTRY, size_limit=None, used=None),
    ),
    "listRepositories": (lambda c: c.repositories.list("r").first(), SAMPLE_REPOSITORY),
    "listImages": (lambda c: c.images.list("r", "a").first(), SAMPLE_IMAGE),
    "listTokens": (
        lambda c: c.tokens.list().first(),
        attrs.evolve(
            SAMPLE_TOKEN, scope=TokenScope(False, False, (REGISTRY_ID, OTHER_REGISTRY_ID))
        ),
    ),
    "createToken": (
        lambda c: c.tokens.create(scope=TokenScope(True, True), expires_at=None),
        issued(SAMPLE_TOKEN, "<token>", last_used_at=None),
    ),
    "getToken": (lambda c: c.tokens.get("t"), SAMPLE_TOKEN),
    "updateToken": (
        lambda c: c.tokens.update("t", name="my-new-token"),
        attrs.evolve(
            SAMPLE_TOKEN, name="my-new-token", scope=TokenScope(False, True, (REGISTRY_ID,))
        ),
    ),
    "refreshToken": (
        lambda c: c.tokens.refresh("t", expires_at=EARLIER),
        attrs.evolve(SAMPLE_TOKEN, expires_at=EARLIER),
    ),
    "regenerateToken": (
        lambda c: c.tokens.regenerate("t", expires_at=EARLIER),
        issued(SAMPLE_TOKEN, "<new-token>", expires_at=EARLIER),
    ),
    "revokeToken": (lambda c: c.tokens.revoke("t"), "Token not found."),
}


def test_every_section_of_the_reference_is_decoded() -> None:
    assert set(DECODED) == {sample["operation_id"] for sample in SAMPLES}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "sample",
    [sample for sample in SAMPLES if sample["kind"] == "response"],
    ids=lambda sample: str(sample["operation_id"]),
)
async def test_reference_samples_decode(sample: dict[str, Any]) -> None:
    call, expected = DECODED[sample["operation_id"]]
    reply = Reply.json(sample["body"], sample["status"])
    async with (
        FaultServer(reply) as server,
        AsyncRegistryClient(token="t", base_url=server.base_url) as client,
    ):
        if sample["status"] < 400:
            assert await call(client) == expected
            return
        with pytest.raises(Exception, match=str(expected)) as caught:
            await call(client)
    assert getattr(caught.value, "status", None) == sample["status"]


@pytest.fixture
async def server() -> AsyncIterator[StrictServer]:
    async with StrictServer() as running:
        yield running
        assert running.violations == []


@pytest.fixture
async def client(server: StrictServer) -> AsyncIterator[AsyncRegistryClient]:
    async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as made:
        yield made


async def perform_registries(client: AsyncRegistryClient, server: StrictServer) -> str:
    """Perform the operations on registries; give the id of one that is left."""
    created = await client.registries.create("first")
    assert (created.name, created.status) == ("first", RegistryStatus.CREATING)
    assert created.created_at == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert created.size_limit == 21_474_836_480
    active = await client.registries.wait_until_active(created.id, poll_interval=0.001)
    assert active == attrs.evolve(created, status=RegistryStatus.ACTIVE)
    assert await client.registries.get(created.id) == active

    second = server.add_registry("second")
    listed = await client.registries.list(sort_field="name", sort_type="desc").collect()
    assert [(registry.name, registry.size_limit) for registry in listed] == [
        ("second", None),
        ("first", None),
    ]
    with_quota = await client.registries.list(search="fir", api_version=1).collect()
    assert with_quota == [active]
    assert await client.registries.get_by_name("first") in (
        active,
        attrs.evolve(active, size_limit=None, used=None),
    )
    clusters = await client.registries.list_clusters(second.id)
    assert clusters == (Cluster(second.clusters[0]["id"], "second-k8s", "ru-9"),)
    assert await client.registries.list_clusters(created.id) == ()

    await client.registries.delete(second.id)
    await client.registries.wait_until_deleted(second.id, poll_interval=0.001)
    with pytest.raises(NotFoundError, match="Registry not found"):
        await client.registries.get(second.id)
    return created.id


async def perform_repositories(
    client: AsyncRegistryClient, server: StrictServer, registry_id: str
) -> None:
    images = [make_image(n, tags=tags) for n, tags in enumerate([["a", "b"], [], ["c"], ["d"]])]
    digests = [image["digest"] for image in images]
    state = server.registries[registry_id]
    state.add_repository("team/app", images)
    state.add_repository("chart", [make_image(9)], kind="helm_chart")

    app = await client.repositories.get(registry_id, "team/app")
    assert app == Repository(
        "team/app",
        sum(image["size"] for image in images),
        "docker",
        datetime(2025, 11, 2, 3, 4, 5, 123456, tzinfo=UTC),
    )
    newest = client.repositories.list(registry_id, sort_field="size", sort_type="desc")
    assert [repository.name for repository in await newest.collect()] == ["team/app", "chart"]
    v1 = await client.repositories.list(registry_id, search="team", api_version=1).collect()
    assert v1 == [app]
    assert await client.repositories.list_names(registry_id).collect() == ["chart", "team/app"]
    assert await client.repositories.list_tags(registry_id, "team/app") == ("a", "b", "c", "d")

    found = await client.images.list(registry_id, "team/app").collect()
    assert [(image.digest, image.tags) for image in found] == [
        (digests[0], ("a", "b")),
        (digests[1], ()),
        (digests[2], ("c",)),
        (digests[3], ("d",)),
    ]
    assert await client.images.list(registry_id, "team/app", search="c").count() == sum(
        "c" in digest or tags == ("c",) for digest, tags in ((i.digest, i.tags) for i in found)
    )
    assert await client.images.list(registry_id, "team/app", api_version=1).collect() == found
    assert await client.images.get(registry_id, "team/app", "c") == found[2]
    layers = await client.images.list_layers(registry_id, "team/app", digests[2])
    assert layers == found[2].layers
    assert [layer.size for layer in layers] == [1_000_000, 1001]

    untagged = images[1]["size"]
    expected = GarbageSize(non_referenced=0, untagged=untagged, total=untagged)
    assert await client.registries.get_garbage_size(registry_id) == expected

    await client.images.delete(registry_id, "team/app", digests[3])
    server.referenced.add(digests[2])
    result = await client.repositories.cleanup(
        registry_id, "team/app", digests=[digests[2]], tags=["a"], disable_gc=True
    )
    assert result == CleanupResult(
        (DeletedImage(digests[0], ("a",)),),
        (CleanupFailure(digests[2], ("c",), "Image is referenced by another manifest"),),
    )
    assert await client.repositories.list_tags(registry_id, "team/app") == ("b", "c")

    await client.registries.start_garbage_collection(registry_id, delete_untagged=True)
    running = await client.registries.get(registry_id)
    assert running.status is RegistryStatus.GARBAGE_COLLECTION
    await client.registries.wait_until_active(registry_id, poll_interval=0.001)
    assert await client.registries.get_garbage_size(registry_id) == GarbageSize(0, 0, 0)
    assert await client.images.list(registry_id, "team/app").count() == 2

    await client.repositories.delete(registry_id, "team/app")
    assert [r.name async for r in client.repositories.list(registry_id)] == ["chart"]


async def perform_tokens(client: AsyncRegistryClient, server: StrictServer) -> None:
    scope = TokenScope(all_registries=False, read_write=True, registry_ids=("r1", "r2"))
    end = datetime(2030, 1, 1, tzinfo=UTC)
    created = await client.tokens.create(scope=scope, name="ci", expires_at=end)
    assert (created.name, created.scope, created.expires_at) == ("ci", scope, end)
    assert (created.status, created.last_used_at) == (TokenStatus.ACTIVE, None)
    assert created.created_at is not None
    assert created.created_at - NOW < timedelta(seconds=1)
    assert created.secret == server.secrets[created.id]

    got = await client.tokens.get(created.id)
    assert type(got) is Token
    assert issued(got, created.secret) == created

    config = await client.tokens.create_docker_config(
        scope=TokenScope(all_registries=True, read_write=False), expires_at=None
    )
    (other_id,) = set(server.tokens) - {created.id}
    assert config == docker_config(server.docker_host, server.secrets[other_id])
    eternal = await client.tokens.get(other_id)
    assert (eternal.name, eternal.expires_at) == (None, None)
    assert eternal.scope == TokenScope(all_registries=True, read_write=False)

    assert await client.tokens.list(scope_mode="ro").collect() == [eternal]
    assert await client.tokens.list(search="ci", sort_field="expiresAt").collect() == [got]
    assert await client.tokens.list(sort_type="desc").collect() == [eternal, got]

    renamed = await client.tokens.update(created.id, name="deploy")
    assert renamed == attrs.evolve(got, name="deploy")
    later = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    refreshed = await client.tokens.refresh(created.id, expires_at=later)
    assert refreshed == attrs.evolve(renamed, expires_at=later)
    regenerated = await client.tokens.regenerate(created.id, expires_at=None)
    assert regenerated == issued(renamed, server.secrets[created.id], expires_at=None)
    assert regenerated.secret != created.secret

    await client.tokens.revoke(created.id)
    assert (await client.tokens.get(created.id)).status is TokenStatus.REVOKED
    await client.tokens.delete(created.id)
    with pytest.raises(NotFoundError, match="Token not found"):
        await client.tokens.get(created.id)


async def perform_tokens_v1(client: AsyncRegistryClient, server: StrictServer) -> None:
    created = await client.tokens_v1.create(ttl="1y")
    assert created.expires_at == NOW + timedelta(days=365)
    assert await client.tokens_v1.get(created.secret) == created
    refreshed = await client.tokens_v1.refresh(created.secret)
    assert refreshed == TokenV1(created.secret, NOW + timedelta(hours=12))
    config = await client.tokens_v1.create_docker_config(ttl="12h")
    (other,) = set(server.tokens_v1) - {created.secret}
    assert config == docker_config(server.docker_host, other)
    await client.tokens_v1.revoke(created.secret)
    assert set(server.tokens_v1) == {other}


def docker_config(host: str, secret: str) -> DockerConfig:
    auth = base64.b64encode(f"token:{secret}".encode()).decode()
    return DockerConfig({host: DockerAuth(auth, "token", secret)})


@pytest.mark.anyio
async def test_all_thirty_operations(server: StrictServer, client: AsyncRegistryClient) -> None:
    registry_id = await perform_registries(client, server)
    await perform_repositories(client, server, registry_id)
    await perform_tokens(client, server)
    await perform_tokens_v1(client, server)

    documented = {operation_id for operation_id, _, _ in Contract.load().operations()}
    assert set(server.performed) == documented
    assert server.violations == []


@pytest.mark.anyio
@pytest.mark.parametrize("page_size", [1, 3, 10, 100])
@pytest.mark.parametrize("cap", [0, 1, 7, 10])
@pytest.mark.parametrize("null_for_empty", [False, True])
async def test_lists_are_whole_under_every_cap(
    page_size: int, cap: int, null_for_empty: bool
) -> None:
    paging = Paging(cap=cap, null_for_empty=null_for_empty)
    async with StrictServer(paging=paging) as server:
        server.populate(registries=11, repositories=0, images=0)
        registry = server.add_registry("full")
        registry.add_repository("a/b", [make_image(n, tags=()) for n in range(23)])
        async with AsyncRegistryClient(token=server.token, base_url=server.base_url) as client:
            images = client.images.list(registry.id, "a/b", page_size=page_size)
            assert server.requests == []
            walked = [image.digest async for image in images]
            assert walked == [make_image(n)["digest"] for n in range(23)]
            assert [image.digest for image in await images.collect()] == walked
            names = [f"registry-{n:03d}" for n in range(11)]
            for version in (1, 2):
                registries = client.registries.list(page_size=page_size, api_version=version)
                assert [found.name for found in await registries.collect()] == ["full", *names]
            assert await client.repositories.list(next(iter(server.registries))).collect() == []
            before = len(server.requests)
            await client.images.list(registry.id, "a/b", page_size=page_size).first()
            assert len(server.requests) - before <= 2
        assert server.violations == []
