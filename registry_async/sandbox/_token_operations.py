"""The operations on registry tokens of both versions: from a call to an answer."""

from collections.abc import Callable
from typing import Any

from registry_async.sandbox._refusals import bad_request
from registry_async.sandbox._requests import Answer, Call, Fields
from registry_async.sandbox._times import ZERO_TIME, format_time, parse_time
from registry_async.sandbox._tokens import Scope, StoredToken, StoredTokenV1, docker_config

_NANOSECONDS = 1_000_000_000

_KEYS: dict[str, Callable[[StoredToken], Any]] = {
    "name": lambda token: token.name,
    "createdAt": lambda token: token.created_at,
    # Unset times are zero times, before all others.
    "lastUsedAt": lambda token: (token.last_used_at is not None, token.last_used_at or 0),
    "expiresAt": lambda token: (token.expires_at is not None, token.expires_at or 0),
}


def _token(call: Call, token: StoredToken) -> dict[str, object]:
    expires_at = ZERO_TIME if token.expires_at is None else format_time(token.expires_at)
    last_used_at = None if token.last_used_at is None else format_time(token.last_used_at)
    return {
        "createdAt": format_time(token.created_at),
        "expiration": {"expiresAt": expires_at, "isSet": token.expires_at is not None},
        "id": token.id,
        "lastUsedAt": last_used_at,
        "name": token.name,
        "scope": {
            "allRegistries": token.scope.all_registries,
            "modeRW": token.scope.read_write,
            "registryIds": list(token.scope.registry_ids) or None,
        },
        "status": token.status(call.state.now()),
    }


def _issued(call: Call, token: StoredToken) -> dict[str, object]:
    """Show the secret; a token that has just been issued was never used."""
    shown = _token(call, token) | {"token": token.secret}
    del shown["lastUsedAt"]
    return shown


def _read_end(expiration: Fields) -> int | None:
    is_set = expiration.flag("isSet")
    if not is_set and "expiresAt" not in expiration:
        return None
    try:
        # A time beside `isSet: false` means nothing, but it must be one all the same.
        expires_at = parse_time(expiration.text("expiresAt"))
    except ValueError:
        raise bad_request("expiration.expiresAt must be an RFC 3339 time.") from None
    return expires_at if is_set else None


def _read_scope(scope: Fields) -> Scope:
    read = Scope(
        all_registries=scope.flag("allRegistries"),
        read_write=scope.flag("modeRW"),
        registry_ids=tuple(scope.texts("registryIds")),
    )
    if not read.all_registries and not read.registry_ids:
        raise bad_request("scope.registryIds is required when scope.allRegistries is false.")
    return read


def _read_new_end(call: Call) -> int | None:
    body = call.body()
    if call.go_dialect and "expiration" not in body:
        return _read_end(body)
    return _read_end(body.fields("expiration"))


def list_tokens(call: Call) -> Answer:
    """Answer with a page of tokens; the total heeds neither the search nor the scope."""
    page = call.page()
    key = _KEYS[call.query.choice("sort_field", *_KEYS, default="createdAt")]
    mode = call.query.choice("scope_mode", "ro", "rw", default="")
    search = call.query.text("search")
    held = call.state.tokens.all()
    found = [
        token
        for token in held
        if search in token.name and mode in ("", "rw" if token.scope.read_write else "ro")
    ]
    found.sort(key=key, reverse=call.query.descending())
    items = [_token(call, token) for token in page.of(found)]
    return Answer(200, {"tokens": items or None, "totalCount": len(held)})


def create_token(call: Call) -> Answer:
    """Answer with the token and its secret, or with a Docker configuration."""
    as_config = call.query.boolean("docker-config")
    body = call.body()
    token = call.state.tokens.create(
        name=body.text("name") if "name" in body else "",
        scope=_read_scope(body.fields("scope")),
        expires_at=_read_end(body.fields("expiration")),
    )
    if as_config:
        return Answer(201, docker_config(call.registry_host, token.secret))
    return Answer(201, _issued(call, token))


def get_token(call: Call) -> Answer:
    """Answer with the token."""
    return Answer(200, _token(call, call.state.tokens.get(call.path["token_id"])))


def update_token(call: Call) -> Answer:
    """Change what is given, all of it or nothing."""
    token = call.state.tokens.get(call.path["token_id"])
    body = call.body()
    name = body.text("name") if "name" in body else token.name
    scope = _read_scope(body.fields("scope")) if "scope" in body else token.scope
    if "expiration" in body:
        token.expires_at = _read_end(body.fields("expiration"))
    token.name, token.scope = name, scope
    return Answer(200, _token(call, token))


def delete_token(call: Call) -> Answer:
    """Remove the token from the list."""
    call.state.tokens.delete(call.path["token_id"])
    return Answer(204)


def refresh_token(call: Call) -> Answer:
    """Set a new end; the secret stays."""
    call.state.tokens.get(call.path["token_id"])
    token = call.state.tokens.refresh(call.path["token_id"], _read_new_end(call))
    return Answer(200, _token(call, token))


def regenerate_token(call: Call) -> Answer:
    """Answer with the token and its new secret."""
    call.state.tokens.get(call.path["token_id"])
    token = call.state.tokens.regenerate(call.path["token_id"], _read_new_end(call))
    return Answer(200, _issued(call, token))


def revoke_token(call: Call) -> Answer:
    """Revoke the token, which stays in the list."""
    call.state.tokens.get(call.path["token_id"]).revoked = True
    return Answer(204)


# Version 1


def _life(call: Call, token: StoredTokenV1) -> dict[str, object]:
    left = (token.expires_at - call.state.now()) // _NANOSECONDS
    return {"expireAt": token.expires_at // _NANOSECONDS, "expireIn": left}


def create_token_v1(call: Call) -> Answer:
    """Answer with the token, or with a Docker configuration."""
    ttl = call.query.choice("ttl", "12h", "1y", default="12h")
    as_config = call.query.boolean("docker-config")
    token = call.state.tokens.create_v1(ttl)
    if as_config:
        return Answer(201, docker_config(call.registry_host, token.secret))
    return Answer(201, _life(call, token) | {"token": token.secret})


def get_token_v1(call: Call) -> Answer:
    """Answer with the life of the token, without the token."""
    return Answer(200, _life(call, call.state.tokens.get_v1(call.path["token"])))


def refresh_token_v1(call: Call) -> Answer:
    """Start the life of the token anew."""
    token = call.state.tokens.refresh_v1(call.path["token"])
    return Answer(200, _life(call, token) | {"token": token.secret})


def revoke_token_v1(call: Call) -> Answer:
    """End the token."""
    call.state.tokens.revoke_v1(call.path["token"])
    return Answer(204)
