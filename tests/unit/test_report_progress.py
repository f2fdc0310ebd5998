"""The progress of an apply and of what is waited for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.reconcile.runtime.events import (
    Advanced,
    Counts,
    Event,
    LinkOutcome,
    LinkStarted,
    Message,
)
from djlink_manifest.report.apply.events import JsonEvents, Prose
from djlink_manifest.report.apply.progress import Bars, Lines
from djlink_manifest.report.screen.layout import Item, laid_out
from djlink_manifest.report.screen.spinner import Spinner
from tests.support.invariants.text import harmless
from tests.unit import plan_samples as samples


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def console_on(stream: io.StringIO, *, terminal: bool = False) -> Console:
    if not terminal:
        return Screen().console(stream)
    return Console(file=stream, force_terminal=True, width=200, highlight=False, markup=False, emoji=False)


def lines_for(events: Iterable[tuple[float, Event]]) -> list[str]:
    stream, clock = io.StringIO(), Clock()
    with Lines(console_on(stream), clock) as display:
        for seconds, event in events:
            clock.now += seconds
            display(event)
    return stream.getvalue().splitlines()


def test_off_a_terminal_a_link_gets_a_line_every_five_seconds_and_at_its_end() -> None:
    told = lines_for(
        [
            (0, LinkStarted("a.b.C", 1240)),
            (1, Advanced("a.b.C", 100, 500, 10_000_000)),
            (4.5, Advanced("a.b.C", 600, 3000, 60_000_000)),
            (1, Advanced("a.b.C", 700, 3500, 70_000_000)),
            (0, Message("a.b.C", "lost the connection; reconnecting")),
            (4.0, Advanced("a.b.C", 1240, 6200, 124_000_000)),
            (
                0.1,
                LinkOutcome(
                    "a.b.C", "done", Counts(True, pulled=1240, rows=6200, bytes=124_000_000), seconds=10.6
                ),
            ),
        ]
    )
    assert told == [
        "a.b.C: 600 of 1,240 rows (3,000 rows with parts, 60 MB), 11 MB/s in 5.5s, 5.9s left",
        "a.b.C: lost the connection; reconnecting",
        "a.b.C: 1,240 of 1,240 rows (6,200 rows with parts, 124 MB), 12 MB/s in 10s",
        "✓ a.b.C: created, 1,240 rows pulled (4,960 of parts, 124 MB), 11s",
    ]


def test_a_link_that_failed_or_was_not_attempted_says_why() -> None:
    told = lines_for(
        [
            (0, LinkOutcome("a.b.C", "failed", problem="the table is in use")),
            (0, LinkOutcome("a.b.D", "skipped", problem="a.b.C failed")),
        ]
    )
    assert told == ["✗ a.b.C: the table is in use", "· a.b.D: a.b.C failed"]


@given(st.lists(st.tuples(st.floats(0, 10), samples.EVENTS), max_size=8))
@settings(deadline=None)
def test_any_events_are_told_without_acting_upon_the_terminal(events: list[tuple[float, Event]]) -> None:
    assert all(harmless(each) for each in lines_for(events))


@given(st.lists(samples.EVENTS, max_size=8))
@settings(deadline=None, max_examples=20)
def test_bars_take_any_events_in_any_order(events: list[Event]) -> None:
    stream = io.StringIO()
    with Bars(console_on(stream, terminal=True)) as display:
        for event in events:
            display(event)
        display(LinkOutcome("z.z.Last", "done"))
    assert "z.z.Last: no rows written" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


def test_a_bar_shows_rows_bytes_total_rate_and_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    with Bars(console_on(stream, terminal=True), clock) as display:
        display(LinkStarted("a.b.C", 1240))
        clock.now += 5
        display(LinkStarted("a.b.Later", 10))
        display(Advanced("a.b.C", 600, 3000, 60_000_000))
        display(Advanced("a.b.Later", 0, 0, 0))
    shown = stream.getvalue()
    assert "a.b.C" in shown
    assert "600/1,240 (3,000 rows with parts, 60 MB), 12 MB/s in 5.0s, 5.3s left" in shown
    assert "0/10 " in shown, "nothing is said of a pace that is not known"
    assert shown.count(" left") == shown.count("600/1,240")


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_a_stream_that_is_gone_does_not_end_the_work(kind: type[Lines] | type[Bars]) -> None:
    display = kind(Screen().console(Gone()))
    for event in (LinkStarted("a.b.C", 1), Message("a.b.C", "x"), LinkOutcome("a.b.C", "done")):
        display(event)
    display.announce("Finishing.")


def test_records_are_one_object_a_line_and_the_first_is_the_plan() -> None:
    written: list[Any] = []
    telling = JsonEvents(written.append, console_on(io.StringIO()))
    telling.plan(samples.rich_plan())
    with telling.display() as display:
        display(LinkStarted("a.b.C", 1))
        display(LinkOutcome("a.b.C", "done"))
    telling.end(samples.rich_plan(), samples.report())
    assert [json.loads(json.dumps(each))["type"] for each in written] == [
        "plan",
        "link_started",
        "link_ended",
        "report",
    ]


def test_a_reader_of_records_that_is_gone_does_not_end_the_work_but_the_end_tells_of_it() -> None:
    def broken(value: Any) -> None:
        raise BrokenPipeError

    telling = JsonEvents(broken, console_on(io.StringIO()))
    with telling.display() as display:
        display(LinkStarted("a.b.C", 1))
    with pytest.raises(BrokenPipeError):
        telling.end(samples.rich_plan(), samples.report())


def test_a_quiet_apply_shows_messages_and_what_is_not_done() -> None:
    shown: list[Item] = []
    stream = io.StringIO()
    prose = Prose(shown.extend, console_on(stream), animated=False, detail="closing")
    prose.plan(samples.rich_plan())
    with prose.display() as display:
        for each in samples.report().outcomes:
            display(each)
        display.announce("Finishing")
    prose.end(samples.quiet_plan(), samples.report())
    text = "\n".join(each.plain for each in laid_out(shown))
    assert stream.getvalue() == "Finishing\n"
    assert text.startswith("  ✗ lab_c  db.lab-c.org: no session")  # what is wrong is named
    assert "\nPlan: " in text
    assert "lab_a.lab.Subject" not in text
    assert "lab_a.ephys.Scan" in text


def test_prose_ends_with_what_was_done() -> None:
    shown: list[Item] = []
    Prose(shown.extend, console_on(io.StringIO()), animated=False).end(samples.quiet_plan(), samples.report())
    assert any(
        each.plain.startswith("Apply: 3 links done, 2 failed, 1 not attempted") for each in laid_out(shown)
    )


def test_a_quick_command_writes_no_word_of_waiting() -> None:
    stream, clock = io.StringIO(), Clock()
    with Spinner(console_on(stream), animated=False, clock=clock) as words:
        words("reading lab_a")
        clock.now += 4
        words("reading lab_b")
    assert stream.getvalue() == ""


def test_a_slow_command_says_every_five_seconds_what_it_waits_for() -> None:
    stream, clock = io.StringIO(), Clock()
    with Spinner(console_on(stream), animated=False, clock=clock) as words:
        for number in range(12):
            clock.now += 1
            words(f"observing a.b.T{number}\x1b[2J")
    assert stream.getvalue().splitlines() == ["observing a.b.T4\\x1b[2J", "observing a.b.T9\\x1b[2J"]


def test_the_spinner_can_be_shown_twice_and_goes_away() -> None:
    stream = io.StringIO()
    words = Spinner(console_on(stream, terminal=True), animated=True)
    for _ in range(2):
        with words:
            words("reading [bold]lab_a")
            stream.write("<in>")
        stream.write("<out>")
    assert stream.getvalue().count("<out>") == 2
    assert "reading [bold]lab_a" in stream.getvalue()
