"""What is tried again: how often, after which errors, and that an interrupt ends the pause."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, ServerError
from djlink_manifest.retry import Attempts, Retry

LOST = Retry(3, lambda failures: 0, lambda error: isinstance(error, ConnectionLost))


def failing(times: int, error: Exception) -> tuple[Callable[[], int], list[int]]:
    """A step that fails so often and then returns how often it was run."""
    runs: list[int] = []

    def step() -> int:
        runs.append(len(runs) + 1)
        if len(runs) <= times:
            raise error
        return len(runs)

    return step, runs


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_step_that_gets_through_returns_what_it_returns(times: int) -> None:
    said: list[str] = []
    step, _ = failing(times, ConnectionLost("gone"))
    assert LOST.run(step, report=said.append) == times + 1
    assert said == ["gone; retrying"] * times


def test_the_last_error_is_raised_as_it_is() -> None:
    error = ConnectionLost("gone")
    step, runs = failing(9, error)
    with pytest.raises(ConnectionLost) as caught:
        LOST.run(step)
    assert caught.value is error
    assert runs == [1, 2, 3]


@pytest.mark.parametrize("error", [ServerError("no"), DjlinkError("no"), ValueError("no")])
def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    step, runs = failing(1, error)
    with pytest.raises(type(error)):
        LOST.run(step)
    assert runs == [1]


def test_the_pause_grows_as_the_policy_says() -> None:
    asked: list[int] = []

    def pause(failures: int) -> float:
        asked.append(failures)
        return 0

    step, _ = failing(4, ConnectionLost("gone"))
    Retry(9, pause, LOST.passes).run(step)
    assert asked == [1, 2, 3, 4]


def test_an_interrupt_ends_the_pause_and_the_step_is_not_run_again() -> None:
    stop = threading.Event()
    error = ConnectionLost("gone")
    step, runs = failing(9, error)
    # a day would pass without the interrupt, which comes while the pause is told of
    with pytest.raises(Interrupted) as caught:
        Retry(9, lambda failures: 86_400, LOST.passes).run(step, stop, lambda words: stop.set())
    assert caught.value.__cause__ is error
    assert runs == [1]


def test_an_interrupt_from_another_thread_ends_a_pause_that_has_begun() -> None:
    stop, begun = threading.Event(), threading.Event()

    def pause(failures: int) -> float:
        begun.set()
        return 86_400

    def interrupt() -> None:
        begun.wait()
        stop.set()

    step, _ = failing(9, ConnectionLost("gone"))
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(Interrupted):
        Retry(9, pause, LOST.passes).run(step, stop)
    interrupting.join()


def test_failures_count_anew_once_something_was_done() -> None:
    attempts, error = Attempts(LOST), ConnectionLost("gone")
    for _ in range(5):
        attempts.failed(error)
        attempts.failed(error)
        assert attempts.is_last(error)
        attempts.got_on()
    with pytest.raises(ServerError, match="no"):
        attempts.failed(ServerError("no"))
