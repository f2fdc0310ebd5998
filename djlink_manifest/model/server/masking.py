"""Secrets in what others say: whoever was sent a password can repeat it, in any of the usual spellings."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
LEAST = 4  # characters; a shorter secret is part of many a word, and is hidden where it stands by itself


def masked(words: str, secrets: Iterable[str]) -> str:
    """The words with stars in the place of secrets, as they are or spelled otherwise.

    In quotes and escapes of SQL, JSON, Python, HTML and URLs, in hex, and in base64, also as part of a longer
    text that was encoded. To be called before words are cut, since half a secret is not found.
    """
    for secret in secrets:
        for spelling in _spellings(secret):
            words = _without(words, spelling)
    return words


@lru_cache(maxsize=256)
def _spellings(secret: str) -> tuple[str, ...]:
    """How a secret may look, the longest first."""
    if not secret:
        return ()
    return tuple(sorted(set(_all_spellings(secret)), key=lambda each: (-len(each), each)))


def _all_spellings(secret: str) -> Iterator[str]:
    raw = secret.encode(errors="surrogatepass")
    yield from (secret, " ".join(secret.split()), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield from (json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret), html.escape(secret, False))
    yield secret.encode("unicode_escape").decode()
    yield secret.encode("ascii", "backslashreplace").decode()
    yield raw.decode("latin-1")  # as a driver that decodes UTF-8 wrongly shows it
    yield from (repr(raw)[2:-1], secret.replace("'", "''"), secret.replace("\\", "\\\\").replace("'", "\\'"))
    yield secret.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted
        yield _lower_escapes(quoted)
    yield from (raw.hex(), raw.hex().upper(), " ".join(f"{byte:02x}" for byte in raw))
    if len(raw) >= LEAST:
        yield from _in_base64(raw)


def _lower_escapes(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), quoted)


def _in_base64(raw: bytes) -> Iterator[str]:
    """The base64 of a text that may have something before and behind it: three ways to begin."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode()
        begin = (0, 2, 3)[before]
        end = len(whole.rstrip("=")) - (1 if whole.endswith("=") else 0)
        if end - begin >= LEAST:
            yield whole[begin:end]
            yield whole[begin:end].replace("+", "-").replace("/", "_")


def _without(words: str, secret: str) -> str:
    if len(secret) >= LEAST:
        return words.replace(secret, MASK)
    found, at = list[str](), 0
    while (place := words.find(secret, at)) >= 0:
        end = place + len(secret)
        alone = not _joins(words[place - 1 : place], secret[0]) and not _joins(
            words[end : end + 1], secret[-1]
        )
        found += [words[at:place], MASK if alone else secret]
        at = end
    return "".join((*found, words[at:]))


def _joins(beside: str, edge: str) -> bool:
    """Whether a character goes on with the word whose edge it is beside."""
    return bool(beside) and beside.isalnum() and edge.isalnum()
