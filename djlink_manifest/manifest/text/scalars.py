"""What an unquoted YAML value means: few types, and a refusal wherever YAML readers disagree."""

from __future__ import annotations

import re
from dataclasses import dataclass

from djlink_manifest.model.links.selection import Scalar

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_WORDS = {"yes": True, "no": False, "on": True, "off": False, "true": True, "false": False}
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_BASED = re.compile(r"[-+]?0[xXoObB][0-9a-fA-F_]+")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE)
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*|[_$][A-Za-z0-9_.-]+")
_LARGEST = 2**64  # no column of MySQL holds an integer beyond it


@dataclass(frozen=True, slots=True)
class Surprise:
    """Unquoted text that some YAML readers take for something else; `reason` never repeats the text."""

    reason: str
    meant: str


def typed(text: str) -> Scalar | Surprise:
    """The value of an unquoted scalar.

    Typed are `true` and `false`; `null`, `~` and nothing; decimal integers; decimal fractions whose text is
    kept by a round trip. Dates stay text. What YAML 1.1 would turn into something else is a `Surprise`.
    """
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _INT.fullmatch(text) and text != "-0" and len(text) <= 21 and -_LARGEST < int(text) < _LARGEST:
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) <= 24 and repr(float(text)) == text:
        return float(text)
    return _surprise(text) or text


def written(text: str) -> str:
    """The text as YAML on one line, as a key or a value, inside of brackets too.

    It is in double quotes wherever any reader may take it for something else.
    """
    if _SAFE.fullmatch(text) and typed(text) == text and text not in {"y", "n", "Y", "N"}:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _surprise(text: str) -> Surprise | None:
    word = text.lower()
    if word in _WORDS:
        return Surprise("is a boolean for some YAML parsers and text for others", str(_WORDS[word]).lower())
    if word == "null":
        return Surprise("is null for some YAML parsers and text for others", "null")
    if _SEXAGESIMAL.fullmatch(text):
        return Surprise("is a base-60 number for some YAML parsers", "the number")
    if _BASED.fullmatch(text):
        return Surprise("is a number in another base for some YAML parsers", "the decimal number")
    if _OCTAL.fullmatch(text):
        return Surprise(
            "has a leading zero, which makes it an octal number for some YAML parsers", "the decimal number"
        )
    if _NUMBER.fullmatch(text):
        return Surprise(
            "is a number whose spelling would not be preserved", "the number in its shortest form"
        )
    if _SPECIAL.fullmatch(text):
        return Surprise("is not a finite number for some YAML parsers", "another value")
    return None
