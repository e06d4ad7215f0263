"""What the converter takes, what it makes of it, and how it says no."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_async._converter import (
    ListPage,
    decode,
    decode_image_or_layers,
    decode_list,
    decode_names,
    decode_token_v1,
    encode_body,
    encode_expiration,
    encode_scope,
)
from registry_async._resources._calls import decode_response, list_decoder_of
from registry_async._transport.messages import Response
from registry_async.errors import UnexpectedResponseError
from registry_async.models import (
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
    Registry,
    RegistryStatus,
    Repository,
    RepositoryType,
    Token,
    TokenScope,
    TokenStatus,
    TokenV1,
)
from tests.support import reference
from tests.support.contract import Contract

Json = Any
Decode = Callable[[bytes], Any]

SECRET: Final = "canary-9f8e7d6c5b4a"
TIME: Final = "2022-05-17T22:37:17.011072851Z"
MOMENT: Final = datetime(2022, 5, 17, 22, 37, 17, 11072, tzinfo=UTC)

REGISTRY: Final[dict[str, Json]] = {
    "id": "r-1",
    "name": "first",
    "status": "ACTIVE",
    "size": 5368709120,
    "createdAt": TIME,
    "sizeLimit": 21474836480,
    "used": 2.33,
}
REPOSITORY: Final[dict[str, Json]] = {
    "name": "team/app",
    "size": 7,
    "type": "helm_chart",
    "updatedAt": TIME,
}
IMAGE: Final[dict[str, Json]] = {
    "digest": "sha256:aa",
    "tags": ["v1", "latest"],
    "size": 30,
    "createdAt": TIME,
    "architecture": "amd64",
    "os": "linux",
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "layers": [{"digest": "sha256:bb", "size": 10}, {"digest": "sha256:cc", "size": 20}],
}
TOKEN: Final[dict[str, Json]] = {
    "id": "t-1",
    "name": "ci",
    "status": "active",
    "scope": {"allRegistries": False, "modeRW": True, "registryIds": ["r-1", "r-2"]},
    "expiration": {"expiresAt": "2030-01-01T00:00:00Z", "isSet": True},
    "createdAt": TIME,
    "lastUsedAt": TIME,
}
CLEANUP: Final[dict[str, Json]] = {
    "deleted": [{"digest": "sha256:aa", "tags": ["v1"]}],
    "failed": [{"digest": "sha256:bb", "tags": None, "error": "in use"}],
}
GARBAGE: Final[dict[str, Json]] = {"sizeNonReferenced": 1, "sizeUntagged": 2, "sizeSummary": 3}
TOKEN_V1: Final[dict[str, Json]] = {"expireAt": 1609459200, "expireIn": 43200, "token": SECRET}
AUTHS: Final[dict[str, Json]] = {
    "auths": {"cr.selcloud.ru": {"auth": "dG9r", "username": "token", "password": SECRET}}
}
EXPECTED_IMAGE: Final = Image(
    digest="sha256:aa",
    tags=("v1", "latest"),
    size=30,
    created_at=MOMENT,
    architecture="amd64",
    os="linux",
    media_type="application/vnd.oci.image.manifest.v1+json",
    layers=(Layer("sha256:bb", 10), Layer("sha256:cc", 20)),
)
EXPECTED_TOKEN: Final = Token(
    id="t-1",
    name="ci",
    status=TokenStatus.ACTIVE,
    scope=TokenScope(all_registries=False, read_write=True, registry_ids=("r-1", "r-2")),
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    created_at=MOMENT,
    last_used_at=MOMENT,
)


def to_bytes(document: Json) -> bytes:
    return json.dumps(document).encode()


def refusal(decoder: Decode, body: bytes) -> UnexpectedResponseError:
    with pytest.raises(UnexpectedResponseError) as caught:
        decoder(body)
    return caught.value


def changed(document: Json, path: tuple[str | int, ...], value: Json) -> Json:
    document = copy.deepcopy(document)
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return document


def without(document: Json, path: tuple[str | int, ...]) -> Json:
    document = copy.deepcopy(document)
    target = document
    for step in path[:-1]:
        target = target[step]
    del target[path[-1]]
    return document


def written(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


# ------------------------------------------------------------------------------ what is right


SHAPES: Final[list[tuple[type[Any], Json, Any]]] = [
    (
        Registry,
        REGISTRY,
        Registry("r-1", "first", RegistryStatus.ACTIVE, 5368709120, MOMENT, 21474836480, 2.33),
    ),
    (Repository, REPOSITORY, Repository("team/app", 7, RepositoryType.HELM_CHART, MOMENT)),
    (Image, IMAGE, EXPECTED_IMAGE),
    (GarbageSize, GARBAGE, GarbageSize(non_referenced=1, untagged=2, total=3)),
    (
        CleanupResult,
        CLEANUP,
        CleanupResult(
            deleted=(DeletedImage("sha256:aa", ("v1",)),),
            failed=(CleanupFailure("sha256:bb", (), "in use"),),
        ),
    ),
    (Token, TOKEN, EXPECTED_TOKEN),
    (
        IssuedToken,
        TOKEN | {"token": SECRET},
        IssuedToken(**attrs.asdict(EXPECTED_TOKEN, recurse=False), secret=SECRET),
    ),
    (
        DockerConfig,
        AUTHS,
        DockerConfig({"cr.selcloud.ru": DockerAuth("dG9r", "token", SECRET)}),
    ),
]


@pytest.mark.parametrize(("shape", "document", "expected"), SHAPES, ids=lambda v: str(v)[:30])
def test_objects_become_models(shape: type[Any], document: Json, expected: Any) -> None:
    found = decode(to_bytes(document), shape)
    assert found == expected
    assert type(found) is shape


@pytest.mark.parametrize(
    ("item", "key", "document", "expected"),
    [
        (Registry, "registries", REGISTRY, SHAPES[0][2]),
        (Repository, "repositories", REPOSITORY, SHAPES[1][2]),
        (Image, "images", IMAGE, EXPECTED_IMAGE),
        (Token, "tokens", TOKEN, EXPECTED_TOKEN),
        (Cluster, "clusters", {"id": "c", "name": None}, Cluster(id="c")),
        (str, "tags", "v1", "v1"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_lists_become_pages(item: type[Any], key: str, document: Json, expected: Any) -> None:
    body = to_bytes({key: [document, document], "totalCount": 12, "filteredCount": 2})
    assert decode_list(body, item, key=key) == ListPage([expected, expected], 12, 2)
    bare = to_bytes([document])
    assert decode_list(bare, item, key=None) == ListPage([expected], None, None)


def _decoders() -> dict[str, Decode]:
    def lists(item: type[Any], key: str | None) -> Decode:
        return partial(decode_list, item=item, key=key)

    registry = partial(decode, shape=Registry)
    token = partial(decode, shape=Token)
    token_v1 = partial(decode_token_v1, secret=None)
    return {
        "listRegistriesV1": lists(Registry, None),
        "createRegistry": registry,
        "getRegistry": registry,
        "listClusters": lists(Cluster, "clusters"),
        "getGarbageSize": partial(decode, shape=GarbageSize),
        "listRepositoriesV1": lists(Repository, None),
        "getRepository": partial(decode, shape=Repository),
        "cleanupRepository": partial(decode, shape=CleanupResult),
        "listImagesV1": lists(Image, None),
        "listTags": lists(str, None),
        "listLayers": decode_image_or_layers,
        "createTokenV1": token_v1,
        "refreshTokenV1": token_v1,
        "listRegistries": lists(Registry, "registries"),
        "listRepositories": lists(Repository, "repositories"),
        "listImages": lists(Image, "images"),
        "listTokens": lists(Token, "tokens"),
        "createToken": partial(decode, shape=IssuedToken),
        "getToken": token,
        "updateToken": token,
        "refreshToken": token,
        "regenerateToken": partial(decode, shape=IssuedToken),
    }


def _samples() -> Iterator[tuple[str, Json]]:
    for sample in reference.samples():
        if sample["kind"] == "response" and sample["status"] < 300:
            yield sample["operation_id"], sample["body"]


def _examples() -> Iterator[tuple[str, Json]]:
    paths: Json = Contract.load().document["paths"]
    for operations in paths.values():
        for operation in operations.values():
            answers = operation.get("responses", {}) if isinstance(operation, dict) else {}
            for status, answer in answers.items():
                media = answer.get("content", {}).get("application/json", {})
                if status.startswith("2") and "example" in media:
                    yield operation["operationId"], media["example"]


def _leaves(value: Any) -> Iterator[Any]:
    if attrs.has(type(value)):
        value = attrs.asdict(value, recurse=False)
    if isinstance(value, dict):
        for name, member in value.items():
            # What these say is in another form in the models, or is not kept.
            if name not in {"isSet", "expireAt", "expireIn"}:
                yield from _leaves(member)
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _leaves(element)
    elif isinstance(value, datetime):
        yield value.isoformat().replace("+00:00", "Z")
    else:
        yield value


@pytest.mark.parametrize(
    ("operation_id", "body"),
    [*_samples(), *_examples()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reference_samples_are_decoded_whole(operation_id: str, body: Json) -> None:
    found = list(_leaves(_decoders()[operation_id](to_bytes(body))))
    for leaf in _leaves(body):
        assert leaf in found


def test_models_made_in_lists_are_like_those_made_by_hand() -> None:
    (image,) = decode_list(to_bytes([IMAGE]), Image, key=None).items
    assert (image, hash(image), repr(image)) == (
        EXPECTED_IMAGE,
        hash(EXPECTED_IMAGE),
        repr(EXPECTED_IMAGE),
    )
    assert pickle.loads(pickle.dumps(image)) == copy.deepcopy(image) == EXPECTED_IMAGE
    assert attrs.evolve(image, size=1).layers is image.layers
    assert type(image.layers[0]) is Layer
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        image.size = 1  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        image.layers[0].size = 1  # type: ignore[misc]


def test_layers_are_made_when_they_are_looked_at_and_once() -> None:
    other = changed(IMAGE, ("layers", 1, "size"), 21)
    reordered = changed(IMAGE, ("layers",), IMAGE["layers"][::-1])
    body = to_bytes({"images": [IMAGE, other, reordered, IMAGE]})
    first, second, third, fourth = decode_list(body, Image, key="images").items
    assert first.layers is first.layers
    assert first.layers == third.layers[::-1] == fourth.layers
    # The same digest with another size is another layer.
    assert second.layers == (Layer("sha256:bb", 10), Layer("sha256:cc", 21))


def test_texts_that_recur_in_a_page_are_shared() -> None:
    body = to_bytes({"images": [IMAGE, changed(IMAGE, ("digest",), "sha256:ff")]})
    first, second = decode_list(body, Image, key="images").items
    assert first.architecture is second.architecture
    assert first.os is second.os
    assert first.media_type is second.media_type


def test_an_image_may_be_answered_as_its_layers() -> None:
    assert decode_image_or_layers(to_bytes(IMAGE)) == EXPECTED_IMAGE
    assert decode_image_or_layers(to_bytes(IMAGE["layers"])) == EXPECTED_IMAGE.layers
    assert decode_image_or_layers(b"[]") == ()
    assert refusal(decode_image_or_layers, b'[{"digest": "a"}]').path == "[0].size"
    assert refusal(decode_image_or_layers, b'{"layers": []}').path == "digest"
    assert decode_image_or_layers(b"null") == ()
    assert refusal(decode_image_or_layers, b"1").path == ""


@pytest.mark.parametrize("key", ["repositories", None])
def test_names_come_bare_or_in_objects(key: str | None) -> None:
    names = ["a", {"name": "team/b"}, {"name": "c", "size": "ignored"}]
    page = decode_names(to_bytes({key: names, "totalCount": 3} if key else names), key=key)
    assert page == ListPage(["a", "team/b", "c"], 3 if key else None, None)


@pytest.mark.parametrize(
    ("name", "path"),
    [({}, "[1].name"), ({"name": None}, "[1].name"), ({"name": 1}, "[1].name"), (1, "[1]")],
)
def test_names_are_texts(name: Json, path: str) -> None:
    assert refusal(partial(decode_names, key=None), to_bytes(["a", name])).path == path


# ------------------------------------------------------------------- where the contract is lenient


@pytest.mark.parametrize(
    ("item", "key", "document", "kept"),
    [
        (Image, "images", IMAGE, {"digest"}),
        (Repository, "repositories", REPOSITORY, {"name"}),
        (Registry, "registries", REGISTRY, {"id", "name", "createdAt", "status", "size"}),
        (Cluster, "clusters", {"id": "a", "name": "b", "pool": "c"}, set()),
        (Token, "tokens", TOKEN, {"id", "status", "expiration", "scope"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_required_may_be_absent_or_null(
    item: type[Any], key: str, document: dict[str, Json], kept: set[str]
) -> None:
    absent = {name: value for name, value in document.items() if name in kept}
    null = {name: value if name in kept else None for name, value in document.items()}
    first, second = decode_list(to_bytes({key: [absent, null]}), item, key=key).items
    assert first == second
    for name, value in attrs.asdict(first, recurse=False).items():
        assert value in (None, ()) or name in {
            "expires_at",
            "scope",
            "created_at",
            *(kept - {"createdAt"}),
        }
    for name in kept:
        for broken in (without(absent, (name,)), absent | {name: None}):
            error = refusal(partial(decode_list, item=item, key=None), to_bytes([absent, broken]))
            assert error.path == f"[1].{name}"


@pytest.mark.parametrize("key", ["images", None])
@pytest.mark.parametrize("item", [Image, Repository, Registry, Token, Cluster, str])
def test_null_and_absent_arrays_are_empty(item: type[Any], key: str | None) -> None:
    bodies = [b"{}", b'{"images": null}', b'{"images": []}'] if key else [b"null", b"[]", b" [ ] "]
    for body in bodies:
        assert decode_list(body, item, key=key) == ListPage([], None, None)


def test_unknown_fields_are_ignored_wherever_they_are() -> None:
    extra: Json = {"digest": 1, "layers": {"deep": [None, 1.5, {"size": "x"}]}, "id": None}
    image = IMAGE | {"extra": extra, "layers": [{**IMAGE["layers"][0], "extra": extra}]}
    body = to_bytes({"images": [image], "extra": extra, "totalCount": None})
    (found,) = decode_list(body, Image, key="images").items
    assert found == attrs.evolve(EXPECTED_IMAGE, layers=EXPECTED_IMAGE.layers[:1])
    token = {**TOKEN, "extra": extra, "scope": {**TOKEN["scope"], "extra": extra}}
    assert decode(to_bytes(token), Token) == EXPECTED_TOKEN


def test_known_enum_values_are_members_and_unknown_ones_stay_texts() -> None:
    registries = [REGISTRY | {"status": status} for status in ("DELETING", "HIBERNATING")]
    known, unknown = decode_list(to_bytes(registries), Registry, key=None).items
    assert known.status is RegistryStatus.DELETING
    assert type(unknown.status) is str
    assert unknown.status == "HIBERNATING"
    assert decode(to_bytes(TOKEN | {"status": "new"}), Token).status == "new"
    assert decode(to_bytes(TOKEN | {"status": "revoked"}), Token).status is TokenStatus.REVOKED
    charts = decode(to_bytes(REPOSITORY), Repository)
    assert charts.type is RepositoryType.HELM_CHART
    assert decode(to_bytes(REPOSITORY | {"type": "docker"}), Repository).type == "docker"


def test_the_used_share_may_be_whole() -> None:
    used = decode(to_bytes(REGISTRY | {"used": 25}), Registry).used
    assert (used, type(used)) == (25.0, float)


def test_an_expiration_that_is_not_set_means_never() -> None:
    for expiration in (
        {"isSet": False},
        {"isSet": False, "expiresAt": "2030-01-01T00:00:00Z"},
        {"isSet": False, "expiresAt": "0001-01-01T00:00:00Z"},
        {"isSet": False, "expiresAt": None},
        {"isSet": False, "expiresAt": 5},
    ):
        assert decode(to_bytes(TOKEN | {"expiration": expiration}), Token).expires_at is None


def test_a_v1_token_is_the_answers_own_or_the_one_asked_with() -> None:
    moment = datetime(2021, 1, 1, tzinfo=UTC)
    own = decode_token_v1(to_bytes(TOKEN_V1), secret="asked with")
    assert own == TokenV1(SECRET, moment)
    for rest in ({}, {"token": None}, {"token": ""}):
        body = to_bytes({"expireAt": 1609459200, "expireIn": 0, **rest})
        assert decode_token_v1(body, secret=SECRET) == TokenV1(SECRET, moment)
        assert refusal(partial(decode_token_v1, secret=None), body).path == "token"


# ----------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-05-17T22:37:17Z", datetime(2022, 5, 17, 22, 37, 17, tzinfo=UTC)),
        ("2022-05-17T22:37:17.1Z", datetime(2022, 5, 17, 22, 37, 17, 100_000, tzinfo=UTC)),
        ("2022-05-17T22:37:17.011072851Z", MOMENT),
        ("2022-05-17T22:37:17.0110729999999Z", MOMENT),
        ("2022-05-17T22:37:17.999999999Z", datetime(2022, 5, 17, 22, 37, 17, 999_999, tzinfo=UTC)),
        ("2022-05-17t22:37:17z", datetime(2022, 5, 17, 22, 37, 17, tzinfo=UTC)),
        ("2022-05-17T22:37:17+00:00", datetime(2022, 5, 17, 22, 37, 17, tzinfo=UTC)),
        ("2022-05-17T22:37:17-00:00", datetime(2022, 5, 17, 22, 37, 17, tzinfo=UTC)),
        ("2022-05-18T04:07:17.5+05:30", datetime(2022, 5, 17, 22, 37, 17, 500_000, tzinfo=UTC)),
        ("2022-01-01T00:00:00-23:59", datetime(2022, 1, 1, 23, 59, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.000000000Z", None),
        ("0001-01-01T02:30:00+02:30", None),
        ("0001-01-01T00:00:01Z", datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_times_are_aware_and_in_utc(text: str, expected: datetime | None) -> None:
    (registry,) = decode_list(to_bytes([REGISTRY | {"createdAt": text}]), Registry, key=None).items
    assert registry.created_at == expected
    assert expected is None or (registry.created_at and registry.created_at.tzinfo is UTC)
    assert decode(to_bytes(REPOSITORY | {"updatedAt": text}), Repository).updated_at == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 2022-05-17T22:37:17Z",
        "2022-05-17T22:37:17Z\n",
        "2022-05-17",
        "2022-05-17T22:37:17",
        "2022-05-17 22:37:17Z",
        "2022-05-17T22:37Z",
        "20220517T223717Z",
        "2022-W20-2T22:37:17Z",
        "2022-137T22:37:17Z",
        "2022-05-17T22:37:17,5Z",
        "2022-05-17T22:37:17.Z",
        "2022-05-17T22:37:17+0300",
        "2022-05-17T22:37:17+03",
        "2022-05-17T22:37:17+24:00",
        "2022-05-17T22:37:17+05:60",
        "2022-05-17T22:37:17+05:3x",
        "2022-05-17T22:3x:17Z",
        "2022-05-17T22:37:60Z",
        "2022-05-17T22:37:17.1x3Z",
        "2022-05-17T22:37:17+03:00:30",
        "2022-02-30T00:00:00Z",
        "2022-13-01T00:00:00Z",
        "2022-05-17T24:00:00Z",
        "2022-05-17T22:60:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "-2022-05-17T22:37:17Z",
        "+12022-05-17T22:37:17Z",
        "\uff12022-05-17T22:37:17Z",
        "1652827037",
        "Tue, 17 May 2022 22:37:17 GMT",
        "null",
    ],
)
def test_what_is_no_date_time_is_an_error(text: str) -> None:
    image = IMAGE | {"createdAt": text}
    error = refusal(partial(decode_list, item=Image, key="images"), to_bytes({"images": [image]}))
    assert error.path == "images[0].createdAt"
    assert error.message.startswith("expected a date-time, found ")
    expiration = {"isSet": True, "expiresAt": text}
    error = refusal(partial(decode, shape=Token), to_bytes(TOKEN | {"expiration": expiration}))
    assert error.path == "expiration.expiresAt"


@given(
    moment=st.datetimes(
        min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.just(UTC)
    ),
    offset=st.integers(-23 * 60 - 59, 23 * 60 + 59),
    digits=st.text("0123456789", max_size=12),
)
@settings(deadline=None)
def test_every_time_that_the_service_can_write_is_read(
    moment: datetime, offset: int, digits: str
) -> None:
    moment = moment.replace(microsecond=0)
    local = moment.astimezone(timezone(timedelta(minutes=offset))).isoformat()
    text = f"{local[:19]}{'.' if digits else ''}{digits}{local[19:] if offset else 'Z'}"
    found = decode(to_bytes({"name": "a", "updatedAt": text}), Repository).updated_at
    assert found == moment + timedelta(microseconds=int(digits[:6].ljust(6, "0")))
    assert found.tzinfo is UTC


# ------------------------------------------------------------------------------ what is wrong


WRONG: Final[dict[str, list[Json]]] = {
    "text": [1, 1.5, True, [], {}, ["x"]],
    "integer": ["1", 1.0, 1.9, True, False, [], {}, "", 1e300],
    "number": ["1", True, False, [], {}, ""],
    "boolean": ["true", "false", "", 0, 1, 1.0, [], {}],
    "time": [1652827037, 1.5, True, [], {}],
    "texts": ["abc", {}, 1, True, {"0": "a"}],
    "objects": ["abc", {}, 1, True],
    "object": ["abc", [], 1, True, [{}]],
}
# The path, what is due there, and whether null is wrong, too.
FIELDS: Final[list[tuple[type[Any], Json, tuple[str | int, ...], str, bool]]] = [
    (Registry, REGISTRY, ("id",), "text", True),
    (Registry, REGISTRY, ("name",), "text", True),
    (Registry, REGISTRY, ("status",), "text", True),
    (Registry, REGISTRY, ("size",), "integer", True),
    (Registry, REGISTRY, ("createdAt",), "time", True),
    (Registry, REGISTRY, ("sizeLimit",), "integer", False),
    (Registry, REGISTRY, ("used",), "number", False),
    (Repository, REPOSITORY, ("name",), "text", True),
    (Repository, REPOSITORY, ("size",), "integer", False),
    (Repository, REPOSITORY, ("type",), "text", False),
    (Repository, REPOSITORY, ("updatedAt",), "time", False),
    (Image, IMAGE, ("digest",), "text", True),
    (Image, IMAGE, ("tags",), "texts", False),
    (Image, IMAGE, ("tags", 1), "text", True),
    (Image, IMAGE, ("size",), "integer", False),
    (Image, IMAGE, ("createdAt",), "time", False),
    (Image, IMAGE, ("architecture",), "text", False),
    (Image, IMAGE, ("os",), "text", False),
    (Image, IMAGE, ("mediaType",), "text", False),
    (Image, IMAGE, ("layers",), "objects", False),
    (Image, IMAGE, ("layers", 0), "object", True),
    (Image, IMAGE, ("layers", 1, "digest"), "text", True),
    (Image, IMAGE, ("layers", 0, "size"), "integer", True),
    (GarbageSize, GARBAGE, ("sizeNonReferenced",), "integer", True),
    (GarbageSize, GARBAGE, ("sizeUntagged",), "integer", True),
    (GarbageSize, GARBAGE, ("sizeSummary",), "integer", True),
    (CleanupResult, CLEANUP, ("deleted",), "objects", False),
    (CleanupResult, CLEANUP, ("deleted", 0), "object", True),
    (CleanupResult, CLEANUP, ("deleted", 0, "digest"), "text", False),
    (CleanupResult, CLEANUP, ("deleted", 0, "tags"), "texts", False),
    (CleanupResult, CLEANUP, ("deleted", 0, "tags", 0), "text", True),
    (CleanupResult, CLEANUP, ("failed",), "objects", False),
    (CleanupResult, CLEANUP, ("failed", 0, "error"), "text", False),
    (Token, TOKEN, ("id",), "text", True),
    (Token, TOKEN, ("name",), "text", False),
    (Token, TOKEN, ("status",), "text", True),
    (Token, TOKEN, ("scope",), "object", True),
    (Token, TOKEN, ("scope", "allRegistries"), "boolean", True),
    (Token, TOKEN, ("scope", "modeRW"), "boolean", True),
    (Token, TOKEN, ("scope", "registryIds"), "texts", False),
    (Token, TOKEN, ("scope", "registryIds", 1), "text", True),
    (Token, TOKEN, ("expiration",), "object", True),
    (Token, TOKEN, ("expiration", "isSet"), "boolean", True),
    (Token, TOKEN, ("expiration", "expiresAt"), "time", True),
    (Token, TOKEN, ("createdAt",), "time", False),
    (Token, TOKEN, ("lastUsedAt",), "time", False),
    (IssuedToken, TOKEN | {"token": SECRET}, ("token",), "text", True),
    (IssuedToken, TOKEN | {"token": SECRET}, ("expiration",), "object", True),
    (DockerConfig, AUTHS, ("auths",), "object", True),
    (DockerConfig, AUTHS, ("auths", "cr.selcloud.ru"), "object", True),
    (DockerConfig, AUTHS, ("auths", "cr.selcloud.ru", "auth"), "text", False),
    (DockerConfig, AUTHS, ("auths", "cr.selcloud.ru", "password"), "text", False),
]


@pytest.mark.parametrize(
    ("shape", "document", "path", "kind", "required"),
    FIELDS,
    ids=lambda value: written(value) if isinstance(value, tuple) else "",
)
def test_wrong_types_are_named_by_their_path(
    shape: type[Any], document: Json, path: tuple[str | int, ...], kind: str, required: bool
) -> None:
    decoder: Decode = partial(decode, shape=shape)
    decoder(to_bytes(document))
    for value in WRONG[kind] + ([None] if required else []):
        body = to_bytes(changed(document, path, value))
        assert refusal(decoder, body).path == written(path)
        # The same within a list, behind an item that is right.
        body = to_bytes({"items": [document, changed(document, path, value)]})
        error = refusal(partial(decode_list, item=shape, key="items"), body)
        assert error.path == f"items[1].{written(path)}"
    if not required:
        decoder(to_bytes(changed(document, path, None)))
    if not isinstance(path[-1], int) and kind != "object" and path[-1] != "cr.selcloud.ru":
        body = to_bytes(without(document, path))
        if required:
            error = refusal(decoder, body)
            assert (error.path, "found nothing" in error.message) == (written(path), True)
        else:
            assert decoder(body) == decoder(to_bytes(changed(document, path, None)))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"expireAt": "1609459200", "expireIn": 0}, "expireAt"),
        ({"expireAt": 1609459200.0, "expireIn": 0}, "expireAt"),
        ({"expireAt": True, "expireIn": 0}, "expireAt"),
        ({"expireAt": None, "expireIn": 0}, "expireAt"),
        ({"expireIn": 0}, "expireAt"),
        ({"expireAt": 10**12, "expireIn": 0}, "expireAt"),
        ({"expireAt": 10**40, "expireIn": 0}, "expireAt"),
        ({"expireAt": -(10**12), "expireIn": 0}, "expireAt"),
        ({"expireAt": 1609459200, "expireIn": "0"}, "expireIn"),
        ({"expireAt": 1609459200}, "expireIn"),
        ({"expireAt": 1609459200, "expireIn": 0, "token": 5}, "token"),
        ([], ""),
        (None, ""),
    ],
)
def test_v1_tokens_are_checked(document: Json, path: str) -> None:
    assert refusal(partial(decode_token_v1, secret="s"), to_bytes(document)).path == path


@pytest.mark.parametrize("item", [Image, Repository, Registry, Token, Cluster, str])
def test_the_outer_shape_is_as_strict(item: type[Any]) -> None:
    bare, named = (
        partial(decode_list, item=item, key=None),
        partial(decode_list, item=item, key="images"),
    )
    for body in (b"{}", b'{"images": []}', b'"abc"', b"1", b"true"):
        assert refusal(bare, body).path == ""
    for body in (b"[]", b"null", b'"abc"', b"1", b"false"):
        assert refusal(named, body).path == ""
    arrays: list[Json] = [{}, "abc", 1, True]
    for value in arrays:
        assert refusal(named, to_bytes({"images": value})).path == "images"
    elements: list[Json] = [None, 1, [], True, {} if item is str else "abc"]
    for value in elements:
        assert refusal(named, to_bytes({"images": [value]})).path == "images[0]"
        assert refusal(bare, to_bytes([value])).path == "[0]"


@pytest.mark.parametrize("count", ["totalCount", "filteredCount"])
@pytest.mark.parametrize("value", [-1, 1.0, 1.5, "1", True, [], {}, 1e300])
def test_counts_are_counts(count: str, value: Json) -> None:
    for item in (Image, Token, str):
        body = to_bytes({"images": [], count: value})
        assert refusal(partial(decode_list, item=item, key="images"), body).path == count


@pytest.mark.parametrize("value", ["1e400", "-1e400", f"{10**400}"])
def test_a_share_that_no_float_holds_is_an_error(value: str) -> None:
    body = to_bytes([REGISTRY | {"used": "@"}]).replace(b'"@"', value.encode())
    assert refusal(partial(decode_list, item=Registry, key=None), body).path == "[0].used"


def test_integers_have_as_many_digits_as_python_converts() -> None:
    def page(size: str) -> bytes:
        return to_bytes({"images": [IMAGE | {"size": "@"}]}).replace(b'"@"', size.encode())

    listed = partial(decode_list, item=Image, key="images")
    for size in (2**63, 2**64, 10**30, -(2**63) - 1, 10**4299):
        assert listed(page(str(size))).items[0].size == size
    error = refusal(listed, page("1" * 5000))
    assert error.path == "images[0].size"
    assert len(str(error)) < 200
    # It is no reason to fail where nobody reads it.
    body = to_bytes({"images": [IMAGE | {"new": "@"}]}).replace(b'"@"', b"1" * 5000)
    assert listed(body).items == [EXPECTED_IMAGE]


NOT_JSON: Final = {
    "empty": b"",
    "blank": b" \n",
    "text": b"Service Unavailable",
    "html": b"<html></html>",
    "cut": b'{"images": [{"digest": "sha256:',
    "trailing garbage": b'{"images": []} x',
    "two documents": b"{}{}",
    "trailing comma": b'{"images": [],}',
    "single quotes": b"{'images': []}",
    "comment": b'{"images": [] /* none */}',
    "NaN": b'{"images": [], "x": NaN}',
    "Infinity": b'{"images": [], "x": Infinity}',
    "-Infinity": b'{"images": [], "x": [-Infinity]}',
    "leading zero": b'{"images": [], "totalCount": 01}',
    "plus": b'{"images": [], "totalCount": +1}',
    "bare point": b'{"images": [], "x": 1.}',
    "BOM": b'\xef\xbb\xbf{"images": []}',
    "UTF-16": '{"images": []}'.encode("utf-16"),
    "UTF-32": '{"images": []}'.encode("utf-32"),
    "not UTF-8": b'{"images": [], "x": "\xff"}',
    "overlong UTF-8": b'{"images": [], "x": "\xc0\xaf"}',
    "surrogate in UTF-8": b'{"images": [], "x": "\xed\xa0\x80"}',
    "half a character": b'{"images": [], "x": "\\ud83d"}',
    "the other half": b'{"images": [], "x": "\\ude00 "}',
    "halves in the wrong order": b'{"images": [], "x": "\\ude00\\ud83d"}',
    "half a character in a name": b'{"images": [], "\\ud83d": 1}',
    "half a digest": b'{"images": [{"digest": "\\uD800"}]}',
    "bad escape": b'{"images": [], "x": "\\q"}',
    "cut escape": b'{"images": [], "x": "\\u12"}',
    "control character": b'{"images": [], "x": "a\x01b"}',
    "line break": b'{"images": [], "x": "a\nb"}',
    "NUL": b'{"images": []}\x00',
    "vertical tab": b'{"images":\x0b[]}',
    "deep arrays": b'{"images": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"images": ' * 100_000 + b"1" + b"}" * 100_000,
    "deep and cut": b"[" * 100_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_an_error_of_ours(body: bytes) -> None:
    decoders: list[Decode] = [
        partial(decode, shape=Image),
        partial(decode, shape=DockerConfig),
        partial(decode_list, item=Image, key="images"),
        partial(decode_list, item=Registry, key="images"),
        partial(decode_list, item=str, key="images"),
        partial(decode_names, key="images"),
        decode_image_or_layers,
        partial(decode_token_v1, secret="s"),
    ]
    for decoder in decoders:
        error = refusal(decoder, body)
        assert error.path == ""
        assert error.message.startswith("expected JSON, found ")
        assert len(str(error)) < 200
        assert error.__cause__ is None
        assert error.__context__ is None


def test_characters_beyond_the_first_plane_are_whole() -> None:
    tags = ["\U0001f600", "é", "\\ud800", 'a"b', "\u2028", "\x7f"]
    for ascii_only in (True, False):
        body = json.dumps([IMAGE | {"tags": tags}], ensure_ascii=ascii_only).encode()
        assert decode_list(body, Image, key=None).items[0].tags == tuple(tags)


def test_the_last_of_repeated_members_counts() -> None:
    listed = partial(decode_list, item=Image, key="images")
    body = b'{"images": [{"digest": 5, "size": "x", "digest": "a", "size": 1}]}'
    assert listed(body).items == [Image("a", size=1)]
    body = (
        b'{"images": [{"digest": "a"}], "images": [{"digest": "b", "tags": ["x"], "tags": null}]}'
    )
    assert listed(body).items == [Image("b")]
    body = b'{"images": [{"digest": "a", "digest": 5}]}'
    assert refusal(listed, body).path == "images[0].digest"


def test_an_image_may_look_like_a_layer() -> None:
    layer = {"digest": "a", "size": 1}
    for image in (layer, layer | {"layers": [layer]}, layer | {"layers": None, "x": layer}):
        (found,) = decode_list(to_bytes([image]), Image, key=None).items
        assert (type(found), found.digest, found.size) == (Image, "a", 1)
    error = refusal(
        partial(decode_list, item=Image, key=None), to_bytes([{**layer, "tags": layer}])
    )
    assert error.path == "[0].tags"
    # An object that looks like an item where there should be a page.
    error = refusal(partial(decode_list, item=Image, key=None), to_bytes(IMAGE))
    assert (error.path, error.message) == ("", "expected an array, found an object")
    error = refusal(
        partial(decode_list, item=Repository, key="name"), to_bytes({"name": [], "totalCount": "x"})
    )
    assert error.path == "totalCount"


# ------------------------------------------------------------------------------ errors


def test_errors_say_where_and_what_and_for_which_request() -> None:
    body = to_bytes({"images": [IMAGE, changed(IMAGE, ("layers", 0, "size"), SECRET)]})
    response = Response(200, body, "GET", "https://host/v2/x")
    with pytest.raises(UnexpectedResponseError) as caught:
        decode_response(list_decoder_of(Image, key="images"), response)
    error = caught.value
    assert error.path == "images[1].layers[0].size"
    assert error.message == "expected an integer, found a string"
    assert str(error) == (
        "GET https://host/v2/x: expected an integer, found a string (at images[1].layers[0].size)"
    )
    assert (error.method, error.url) == ("GET", "https://host/v2/x")


@pytest.mark.parametrize(
    ("decoder", "body"),
    [
        (partial(decode, shape=IssuedToken), to_bytes({**TOKEN, "id": 5, "token": SECRET})),
        (partial(decode, shape=IssuedToken), to_bytes({**TOKEN, "token": [SECRET]})),
        (partial(decode, shape=IssuedToken), to_bytes({**TOKEN, "status": {SECRET: 1}})),
        (partial(decode, shape=IssuedToken), to_bytes({**TOKEN, "createdAt": SECRET})),
        (partial(decode, shape=IssuedToken), to_bytes(TOKEN | {"token": SECRET})[:-1]),
        (partial(decode, shape=DockerConfig), to_bytes({"auths": {"h": {"password": [SECRET]}}})),
        (partial(decode, shape=DockerConfig), to_bytes({"auths": {"h": SECRET}})),
        (partial(decode_token_v1, secret=None), to_bytes({"token": SECRET})),
        (partial(decode_token_v1, secret=SECRET), b"{"),
        (partial(decode_list, item=Image, key="images"), to_bytes({"images": SECRET})),
        (partial(decode_list, item=Image, key=None), to_bytes([{"digest": [SECRET]}])),
        (partial(decode_list, item=Image, key=None), SECRET.encode()),
        (partial(decode_list, item=str, key=None), to_bytes([[SECRET]])),
        (partial(decode_names, key=None), to_bytes([{"name": [SECRET]}])),
    ],
)
def test_no_value_of_the_answer_stays_on_an_error(decoder: Decode, body: bytes) -> None:
    error = refusal(decoder, body)
    assert error.__cause__ is None
    assert error.__context__ is None
    told = [str(error), repr(error), repr(error.args), repr(vars(error))]
    told += ["".join(traceback.format_exception(error)), repr(pickle.dumps(error))]
    told.append(getattr(error, "__notes__", ""))
    assert all(SECRET not in text for text in told)


# ------------------------------------------------------------------------------ what is sent


def test_scopes_are_sent_under_the_services_names() -> None:
    scope = TokenScope(all_registries=False, read_write=True, registry_ids=("a", "b"))
    assert encode_scope(scope) == {
        "allRegistries": False,
        "modeRW": True,
        "registryIds": ["a", "b"],
    }


@given(st.booleans(), st.booleans(), st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@settings(deadline=None)
def test_scopes_come_back_as_they_were_sent(everything: bool, write: bool, ids: list[str]) -> None:
    scope = TokenScope(everything, write, tuple(ids))
    assert decode(encode_body(encode_scope(scope)), TokenScope) == scope


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (None, {"isSet": False}),
        (datetime(2030, 1, 1, tzinfo=UTC), {"expiresAt": "2030-01-01T00:00:00Z", "isSet": True}),
        (
            datetime(2030, 1, 1, 0, 0, 0, 1500, tzinfo=UTC),
            {"expiresAt": "2030-01-01T00:00:00.001500Z", "isSet": True},
        ),
        (
            datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=3))),
            {"expiresAt": "2029-12-31T23:00:00Z", "isSet": True},
        ),
    ],
)
def test_expirations_are_sent_in_utc(moment: datetime | None, expected: Json) -> None:
    assert encode_expiration(moment) == expected


def test_an_expiration_beyond_the_calendar_is_refused() -> None:
    far = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-3)))
    with pytest.raises(ValueError, match="expires_at"):
        encode_expiration(far)


@given(
    st.none()
    | st.datetimes(
        min_value=datetime(1, 1, 3),
        max_value=datetime(9999, 12, 29),
        timezones=st.timezones() | st.just(UTC),
    )
)
@settings(deadline=None)
def test_expirations_come_back_as_they_were_sent(moment: datetime | None) -> None:
    token = TOKEN | {"expiration": encode_expiration(moment)}
    found = decode(encode_body(token), Token).expires_at
    # Times in zones where the clocks change are at times equal to no other.
    assert found == (moment and moment.astimezone(UTC))


def test_bodies_are_compact_and_utf_8() -> None:
    assert (
        encode_body({"name": "é", "n": [1, True, None]})
        == '{"name":"é","n":[1,true,null]}'.encode()
    )


@pytest.mark.parametrize("value", ["\ud800" + SECRET, float("nan"), float("inf")])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(value: object) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        encode_body({"name": SECRET, "value": value})
    assert SECRET not in repr(caught.value) + repr(vars(caught.value))
    assert caught.value.__context__ is None
