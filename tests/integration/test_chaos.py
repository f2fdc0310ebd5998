"""A small piece of `python -m tests.chaos`, and that its proxy cuts where it says."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.chaos.lab import Lab
from tests.chaos.run import Chaos, Wanted
from tests.chaos.wire import Cut, Direction, Kind, Proxy
from tests.support.servers import Names, Servers

SMALL = Wanted(kills=4, cuts=3, server_kills=0)
SEED = "7"


def test_killed_and_cut_applies_lose_nothing_and_come_to_rest(
    servers: Servers, names: Names, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = os.environ.get("DJLINK_SEED") or SEED
    lab = Lab({"north": servers.lab_a, "local": servers.local}, tmp_path, names.prefix)
    chaos = Chaos(lab, seed, SMALL, tell=lambda line: None, subjects=15)
    chaos.run()
    record_property("told", f"chaos, DJLINK_SEED={seed}: {chaos.summary()}")
    assert chaos.faults == []
    assert chaos.done["kill"] >= SMALL.kills
    assert chaos.done["cut"] == len(chaos.proofs) >= SMALL.cuts
    assert chaos.watcher.looks > 0


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""

    def answer() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=repeat, args=(peer,), daemon=True).start()

    def repeat(peer: socket.socket) -> None:
        with closing(peer), suppress(OSError):
            while data := peer.recv(100):
                peer.sendall(data)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=answer, daemon=True).start()
        yield int(listener.getsockname()[1])


def packet(body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + b"\0" + body


@pytest.mark.parametrize("kind", ["reset", "close", "silence"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_lets_so_many_bytes_through_and_says_within_which_packet(
    echo: int, direction: Direction, kind: Kind
) -> None:
    proxy = Proxy("echo", "127.0.0.1", echo)
    proxy.arm(Cut(direction, 24, kind, seconds=0.05))
    with closing(proxy), closing(socket.create_connection(("127.0.0.1", proxy.port))) as client:
        client.settimeout(10)
        got = b""
        with suppress(OSError):
            client.sendall(packet(b"a" * 10) + packet(b"b" * 50))
            while data := client.recv(100):
                got += data
    [proof] = proxy.proofs
    assert (packet(b"a" * 10) + packet(b"b" * 50)).startswith(got)
    assert len(got) <= 24
    assert (proof.stream_byte, proof.packet_byte, proof.packet_length) == (24, 10, 54)
    assert proof.within
    assert proof.dropped == 44
