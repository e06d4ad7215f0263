"""The service's OpenAPI document as a judge of requests and answers.

The judge reads the document and nothing of the package, so a mistake of the client's cannot be its
own excuse. It looks at requests as a server saw them: the raw path, still percent-encoded, the raw
query string, the headers and the bytes of the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from jsonschema import Draft202012Validator, FormatChecker

DOCUMENT_PATH: Final = Path(__file__).parent.parent / "contract" / "openapi.yaml"
AUTH_HEADER: Final = "X-Auth-Token"

_METHODS: Final = ("get", "post", "patch", "put", "delete")
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
# What RFC 3986 lets stand in one path segment (pchar); everything else must be percent-encoded.
_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+")
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

JsonObject = dict[str, Any]


class ContractViolationError(AssertionError):
    """A request or an answer that the document does not know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One documented answer: its schema, or None for an answer without a body."""

    status: str
    schema: JsonObject | None


@dataclass(frozen=True, slots=True)
class ContractOperation:
    """One operation of the document, with every reference in it resolved."""

    operation_id: str
    method: str
    template: str
    path_parameters: Mapping[str, JsonObject]
    query_parameters: Mapping[str, JsonObject]
    body_schema: JsonObject | None
    body_required: bool
    answers: Mapping[str, Answer]

    def matches(self, segments: list[str]) -> bool:
        pattern = self.template.split("/")
        return len(pattern) == len(segments) and all(
            _PARAMETER.fullmatch(expected) or expected == actual
            for expected, actual in zip(pattern, segments, strict=True)
        )

    @property
    def literal_count(self) -> int:
        return sum(not _PARAMETER.fullmatch(part) for part in self.template.split("/"))


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that fits the contract, taken apart and decoded."""

    operation: ContractOperation
    path: Mapping[str, str]
    query: Mapping[str, str | int | bool]
    body: Any = field(repr=False)


class Contract:
    """Judge requests and answers by an OpenAPI document.

    Args:
        document: The parsed document.
        base_path: What every raw path starts with; by default the path of the document's server.
    """

    def __init__(self, document: Mapping[str, Any], *, base_path: str | None = None) -> None:
        self.document = document
        if base_path is None:
            base_path = urlsplit(document["servers"][0]["url"]).path
        self.base_path = base_path.rstrip("/")
        self._formats = _format_checker()
        self._validators: dict[int, Draft202012Validator] = {}
        self._operations = tuple(self._read_operations())
        self._by_id = {operation.operation_id: operation for operation in self._operations}

    @classmethod
    def load(cls, *, base_path: str | None = None) -> Contract:
        """Read the committed document."""
        return cls(_load_document(), base_path=base_path)

    def operations(self) -> tuple[tuple[str, str, str], ...]:
        """Give (operationId, method, path template) of every operation."""
        return tuple((op.operation_id, op.method, op.template) for op in self._operations)

    def operation(self, operation_id: str) -> ContractOperation:
        return self._by_id[operation_id]

    def match(self, method: str, raw_path: str) -> tuple[ContractOperation, dict[str, str]]:
        """Find the operation of a raw path, and the decoded values of its path parameters.

        A literal segment outweighs a parameter, as OpenAPI demands, so `…/images` is the list of
        images and never an image whose tag is "images".

        Raises:
            ContractViolationError: No operation has this path and method.
        """
        prefix = f"{self.base_path}/"
        if not raw_path.startswith(prefix):
            raise ContractViolationError(f"path {raw_path!r} does not start with {prefix!r}")
        segments = raw_path[len(self.base_path) :].split("/")
        for segment in segments[1:]:
            if not _SEGMENT.fullmatch(segment):
                raise ContractViolationError(
                    f"path {raw_path!r} holds a malformed segment {segment!r}"
                )
            if unquote(segment) in {".", ".."}:
                raise ContractViolationError(f"path {raw_path!r} holds a dot segment {segment!r}")
        # The most literal template wins before the method is looked at: paths are matched first.
        fitting = [op for op in self._operations if op.matches(segments)]
        if not fitting:
            raise ContractViolationError(f"no operation has the path {raw_path!r}")
        most = max(op.literal_count for op in fitting)
        candidates = [
            op for op in fitting if op.literal_count == most and op.method == method.upper()
        ]
        if len(candidates) != 1:
            raise ContractViolationError(f"{len(candidates)} operations fit {method} {raw_path!r}")
        operation = candidates[0]
        values: dict[str, str] = {}
        for expected, actual in zip(operation.template.split("/"), segments, strict=True):
            if found := _PARAMETER.fullmatch(expected):
                try:
                    values[found[1]] = unquote(actual, errors="strict")
                except UnicodeDecodeError:
                    raise ContractViolationError(f"segment {actual!r} is not UTF-8") from None
        return operation, values

    def check_request(
        self,
        method: str,
        raw_path: str,
        query: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> CheckedRequest:
        """Hold one request to the document.

        Args:
            method: The HTTP method.
            raw_path: The path as it was on the wire, percent-encoding kept, without the query.
            query: The raw query string, without the question mark.
            headers: The header fields as they came; repeated fields as repeated pairs.
            body: The bytes of the body.

        Returns:
            The operation and the decoded parts of the request.

        Raises:
            ContractViolationError: Anything about the request is not documented.
        """
        operation, path_values = self.match(method, raw_path)
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        tokens = [value for name, value in pairs if name.lower() == AUTH_HEADER.lower()]
        where = f"{operation.operation_id} ({method} {raw_path})"
        if len(tokens) != 1 or not tokens[0].strip():
            raise ContractViolationError(
                f"{where}: {AUTH_HEADER} came {len(tokens)} times or empty"
            )
        for name, value in path_values.items():
            self._validate(value, operation.path_parameters[name], f"{where}: path {name}")
        query_values = self._check_query(operation, query, where)
        return CheckedRequest(
            operation, path_values, query_values, self._check_body(operation, pairs, body, where)
        )

    def check_answer(
        self,
        operation_id: str,
        status: int,
        body: bytes = b"",
        *,
        content_type: str | None = "application/json",
    ) -> Any:
        """Hold one answer to the document and give its decoded body (None where it has none).

        Properties that the document does not name are refused here as well: this judges servers of
        ours, whereas the real one may add fields at any time.

        Raises:
            ContractViolationError: The status, the content type or the body is not documented.
        """
        operation = self._by_id[operation_id]
        where = f"{operation_id} answered {status}"
        answer = operation.answers.get(str(status))
        if answer is None and status >= 400:
            answer = operation.answers.get("default")
        if answer is None:
            raise ContractViolationError(f"{where}, which is not documented")
        if answer.schema is None:
            if body:
                raise ContractViolationError(f"{where} with a body of {len(body)} bytes, but none")
            return None
        if (content_type or "").partition(";")[0].strip().lower() != "application/json":
            raise ContractViolationError(f"{where} as {content_type!r}")
        value = _parse_json(body, where)
        self._validate(value, answer.schema, where)
        return value

    def _check_query(
        self, operation: ContractOperation, query: str, where: str
    ) -> dict[str, str | int | bool]:
        if not _QUERY.fullmatch(query):
            raise ContractViolationError(f"{where}: malformed query {query!r}")
        if not query:
            return {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError as error:
            raise ContractViolationError(f"{where}: malformed query {query!r}: {error}") from None
        values: dict[str, str | int | bool] = {}
        for name, text in pairs:
            schema = operation.query_parameters.get(name)
            if schema is None:
                raise ContractViolationError(f"{where}: undocumented query parameter {name!r}")
            if name in values:
                raise ContractViolationError(f"{where}: query parameter {name!r} came twice")
            values[name] = _from_text(text, schema["type"], f"{where}: query {name}")
            self._validate(values[name], schema, f"{where}: query {name}")
        return values

    def _check_body(
        self,
        operation: ContractOperation,
        headers: list[tuple[str, str]],
        body: bytes,
        where: str,
    ) -> Any:
        kinds = [value for name, value in headers if name.lower() == "content-type"]
        if not body:
            if operation.body_required:
                raise ContractViolationError(f"{where}: no body")
            if kinds:
                raise ContractViolationError(f"{where}: Content-Type is {kinds}, but of no body")
            return None
        if operation.body_schema is None:
            raise ContractViolationError(f"{where}: a body of {len(body)} bytes, but none is known")
        if [kind.partition(";")[0].strip().lower() for kind in kinds] != ["application/json"]:
            raise ContractViolationError(f"{where}: Content-Type is {kinds}")
        value = _parse_json(body, where)
        self._validate(value, operation.body_schema, f"{where}: body")
        return value

    def _validate(self, value: Any, schema: JsonObject, where: str) -> None:
        # The schemas live as long as the contract does, so their identities are keys.
        validator = self._validators.get(id(schema))
        if validator is None:
            validator = Draft202012Validator(schema, format_checker=self._formats)
            self._validators[id(schema)] = validator
        problems = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        if problems:
            listed = "; ".join(f"{error.json_path}: {error.message}" for error in problems)
            raise ContractViolationError(f"{where}: {listed}")

    def _read_operations(self) -> Iterator[ContractOperation]:
        for template, item in self.document["paths"].items():
            for method in _METHODS:
                if method not in item:
                    continue
                raw = item[method]
                parameters = [
                    self._resolve(parameter)
                    for parameter in [*item.get("parameters", ()), *raw.get("parameters", ())]
                ]
                by_place: dict[str, dict[str, JsonObject]] = {"path": {}, "query": {}}
                for parameter in parameters:
                    by_place[parameter["in"]][parameter["name"]] = parameter["schema"]
                if set(_PARAMETER.findall(template)) != set(by_place["path"]):
                    raise ValueError(f"{template} and its path parameters disagree")
                request = self._resolve(raw.get("requestBody", {}))
                yield ContractOperation(
                    operation_id=raw["operationId"],
                    method=method.upper(),
                    template=template,
                    path_parameters=by_place["path"],
                    query_parameters=by_place["query"],
                    body_schema=_json_schema(request),
                    body_required=bool(request.get("required", False)),
                    answers={
                        status: Answer(status, _json_schema(self._resolve(answer)))
                        for status, answer in raw["responses"].items()
                    },
                )

    def _resolve(self, node: Any) -> Any:
        """Replace every reference by what it points at; the document has no recursive schema."""
        if isinstance(node, Mapping):
            if "$ref" in node:
                target: Any = self.document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
                return self._resolve(target)
            return {key: self._resolve(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolve(value) for value in node]
        return node


@cache
def _load_document() -> JsonObject:
    document: JsonObject = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    return document


def _json_schema(part: Mapping[str, Any]) -> JsonObject | None:
    if "content" not in part:
        return None
    closed: JsonObject = _close(part["content"]["application/json"]["schema"])
    return closed


def _close(schema: Any, *, within_all_of: bool = False) -> Any:
    """Refuse the properties that a resolved schema does not name.

    A member of an `allOf` may not be closed by itself, or it would refuse its siblings' properties:
    there, the whole is closed.
    """
    if isinstance(schema, list):
        return [_close(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed: JsonObject = {}
    for key, value in schema.items():
        if key == "properties":
            closed[key] = {name: _close(part) for name, part in value.items()}
        elif key == "allOf":
            closed[key] = [_close(part, within_all_of=True) for part in value]
        elif key in {"example", "enum", "const", "required", "if", "then"}:
            closed[key] = value
        else:
            closed[key] = _close(value)
    if "allOf" in closed:
        closed["unevaluatedProperties"] = False
    elif "properties" in closed and closed.get("type") == "object" and not within_all_of:
        closed.setdefault("additionalProperties", False)
    return closed


def _parse_json(body: bytes, where: str) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ContractViolationError(f"{where}: body is not JSON: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(f"a repeated member among {[name for name, _ in pairs]}")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _from_text(text: str, kind: str, where: str) -> str | int | bool:
    if kind == "integer":
        if not re.fullmatch(r"-?(?:0|[1-9][0-9]*)", text):
            raise ContractViolationError(f"{where}: {text!r} is no integer")
        return int(text)
    if kind == "boolean":
        if text not in {"true", "false"}:
            raise ContractViolationError(f"{where}: {text!r} is neither true nor false")
        return text == "true"
    if kind != "string":
        raise ContractViolationError(f"{where}: no rule for the type {kind!r}")
    return text


def _format_checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    checker.checks("date-time")(_is_rfc3339)
    return checker


def _is_rfc3339(value: object) -> bool:
    """Tell whether a text is an RFC 3339 time; nine fractional digits are one, too."""
    if not isinstance(value, str):
        return True
    found = _RFC3339.fullmatch(value)
    if found is None:
        return False
    try:
        datetime.fromisoformat(f"{found[1].upper()}{found[2].upper()}")
    except ValueError:
        return False
    return True
