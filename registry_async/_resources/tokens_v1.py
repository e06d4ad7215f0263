"""Access tokens of API v1, which are named by their secret."""

from functools import partial

from registry_async._arguments import TokenLife, check_choice
from registry_async._converter import decode_token_v1
from registry_async._resources._base import Resource
from registry_async._resources._calls import decoder_of
from registry_async._secrets import Secret
from registry_async.errors import BadRequestError, ContainerRegistryError, NotFoundError
from registry_async.models import DockerConfig, TokenTtl, TokenV1
from registry_async.retry import Delivery


class AsyncTokensV1(Resource):
    """The access tokens (v1), with which Docker logs in. Prefer those of v2: they have scopes."""

    async def create(self, *, ttl: TokenTtl | TokenLife = TokenTtl.TWELVE_HOURS) -> TokenV1:
        """Create a token (operation ``createTokenV1``).

        Args:
            ttl: Its life: ``12h`` or ``1y``.

        Raises:
            ValueError: There is no such life.
            ContainerRegistryError: The request failed. It is not repeated once it may have been
                carried out.
        """
        return await self._fetch(
            partial(decode_token_v1, secret=None),
            "createTokenV1",
            query={"ttl": _life(ttl)},
        )

    async def create_docker_config(
        self, *, ttl: TokenTtl | TokenLife = TokenTtl.TWELVE_HOURS
    ) -> DockerConfig:
        """Create a token and get it as a Docker configuration (operation ``createTokenV1``).

        Args:
            ttl: Its life: ``12h`` or ``1y``.

        Raises:
            ValueError: There is no such life.
            ContainerRegistryError: The request failed, as with `create`.
        """
        return await self._fetch(
            decoder_of(DockerConfig),
            "createTokenV1",
            query={"ttl": _life(ttl), "docker-config": True},
        )

    async def get(self, token: str) -> TokenV1:
        """Get the life that is left to a token (operation ``getTokenV1``).

        Args:
            token: The secret of the token.

        Returns:
            The token with the secret that was given.

        Raises:
            ValueError: The token cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        token = _secret(token)
        return await self._fetch(
            partial(decode_token_v1, secret=token), "getTokenV1", {"token": token}
        )

    async def refresh(self, token: str) -> TokenV1:
        """Prolong a token by its life (operation ``refreshTokenV1``).

        Args:
            token: The secret of the token.

        Returns:
            The token with its new end.

        Raises:
            ValueError: The token cannot be sent.
            BadRequestError: The token is malformed or no longer valid.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        token = _secret(token)
        return await self._fetch(
            partial(decode_token_v1, secret=token), "refreshTokenV1", {"token": token}
        )

    async def revoke(self, token: str) -> None:
        """End a token (operation ``revokeTokenV1``).

        Args:
            token: The secret of the token.

        Raises:
            ValueError: The token cannot be sent.
            BadRequestError: The token is malformed or no longer valid.
            ContainerRegistryError: The request failed otherwise.
        """
        token = _secret(token)
        delivery = Delivery()
        refusal: BadRequestError
        try:
            return await self._delete("revokeTokenV1", {"token": token}, delivery=delivery)
        except BadRequestError as error:
            refusal = error
        # The service answers 400, not 404, for a token that an earlier attempt has ended.
        if delivery.may_have_happened and await self._is_gone(token):
            return None
        raise refusal

    async def _is_gone(self, token: str) -> bool:
        """Say whether the service knows no such token; False where it does not tell."""
        try:
            await self.get(token)
        except NotFoundError:
            return True
        except ContainerRegistryError:
            return False
        return False


def _life(ttl: TokenTtl | TokenLife) -> str | None:
    if ttl is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise ValueError("ttl must be one of 12h, 1y")
    return check_choice(ttl, TokenTtl, "ttl")


def _secret(token: str) -> str:
    # Wrapped first of all, so that no traceback of ours shows it as a local variable.
    return Secret(token) if isinstance(token, str) else token  # pyright: ignore[reportUnnecessaryIsInstance]
