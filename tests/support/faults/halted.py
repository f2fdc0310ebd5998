"""A process that runs `djlink` commands, and waits before a change of its choice until it is let go.

It reads a request a line, `{"arguments": […], "at": 7}`, and answers with a line: `{"halted": "INSERT …"}`
before its 7th change, after which any line lets it go, and in the end what `Ended` holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.command import called
from tests.support.faults.crash import changes
from tests.support.statements import Statement, watched


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, all that it printed, and the beginnings of its changes."""

    code: int
    text: str
    changes: tuple[str, ...]


class Halting:
    """The process, as the test holds it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faults.halted"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            text=True,
        )

    def start(self, *arguments: str, at: int | None = None) -> str | Ended:
        """Run a command until the change before which it waits, or to its end where it makes fewer."""
        return self._asked({"arguments": arguments, "at": at})

    def go_on(self) -> Ended:
        """Let the command that waits run to its end."""
        ended = self._asked({})
        assert isinstance(ended, Ended)
        return ended

    def run(self, *arguments: str) -> Ended:
        """Run a command."""
        ended = self.start(*arguments)
        assert isinstance(ended, Ended)
        return ended

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _asked(self, request: Mapping[str, Any]) -> str | Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "halted" in answer:
            return str(answer["halted"])
        return Ended(answer["code"], answer["text"], tuple(answer["changes"]))


def _answer(answer: Mapping[str, Any]) -> None:
    assert sys.__stdout__ is not None
    sys.__stdout__.write(json.dumps(answer) + "\n")
    sys.__stdout__.flush()


def _carry_out(arguments: Sequence[str], at: int | None) -> None:
    made, requests = list[str](), sys.stdin

    def wait(statement: Statement) -> None:
        if changes(statement):
            made.append(statement.text[:80])
            if len(made) == at:
                _answer({"halted": made[-1]})
                requests.readline()

    with watched(wait):
        ended = called(*arguments, environ={})
    _answer({"code": ended.returncode, "text": ended.stdout + ended.stderr, "changes": made})


def main() -> None:
    while line := sys.stdin.readline():
        _carry_out(**json.loads(line))


if __name__ == "__main__":
    main()
