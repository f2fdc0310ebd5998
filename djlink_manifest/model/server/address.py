"""How a server is reached: an address with its secrets resolved, which never prints them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from djlink_manifest.model.server.masking import masked


class Secret:
    """A resolved secret. Its text is had only by `reveal()`; repr, str and format show stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that opens a session."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS that is asked for and therefore enforced.

    The server's certificate is always verified: against `ca` (a PEM file), else against the system's
    authorities. `cert` and `key` are PEM files that identify the client.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is and as whom to log in; `name` is `local` or the source's name in the manifest.

    `tls` is None for a plain connection. `written` are the values that came from references, each with the
    manifest's text for it.
    """

    name: str
    host: str
    port: int
    user: str
    password: Secret
    tls: Tls | None = None
    written: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)

    def masked(self, words: str) -> str:
        """What the server, or the driver, says, without the password; to be called before it is cut."""
        return masked(words, (self.password.reveal(),))

    def veiled(self, words: str) -> str:
        """The words with the manifest's references in the place of what they stand for.

        Until a login has succeeded nobody knows that these values are what they should be, and no secret.
        """
        for value, text in self.written:
            words = re.sub(rf"(?<![\w.-]){re.escape(value)}(?![\w.-])", lambda _, text=text: text, words)  # type: ignore[misc]
        return words


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine: localhost, 127.0.0.0/8, ::1."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
