"""How the transport gets its tokens: by one protocol, to which all credentials are adapted."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from registry_async._clock import Clock
from registry_async._secrets import Secret
from registry_async._transport.messages import Answer, Request

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["Authorization", "Authorizer", "Send"]


class Send(Protocol):
    """What sends a login: the client's own exchange, with its repeats, errors and redaction."""

    async def __call__(self, request: Request, /) -> Answer:
        """Return an answer of status 200 to 299."""
        ...

    @property
    def session(self) -> "ClientSession":
        """The HTTP session, for credentials that somebody else wrote."""
        ...


@frozen
class Authorization:
    """What requests are sent with. Two that compare equal would be answered alike.

    Attributes:
        token: The token.
        base_url: The base URL that came with the token, if one did.
        problem: Why no base URL came with it, in words.
        login: Which login it is from, where one was made: a login is worth another try even if
            it gives the same token again.
    """

    token: Secret
    base_url: str | None = None
    problem: str = "these credentials know no base URL: give the client one"
    login: int = field(default=0, repr=False)


class Authorizer(ABC):
    """What gives the transport its tokens."""

    @property
    def login_url(self) -> str | None:
        """Where it logs in, if it does: a secret goes there, and a catalog of services comes."""
        return None

    @abstractmethod
    async def authorize(self, send: Send, clock: Clock) -> Authorization:
        """Return a token that is valid now, and perhaps a base URL.

        Args:
            send: Sends a login.
            clock: Where time comes from.
        """

    @abstractmethod
    def invalidate(self, token: str) -> None:
        """Forget a token that the service has refused."""
