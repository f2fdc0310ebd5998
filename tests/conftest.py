"""Fixtures for all tests. The servers start when the first test asks for them, once for a run."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.sandbox.servers.start import FOLDER_VARIABLE
from tests.support.invariants.secrecy import found, watch_commands
from tests.support.rig import rig
from tests.support.servers import (
    ALL_PAIRS,
    MEMORY,
    Names,
    Pair,
    Servers,
    drop_everything,
    has_room_in_memory,
    new_names,
    shared_servers,
    stop_shared_servers,
)
from tests.support.stores.case import s3

__all__ = ["rig", "s3"]  # fixtures of their own modules

_pairs = {str(pair): pair for pair in ALL_PAIRS}
# of the tests that name none; not all of them pass on the others
USUAL_PAIR = _pairs[os.environ.get("DJLINK_TEST_PAIR", "mysql-mysql")]
GARBAGE = 50_000  # objects that may be made before cycles among them are looked for
RUN_FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pair mariadb-mysql`: of the tests, those that run MariaDB sources with a MySQL local server."""
    words = f"only tests on this pair of vendors; tests that name no pair run on {USUAL_PAIR}"
    parser.addoption("--pair", choices=sorted(_pairs), help=words)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other pairs than `--pair`; those that share fixtures of a module go together."""
    for item in items:
        if _shares(item) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {_pair_of(item)}"))
    pair = config.getoption("pair")
    others = [item for item in items if pair and str(_pair_of(item)) != pair]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses a fixture that is made once for its module."""
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(each.scope == "module" for several in fixtures.values() for each in several)


def _pair_of(item: pytest.Item) -> Pair:
    """The pair of vendors that a test names, else the usual one."""
    call = getattr(item, "callspec", None)
    named = call.params.get("servers") if call else None
    return named if isinstance(named, Pair) else USUAL_PAIR


def pytest_configure(config: pytest.Config) -> None:
    """The process that the run begins and ends with sets aside a folder that its workers share."""
    # a shell makes what it runs in the background deaf to Ctrl-C, and so all that the tests start
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("DJLINK_FILE", "DJLINK_LOG"):
        os.environ.pop(name, None)  # what the person who runs the tests has set up for their own work
    watch_commands()
    if not _is_worker(config):
        config.stash[RUN_FOLDER] = Path(tempfile.mkdtemp(prefix="djlink-tests-"))
        if has_room_in_memory():
            os.environ.setdefault(FOLDER_VARIABLE, str(MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker (pytest-xdist) which folder, and whose the servers are."""
    node.workerinput["djlink_folder"] = str(node.config.stash[RUN_FOLDER])
    node.workerinput["djlink_owner"] = os.getpid()


def pytest_collection_finish() -> None:
    """What is loaded by now lasts as long as the run: looking it through for cycles takes a tenth of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the workers (pytest-xdist) together what belongs together."""
    from tests.support.workers import Together

    return Together(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, after an interrupt too."""
    if not _is_worker(config) and RUN_FOLDER in config.stash:
        stop_shared_servers(config.stash[RUN_FOLDER])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A test that printed or logged a password fails, whatever else it found."""
    report: Any = yield
    printed = {secret for _, text in report.sections for secret in found(text)}
    if printed and report.passed:
        report.outcome, report.longrepr = "failed", "the test printed or logged a secret"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell what tests recorded as `told` (how much of a long test was run, and its seed), and their time."""
    reports = [
        each
        for several in terminalreporter.stats.values()
        for each in several
        if isinstance(each, pytest.TestReport)
    ]
    for report in reports:
        for name, words in report.user_properties if report.when == "call" else ():
            if name == "told":
                terminalreporter.write_line(str(words))
    for line in seconds_by_folder(reports):
        terminalreporter.write_line(line)


def seconds_by_folder(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each folder of tests: how many they are, and the seconds of them all with their fixtures."""
    tests, seconds = defaultdict[str, set[str]](set), defaultdict[str, float](float)
    for report in reports:
        folder = str(Path(report.nodeid.partition("::")[0]).parent)
        tests[folder].add(report.nodeid)
        seconds[folder] += report.duration
    for folder, total in sorted(seconds.items()):
        yield f"{folder}: {len(tests[folder]):,} tests, {total:,.0f} s in all workers together"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Servers:
    """Two sources, `lab_a` and `lab_b`, and the server `local`, shared by all tests of the run.

    Of MySQL, unless the test names a pair of vendors, or the environment does for all tests that name none
    (`DJLINK_TEST_PAIR=mariadb-mysql`: MariaDB sources, a MySQL local server).
    """
    pair = getattr(request, "param", USUAL_PAIR)
    given: dict[str, Any] = getattr(pytestconfig, "workerinput", {})
    folder = given.get("djlink_folder") or pytestconfig.stash[RUN_FOLDER]
    return shared_servers(Path(folder), given.get("djlink_owner", os.getpid()), pair)


@pytest.fixture
def names(servers: Servers) -> Iterator[Names]:
    """Names of this test's own on the shared servers; what they name is dropped at its end."""
    own = new_names()
    yield own
    for server in servers:
        drop_everything(server, own)
