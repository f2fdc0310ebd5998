"""What a command says and ends with when something fails that no server is needed for."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import click
import pytest

from djlink_manifest.cli.terminal.failures import report_error
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import (
    DjlinkError,
    Interrupted,
    ManifestError,
    ServerError,
    UsageError,
)
from djlink_manifest.manifest.edit.write import starter
from tests.unit import plan_samples as samples

SECRET = "hunter2-never-printed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 1),
        (ServerError("no", server="lab_a"), 1),
        (ManifestError(samples.DIAGNOSTICS), 1),
        (Interrupted("stopped"), 130),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("no"), 1),
        (click.FileError("x", "no"), 1),
        (FileNotFoundError(2, "No such file or directory", "x.yaml"), 1),
        (KeyError(SECRET), 1),
        (RecursionError(), 1),
        (SystemExit(1), 1),
        (SystemExit("words"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert report_error(error, Screen()) == code


def test_a_defect_is_told_in_two_lines_without_its_own_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(ValueError(f"bad {SECRET}"), Screen()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "Error: unexpected error in djlink (ValueError)\n"
        "  next: run the same command with --debug and report its output\n"
    )


def test_debug_shows_where_an_error_came_from_but_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.debug = True
    try:
        raise ValueError(f"connect(host='x', password='{SECRET}')\n[bold]\x1b[2J")
    except ValueError as error:
        report_error(error, screen)
    err = capsys.readouterr().err
    assert "test_cli_failures.py" in err
    assert err.splitlines()[-1] == "ValueError"
    assert SECRET not in err, "nor anything else of the text of an error that is not djlink's"
    assert "[bold]" not in err


def test_debug_shows_the_causes_of_an_error_and_the_text_of_djlinks_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen()
    screen.debug = True
    try:
        try:
            raise ValueError("Duplicate entry 'Smith' for key 'name'")
        except ValueError as cause:
            raise DjlinkError("it is refused [bold]\x1b[2J") from cause
    except DjlinkError as error:
        report_error(error, screen)
    err = capsys.readouterr().err
    assert err.index("ValueError\n") < err.index("The error above led to this one")
    assert err.splitlines()[-1] == "DjlinkError: it is refused [bold]\\x1b[2J"
    assert "Duplicate entry" not in err.replace('raise ValueError("Duplicate entry', "")


def test_an_error_names_link_place_server_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(DjlinkError("no", hint="try", link="a.b.C", server="a", location=samples.at(3)), Screen())
    assert capsys.readouterr().err.splitlines() == [
        "Error: no",
        "  link:   a.b.C   (atlas.yaml:3)",
        "  server: a",
        "  next:   try",
    ]


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "djlink_manifest", "init", "-"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_messages_that_nobody_reads_do_not_change_the_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "djlink_manifest", "plan"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stdout) == (1, "")


@pytest.mark.parametrize("arguments", ["validate", "--help", "init -"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_leads_nowhere(tmp_path: Path, closed: str, arguments: str) -> None:
    (tmp_path / "djlink.yaml").write_text(starter())
    command = f"exec {shlex.quote(sys.executable)} -m djlink_manifest {arguments} {closed}"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("arguments", ["validate --json", "--help", "init -"])
def test_output_that_finds_no_room_is_no_defect_of_djlink(tmp_path: Path, arguments: str) -> None:
    (tmp_path / "djlink.yaml").write_text(starter())
    djlink = f"exec {shlex.quote(sys.executable)} -B -m djlink_manifest {arguments}"
    ended = subprocess.run(
        # a process whose coverage is measured would complain that it cannot write its own file
        ["sh", "-c", f"unset COVERAGE_PROCESS_CONFIG; ulimit -f 0; {djlink} >full"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "Error: the output cannot be written: File too large\n")


INTERRUPTIBLE = textwrap.dedent(
    """
    import sys, threading, time
    from djlink_manifest.cli.terminal.interrupt import interruptible

    stop = threading.Event()
    with interruptible(stop, lambda words: print(words, flush=True)):
        print("begun", flush=True)
        while not stop.wait(0.01):
            pass
        print("stopping", flush=True)
        time.sleep(float(sys.argv[1]))
    print("ended", flush=True)
    """
)


def interrupted(seconds: float, numbers: list[signal.Signals]) -> tuple[int, str, str]:
    """Send signals to a process that stops some seconds after it was asked to."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = process.stdout.readline()
    for number in numbers:
        process.send_signal(number)
        while seen.count("\n") < 3:
            seen += process.stdout.readline()
    out, err = process.communicate(timeout=60)
    return process.returncode, seen + out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_good_end(number: signal.Signals) -> None:
    code, out, err = interrupted(0.2, [number])
    assert (code, err) == (0, "")
    assert "Finishing the current batches. Press Ctrl-C again to stop immediately." in out
    assert out.endswith("ended\n")


def test_the_second_signal_ends_at_once() -> None:
    started = time.monotonic()
    code, out, err = interrupted(60, [signal.SIGINT, signal.SIGINT])
    assert time.monotonic() - started < 30
    assert code == 130
    assert "Aborted. Committed changes are kept" in err
    assert "ended" not in out


def test_afterwards_signals_do_what_they_did_before() -> None:
    code = (
        "import signal, threading\n"
        "from djlink_manifest.cli.terminal.interrupt import interruptible\n"
        "with interruptible(threading.Event(), print): pass\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: print('as before')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "as before\n")
