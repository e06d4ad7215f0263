"""Write the sync client from the async classes: ``python -m registry_async._generate_sync``.

Every class of the package whose name begins with ``Async`` gets a sync face, and so does every
function of a public module that is async, or takes or gives such a class. Syntax trees become
syntax trees, and ruff lays them out. What no rule covers is an error, not a guess.
"""

from registry_async._generate_sync.laying_out import generate
from registry_async._generate_sync.reading import UnmappedError

__all__ = ["UnmappedError", "generate"]
