"""What programs and notebooks print: plans as text, JSON that people can read, one option for one thing."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import fields

import pytest
from hypothesis import given

from djlink_manifest.api.atlas import Applied, ShownPlan
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.screen.terminal import escaped
from tests.support.invariants.text import harmless
from tests.support.next_steps import parsed
from tests.unit import plan_samples as samples


def shown_plan() -> ShownPlan:
    plan = samples.rich_plan()
    return ShownPlan(*(getattr(plan, each.name) for each in fields(Plan)))


def test_a_printed_plan_is_the_screen_and_its_repr_is_one_short_line() -> None:
    plan = shown_plan()
    assert str(plan).splitlines()[-1] == closing(plan)[-1]
    assert "lab_a.ephys.Session" in str(plan)
    assert repr(plan) == f"<plan of atlas: {closing(plan)[0]}>"
    assert "\n" not in repr(plan)


def test_a_printed_apply_says_how_each_link_ended() -> None:
    text = str(Applied(shown_plan(), samples.report()))
    assert all(each.address in text for each in samples.report().outcomes)


@given(samples.NASTY)
def test_json_is_read_back_as_it_was_and_cannot_act_upon_a_terminal(text: str) -> None:
    shown = escaped(json.dumps({"value": text}, ensure_ascii=False))
    assert json.loads(shown) == {"value": text}
    assert harmless(shown)


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", '"Mäuse"'), ("ascii", '"M\\u00e4use"')])
def test_json_on_a_stream_of_utf_8_has_its_letters(
    monkeypatch: pytest.MonkeyPatch, encoding: str, expected: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    Screen().json("Mäuse")
    assert stream.buffer.getvalue().decode(encoding) == f"{expected}\n"


@pytest.mark.parametrize("option", ["--yes", "--auto-approve"])
@pytest.mark.parametrize("words", [("apply",), ("adopt", "a.b.C"), ("source", "delete", "a.B")])
def test_a_question_is_answered_by_either_option(words: tuple[str, ...], option: str) -> None:
    params = parsed([*words, option]).params
    assert params.get("auto_approve", params.get("yes")) is True
