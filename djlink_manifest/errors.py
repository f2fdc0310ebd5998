"""One tree of errors. Each carries what a person needs: where, which link and server, and the next step.

Refusals that a plan foresees are data (`reconcile.actions.Blocked`), not errors; what is raised here stops
the work at hand, a link or the whole command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a manifest file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class DjlinkError(Exception):
    """The base of all errors that djlink raises on purpose.

    `hint` is the next step, `link` the address (`source.schema.Table`) and `server` the name of the server
    concerned, `location` the manifest line that asks for it. `exit_code` is what the command ends with.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        link: str | None = None,
        server: str | None = None,
        location: Location | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.link = link
        self.server = server
        self.location = location


def with_server(error: DjlinkError) -> str:
    """The message with the name of its server."""
    return f"{error.server}: {error.message}" if error.server else error.message


class UsageError(DjlinkError):
    """The command line asks for something that does not exist or does not go together."""


class SecretError(DjlinkError):
    """A reference (`${env:X}`, `${file:X}`) that cannot be resolved. Never carries a secret's value."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem of a manifest.

    `path` is the dotted place in the document (`sources.lab_a.schemas`), `help` the next step or the nearest
    right spelling, `snippet` the line of the file, without its line end.
    """

    severity: Literal["error", "warning"]
    summary: str
    location: Location
    path: str = ""
    help: str | None = None
    snippet: str | None = None
    width: int = 1


class ManifestError(DjlinkError):
    """The manifest is not valid; `diagnostics` holds every problem found, errors and warnings."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        errors = [d for d in diagnostics if d.severity == "error"]
        first = f"{errors[0].location}: {errors[0].summary}" if errors else "the manifest is not valid"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(first + more, location=errors[0].location if errors else None)
        self.diagnostics = diagnostics


class ServerError(DjlinkError):
    """A server refused or failed a statement, or could not be reached.

    `code` is the server's error number where it gave one, `said` what it said itself.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        said: str | None = None,
        hint: str | None = None,
        link: str | None = None,
        server: str | None = None,
        location: Location | None = None,
    ) -> None:
        super().__init__(message, hint=hint, link=link, server=server, location=location)
        self.code = code
        self.said = said or message


class Unreachable(ServerError):
    """No session could be opened: the host, the port, the TLS settings or the credentials are wrong."""


class Unusable(Unreachable):
    """A server that does not answer, or whose answers cannot be read: no further session is tried."""


class MissingPrivilege(ServerError):
    """The account lacks a right; the hint is the GRANT that mends it."""


class TableInUse(ServerError):
    """A DDL statement gave up waiting for a table that another session uses."""


class AlreadyExists(ServerError):
    """A table or foreign key to be made stands already."""


class ConnectionLost(ServerError):
    """The session ended; what was not committed is undone. Trying again is safe."""


class RowsRefused(ServerError):
    """The local server refused a batch of rows.

    A duplicate, a missing parent, a value that does not fit, or a row of the lab's own that refers to one
    that is to go.
    """


class StoreError(ServerError):
    """An external store cannot be used: not configured, unreachable, read-only or full.

    The message names the store; `server` is None.
    """


class ObjectRefused(RowsRefused):
    """An external object of an entity cannot be brought: missing, altered, or its place here is taken."""


class LinkRefused(DjlinkError):
    """A link that is asked for in Python cannot be made or pulled as things stand; nothing was changed."""


class PullFailed(DjlinkError):
    """A pull met an error on its way; what was committed stays, and pulling again goes on from there."""


class UnlinkFailed(DjlinkError):
    """A link was taken out in part; what was done stays, and doing it again goes on from there."""


class SourceNotConfirmed(DjlinkError):
    """Rows were deleted here, and the source could not be told: it holds them still. Nothing is lost."""


class LinkLocked(DjlinkError):
    """Another djlink works on the link; the message says who, from where and since when."""


class SandboxError(DjlinkError):
    """A throwaway server could not be found, started or filled."""


class Interrupted(DjlinkError):
    """The person asked to stop; the batch in hand was finished."""

    exit_code = 130
