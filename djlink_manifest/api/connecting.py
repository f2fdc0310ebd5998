"""DataJoint's connections: those to sources, made from addresses, and what the lab's own says of itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from djlink_manifest.errors import Unreachable, UsageError
from djlink_manifest.manifest.models.servers import TlsSpec
from djlink_manifest.model.server.address import ServerAddress, Tls
from djlink_manifest.model.stores.store import DEFAULT, Store

_DEFAULT = "default of the source"
_opened: dict[ServerAddress, Any] = {}


def connection_to(address: ServerAddress) -> Any:
    """A DataJoint connection to a server, apart from the lab's own; the lab's stores are known to it.

    One for each account on a server: DataJoint combines expressions of one connection only. TLS that is asked
    for is enforced and verified. Times are in UTC, as in the core's sessions, so that a restriction means the
    same in both. Raises Unreachable.
    """
    account = replace(address, name="")
    if account not in _opened or not _opened[account].is_connected:
        _opened[account] = _connected(address)
        _opened[account].query("SET SESSION time_zone = '+00:00'")
    return _opened[account]


def knows_stores(connection: Any, named: Mapping[str, Store | str]) -> None:
    """Let a source's connection read the external values of stores that are named for it.

    `named` are settings, or names of other stores; `default` is what `<blob@>` means at the source.
    """
    import datajoint as dj

    found: dict[str, Any] = dict(dj.config.stores)
    found |= {_key(name): dict(store.settings) for name, store in named.items() if isinstance(store, Store)}
    found |= {_key(name): found.get(store) for name, store in named.items() if isinstance(store, str)}
    if DEFAULT in named:
        # rows may name it by nothing, which DataJoint takes for a name
        found[DEFAULT], found[""] = _key(DEFAULT), found[_key(DEFAULT)]
    connection._config.stores = {name: each for name, each in found.items() if each is not None}


def _key(name: str) -> str:
    return _DEFAULT if name == DEFAULT else name


def _connected(address: ServerAddress) -> Any:
    import datajoint as dj
    from datajoint.settings import Config

    config = Config()
    config.stores = dj.config.stores
    config.safemode = dj.config.safemode
    try:
        return dj.Connection(
            address.host,
            address.user,
            address.password.reveal(),
            address.port,
            _datajoint_tls(address),
            backend="mysql",
            config_override=config,
        )
    except Exception as error:  # DataJoint raises the driver's errors, which api does not know
        words = str(error.args[-1]) if error.args else type(error).__name__
        raise Unreachable(
            address.veiled(f"{address.host}:{address.port} is unavailable: {words}"),
            server=address.name,
            hint="check the host, the port, the account and TLS of the source",
        ) from (None if address.written else error)


def described(connection: Any) -> tuple[str, int, str, str, Any]:
    """Host, port, user, password and TLS of a DataJoint connection. UsageError where it is of no use here."""
    if connection.adapter.backend != "mysql":
        raise UsageError(
            f"DataJoint is connected to {connection.adapter.backend}; djlink supports only MySQL and "
            "MariaDB servers"
        )
    info = connection.conn_info
    return str(info["host"]), int(info["port"]), str(info["user"]), str(info["passwd"]), info["ssl_input"]


def tls_of(use_tls: Any) -> bool | TlsSpec | None:
    """What DataJoint's `use_tls` asks for: an authority where it names one, else what djlink does itself."""
    if use_tls is False:
        return False
    if isinstance(use_tls, dict) and use_tls.get("ca"):
        return TlsSpec.model_construct(
            ca=use_tls["ca"], cert=use_tls.get("cert") or "", key=use_tls.get("key") or ""
        )
    return None


def not_in_transaction(connection: Any, what: str) -> None:
    """Raise UsageError within a transaction of the connection: `what` works through sessions of its own."""
    if connection.in_transaction:
        raise UsageError(
            f"{what} is not possible inside a transaction (such as in `make`), because djlink would not see "
            "its rows",
            hint="end the transaction first",
        )


def _datajoint_tls(address: ServerAddress) -> Any:
    if address.tls is None:
        return False
    # an empty mapping, and True, which becomes one, would go on without TLS
    given = {"ca": address.tls.ca, "cert": address.tls.cert, "key": address.tls.key}
    if address.tls.ca is None:
        given |= _system_authorities(address, address.tls)
    return {name: value for name, value in given.items() if value}


def _system_authorities(address: ServerAddress, tls: Tls) -> dict[str, str | None]:
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        raise Unreachable(
            "the system has no certificate authorities to verify the server with",
            server=address.name,
            hint='name one: LazySchema(..., tls={"ca": "ca.pem"})',
        )
    return {"ca": paths.cafile, "capath": paths.capath}
