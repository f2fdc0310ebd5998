"""A TCP proxy before a server, with the faults of networks: cuts, lost answers, delays, stalls, silence."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from tests.support.rig import Rig

Verdict = Literal["pass", "cut", "cut after the answer"]
CHUNK = 1 << 18
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset, as a firewall does


class Wire:
    """One connection through the proxy; `sent` and `received` count the bytes that went up and came down."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.sent = self.received = 0
        self.deaf = False  # the next answer is dropped, and the connection with it
        self.is_cut = False

    def cut(self) -> None:
        """End both sides at once."""
        self.is_cut = True
        for each in (self.client, self.server):
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Proxy:
    """A proxy on a port of its own. Everything may be changed while it runs.

    `up` and `down` judge what goes to the server and what comes from it, which `rewrite` may change; `delay`
    is added each way, in seconds; while `flowing` is unset nothing passes; while `open` is unset new
    connections are refused.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.up: Callable[[Wire, bytes], Verdict] = lambda wire, data: "pass"
        self.down: Callable[[Wire, bytes], Verdict] = lambda wire, data: "pass"
        self.rewrite: Callable[[Wire, bytes], bytes] = lambda wire, data: data
        self.delay = 0.0
        self.flowing, self.open = threading.Event(), threading.Event()
        self.flowing.set()
        self.open.set()
        self._wires = list[Wire]()
        self._ended = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections; new ones are taken."""
        wires, self._wires = self._wires, []
        for each in wires:
            each.cut()

    def close(self) -> None:
        """End the proxy and all connections."""
        self._ended = True
        self.flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if not self.open.is_set():
                    raise ConnectionRefusedError
                server = socket.create_connection(self._to, timeout=10)
            except OSError:
                Wire(client, client).cut()
                continue
            server.settimeout(None)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = Wire(client, server)
            self._wires.append(wire)
            for pump in (self._pump_up, self._pump_down):
                threading.Thread(target=pump, args=(wire,), daemon=True).start()

    def _pump_up(self, wire: Wire) -> None:
        with suppress(OSError, ValueError):
            for data in self._received(wire.client):
                verdict = self.up(wire, data)
                wire.sent += len(data)
                if verdict == "cut":
                    break
                wire.deaf = wire.deaf or verdict == "cut after the answer"
                wire.server.sendall(data)
            else:
                wire.server.shutdown(socket.SHUT_WR)
                return
        wire.cut()

    def _pump_down(self, wire: Wire) -> None:
        with suppress(OSError, ValueError):
            for data in self._received(wire.server):
                verdict = self.down(wire, data)
                wire.received += len(data)
                if wire.deaf or verdict != "pass":
                    break
                wire.client.sendall(self.rewrite(wire, data))
            else:
                wire.client.shutdown(socket.SHUT_WR)
                return
        wire.cut()

    def _received(self, end: socket.socket) -> Iterator[bytes]:
        """What comes from one end until it closes, held up as the proxy's settings say."""
        while True:
            self.flowing.wait()
            data = end.recv(CHUNK)
            if not data:
                return
            time.sleep(self.delay)
            self.flowing.wait()
            yield data


@contextmanager
def proxied(rig: Rig, document: dict[str, Any], server: str) -> Iterator[Proxy]:
    """A proxy before a source of the manifest, or before `local`; the manifest then leads through it."""
    place = document["local"] if server == "local" else document["sources"][server]
    port, proxy = place["port"], Proxy(place["host"], place["port"])
    place["port"] = proxy.port
    try:
        yield proxy
    finally:
        proxy.close()
        place["port"] = port
