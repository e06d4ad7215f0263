"""The service in one process on loopback, for a first run without an account and for tests.

    async with Sandbox() as sandbox:
        async with sandbox.client() as client:
            print(await client.registries.list().collect())

`with Sandbox() as sandbox:` does the same where no event loop runs. It shares no code with the
client, so that the two cannot agree on a mistake.
"""

from ._faults import Fault, Faults
from ._identity import Identity, Login
from ._model import (
    StoredCluster,
    StoredImage,
    StoredLayer,
    StoredRegistry,
    StoredRepository,
)
from ._records import RequestRecord
from ._sandbox import Sandbox
from ._state import State
from ._tokens import Tokens

__all__ = [
    "Fault",
    "Faults",
    "Identity",
    "Login",
    "RequestRecord",
    "Sandbox",
    "State",
    "StoredCluster",
    "StoredImage",
    "StoredLayer",
    "StoredRegistry",
    "StoredRepository",
    "Tokens",
]
