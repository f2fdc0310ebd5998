"""A server's process as the rest of the sandbox sees it: started under a guard, ordered by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers import guard
from djlink_manifest.sandbox.servers.guard import process_mark


@dataclass(slots=True)
class GuardedProcess:
    """A guard and the server below it; `pid` and `mark` name the guard.

    It may have been started by another process: then `child` is None. One that was never started has no mark.
    """

    pid: int
    mark: str | None
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        if self.child is not None:
            return self.child.poll() is None
        return self.mark is not None and process_mark(self.pid) == self.mark

    def stop(self) -> None:
        """Kill the server and remove its folder; the data are throwaway, so no orderly shutdown is owed."""
        self._order(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server (SIGKILL) and keep its folder."""
        self._order(signal.SIGUSR1)

    def shut_down(self) -> None:
        """End the server in good order and keep its folder."""
        self._order(signal.SIGUSR2)

    def disown(self) -> None:
        """Let the server outlive this process; SIGTERM to `pid` ends it."""
        if self.running:
            os.kill(self.pid, signal.SIGHUP)

    def _order(self, number: signal.Signals) -> None:
        if not self.running:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + guard.SHUTDOWN_SECONDS + 10
        while self.running:
            if time.monotonic() > deadline:
                raise SandboxError(f"the throwaway server's guard, process {self.pid}, does not end")
            time.sleep(0.005)


def start_guarded(
    command: Sequence[str], *, folder: Path, log: Path, owner_pid: int, after: Sequence[str] = ()
) -> GuardedProcess:
    """Start `command` below a guard that ends it, and removes `folder`, when the process `owner_pid` ends."""
    job = {
        "owner": owner_pid,
        "folder": str(folder),
        "log": str(log),
        "command": list(command),
        "after": list(after) or None,
    }
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A Ctrl-C in the terminal reaches the owner alone, which stops its servers when it is done.
            start_new_session=True,
        )
    return GuardedProcess(child.pid, process_mark(child.pid), child)
