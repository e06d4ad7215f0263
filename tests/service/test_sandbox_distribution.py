"""The OCI distribution API: each MUST of the specification, by bare requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from registry_async.sandbox import Sandbox, StoredRegistry
from tests.support.distribution import (
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_IMAGE,
    OCI_INDEX,
    Docker,
    code_of,
    descriptor,
    digest_of,
)
from tests.support.sandbox import Api, Clock, Reply, path_of

NAME = "production/team/data/app"
BLOB = b"0123456789" * 200
DIGEST = digest_of(BLOB)
UNKNOWN = digest_of(b"nobody has this")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=False) as running:
        running.state.add_registry("production")
        yield running


@pytest.fixture
def registry(sandbox: Sandbox) -> StoredRegistry:
    return sandbox.state.registries()[0]


@pytest.fixture
def docker(sandbox: Sandbox) -> Docker:
    return Docker(sandbox)


def begin(docker: Docker, name: str = NAME) -> str:
    reply = docker.send("POST", f"/v2/{name}/blobs/uploads/", b"")
    assert (reply.status, reply.headers["Range"]) == (202, "0-0")
    location: str = reply.headers["Location"]
    assert location.startswith(f"/v2/{name}/blobs/uploads/")
    assert reply.headers["Docker-Upload-UUID"] in location
    return location


def finished(reply: Reply, digest: str = DIGEST) -> bool:
    if reply.status != 201:
        return False
    assert reply.headers["Location"] == f"/v2/{NAME}/blobs/{digest}"
    assert reply.headers["Docker-Content-Digest"] == digest
    return True


def has_blob(docker: Docker, digest: str = DIGEST, name: str = NAME) -> bool:
    reply = docker.send("HEAD", f"/v2/{name}/blobs/{digest}")
    assert reply.status in (200, 404)
    return reply.status == 200


# The base


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_the_base_says_that_the_api_is_here(docker: Docker, method: str, path: str) -> None:
    reply = docker.send(method, path)
    assert reply.status == 200
    assert reply.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("POST", "/v2/", 405, "UNSUPPORTED"),
        ("PATCH", f"/v2/{NAME}/blobs/{DIGEST}", 405, "UNSUPPORTED"),
        ("PUT", f"/v2/{NAME}/tags/list", 405, "UNSUPPORTED"),
        ("GET", "/v2/Upper/case/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/production/a..b/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/production//b/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{'a' * 256}/tags/list", 400, "NAME_INVALID"),
        ("GET", f"/v2/{NAME}/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/nowhere/app/tags/list", 404, "NAME_UNKNOWN"),
        ("POST", "/v2/nowhere/app/blobs/uploads/", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/sha256:bad", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/{NAME}/manifests/.bad", 400, "TAG_INVALID"),
        ("GET", f"/v2/{NAME}/blobs/{UNKNOWN}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/sha256:bad", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/{NAME}/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("DELETE", f"/v2/{NAME}/blobs/{UNKNOWN}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/{NAME}/referrers/sha256:bad", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/{NAME}/blobs/uploads/nowhere", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", f"/v2/{NAME}/blobs/uploads/nowhere?digest={DIGEST}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", f"/v2/{NAME}/blobs/uploads/?digest=sha256:bad", 400, "DIGEST_INVALID"),
        ("POST", f"/v2/{NAME}/blobs/uploads/?mount=sha256:bad", 400, "DIGEST_INVALID"),
    ],
)
def test_what_is_wrong_is_refused_with_the_codes_of_the_specification(
    docker: Docker, method: str, target: str, status: int, code: str
) -> None:
    reply = docker.send(method, target)
    assert (reply.status, code_of(reply)) == (status, code)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Request-Id"]


# Pushing blobs


def test_a_blob_is_pushed_with_one_request(docker: Docker) -> None:
    assert not has_blob(docker)
    assert finished(docker.send("POST", f"/v2/{NAME}/blobs/uploads/?digest={DIGEST}", BLOB))
    assert has_blob(docker)


def test_a_blob_is_pushed_with_two_requests(docker: Docker) -> None:
    location = begin(docker)
    assert finished(docker.send("PUT", f"{location}?digest={DIGEST}", BLOB))
    assert has_blob(docker)
    assert docker.send("GET", location).status == 404


@pytest.mark.parametrize("last_by_put", [False, True])
@pytest.mark.parametrize("chunk", [700, 1_000, 2_000])
def test_a_blob_is_pushed_in_chunks(docker: Docker, chunk: int, last_by_put: bool) -> None:
    location = begin(docker)
    starts = range(0, len(BLOB), chunk)
    for start in starts:
        piece = BLOB[start : start + chunk]
        ranged = {"Content_Range": f"{start}-{start + len(piece) - 1}"}
        if last_by_put and start == starts[-1]:
            target = f"{location}?digest={DIGEST}"
            assert finished(docker.send("PUT", target, piece, **ranged))
            break
        reply = docker.send("PATCH", location, piece, **ranged)
        assert (reply.status, reply.headers["Range"]) == (202, f"0-{start + len(piece) - 1}")
        location = reply.headers["Location"]
    else:
        assert finished(docker.send("PUT", f"{location}?digest={DIGEST}", b""))
    assert docker.send("GET", f"/v2/{NAME}/blobs/{DIGEST}").content == BLOB


def test_a_chunk_without_a_range_is_the_next_one(docker: Docker) -> None:
    location = begin(docker)
    assert docker.send("PATCH", location, BLOB[:900]).status == 202
    assert docker.send("PATCH", location, BLOB[900:]).status == 202
    assert finished(docker.send("PUT", f"{location}?digest={DIGEST}", b""))


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(("arrived", "start"), [(0, 100), (500, 0), (500, 400), (500, 600)])
def test_a_chunk_out_of_order_is_416_and_changes_nothing(
    docker: Docker, method: str, arrived: int, start: int
) -> None:
    location = begin(docker)
    if arrived:
        docker.send("PATCH", location, BLOB[:arrived], Content_Range=f"0-{arrived - 1}")
    target = location if method == "PATCH" else f"{location}?digest={DIGEST}"
    wrong = docker.send(method, target, BLOB[start:], Content_Range=f"{start}-{len(BLOB) - 1}")
    assert (wrong.status, code_of(wrong)) == (416, "BLOB_UPLOAD_INVALID")
    status = docker.send("GET", location)
    assert (status.status, status.headers["Range"]) == (204, f"0-{max(arrived - 1, 0)}")
    assert status.headers["Location"] == location
    rest = BLOB[arrived:]
    assert docker.send("PATCH", location, rest).status == 202
    assert finished(docker.send("PUT", f"{location}?digest={DIGEST}", b""))


@pytest.mark.parametrize("content_range", ["x", "5-1", "0-", "-5", "bytes", "0-5"])
def test_a_malformed_range_of_a_chunk_is_400(docker: Docker, content_range: str) -> None:
    location = begin(docker)
    reply = docker.send("PATCH", location, BLOB, Content_Range=content_range)
    assert (reply.status, code_of(reply)) in {
        (400, "BLOB_UPLOAD_INVALID"),
        (400, "SIZE_INVALID"),
    }
    assert docker.send("GET", location).headers["Range"] == "0-0"


def test_an_upload_is_cancelled(docker: Docker) -> None:
    location = begin(docker)
    docker.send("PATCH", location, BLOB)
    assert docker.send("DELETE", location).status == 204
    for method in ("GET", "DELETE"):
        reply = docker.send(method, location)
        assert (reply.status, code_of(reply)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert not has_blob(docker)


def test_an_upload_belongs_to_its_repository(docker: Docker) -> None:
    identifier = begin(docker).rpartition("/")[2]
    other = docker.send("GET", f"/v2/production/other/blobs/uploads/{identifier}")
    assert other.status == 404


@pytest.mark.parametrize("way", ["post", "put", "chunks"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_content_of_another_digest_is_refused(docker: Docker, way: str, algorithm: str) -> None:
    digest = digest_of(BLOB, algorithm)
    wrong = BLOB + b"!"
    if way == "post":
        reply = docker.send("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}", wrong)
    else:
        location = begin(docker)
        if way == "chunks":
            docker.send("PATCH", location, wrong)
            wrong = b""
        reply = docker.send("PUT", f"{location}?digest={digest}", wrong)
    assert (reply.status, code_of(reply)) == (400, "DIGEST_INVALID")
    assert not has_blob(docker, digest)


def test_an_upload_is_not_finished_without_a_digest(docker: Docker) -> None:
    reply = docker.send("PUT", begin(docker), BLOB)
    assert (reply.status, code_of(reply)) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("content", [b"", b"{}", BLOB])
def test_sha512_is_known_for_blobs(docker: Docker, content: bytes) -> None:
    digest = docker.push_blob(NAME, content, "sha512")
    location = begin(docker)
    assert docker.send("PUT", f"{location}?digest={digest}", content).status == 201
    reply = docker.send("GET", f"/v2/{NAME}/blobs/{digest}")
    assert (reply.status, reply.content) == (200, content)
    assert reply.headers["Docker-Content-Digest"] == digest


# Mounts


def test_a_blob_is_mounted_from_another_repository(sandbox: Sandbox, docker: Docker) -> None:
    sandbox.state.add_registry("other")
    for source in ("production/base", "other/deep/base"):
        blob = source.encode()
        digest = docker.push_blob(source, blob)
        target = f"/v2/{NAME}/blobs/uploads/?mount={digest}&from={source}"
        assert finished(docker.send("POST", target, b""), digest)
        assert docker.send("GET", f"/v2/{NAME}/blobs/{digest}").content == blob


def test_a_blob_is_mounted_from_wherever_it_is(docker: Docker) -> None:
    docker.push_blob("production/base", BLOB)
    reply = docker.send("POST", f"/v2/{NAME}/blobs/uploads/?mount={DIGEST}", b"")
    assert finished(reply)
    assert has_blob(docker)


@pytest.mark.parametrize("source", ["&from=production/base", "&from=nowhere/at/all", ""])
def test_a_mount_of_what_is_not_there_begins_an_upload(docker: Docker, source: str) -> None:
    docker.push_blob("production/elsewhere", b"another")
    reply = docker.send("POST", f"/v2/{NAME}/blobs/uploads/?mount={DIGEST}{source}", b"")
    assert reply.status == 202
    assert finished(docker.send("PUT", f"{reply.headers['Location']}?digest={DIGEST}", BLOB))


def test_nothing_is_mounted_from_what_a_token_does_not_open(sandbox: Sandbox) -> None:
    mine, foreign = sandbox.state.registries()[0], sandbox.state.add_registry("foreign")
    Docker(sandbox).push_blob("foreign/base", BLOB)
    scope = {"allRegistries": False, "modeRW": True, "registryIds": [mine.id]}
    token = Api(sandbox).post("/v2/tokens", {"scope": scope, "expiration": {"isSet": False}})
    narrow = Docker(sandbox, token["token"])
    for source in ("", "&from=foreign/base"):
        reply = narrow.send("POST", f"/v2/{NAME}/blobs/uploads/?mount={DIGEST}{source}", b"")
        assert reply.status == 202
    assert foreign.blobs
    assert not mine.blobs


# Pulling blobs


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=500-1499", 500, 1_500),
        ("bytes=500-", 500, 2_000),
        ("bytes=-500", 1_500, 2_000),
        ("bytes=-5000", 0, 2_000),
        ("bytes=1900-5000", 1_900, 2_000),
        ("bytes=0-0", 0, 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_part_of_a_blob_is_pulled(
    docker: Docker, method: str, wanted: str, start: int, stop: int
) -> None:
    docker.push_blob(NAME, BLOB)
    reply = docker.send(method, f"/v2/{NAME}/blobs/{DIGEST}", Range=wanted)
    assert (reply.status, reply.content) == (206, BLOB[start:stop] if method == "GET" else b"")
    assert reply.headers["Content-Range"] == f"bytes {start}-{stop - 1}/2000"
    assert reply.headers["Content-Length"] == str(stop - start)
    assert reply.headers["Docker-Content-Digest"] == DIGEST


@pytest.mark.parametrize("wanted", ["bytes=500-0", "bytes=2000-", "bytes=5000-10000", "bytes=-0"])
def test_a_range_that_lies_outside_is_416(docker: Docker, wanted: str) -> None:
    docker.push_blob(NAME, BLOB)
    reply = docker.send("GET", f"/v2/{NAME}/blobs/{DIGEST}", Range=wanted)
    assert reply.status == 416
    assert reply.headers["Content-Range"] == "bytes */2000"


@pytest.mark.parametrize("wanted", ["bytes=-", "lines=1-2", "bytes=a-b", "bytes=0-1,5-6"])
def test_a_range_that_is_none_is_ignored(docker: Docker, wanted: str) -> None:
    docker.push_blob(NAME, BLOB)
    reply = docker.send("GET", f"/v2/{NAME}/blobs/{DIGEST}", Range=wanted)
    assert (reply.status, reply.content) == (200, BLOB)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_blob_is_told_and_given(docker: Docker, method: str) -> None:
    docker.push_blob(NAME, BLOB)
    reply = docker.send(method, f"/v2/{NAME}/blobs/{DIGEST.replace(':', '%3A')}")
    assert (reply.status, reply.content) == (200, BLOB if method == "GET" else b"")
    assert reply.headers["Content-Length"] == "2000"
    assert reply.headers["Docker-Content-Digest"] == DIGEST
    assert reply.headers["Accept-Ranges"] == "bytes"


def test_a_blob_is_had_by_the_name_of_its_repository_alone(docker: Docker) -> None:
    docker.push_blob(NAME, BLOB)
    assert not has_blob(docker, name="production/other")


# Manifests


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_is_pulled_as_it_was_pushed(docker: Docker, by: str, method: str) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BLOB)
    content = json.dumps(manifest).encode()
    assert digest == digest_of(content)
    reference = "v1" if by == "tag" else digest
    reply = docker.send(method, f"/v2/{NAME}/manifests/{reference}")
    assert (reply.status, reply.content) == (200, content if method == "GET" else b"")
    assert reply.headers["Content-Type"] == OCI_IMAGE
    assert reply.headers["Content-Length"] == str(len(content))
    assert reply.headers["Docker-Content-Digest"] == digest


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_pushed_by_its_digest(docker: Docker, algorithm: str) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    content = json.dumps(manifest, indent=1).encode()
    digest = digest_of(content, algorithm)
    reply = docker.push_manifest(NAME, digest, content)
    assert reply.status == 201
    assert reply.headers["Location"] == f"/v2/{NAME}/manifests/{digest}"
    assert reply.headers["Docker-Content-Digest"] == digest
    pulled = docker.send("GET", reply.headers["Location"])
    assert (pulled.content, pulled.headers["Docker-Content-Digest"]) == (content, digest)


def test_a_manifest_of_another_digest_is_refused(docker: Docker) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    for reference, code in ((UNKNOWN, "DIGEST_INVALID"), ("sha256:bad", "DIGEST_INVALID")):
        reply = docker.push_manifest(NAME, reference, manifest)
        assert (reply.status, code_of(reply)) == (400, code)


def test_tags_can_be_named_beside_a_digest(docker: Docker) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    content = json.dumps(manifest).encode()
    digest = digest_of(content, "sha512")
    reply = docker.push_manifest(NAME, f"{digest}?tag=one&tag=two", content)
    assert (reply.status, reply.headers["OCI-Tag"]) == (201, "one, two")
    for tag in ("one", "two"):
        pulled = docker.send("HEAD", f"/v2/{NAME}/manifests/{tag}")
        assert pulled.headers["Docker-Content-Digest"] == digest


def test_a_tag_moves_with_a_push(docker: Docker) -> None:
    first, _ = docker.push_image(NAME, "latest", b"one")
    second, _ = docker.push_image(NAME, "latest", b"two")
    pulled = docker.send("HEAD", f"/v2/{NAME}/manifests/latest")
    assert pulled.headers["Docker-Content-Digest"] == second
    assert docker.send("HEAD", f"/v2/{NAME}/manifests/{first}").status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schemaVersion": 1}, "MANIFEST_INVALID"),
        ({"mediaType": "application/x-something"}, "MANIFEST_INVALID"),
        ({"config": None}, "MANIFEST_INVALID"),
        ({"layers": None}, "MANIFEST_INVALID"),
        ({"layers": [{"digest": "sha256:bad", "size": 1}]}, "MANIFEST_INVALID"),
        ({"layers": [{"digest": DIGEST, "size": -1}]}, "MANIFEST_INVALID"),
        ({"layers": [{"digest": DIGEST, "size": 1}]}, "MANIFEST_INVALID"),
        ({"subject": "text"}, "MANIFEST_INVALID"),
        ({"annotations": {"a": 1}}, "MANIFEST_INVALID"),
        ({"config": descriptor(b"nobody has this", OCI_CONFIG)}, "MANIFEST_BLOB_UNKNOWN"),
        ({"layers": [descriptor(b"nobody has this", "x")]}, "MANIFEST_BLOB_UNKNOWN"),
    ],
)
def test_what_is_no_whole_manifest_is_refused(
    docker: Docker, change: dict[str, Any], code: str
) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    reply = docker.push_manifest(NAME, "v2", manifest | change)
    assert reply.status == (404 if code == "MANIFEST_BLOB_UNKNOWN" else 400)
    assert code_of(reply) == code
    assert docker.send("GET", f"/v2/{NAME}/tags/list").body["tags"] == ["v1"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 50_000])
def test_what_is_no_json_is_no_manifest(docker: Docker, content: bytes) -> None:
    docker.push_image(NAME, "v1", BLOB)
    reply = docker.push_manifest(NAME, "v2", content, Content_Type=OCI_IMAGE)
    assert (reply.status, code_of(reply)) == (400, "MANIFEST_INVALID")


def test_a_manifest_may_be_kept_apart_from_layers_under_a_licence(docker: Docker) -> None:
    layer = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": UNKNOWN,
        "size": 5,
        "urls": ["https://store.example.com/layer"],
    }
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    layers = [layer, *manifest["layers"]]
    assert docker.push_manifest(NAME, "v2", manifest | {"layers": layers}).status == 201


def test_a_manifest_may_have_no_layers(docker: Docker) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    assert docker.push_manifest(NAME, "v2", manifest | {"layers": []}).status == 201


def test_the_media_type_is_what_it_was_sent_as(docker: Docker) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    del manifest["mediaType"]
    assert docker.push_manifest(NAME, "v2", manifest, Content_Type=OCI_IMAGE).status == 201
    assert docker.send("HEAD", f"/v2/{NAME}/manifests/v2").headers["Content-Type"] == OCI_IMAGE
    manifest["mediaType"] = OCI_INDEX
    reply = docker.push_manifest(NAME, "v2", manifest, Content_Type=OCI_IMAGE)
    assert (reply.status, code_of(reply)) == (400, "MANIFEST_INVALID")


def test_four_megabytes_of_manifest_are_taken_and_more_are_not(docker: Docker) -> None:
    _, manifest = docker.push_image(NAME, "v1", BLOB)
    empty = len(json.dumps(manifest | {"annotations": {"a": ""}}))
    most = 4 * 1024**2
    for size, status in ((most, 201), (most + 1, 413)):
        large = manifest | {"annotations": {"a": "x" * (size - empty)}}
        content = json.dumps(large).encode()
        assert len(content) == size
        assert docker.push_manifest(NAME, "large", content).status == status
    pulled = docker.send("GET", f"/v2/{NAME}/manifests/large")
    assert len(pulled.content) == most


def test_an_index_needs_its_parts(docker: Docker) -> None:
    digest, manifest = docker.push_image(NAME, "amd64", BLOB)
    part = descriptor(json.dumps(manifest).encode(), OCI_IMAGE)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [part]}
    assert part["digest"] == digest
    assert docker.push_manifest(NAME, "v1", index).status == 201
    nested = index | {"manifests": [descriptor(json.dumps(index).encode(), OCI_INDEX)]}
    assert docker.push_manifest(NAME, "nested", nested).status == 201
    assert docker.push_manifest(NAME, "empty", index | {"manifests": []}).status == 201
    missing = index | {"manifests": [part, descriptor(b"x", OCI_IMAGE)]}
    reply = docker.push_manifest(NAME, "v2", missing)
    assert (reply.status, code_of(reply)) == (404, "MANIFEST_BLOB_UNKNOWN")


# Discovery


def test_tags_are_listed_in_order_and_in_pages(docker: Docker) -> None:
    for tag in ("b", "a", "C", "a1", "_x"):
        docker.push_image(NAME, tag, BLOB)
    in_order = sorted(["b", "a", "C", "a1", "_x"])
    path = f"/v2/{NAME}/tags/list"
    assert docker.send("GET", path).body == {"name": NAME, "tags": in_order}
    page = docker.send("GET", f"{path}?n=2")
    assert page.body["tags"] == in_order[:2]
    seen = list(page.body["tags"])
    while "Link" in page.headers:
        target, _, relation = page.headers["Link"].partition(">; ")
        assert relation == 'rel="next"'
        page = docker.send("GET", target.lstrip("<"))
        seen += page.body["tags"]
    assert seen == in_order
    assert docker.send("GET", f"{path}?last=a").body["tags"] == ["a1", "b"]
    assert docker.send("GET", f"{path}?last=aa").body["tags"] == ["b"]
    assert docker.send("GET", f"{path}?n=0").body["tags"] == []
    assert docker.send("GET", f"{path}?n=100&last=C").body["tags"] == in_order[1:]
    assert docker.send("GET", f"{path}?n=-1").status == 400
    assert docker.send("HEAD", path).status == 200


def attach(docker: Docker, subject: dict[str, Any], artifact_type: str, note: str) -> Reply:
    """Push an artifact that is about a subject."""
    docker.push_blob(NAME, b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "artifactType": artifact_type,
        "config": descriptor(b"{}", OCI_EMPTY),
        "layers": [descriptor(b"{}", OCI_EMPTY)],
        "subject": subject,
        "annotations": {"note": note},
    }
    return docker.push_manifest(NAME, digest_of(json.dumps(manifest).encode()), manifest)


def test_referrers_are_listed_and_filtered(docker: Docker) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BLOB)
    subject = descriptor(json.dumps(manifest).encode(), OCI_IMAGE)
    first = attach(docker, subject, "application/x-signature", "one")
    attach(docker, subject, "application/x-sbom", "two")
    assert (first.status, first.headers["OCI-Subject"]) == (201, digest)
    reply = docker.send("GET", f"/v2/{NAME}/referrers/{digest}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, OCI_INDEX)
    assert "OCI-Filters-Applied" not in reply.headers
    index = reply.body
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    assert [item["annotations"]["note"] for item in index["manifests"]] == ["one", "two"]
    path = f"/v2/{NAME}/referrers/{digest}?artifactType=application%2Fx-signature"
    filtered = docker.send("GET", path)
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    (item,) = filtered.body["manifests"]
    assert item["digest"] == first.headers["Docker-Content-Digest"]
    assert item["artifactType"] == "application/x-signature"
    assert item["mediaType"] == OCI_IMAGE
    assert item["size"] == int(
        docker.send("HEAD", first.headers["Location"]).headers["Content-Length"]
    )


def test_a_subject_may_come_later_or_never(docker: Docker) -> None:
    docker.push_image(NAME, "v1", BLOB)
    subject = {"mediaType": OCI_IMAGE, "digest": UNKNOWN, "size": 15}
    assert attach(docker, subject, "application/x-a", "early").headers["OCI-Subject"] == UNKNOWN
    reply = docker.send("GET", f"/v2/{NAME}/referrers/{UNKNOWN}")
    assert len(reply.body["manifests"]) == 1


def test_the_type_of_a_referrer_is_that_of_its_configuration_or_its_own(docker: Docker) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BLOB)
    subject = descriptor(json.dumps(manifest).encode(), OCI_IMAGE)
    docker.push_image(NAME, "about", b"x", subject=subject)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": "application/x-list",
        "manifests": [],
        "subject": subject,
    }
    docker.push_manifest(NAME, "list", index)
    found = docker.send("GET", f"/v2/{NAME}/referrers/{digest}").body["manifests"]
    assert [item["artifactType"] for item in found] == [OCI_CONFIG, "application/x-list"]


def test_nothing_refers_to_what_nobody_knows(docker: Docker) -> None:
    reply = docker.send("GET", f"/v2/production/never-pushed/referrers/{UNKNOWN}")
    assert (reply.status, reply.body["manifests"]) == (200, [])


# Deletes


def test_a_tag_is_deleted_and_its_manifest_stays(docker: Docker) -> None:
    digest, _ = docker.push_image(NAME, "v1", BLOB)
    docker.push_image(NAME, "v2", BLOB)
    assert docker.send("DELETE", f"/v2/{NAME}/manifests/v1").status == 202
    gone = docker.send("GET", f"/v2/{NAME}/manifests/v1")
    assert (gone.status, code_of(gone)) == (404, "MANIFEST_UNKNOWN")
    assert docker.send("GET", f"/v2/{NAME}/manifests/{digest}").status == 200
    assert docker.send("GET", f"/v2/{NAME}/tags/list").body["tags"] == ["v2"]
    assert docker.send("DELETE", f"/v2/{NAME}/manifests/v1").status == 404


def test_a_manifest_is_deleted_with_its_tags(docker: Docker) -> None:
    digest, _ = docker.push_image(NAME, "v1", BLOB)
    assert docker.send("DELETE", f"/v2/{NAME}/manifests/{digest}").status == 202
    for reference in ("v1", digest):
        assert docker.send("HEAD", f"/v2/{NAME}/manifests/{reference}").status == 404
        assert docker.send("DELETE", f"/v2/{NAME}/manifests/{reference}").status == 404
    # The layers stay until a collection.
    assert has_blob(docker)


def test_a_deleted_referrer_is_listed_no_more(docker: Docker) -> None:
    digest, manifest = docker.push_image(NAME, "v1", BLOB)
    subject = descriptor(json.dumps(manifest).encode(), OCI_IMAGE)
    signature = attach(docker, subject, "application/x-signature", "one")
    assert docker.send("DELETE", signature.headers["Location"]).status == 202
    assert docker.send("GET", f"/v2/{NAME}/referrers/{digest}").body["manifests"] == []


def test_a_blob_is_deleted_unless_a_manifest_refers_to_it(docker: Docker) -> None:
    docker.push_blob(NAME, BLOB)
    assert docker.send("DELETE", f"/v2/{NAME}/blobs/{DIGEST}").status == 202
    assert not has_blob(docker)
    assert docker.send("DELETE", f"/v2/{NAME}/blobs/{DIGEST}").status == 404
    docker.push_image(NAME, "v1", BLOB)
    refused = docker.send("DELETE", f"/v2/{NAME}/blobs/{DIGEST}")
    assert (refused.status, code_of(refused)) == (405, "UNSUPPORTED")
    assert has_blob(docker)


@pytest.mark.parametrize("guards", [True, False])
def test_a_part_is_deleted_as_the_service_lets_it(guards: bool) -> None:
    with Sandbox(seed=False, guards_parts=guards) as sandbox:
        repository = sandbox.state.add_repository(sandbox.state.add_registry("one"), "app")
        part = sandbox.state.push_image(repository)
        sandbox.state.push_index(repository, [part], tags=["v1"])
        reply = Docker(sandbox).send("DELETE", f"/v2/one/app/manifests/{part.digest}")
        assert reply.status == (409 if guards else 202)


def test_nothing_is_deleted_during_a_collection_but_everything_is_pulled() -> None:
    with Sandbox(seed=False, clock=Clock()) as sandbox:
        registry = sandbox.state.add_registry("production")
        docker = Docker(sandbox)
        digest, _ = docker.push_image(NAME, "v1", BLOB)
        Api(sandbox).post(path_of(registry) + "/garbage-collection")
        for target in ("manifests/v1", f"manifests/{digest}", f"blobs/{DIGEST}"):
            refused = docker.send("DELETE", f"/v2/{NAME}/{target}")
            assert (refused.status, code_of(refused)) == (409, "DENIED")
            assert docker.send("GET", f"/v2/{NAME}/{target}").status == 200


@pytest.mark.parametrize("status", ["CREATING", "DELETING"])
def test_nothing_is_pushed_to_a_registry_that_is_not_there_yet_or_any_more(
    sandbox: Sandbox, registry: StoredRegistry, docker: Docker, status: str
) -> None:
    docker.push_image(NAME, "v1", BLOB)
    sandbox.state.set_status(registry, status)
    reply = docker.send("POST", f"/v2/{NAME}/blobs/uploads/", b"")
    assert (reply.status, code_of(reply)) == (403, "DENIED")
    assert docker.send("GET", f"/v2/{NAME}/manifests/v1").status == 200
