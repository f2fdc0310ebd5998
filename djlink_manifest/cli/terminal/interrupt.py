"""Ctrl-C during an apply: the first one requests a clean end, the second one ends at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from djlink_manifest.errors import Interrupted

FINISHING = "Finishing the current batches. Press Ctrl-C again to stop immediately."
ABORTED = b"\nAborted. Committed changes are kept; run `djlink apply` to continue.\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(stop: threading.Event, report: Callable[[str], None]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM set `stop` and print a message, and the second one end the process.

    A separate thread handles the signals, because neither `stop.set()` nor writing to a stream is safe in a
    signal handler, which may interrupt the main thread anywhere. Aborting is always safe: the servers undo
    uncommitted changes.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    watcher = threading.Thread(target=_watch, args=(reader, stop, report), name="djlink-signals", daemon=True)
    before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    watcher.start()
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        signal.set_wakeup_fd(before_fd)
        writer.close()
        watcher.join()
        reader.close()


def _watch(reader: socket.socket, stop: threading.Event, report: Callable[[str], None]) -> None:
    while received := reader.recv(16):
        for number in received:
            if number not in SIGNALS:
                continue
            if stop.is_set():
                os.write(2, ABORTED)
                os._exit(Interrupted.exit_code)
            stop.set()
            report(FINISHING)
