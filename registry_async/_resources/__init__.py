"""The operations of the service, by what they work on."""

from registry_async._resources.images import AsyncImages
from registry_async._resources.registries import AsyncRegistries
from registry_async._resources.repositories import AsyncRepositories
from registry_async._resources.tokens import AsyncTokens
from registry_async._resources.tokens_v1 import AsyncTokensV1

__all__ = ["AsyncImages", "AsyncRegistries", "AsyncRepositories", "AsyncTokens", "AsyncTokensV1"]
