"""The service in one process on loopback, for a first run without an account and for tests.

    async with Sandbox() as sandbox:
        async with sandbox.client() as client:
            print(await client.registries.list().collect())

`with Sandbox() as sandbox:` does the same where no event loop runs. It shares no code with the
client, so that the two cannot agree on a mistake.
"""

from registry_async.sandbox._description import ProjectDescription, SandboxDescription
from registry_async.sandbox._directory import Login
from registry_async.sandbox._faults import Fault, Faults
from registry_async.sandbox._identity import Identity
from registry_async.sandbox._model import (
    StoredCluster,
    StoredImage,
    StoredLayer,
    StoredRegistry,
    StoredRepository,
)
from registry_async.sandbox._projects import SandboxProject
from registry_async.sandbox._records import RequestRecord
from registry_async.sandbox._sandbox import Sandbox
from registry_async.sandbox._state import State
from registry_async.sandbox._tokens import Tokens

__all__ = [
    "Fault",
    "Faults",
    "Identity",
    "Login",
    "ProjectDescription",
    "RequestRecord",
    "Sandbox",
    "SandboxDescription",
    "SandboxProject",
    "State",
    "StoredCluster",
    "StoredImage",
    "StoredLayer",
    "StoredRegistry",
    "StoredRepository",
    "Tokens",
]
