"""The command line: it reads arguments, calls the pipeline and shows the result. Exit codes are made here.

0 ok, also when only a review blocks; 1 any error, usage and partial apply included; 2 only for
`plan --detailed-exitcode` with changes; 3 `fmt --check`; 130 interrupted. Data goes to stdout, messages to
stderr.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

INTERRUPTED = 130
GARBAGE = 200_000  # objects that may be made before cycles among them are looked for


def main() -> None:
    """Run `djlink` with the process's arguments, and end the process with its exit code."""
    _write_no_core()
    # what modules leave when they load, 100,000 objects, lasts as long as the process: looking it through for
    # cycles again and again, and once more at the end, takes a tenth of a short command
    gc.set_threshold(GARBAGE)
    code = run(sys.argv[1:])
    gc.freeze()
    if code == INTERRUPTED and threading.active_count() > 1:
        os._exit(code)  # a thread may be waiting for a server that does not answer
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error is reported on stderr."""
    # late, so that importing the package for `main` costs nothing
    from djlink_manifest.cli.root import djlink
    from djlink_manifest.cli.terminal.debug_log import LOGGER, logging_by_environment
    from djlink_manifest.cli.terminal.failures import report_error
    from djlink_manifest.cli.terminal.screen import Screen, soften
    from djlink_manifest.cli.terminal.shells import answered

    _open_closed_streams()
    soften(sys.stdout)
    soften(sys.stderr)
    screen = Screen()
    if answered(djlink, screen):
        return 0
    try:
        with logging_by_environment(os.environ, screen):
            try:
                ended = djlink.main(list(arguments), "djlink", standalone_mode=False, obj=screen)
                sys.stdout.flush()
                code = ended if isinstance(ended, int) else 0
            except BaseException as error:
                code = report_error(error, screen)
            # the arguments may hold a key or a condition
            command = next((each for each in arguments if each in djlink.commands), "")
            LOGGER.info("%s ended with %d", f"djlink {command}".strip(), code)
    except BaseException as error:
        return report_error(error, screen)
    return code


def _write_no_core() -> None:
    """Leave no copy of this process's memory, which holds passwords and rows, on a disk when it crashes."""
    with suppress(ImportError, OSError, ValueError):  # not every system has it
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _open_closed_streams() -> None:
    """Let streams that the caller closed (`>&-`) lead nowhere: else a server's socket takes their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
