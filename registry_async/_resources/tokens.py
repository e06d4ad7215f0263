"""Access tokens of API v2: named, scoped, with secrets that are shown once."""

from datetime import datetime
from operator import attrgetter

from registry_async._arguments import (
    AccessMode,
    SortDirection,
    TokenSort,
    check_choice,
    check_end,
    check_scope,
    check_search,
    check_sort_field,
    check_text,
)
from registry_async._converter import encode_expiration, encode_scope
from registry_async._pagination import DEFAULT_PAGE_SIZE, AsyncPaginator
from registry_async._resources._base import NOT_GIVEN, NotGiven, Resource
from registry_async._resources._calls import decoder_of, list_decoder_of
from registry_async.models import (
    DockerConfig,
    IssuedToken,
    ScopeMode,
    SortOrder,
    Token,
    TokenScope,
    TokenSortField,
)


class AsyncTokens(Resource):
    """The access tokens (v2) of the project, with which Docker logs in."""

    def list(
        self,
        *,
        search: str | None = None,
        scope_mode: ScopeMode | AccessMode | None = None,
        sort_field: TokenSortField | TokenSort | None = None,
        sort_type: SortOrder | SortDirection | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
    ) -> AsyncPaginator[Token]:
        """List the tokens, revoked ones included until they are deleted (``listTokens``).

        Args:
            search: Give only tokens whose name holds this text.
            scope_mode: Give only tokens that are read-only (``ro``) or read-write (``rw``).
            sort_field: What to sort by; the service sorts by creation.
            sort_type: The direction; the service sorts upwards.
            page_size: The tokens to ask for at once, 1 or more.
            offset: The tokens to skip.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        query = {
            "search": check_search(search),
            "scope_mode": check_choice(scope_mode, ScopeMode, "scope_mode"),
            "sort_field": check_sort_field(sort_field, TokenSortField),
            "sort_type": check_choice(sort_type, SortOrder, "sort_type"),
        }
        filtered = query["search"] is not None or query["scope_mode"] is not None
        return self._paginate(
            Token,
            attrgetter("id"),
            list_decoder_of(Token, key="tokens"),
            "listTokens",
            query=query,
            counts=None if filtered else "total",
            page_size=page_size,
            offset=offset,
        )

    async def create(
        self, *, scope: TokenScope, expires_at: datetime | None, name: str | None = None
    ) -> IssuedToken:
        """Create a token and get it with its secret, shown this once (``createToken``).

        Args:
            scope: What it opens.
            expires_at: When it ends, with a time zone; None for a token that never expires.
            name: A name for people.

        Raises:
            ValueError: An argument makes no sense.
            BadRequestError: The service refuses the request, such as an end in the past. It need
                not refuse a scope of registries that do not exist.
            ContainerRegistryError: The request failed otherwise. It is not repeated once it may
                have been carried out, so there may be a token without a known secret then.
        """
        return await self._fetch(
            decoder_of(IssuedToken),
            "createToken",
            payload=_properties(name, scope, expires_at),
        )

    async def create_docker_config(
        self, *, scope: TokenScope, expires_at: datetime | None, name: str | None = None
    ) -> DockerConfig:
        """Create a token and get it as a Docker configuration (``createToken``).

        Args:
            scope: What it opens.
            expires_at: When it ends, with a time zone; None for a token that never expires.
            name: A name for people.

        Raises:
            ValueError: An argument makes no sense.
            BadRequestError: The service refuses the request, such as an end in the past. It need
                not refuse a scope of registries that do not exist.
            ContainerRegistryError: The request failed otherwise, as with `create`.
        """
        return await self._fetch(
            decoder_of(DockerConfig),
            "createToken",
            query={"docker-config": True},
            payload=_properties(name, scope, expires_at),
        )

    async def get(self, token_id: str) -> Token:
        """Get a token, without its secret (operation ``getToken``).

        Args:
            token_id: The id of the token, which is not its secret.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(decoder_of(Token), "getToken", {"token_id": token_id})

    async def update(
        self,
        token_id: str,
        *,
        name: str | NotGiven = NOT_GIVEN,
        scope: TokenScope | NotGiven = NOT_GIVEN,
        expires_at: datetime | NotGiven | None = NOT_GIVEN,
    ) -> Token:
        """Change what is given of a token, and nothing else (operation ``updateToken``).

        Args:
            token_id: The id of the token.
            name: A new name.
            scope: A new scope.
            expires_at: A new end, with a time zone; None for a token that never expires.

        Returns:
            The token as it is now.

        Raises:
            ValueError: Nothing is given to change, or an argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        if name is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise ValueError("name must be a string; leave it out to keep the name")
        payload = _properties(name, scope, expires_at)
        if not payload:
            raise ValueError("name, scope or expires_at must be given")
        return await self._fetch(
            decoder_of(Token), "updateToken", {"token_id": token_id}, payload=payload
        )

    async def refresh(self, token_id: str, *, expires_at: datetime | None) -> Token:
        """Give a token a new end; its secret stays (operation ``refreshToken``).

        Args:
            token_id: The id of the token.
            expires_at: The new end, with a time zone; None for a token that never expires.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(
            decoder_of(Token),
            "refreshToken",
            {"token_id": token_id},
            payload={"expiration": encode_expiration(check_end(expires_at))},
        )

    async def regenerate(self, token_id: str, *, expires_at: datetime | None) -> IssuedToken:
        """Replace the secret of a token; the old one ends (operation ``regenerateToken``).

        Args:
            token_id: The id of the token.
            expires_at: The new end, with a time zone; None for a token that never expires.

        Returns:
            The token with its new secret, which the service shows this once.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        return await self._fetch(
            decoder_of(IssuedToken),
            "regenerateToken",
            {"token_id": token_id},
            payload={"expiration": encode_expiration(check_end(expires_at))},
        )

    async def revoke(self, token_id: str) -> None:
        """End a token; it stays in the list until it is deleted (operation ``revokeToken``).

        Args:
            token_id: The id of the token.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        await self._call("revokeToken", {"token_id": token_id})

    async def delete(self, token_id: str) -> None:
        """Remove a token from the list (operation ``deleteToken``).

        Args:
            token_id: The id of the token.

        Raises:
            ValueError: The id cannot be sent.
            NotFoundError: There is no such token.
            ContainerRegistryError: The request failed otherwise.
        """
        await self._delete("deleteToken", {"token_id": token_id})


def _properties(
    name: str | NotGiven | None,
    scope: TokenScope | NotGiven,
    expires_at: datetime | NotGiven | None,
) -> dict[str, object]:
    """Return the body of a request that names these properties, less those not given."""
    body: dict[str, object] = {}
    if not isinstance(expires_at, NotGiven):
        body["expiration"] = encode_expiration(check_end(expires_at))
    if not isinstance(name, NotGiven) and name is not None:
        body["name"] = check_text(name, "name")
    if not isinstance(scope, NotGiven):
        body["scope"] = encode_scope(check_scope(scope))
    return body
