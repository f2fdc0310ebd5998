"""The single values of a manifest that have a form of their own, each with its part of the JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from djlink_manifest.model.links.link import Limit
from djlink_manifest.model.tables.naming import MAX_BASE

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_DIGEST = re.compile(r"sha256:[0-9a-f]{16,64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MARK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BASE = re.compile(r"[a-z][a-z0-9_]*")
_COLLATION = re.compile(r"[a-z][a-z0-9_]*")


def problem(message: str) -> PydanticCustomError:
    """What a validator raises to be reported in these words, after the key's name."""
    return PydanticCustomError("djlink", "{message}", {"message": message})


def _limit(value: object) -> Limit:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match and 0 < float(match[1]) <= 100:
        return Limit(float(match[1]), percent=True)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Limit(float(value), percent=False)
    raise problem("must be a number of entities from 1, or a percentage up to 100%, such as `5%`")


def _port(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
        return str(value)
    if isinstance(value, str) and (
        "${" in value or (value.isascii() and value.isdigit() and 0 < int(value[:9]) < 65536)
    ):
        return value
    raise problem("must be a port number from 1 to 65535, or a reference")


def _shaped(pattern: re.Pattern[str], longest: int, meaning: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > longest or not pattern.fullmatch(text):
            raise problem(f"must be {meaning}")
        return text

    return check


def _moment(text: str) -> str:
    try:
        if _MOMENT.fullmatch(text):
            datetime.fromisoformat(text[:19].removesuffix("Z"))
            return text
    except ValueError:
        pass
    raise problem("must be a UTC time such as `2026-11-20T09:00:00Z`")


def _day(text: str) -> str:
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise problem("must be a date such as `2026-11-20`")


def _whole(value: object) -> object:
    """Keep `true` and `1.0`, which equal 1 in Python, from passing for the version 1."""
    return value if type(value) is int else repr(value)


Version = Annotated[Literal[1], BeforeValidator(_whole), WithJsonSchema({"type": "integer", "const": 1})]
MarkName = Annotated[
    str,
    AfterValidator(
        _shaped(_MARK, 64, "letters, digits, `.`, `_` and `-`, at most 64, starting with a letter or digit")
    ),
    WithJsonSchema({"type": "string", "pattern": f"^{_MARK.pattern}$", "maxLength": 64}),
]
OutboundName = Annotated[
    str,
    AfterValidator(_shaped(_BASE, MAX_BASE, f"lower-case letters, digits and `_`, at most {MAX_BASE}")),
    WithJsonSchema({"type": "string", "pattern": f"^{_BASE.pattern}$", "maxLength": MAX_BASE}),
]
Collation = Annotated[
    str,
    AfterValidator(_shaped(_COLLATION, 64, "`source`, or the name of a collation, such as `utf8mb4_bin`")),
    WithJsonSchema({"type": "string", "pattern": f"^{_COLLATION.pattern}$", "maxLength": 64}),
]
Digest = Annotated[
    str,
    AfterValidator(
        _shaped(_DIGEST, 71, "a digest as `djlink approve ADDRESS` writes it, `sha256:` and hex digits")
    ),
    WithJsonSchema({"type": "string", "pattern": f"^{_DIGEST.pattern}$"}),
]
Moment = Annotated[
    str, AfterValidator(_moment), WithJsonSchema({"type": "string", "pattern": f"^{_MOMENT.pattern}$"})
]
Day = Annotated[
    str, AfterValidator(_day), WithJsonSchema({"type": "string", "pattern": f"^{_DATE.pattern}$"})
]
Max = Annotated[
    Any,
    PlainValidator(_limit),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?%$"},
            ]
        }
    ),
]
Port = Annotated[
    Any,
    PlainValidator(_port),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
]
_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_EQUALITY: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "minItems": 1, "items": _SCALAR}]},
}
_SQL: dict[str, Any] = {"type": "string", "minLength": 1}
WHERE_SCHEMA = WithJsonSchema(
    {"anyOf": [_SQL, _EQUALITY, {"type": "array", "minItems": 1, "items": {"anyOf": [_SQL, _EQUALITY]}}]}
)
"""`where` is read by `where.condition`, which knows the place of every part."""
