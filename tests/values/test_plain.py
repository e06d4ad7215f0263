"""Models as plain data: for JSON, for pydantic and for FastAPI, without their secrets."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import registry_async
from registry_async import (
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
    Page,
    Registry,
    RegistryStatus,
    Repository,
    RepositoryType,
    Token,
    TokenScope,
    TokenV1,
    to_dict,
    to_json,
)
from registry_async.sandbox import Sandbox

CANARY: Final = "canary-7f3a"
NOW: Final = datetime(2025, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
SCOPE: Final = TokenScope(all_registries=False, read_write=True, registry_ids=("r1", "r2"))
IMAGE: Final = Image(
    "sha256:1", ("a", "b"), 5, NOW, "amd64", "linux", None, (Layer("sha256:2", 3),)
)
VALUES: Final[tuple[Any, ...]] = (
    Registry("id", "name", RegistryStatus.ACTIVE, 5, NOW, 10, 50.0),
    Registry("id", "name", "A NEW ONE", 5, None),
    Repository("team/app", 5, RepositoryType.HELM_CHART, NOW),
    Layer("sha256:1", 2**70),
    IMAGE,
    Cluster("id", "name", "ru-9"),
    GarbageSize(1, 2, 3),
    CleanupResult((DeletedImage("sha256:1", ("a",)),), (CleanupFailure("sha256:2", (), "no"),)),
    SCOPE,
    Token("id", None, "active", SCOPE, None, NOW),
    IssuedToken("id", "name", "active", SCOPE, NOW, secret=CANARY),
    TokenV1(CANARY, NOW),
    DockerAuth(CANARY, "token", CANARY),
    DockerConfig({"cr.selcloud.ru": DockerAuth(CANARY, "token", CANARY)}),
    Page((IMAGE,), 0, 1),
)


def all_parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return [value, *(part for each in value.values() for part in all_parts(each))]
    if isinstance(value, list):
        return [value, *(part for each in value for part in all_parts(each))]
    return [value]


def test_an_image_is_plain_data_by_the_names_of_its_attributes() -> None:
    assert to_dict(IMAGE) == {
        "digest": "sha256:1",
        "tags": ["a", "b"],
        "size": 5,
        "created_at": "2025-01-02T03:04:05.678901+00:00",
        "architecture": "amd64",
        "os": "linux",
        "media_type": None,
        "layers": [{"digest": "sha256:2", "size": 3}],
    }


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_model_is_plain_data(value: Any) -> None:
    for secrets in (False, True):
        found = to_dict(value, secrets)
        assert {type(part) for part in all_parts(found)} <= {
            *(dict, list, str, int, float, bool, type(None))
        }
        assert json.loads(to_json(value, secrets)) == found
        assert to_dict([value, value], secrets) == [found, found]
        assert (CANARY in to_json(value, secrets)) == (secrets and CANARY in str(vars_of(value)))
    # What is not secret is all there.
    names = {each.name for each in attrs.fields(type(value)) if each.repr}
    assert to_dict(value).keys() == names


def vars_of(value: Any) -> object:
    return attrs.asdict(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_pydantic_writes_what_to_dict_gives(value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    assert adapter.validate_python(value) is value
    assert adapter.dump_python(value) == to_dict(value)
    assert adapter.dump_python(value, mode="json") == to_dict(value)
    assert json.loads(adapter.dump_json(value)) == to_dict(value)
    assert CANARY not in str(adapter.dump_python(value))
    for mode in ("validation", "serialization"):
        schema: Any = adapter.json_schema(mode=mode)
        assert schema["title"] == type(value).__name__
        assert set(schema["required"]) == to_dict(value).keys()
    with pytest.raises(ValidationError):
        adapter.validate_python(to_dict(value))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_written_fits_the_schema(value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = TypeAdapter(type(value)).json_schema(mode="serialization")
    jsonschema.validate(to_dict(value), schema)


def test_models_are_members_of_pydantic_models() -> None:
    class Answer(BaseModel):
        images: list[Image]
        token: Token | None = None

    issued = IssuedToken("id", "name", "active", SCOPE, NOW, secret=CANARY)
    answer = Answer(images=[IMAGE], token=issued)
    assert answer.model_dump() == {"images": [to_dict(IMAGE)], "token": to_dict(issued)}
    assert CANARY not in answer.model_dump_json()
    properties = Answer.model_json_schema()["properties"]
    image = properties["images"]["items"]["properties"]
    assert image["size"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert image["created_at"]["anyOf"][0] == {"type": "string", "format": "date-time"}


def test_fastapi_returns_models_and_documents_them() -> None:
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    app = fastapi.FastAPI()

    def images() -> list[Image]:
        return [IMAGE]

    def token() -> Token:
        return IssuedToken("id", "name", "active", SCOPE, NOW, secret=CANARY)

    app.get("/images")(images)
    app.get("/token")(token)
    with testclient.TestClient(app) as client:
        assert client.get("/images").json() == [to_dict(IMAGE)]
        shown = client.get("/token")
        assert shown.json()["id"] == "id"
        assert CANARY not in shown.text
        schema = client.get("/openapi.json").json()
    described = schema["paths"]["/images"]["get"]["responses"]["200"]["content"]
    assert "digest" in described["application/json"]["schema"]["items"]["properties"]


def test_lists_are_plain_data_as_they_were_read() -> None:
    with Sandbox() as sandbox, sandbox.sync_client() as client:
        registries = client.registries.list().collect()
        names = client.repositories.list_names(registries[0].id).collect()
    assert to_dict(registries) == [to_dict(each) for each in registries]
    assert to_dict(names) == list(names)
    assert to_dict([]) == []


@pytest.mark.parametrize("value", [None, 5, "text", {"a": 1}, object(), [object()]])
def test_what_has_no_plain_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"to_dict takes|no plain form"):
        to_dict(value)


def test_models_stay_what_they_are() -> None:
    for value in VALUES:
        assert pickle.loads(pickle.dumps(value)) == value
        assert not hasattr(value, "__dict__")
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            value.anything = 1


def test_pydantic_is_not_imported_until_it_asks() -> None:
    code = "import sys, registry_async; print('pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
    assert "to_dict" in registry_async.__all__
