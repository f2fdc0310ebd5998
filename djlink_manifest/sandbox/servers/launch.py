"""The command lines of throwaway servers: small, quick to start, safe against a kill of the server alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from djlink_manifest.sandbox.servers import docker
from djlink_manifest.sandbox.servers.binaries import ServerBinary

# What is committed is written to the file system at once but flushed to the disk later: it survives a kill of
# the server, which tests do, and not a power cut, which a throwaway server need not survive.
RELAXED = (
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-load-at-startup=OFF",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-buffer-pool-size=128M",
    "--performance-schema=OFF",
    "--skip-log-bin",
)
VENDOR_OPTIONS = {
    "mysql": ("--mysqlx=OFF", "--auto-generate-certs=OFF", "--secure-file-priv=NULL"),
    "mariadb": (),
}
# As packaged: without an option file MariaDB would start with latin1, before 11.6.
UTF8_OPTIONS = ("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci")
UTF8_BY_ITSELF = (11, 6)
WITHOUT_TLS = {"mysql": "--tls-version=", "mariadb": "--skip-ssl"}


def command(
    binary: ServerBinary, folder: Path, data: Path, options: Sequence[str], *, port: int | None = None
) -> list[str]:
    """The server with `options` over the data directory `data`; all its files are below `folder`."""
    prefix = [binary.program]
    if binary.container:
        prefix = docker.run_command(binary.program, folder, port)
    # Only root may say as whom to run, and the server refuses to run as root unless it is said.
    account = ["--user=root"] if os.getuid() == 0 else []
    return [
        *prefix,
        "--no-defaults",
        *account,
        f"--datadir={data}",
        *RELAXED,
        *VENDOR_OPTIONS[binary.vendor],
        *_charset_options(binary),
        *options,
    ]


def _charset_options(binary: ServerBinary) -> Sequence[str]:
    version = tuple(int(number) for number in binary.version.split("."))
    return UTF8_OPTIONS if binary.vendor == "mariadb" and version < UTF8_BY_ITSELF else ()


def serving_options(
    binary: ServerBinary, folder: Path, port: int, *, tls: bool, extra: Sequence[str]
) -> list[str]:
    """The options of a server that listens on `port`; `extra` comes last and so wins."""
    secure = [
        f"--ssl-ca={folder / 'ca.pem'}",
        f"--ssl-cert={folder / 'server-cert.pem'}",
        f"--ssl-key={folder / 'server-key.pem'}",
    ]
    return [
        f"--port={port}",
        # Inside a container the loopback is the container's; Docker opens the port on this machine's alone.
        f"--bind-address={'0.0.0.0' if binary.container else '127.0.0.1'}",
        # Relative to the data directory: an absolute path may exceed what the system allows for a socket. The
        # folders that a container mounts may hold none.
        f"--socket={'/tmp/' if binary.container else ''}server.sock",
        "--pid-file=server.pid",
        f"--tmpdir={folder / 'tmp'}",
        f"--init-file={folder / 'init.sql'}",
        "--max-connections=200",
        "--max-allowed-packet=64M",
        "--local-infile=ON",
        *(secure if tls else [WITHOUT_TLS[binary.vendor]]),
        *extra,
    ]
