"""Report errors on stderr, and choose the exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

import click

from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import DjlinkError, Interrupted, ManifestError
from djlink_manifest.report.screen.diagnostics import diagnostic_lines, error_lines
from djlink_manifest.report.screen.terminal import line

FAILED, INTERRUPTED = 1, Interrupted.exit_code
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def report_error(error: BaseException, screen: Screen) -> int:
    """Report the error that ended the command and return the exit code. Never raises."""
    try:
        return _report_error(error, screen)
    except OSError:
        # whoever read our messages is gone
        _let_go_of_streams()
        return FAILED


def _report_error(error: BaseException, screen: Screen) -> int:
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case BrokenPipeError():
            _let_go_of_streams()
            return FAILED
        case click.Abort() | KeyboardInterrupt():
            screen.note([line("Interrupted.")])
            return INTERRUPTED
        case ManifestError():
            screen.note(diagnostic_lines(error.diagnostics))
        case DjlinkError():
            screen.note(error_lines(error))
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "djlink"
            words = error.format_message()
            if isinstance(error, click.MissingParameter):  # its choices stand below each other, after tabs
                words = " ".join(words.split())
            screen.note(error_lines(DjlinkError(words, hint=f"{command} --help")))
        case click.ClickException():
            screen.note(error_lines(DjlinkError(error.format_message())))
        case OSError(filename=str() as name, strerror=str() as reason):
            screen.note(error_lines(DjlinkError(f"{name}: {reason}")))
        case OSError(errno=int() as number, strerror=str() as reason) if number in FULL:
            _let_go_of_streams()
            screen.note(error_lines(DjlinkError(f"the output cannot be written: {reason}")))
        case _:
            _unexpected(error, screen)
    if screen.debug:
        _traceback(error, screen)
    return error.exit_code if isinstance(error, DjlinkError) else FAILED


def _unexpected(error: BaseException, screen: Screen) -> None:
    """Return one line without the error's own text, which may contain a confidential value."""
    next_step = (
        "report it with the output above"
        if screen.debug
        else "run the same command with --debug and report its output"
    )
    problem = f"unexpected error in djlink ({type(error).__name__})"
    screen.note(error_lines(DjlinkError(problem, hint=next_step)))


def _traceback(error: BaseException, screen: Screen) -> None:
    from djlink_manifest.manifest.text.problems import masked

    text = "\n".join(_raised(error))
    screen.note(line((masked(each), "dim")) for each in text.splitlines())


def _raised(error: BaseException) -> Iterator[str]:
    """Where an error and its causes were raised. Only djlink's own are shown with their text: that of others
    may hold a password that a server repeats, or a value of a row.
    """
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _raised(before)
        yield "\nThe error above led to this one:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield f"{type(error).__name__}: {error}" if isinstance(error, DjlinkError) else type(error).__name__


def _let_go_of_streams() -> None:
    """Redirect stdout and stderr to nowhere, so that the interpreter's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
