"""Checkouts of hostile branches: a manifest that a trust file allows, and what lies beside it.

The servers of the manifest are sockets of this process that record who connects and what they are sent.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import called

MARK = "▸"  # stands right before the place that a refusal names

SECRETS = {
    "DJ_USER": "lab_account",
    "DJ_PASS": "local-canary-1",
    "LINK_USER": "link_account",
    "LINK_PASS": "link-canary-2",
    "S3_KEY": "s3-canary-3",
    "S3_SECRET": "s3-canary-4",
    "AWS_SESSION": "session-canary-5",
    "CI_JOB_JWT": "ci-canary-6",
    "LINK_OUTBOUND": "outbound-canary-7",
    "EVIL_HOST": "127.0.0.1",
}
IN_FILES = ("file-canary-8", "file-canary-9")
CANARIES = (*(value for value in SECRETS.values() if "canary" in value), *IN_FILES)

MANIFEST = """\
manifest: 1
name: atlas
contact: data@lab.example
defaults: {schema_name: "{source}_{schema}"}
local:
  host: 127.0.0.1
  port: LOCAL_PORT
  user: ${env:DJ_USER}
  password: ${env:DJ_PASS}
sources:
  lab_a:
    host: localhost
    port: SOURCE_PORT
    user: ${env:LINK_USER}
    password: ${env:LINK_PASS}
    outbound: ourlab_outbound
    store_settings:
      raw:
        protocol: s3
        endpoint: s3.lab-a.example
        bucket: raw
        location: data
        access_key: ${env:S3_KEY}
        secret_key: ${env:S3_SECRET}
      disk: {protocol: file, location: DISK}
    schemas:
      lab: {tables: [Subject]}
  lab_b:
    host: db.lab-b.example
    password: ${file:SECRETS/lab_b}
    tls: {ca: certs/lab_b.pem}
    outbound: ourlab_outbound
    schemas:
      lab: {tables: [Subject]}
"""

_GREETING = bytes.fromhex("0a") + b"8.0.36\0" + bytes.fromhex("01000000") + b"12345678\0"
_CAPABILITIES = 0x0008F7FF  # of 4.1 logins with plugins, without TLS


def _handshake() -> bytes:
    low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    body = _GREETING + low.to_bytes(2, "little") + b"\xff\x02\0" + high.to_bytes(2, "little") + b"\x15"
    body += b"\0" * 10 + b"123456789012\0" + b"mysql_native_password\0"
    return len(body).to_bytes(3, "little") + b"\0" + body


@dataclass
class Listener:
    """A port that greets as MySQL does, and keeps what it is answered."""

    server: socket.socket
    received: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server.getsockname()[1])

    def serve(self) -> None:
        """Answer until the socket is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.received.append(b"")
                with connection, suppress(OSError):
                    connection.settimeout(2)
                    connection.sendall(_handshake())
                    self.received[-1] = connection.recv(4096)


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on this machine, for the time of the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        thread = threading.Thread(target=listener.serve, daemon=True)
        thread.start()
        yield listener
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@dataclass(frozen=True)
class Branch:
    """A checkout that a trust file beside it allows, until the branch's author changes it."""

    folder: Path
    local: Listener
    source: Listener
    evil: Listener

    @property
    def top(self) -> Path:
        """The checkout."""
        return self.folder / "checkout"

    @property
    def secrets(self) -> Path:
        """A folder of secrets beside it; `lab_b` is the one that the manifest uses."""
        return self.folder / "secrets"

    @property
    def disk(self) -> Path:
        """The folder of the source's store."""
        return self.folder / "disk"

    @property
    def trust(self) -> Path:
        """The trust file, beside it."""
        return self.folder / "trust.yaml"

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """All that could be connected to."""
        return self.local, self.source, self.evil

    def text(self, text: str) -> str:
        """A text with the ports and folders of this test."""
        for word, value in (
            ("LOCAL_PORT", self.local.port),
            ("SOURCE_PORT", self.source.port),
            ("EVIL_PORT", self.evil.port),
            ("SECRETS", self.secrets),
            ("DISK", self.disk),
        ):
            text = text.replace(word, str(value))
        return text

    def restore(self) -> None:
        """Make the checkout as it was reviewed, and forget who has connected."""
        shutil.rmtree(self.top, ignore_errors=True)
        self.write(".git/config", "[http]\n\textraheader = AUTHORIZATION: file-canary-9\n")
        self.write("certs/lab_b.pem", "a certificate\n")
        self.write("djlink.yaml", MANIFEST)
        for each in self.listeners:
            each.received.clear()

    def write(self, name: str, text: str) -> tuple[int, int] | None:
        """Write a file of the checkout; the line and column of the mark in it, None where it has none."""
        before, mark, after = self.text(text).partition(MARK)
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + after, encoding="utf-8")
        lines = before.split("\n")
        return (len(lines), len(lines[-1]) + 1) if mark else None


def made(folder: Path, local: Listener, source: Listener, evil: Listener) -> Branch:
    """A checkout as it was reviewed, and the trust file that `djlink trust` wrote for it."""
    branch = Branch(folder, local, source, evil)
    for each in (branch.secrets, branch.disk):
        each.mkdir(parents=True)
    (branch.secrets / "lab_b").write_text("file-canary-8\n")
    (branch.secrets / "deploy").write_text("file-canary-9\n")
    branch.restore()
    ended = called("trust", "--out", str(branch.trust), environ={}, folder=branch.top)
    assert ended.returncode == 0, ended.stderr
    return branch
