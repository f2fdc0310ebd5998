"""Try again what failed in a way that may pass, after pauses that an interrupt ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from djlink_manifest.errors import DjlinkError, Interrupted

_T = TypeVar("_T")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried, in all, and how long the pause after its nth failure is, in seconds.

    `passes` tells whether an error may be gone the next time; `doing` is what is said to follow the pause.
    """

    tries: int
    pause: Callable[[int], float]
    passes: Callable[[Exception], bool]
    doing: str = "retrying"

    def run(
        self, step: Callable[[], _T], stop: threading.Event | None = None, report: Say | None = None
    ) -> _T:
        """What the step returns. Raises its last error, or Interrupted where `stop` is set meanwhile."""
        attempts = Attempts(self, stop, report)
        while True:
            try:
                return step()
            except DjlinkError as error:
                attempts.failed(error)


class Attempts:
    """The failures of a step that is not one call, since it was last seen to get on."""

    def __init__(self, policy: Retry, stop: threading.Event | None = None, report: Say | None = None) -> None:
        self._policy = policy
        # without an event of the caller's, Ctrl-C is raised in the pause itself
        self._stop = stop or threading.Event()
        self._say = report
        self._failures = 0

    def got_on(self) -> None:
        """Forget the failures: something was done since."""
        self._failures = 0

    def is_last(self, error: Exception) -> bool:
        """Whether this failure, which is yet to be counted, ends the attempts."""
        return self._failures + 1 >= self._policy.tries or not self._policy.passes(error)

    def failed(self, error: Exception) -> None:
        """Wait for the next try. Raises the error where there is none, Interrupted where `stop` is set."""
        if self.is_last(error):
            raise error
        self._failures += 1
        if self._say is not None:
            self._say(f"{error}; {self._policy.doing}")
        if self._stop.wait(self._policy.pause(self._failures)):
            raise Interrupted("stopped before it was tried again") from error
