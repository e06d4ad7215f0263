"""Manage container registries: an async client, a sync one, and scans of many registries."""

from importlib import import_module
from typing import TYPE_CHECKING

from registry_async._clock import Clock, SystemClock
from registry_async._pagination import AsyncPaginator, Page
from registry_async._plain import to_dict, to_json
from registry_async._report import (
    ImageSummary,
    RegistryTotals,
    ReportDiff,
    ReportedError,
    RepositoryTotals,
    ScanReport,
)
from registry_async._scan import (
    AsyncScan,
    ScanError,
    ScannedImage,
    ScannedRepository,
    ScanProgress,
)
from registry_async._version import __version__
from registry_async.client import AsyncRegistryClient, scan
from registry_async.credentials import (
    Credentials,
    KeystoneApplicationCredential,
    KeystonePassword,
    StaticToken,
)
from registry_async.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    ContainerRegistryError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RegistryNotFoundError,
    RequestError,
    RequestTimeoutError,
    RetentionRefusedError,
    ServerError,
    UnexpectedResponseError,
    WaitFailedError,
    WaitTimeoutError,
)
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
    RegistrySortField,
    RegistryStatus,
    Repository,
    RepositorySortField,
    RepositoryType,
    ScopeMode,
    SortOrder,
    Token,
    TokenScope,
    TokenSortField,
    TokenStatus,
    TokenTtl,
    TokenV1,
)
from registry_async.retry import RetryPolicy

if TYPE_CHECKING:
    from registry_async.sync import Paginator, RegistryClient, Scan

__all__ = [
    "ApiError",
    "AsyncPaginator",
    "AsyncRegistryClient",
    "AsyncScan",
    "AuthenticationError",
    "BadRequestError",
    "CleanupFailure",
    "CleanupResult",
    "ClientClosedError",
    "Clock",
    "Cluster",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ContainerRegistryError",
    "Credentials",
    "DeletedImage",
    "DockerAuth",
    "DockerConfig",
    "GarbageSize",
    "Image",
    "ImageSummary",
    "IssuedToken",
    "KeystoneApplicationCredential",
    "KeystonePassword",
    "Layer",
    "NotFoundError",
    "Page",
    "Paginator",
    "PermissionDeniedError",
    "RateLimitedError",
    "Registry",
    "RegistryClient",
    "RegistryNotFoundError",
    "RegistrySortField",
    "RegistryStatus",
    "RegistryTotals",
    "ReportDiff",
    "ReportedError",
    "Repository",
    "RepositorySortField",
    "RepositoryTotals",
    "RepositoryType",
    "RequestError",
    "RequestTimeoutError",
    "RetentionRefusedError",
    "RetryPolicy",
    "Scan",
    "ScanError",
    "ScanProgress",
    "ScanReport",
    "ScannedImage",
    "ScannedRepository",
    "ScopeMode",
    "ServerError",
    "SortOrder",
    "StaticToken",
    "SystemClock",
    "Token",
    "TokenScope",
    "TokenSortField",
    "TokenStatus",
    "TokenTtl",
    "TokenV1",
    "UnexpectedResponseError",
    "WaitFailedError",
    "WaitTimeoutError",
    "__version__",
    "scan",
    "to_dict",
    "to_json",
]

# Whoever only awaits does without the sync client; and its module, which is generated, must not be
# needed to generate it. Type checkers would take every name for granted if they saw the function.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in {"Paginator", "RegistryClient", "Scan", "sync"}:
            module = import_module("registry_async.sync")
            return module if name == "sync" else getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
