"""What a server says of its own state, and what `djlink doctor` finds in it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from djlink_manifest.model.server.rights import Grant

Level = Literal["ok", "note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")


@dataclass(frozen=True, slots=True)
class Role:
    """A role that the account may take; `grants` are the rights that the account has while it is active."""

    name: str
    active: bool
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of a session of ours, of its settings and of its clock.

    `cipher` is empty for a plain session; `certificate_ends` None where there is no certificate. `globals`
    and `session` are variables as text, by name in lower case; those that the vendor lacks are absent. `zone`
    is the server's time zone in its own words and `zone_minutes` its distance from UTC; `named_zones` tells
    whether CONVERT_TZ knows zones by name. `connected` counts all sessions. `ahead` is how many seconds the
    server's clock is ahead of this machine's, give or take `give_or_take`. `grants` are the account's rights
    as they count now, roles that are active included.
    """

    cipher: str
    tls_version: str
    certificate_ends: datetime | None
    globals: Mapping[str, str]
    session: Mapping[str, str]
    zone: str
    zone_minutes: int | None
    named_zones: bool
    connected: int
    ahead: float
    give_or_take: float
    grants: tuple[Grant, ...]
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor looked at.

    `server` is `local` or a source's name; `subject` what was looked at (`TLS`, `max_allowed_packet`);
    `words` what was seen, `why` what comes of it, `fix` what to do; both are empty where all is well.
    """

    server: str
    subject: str
    level: Level
    words: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ExaminedServer:
    """A server that was looked at; all but the first three are empty where it could not be reached."""

    name: str
    host: str
    port: int
    reached: bool = False
    vendor: str = ""
    version: str = ""
    account: str = ""
    cipher: str = ""
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All servers of a manifest, the local one first, and what was found, in the order it was looked at."""

    manifest: str
    servers: tuple[ExaminedServer, ...]
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(f.level == level for f in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether something keeps djlink from working."""
        return self.count("error") > 0
