"""LazySchema: a schema of a database server, as DataJoint has it, that connects when it is first needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from djlink_manifest.api.connecting import connection_to, described, tls_of
from djlink_manifest.errors import Location, UsageError
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.manifest.models.secrets import resolve_server
from djlink_manifest.manifest.models.servers import ServerSpec, TlsSpec
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.manifest.text.references import LINK_PASS, LINK_USER, LOCAL_PASS, LOCAL_USER

DEFAULT_PORT = 3306


@dataclass(frozen=True, slots=True)
class BoundServer:
    """A server as a manifest would say it, and what its references stand for where that was given in Python.

    `given` maps names of environment variables to values, secrets among them; it is never shown.
    """

    spec: ServerSpec
    given: Mapping[str, str] = field(repr=False)


class LazySchema:
    """A schema on a database server. Nothing is asked of the server when it is made.

    Without `host` it is a schema on the lab's own connection (`dj.conn()`), or on `connection`. With `host`
    it is one on another lab's server: `user` and `password` default to the environment's LINK_USER and
    LINK_PASS, `port` to 3306; `tls` is True (encrypted and verified), False, or a mapping with the paths
    `ca`, `cert` and `key`; where it is not given a loopback host is reached plainly and any other one
    encrypted and verified.

    It can be used as DataJoint's Schema: as a decorator of the lab's own tables, and for its methods.
    `context` is the namespace in which definitions find their parents, by default that of the caller.
    """

    def __init__(
        self,
        schema_name: str,
        context: dict[str, Any] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        tls: bool | Mapping[str, str] | None = None,
        connection: Any = None,
    ) -> None:
        if fault := identifier_fault(schema_name):
            raise UsageError(f"LazySchema: the schema's name {fault}", hint='LazySchema("my_schema")')
        if connection is not None and any(each is not None for each in (host, port, user, password)):
            raise UsageError("LazySchema accepts a connection or a host, not both")
        if host is None and any(each is not None for each in (port, user, password)):
            raise UsageError(
                "LazySchema: `port`, `user` and `password` require `host`",
                hint="without `host`, it is a schema on DataJoint's own connection",
            )
        frame = sys._getframe(1)
        self._place = Location(frame.f_code.co_filename, frame.f_lineno, 1)
        self.database = schema_name
        self.context = context
        self.host, self.port = _parted(host, port)
        self._user, self._password = user, password
        self._tls = tls if tls is None or isinstance(tls, bool) else _tls_spec(tls)
        self._given = connection
        self._opened: Any = None
        self._schema: Any = None

    @property
    def is_remote(self) -> bool:
        """Whether a host was named: the schema is not on the lab's own connection."""
        return self.host is not None

    @property
    def place(self) -> str:
        """The server by its host, and by its port where that is not the usual one."""
        host, port = self.host, self.port
        if not self.is_remote:
            host, port = self.connection.conn_info["host"], self.connection.conn_info["port"]
        # `local` is no source's name
        return str(host) if port == DEFAULT_PORT and host != "local" else f"{host}:{port}"

    @property
    def has_account(self) -> bool:
        """Whether the account was named, and need not come from the environment."""
        return self._given is not None or self._user is not None

    @property
    def connection(self) -> Any:
        """The DataJoint connection, which is made when it is first asked for."""
        if self._given is not None:
            return self._given
        if self._opened is None:
            if self.is_remote:
                server = self.server(str(self.host))
                self._opened = connection_to(resolve_server(server.spec, {**os.environ, **server.given}))
            else:
                import datajoint as dj

                return dj.conn()  # may be set up anew by the lab: not kept
        return self._opened

    @property
    def schema(self) -> Any:
        """DataJoint's own Schema, activated: it is made on the server where the lab's account may do so."""
        if self._schema is None:
            import datajoint as dj

            self._schema = dj.Schema(self.database, self.context, connection=self.connection)
        return self._schema

    def is_activated(self) -> bool:
        """Whether DataJoint's Schema was needed already."""
        return self._schema is not None

    def server(self, name: str) -> BoundServer:
        """The server as a manifest would have it, `local` or a source by its name.

        Raises UsageError where DataJoint's connection is to a server that cannot be linked.
        """
        user, password = (LOCAL_USER, LOCAL_PASS) if name == "local" else (LINK_USER, LINK_PASS)
        if self.is_remote:
            values, host, port = [self._user, self._password], self.host, self.port
            tls = self._tls
        else:
            host, port, who, secret, known = described(self.connection)
            values, tls = [who, secret], self._tls if self._tls is not None else tls_of(known)
        given = {
            reference[len("${env:") : -1]: value
            for reference, value in zip((user, password), values, strict=True)
            if value is not None
        }
        spec = ServerSpec.model_construct(
            origin=Origin.outside(self._place, name),
            host=str(host),
            port=str(port),
            user=user,
            password=password,
            tls=tls,
        )
        return BoundServer(spec, given)

    def __call__(self, cls: type, *, context: dict[str, Any] | None = None) -> type:
        """Bind a table class of the lab's own to the schema, as DataJoint's Schema does."""
        names = context or self.context or sys._getframe(1).f_locals
        bound: type = self.schema(cls, context=dict(names))
        return bound

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.schema, name)

    def __repr__(self) -> str:
        where = f" at {self.host}:{self.port}" if self.is_remote else ""
        return f"LazySchema({self.database!r}{where})"


def _parted(host: str | None, port: int | None) -> tuple[str | None, int]:
    """The host and the port, which may stand behind the host as in DataJoint."""
    if host is not None and host.count(":") == 1:
        host, _, behind = host.partition(":")
        if not behind.isdigit() or port is not None:
            raise UsageError("LazySchema: the port is given twice, or is not a number")
        port = int(behind)
    if host is not None and not host.strip():
        raise UsageError("LazySchema: `host` is empty")
    return host, port or DEFAULT_PORT


def _tls_spec(tls: Mapping[str, str]) -> TlsSpec:
    unknown = sorted(set(tls) - {"ca", "cert", "key"})
    if unknown:
        raise UsageError(
            f"LazySchema: `tls` has no {', '.join(f'`{each}`' for each in unknown)}",
            hint="it is True, False, or a mapping with the paths ca, cert and key",
        )
    # relative to where Python runs, as paths in Python are; in a manifest they start from its folder
    paths = {name: str(Path(path).expanduser().absolute()) for name, path in tls.items()}
    return TlsSpec.model_validate(paths)
