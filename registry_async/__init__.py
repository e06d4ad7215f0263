"""Manage container registries: an async client, a sync one, and scans of many registries."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from registry_async._version import __version__ as __version__

# Each public name stands once: in the `__all__` of the module that defines it. These modules are
# asked in turn when a name is first used, so that an import alone costs next to nothing.
_MODULES: Final = (
    "errors",
    "models",
    "references",
    "_clock",
    "retry",
    "credentials",
    "_pagination",
    "_plain",
    "_report",
    "_scan",
    "_resources",
    "client",
    # Functions that both clients have are the async one's here.
    "sync",
)

# Type checkers read the same lists. `sync` is named in full, since it repeats names of others.
if TYPE_CHECKING:
    from registry_async._clock import *
    from registry_async._pagination import *
    from registry_async._plain import *
    from registry_async._report import *
    from registry_async._resources import *
    from registry_async._scan import *
    from registry_async.client import *
    from registry_async.credentials import *
    from registry_async.errors import *
    from registry_async.models import *
    from registry_async.references import *
    from registry_async.retry import *
    from registry_async.sync import Images as Images
    from registry_async.sync import Paginator as Paginator
    from registry_async.sync import Registries as Registries
    from registry_async.sync import RegistryClient as RegistryClient
    from registry_async.sync import Repositories as Repositories
    from registry_async.sync import Scan as Scan
    from registry_async.sync import Tokens as Tokens
    from registry_async.sync import TokensV1 as TokensV1

    __all__: list[str]
else:

    def __getattr__(name):
        if name == "__all__":
            names = {each for module in _MODULES for each in _names(module)}
            globals()[name] = sorted({*names, "__version__"})
            return globals()[name]
        if not name.startswith("_"):
            # `from registry_async import retention` asks here first. A module must not load all
            # others before it.
            if find_spec(f"{__name__}.{name}") is not None:
                return import_module(f"{__name__}.{name}")
            for module in _MODULES:
                if name in _names(module):
                    value = getattr(import_module(f"{__name__}.{module}"), name)
                    globals()[name] = value
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def _names(module):
        return import_module(f"{__name__}.{module}").__all__

    def __dir__():
        return sorted({*globals(), *__getattr__("__all__")})
