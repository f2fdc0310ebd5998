"""Starting throwaway servers: a folder with a copied data directory, a free port, a wait for the answer."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers import docker, launch
from djlink_manifest.sandbox.servers.binaries import Kind, ServerBinary, Tell, find_server, silent
from djlink_manifest.sandbox.servers.server import HOST, SandboxServer
from djlink_manifest.sandbox.servers.template import copy_template, datadir_template

# Below the range from which systems serve outgoing connections, so that none takes the port of a server that
# restarts.
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 8
# Names the folder in which the servers' own folders are made, in place of the system's for temporary files.
FOLDER_VARIABLE = "DJLINK_SANDBOX_FOLDER"
TAKEN = ("Address already in use", "Bind on TCP/IP port", "port is already allocated")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What kind of server to start.

    With `tls` it has a certificate for 127.0.0.1 and localhost; without, it cannot encrypt at all. `extra`
    are options of the server itself, such as `--default-time-zone=+02:00`; they win over the sandbox's own.
    """

    kind: Kind = "mysql"
    tls: bool = False
    extra: tuple[str, ...] = ()


PLAIN = ServerOptions()


def start_server(
    name: str,
    options: ServerOptions = PLAIN,
    *,
    owner_pid: int | None = None,
    report: Tell = silent,
) -> SandboxServer:
    """Start a throwaway server and wait until it answers.

    It belongs to this process, or to the process `owner_pid`, and ends with it. `report` hears of what takes
    long. Raises SandboxError with the end of the server's log where it does not start.
    """
    binary = find_server(options.kind, report)
    template = datadir_template(binary, report)
    parent = os.environ.get(FOLDER_VARIABLE) or None
    folder = Path(tempfile.mkdtemp(prefix=f"djlink-{name}-", dir=parent)).resolve()
    server = SandboxServer(
        name=name,
        vendor=binary.vendor,
        version=binary.version,
        port=0,
        folder=folder,
        root_password=secrets.token_hex(16),
        after=tuple(docker.remove_command(folder)) if binary.container else (),
    )
    try:
        copy_template(template, server.datadir)
        _furnish(server, binary, tls=options.tls)
        _start_on_free_port(server, binary, options, owner_pid or os.getpid())
    except BaseException:
        server.stop()
        raise
    return server


def start_servers(
    wanted: Mapping[str, ServerOptions], *, owner_pid: int | None = None, report: Tell = silent
) -> dict[str, SandboxServer]:
    """Start several throwaway servers at once, by name; all or none. See `start_server`."""
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        starting = {
            name: pool.submit(start_server, name, options, owner_pid=owner_pid, report=report)
            for name, options in wanted.items()
        }
    failures = [error for future in starting.values() if (error := future.exception())]
    if failures:
        for future in starting.values():
            if not future.exception():
                future.result().stop()
        raise failures[0]
    return {name: future.result() for name, future in starting.items()}


@contextmanager
def running_servers(
    wanted: Mapping[str, ServerOptions], *, report: Tell = silent
) -> Iterator[dict[str, SandboxServer]]:
    """`start_servers` for the length of a `with` block."""
    servers = start_servers(wanted, report=report)
    try:
        yield servers
    finally:
        for server in servers.values():
            server.stop()


def _furnish(server: SandboxServer, binary: ServerBinary, *, tls: bool) -> None:
    """Fill a server's folder: certificates, and the statements that it runs before it answers."""
    (server.folder / "tmp").mkdir()
    if tls:
        # Imported late: cryptography takes a while to load, and most servers have no TLS.
        from djlink_manifest.sandbox.servers.certificates import write_certificates

        write_certificates(server.folder)
    password = server.root_password
    statements = [f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';"]
    if binary.vendor == "mariadb":
        # Anonymous accounts shadow 'user'@'%' on localhost.
        only_root = (
            "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');"
        )
        statements = [only_root, "FLUSH PRIVILEGES;", *statements]
    if binary.container:
        # Seen from inside a container this machine is another host.
        statements += [
            f"CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '{password}';",
            "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;",
        ]
    script = server.folder / "init.sql"
    script.touch(mode=0o600)
    script.write_text("\n".join(statements) + "\n")


def _start_on_free_port(
    server: SandboxServer, binary: ServerBinary, options: ServerOptions, owner_pid: int
) -> None:
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = _free_port()
        serving = launch.serving_options(binary, server.folder, port, tls=options.tls, extra=options.extra)
        server.port = port
        server.command = tuple(launch.command(binary, server.folder, server.datadir, serving, port=port))
        server.launch(owner_pid)
        try:
            server.wait_until_ready()
        except SandboxError:
            # Somebody may have taken the port between the look and the server's start.
            taken = any(sign in server.log.read_text(errors="replace") for sign in TAKEN)
            if not taken or attempt == PORT_ATTEMPTS:
                raise
            server.log.unlink()
        else:
            return


def _free_port() -> int:
    for _ in range(1000):
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port
    raise SandboxError(f"no port of {HOST} between {PORTS[0]} and {PORTS[-1]} is free")
