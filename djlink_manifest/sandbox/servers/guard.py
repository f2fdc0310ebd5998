"""The process between a throwaway server and whoever started it: no server outlives its owner.

Run as a script by its path, with the standard library alone, so that it starts in milliseconds. It takes one
argument, a JSON object: `owner` (a process id), `folder` (removed at the end), `log`, `command`, `after` (a
command run when the server has ended, or null). Orders are signals:

- SIGTERM, SIGINT, or the owner's death: kill the server, remove the folder
- SIGUSR1: kill the server, keep the folder, as if the machine had crashed
- SIGUSR2: shut the server down in good order, keep the folder
- SIGHUP: have no owner from now on

A kernel's "die with my parent" alone would not do: it follows the thread that started the process, leaves the
folder behind, and exists on Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
OWNER_CHECK_SECONDS = 0.2
SHUTDOWN_SECONDS = 60


def process_mark(pid: int) -> str | None:
    """What tells a process from a later one with the same id; None once it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _mark_without_proc(pid)
    except ProcessLookupError:
        return None
    # The command's name, in parentheses, may hold anything; the state follows it.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started


def _mark_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"


def _dies_with_guard() -> Callable[[], None] | None:
    """What the server's process calls before it becomes the server, in case the guard is killed by force."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    guard = os.getpid()

    def bind() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    return bind


class _Orders:
    """Signals as they come in, each waking the wait."""

    def __init__(self) -> None:
        self._pending: list[int] = []
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._pending.append(number)

    def next(self) -> int | None:
        """The oldest order not yet seen; None after a short wait without one."""
        if not self._pending and select.select([self._reader], [], [], OWNER_CHECK_SECONDS)[0]:
            os.read(self._reader, 512)
        return self._pending.pop(0) if self._pending else None


def _watch(server: subprocess.Popen[bytes], owner: int, orders: _Orders) -> bool:
    """Wait for the server's end or cause it; true where the folder is to go."""
    mark = process_mark(owner)
    watching = True
    while server.poll() is None:
        # Looked at before the orders: an owner that lets its server go says so before it ends.
        orphaned = mark is None or process_mark(owner) != mark
        order = orders.next()
        if order == signal.SIGHUP:
            watching = False
        elif order == signal.SIGUSR1:
            _end(server, by_force=True)
        elif order == signal.SIGUSR2:
            _end(server, by_force=False)
        elif order is not None or (watching and orphaned):
            _end(server, by_force=True)
            return True
    return False


def _end(server: subprocess.Popen[bytes], *, by_force: bool) -> None:
    try:
        if not by_force:
            server.terminate()
            server.wait(SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        server.kill()
        server.wait()


def main(argument: str) -> int:
    """Run the server of the JSON `argument` until it ends; return its exit code."""
    job = json.loads(argument)
    orders = _Orders()
    with Path(job["log"]).open("ab") as log:
        server = subprocess.Popen(
            job["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=job["folder"],
            preexec_fn=_dies_with_guard(),
        )
        remove = _watch(server, job["owner"], orders)
        if job["after"]:
            subprocess.run(job["after"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if remove:
        shutil.rmtree(job["folder"], ignore_errors=True)
    return server.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
