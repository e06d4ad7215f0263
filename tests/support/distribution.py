"""A plain HTTP caller for the sandbox's distribution API, logged in as Docker is."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from registry_async.sandbox import Sandbox
from tests.support.sandbox import Reply

OCI_IMAGE: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_PARAMETER: Final = re.compile(r'(\w+)="([^"]*)"')


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": digest_of(content, algorithm),
        "size": len(content),
    }


class Docker:
    """Speak the distribution API; log in at the realm that a 401 names, and ask again.

    Args:
        sandbox: The running sandbox.
        secret: The secret of a registry token; None logs in with a token that opens everything.
    """

    def __init__(self, sandbox: Sandbox, secret: str | None = None) -> None:
        self._sandbox = sandbox
        self._netloc = urlsplit(sandbox.origin).netloc
        self.secret = sandbox.state.tokens.create_v1("12h").secret if secret is None else secret
        self._permits: dict[str, str] = {}

    def raw(self, method: str, target: str, content: bytes | None = None, **headers: str) -> Reply:
        """Send one request as it is; underscores in the names of headers become hyphens."""
        connection = http.client.HTTPConnection(self._netloc, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, target, body=content, headers=sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def log_in(self, challenge: str, user: str = "token") -> Reply:
        """Ask the realm of a challenge for a permit."""
        kind, _, rest = challenge.partition(" ")
        assert kind == "Bearer"
        named = dict(_PARAMETER.findall(rest))
        query = urlencode({"service": named["service"], "scope": named.get("scope", "")})
        realm = urlsplit(named["realm"])
        assert realm.netloc == self._netloc
        login = base64.b64encode(f"{user}:{self.secret}".encode()).decode()
        return self.raw("GET", f"{realm.path}?{query}", Authorization=f"Basic {login}")

    def send(self, method: str, target: str, content: bytes | None = None, **headers: str) -> Reply:
        """Send a request, logged in."""
        key = method + target.partition("?")[0]
        if key in self._permits:
            reply = self._send_with(self._permits[key], method, target, content, headers)
            if reply.status != 401:
                return reply
        refused = self.raw(method, target, None, Content_Length="0")
        if refused.status != 401:
            # Refused for another reason, before it was asked who asks.
            return refused
        granted = self.log_in(refused.headers["WWW-Authenticate"])
        assert granted.status == 200, granted
        self._permits[key] = granted.body["token"]
        return self._send_with(self._permits[key], method, target, content, headers)

    def _send_with(
        self, permit: str, method: str, target: str, content: bytes | None, headers: dict[str, str]
    ) -> Reply:
        shown = headers | {"Authorization": f"Bearer {permit}"}
        return self.raw(method, target, content, **shown)

    def push_blob(self, name: str, content: bytes, algorithm: str = "sha256") -> str:
        digest = digest_of(content, algorithm)
        target = f"/v2/{name}/blobs/uploads/?digest={quote(digest)}"
        reply = self.send("POST", target, content)
        assert reply.status == 201, reply
        return digest

    def push_manifest(
        self, name: str, reference: str, manifest: dict[str, Any] | bytes, **headers: str
    ) -> Reply:
        content = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        if not headers:
            headers = {"Content_Type": json.loads(content).get("mediaType", OCI_IMAGE)}
        return self.send("PUT", f"/v2/{name}/manifests/{reference}", content, **headers)

    def push_image(
        self, name: str, tag: str, *layers: bytes, **members: Any
    ) -> tuple[str, dict[str, Any]]:
        """Push an image whole, and give its digest and its manifest."""
        config = {
            "created": "2024-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        content = json.dumps(config).encode()
        for blob in (content, *layers):
            self.push_blob(name, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": descriptor(content, OCI_CONFIG),
            "layers": [descriptor(layer, OCI_LAYER) for layer in layers],
            **members,
        }
        reply = self.push_manifest(name, tag, manifest)
        assert reply.status == 201, reply.content
        return reply.headers["Docker-Content-Digest"], manifest


def code_of(reply: Reply) -> str:
    """Give the code of the one error of an answer."""
    (error,) = reply.body["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert error["message"]
    code: str = error["code"]
    return code
