"""Commands in what Python shows of a loaded manifest: they name its files, and can be typed."""

from __future__ import annotations

from dataclasses import fields, replace
from html import unescape
from pathlib import Path

import click
import pytest

from djlink_manifest.api.atlas import Applied, ShownPlan
from djlink_manifest.api.commands import FILE_OPTIONS, WITHOUT_FILES, completed_html, errors_name, of_files
from djlink_manifest.api.homes import Listed, Tables
from djlink_manifest.cli.root import djlink
from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.next_steps import commands, completed
from djlink_manifest.reconcile.plan.plan import Plan
from tests.support.next_steps import check
from tests.unit import plan_samples as samples
from tests.unit.screen_samples import MANIFEST

FILES = ("atlas.yaml", "it's <b>&.yaml")
QUOTED = """-f atlas.yaml -f 'it'"'"'s <b>&.yaml'"""


def shown() -> ShownPlan:
    refusal = replace(samples.REFUSAL, hint="`djlink doctor` says why; then `djlink apply --target 'a*'`")
    plan = replace(samples.rich_plan(), refusals=(refusal,))
    return ShownPlan(**{each.name: getattr(plan, each.name) for each in fields(Plan)}, given=FILES)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    path = tmp_path / "atlas.yaml"
    path.write_text(MANIFEST, encoding="utf-8")
    return load([path])


def test_every_command_that_takes_files_gets_them_and_no_other_does() -> None:
    for name, each in djlink.commands.items():
        taken = {option for one in each.params if isinstance(one, click.Option) for option in one.opts}
        assert (name not in WITHOUT_FILES) == set(FILE_OPTIONS).issubset(taken), name


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("run `djlink apply`, then `djlink plan 'x*'`", f"run `djlink apply {QUOTED}`, then `djlink plan "),
        ("`djlink plan -f other.yaml`", "`djlink plan -f other.yaml`"),
        ("`djlink source held`", "`djlink source held`"),
        ("`djlink plan --help`", "`djlink plan --help`"),
        ("ask its owner", "ask its owner"),
    ],
)
def test_a_hint_of_a_loaded_link_names_the_files_of_its_manifest(
    manifest: Manifest, hint: str, said: str
) -> None:
    place = ("lab", "session")
    home = Listed(manifest, "a.lab.Session", "Session", Tables(place, place, place), None, FILES)
    worded = home.worded(hint)
    assert worded is not None
    assert worded.startswith(said)
    assert home.worded(worded) == worded
    assert home.worded(None) is None


def test_an_error_names_the_files_of_the_manifest() -> None:
    with pytest.raises(UsageError) as caught, errors_name(FILES):
        raise UsageError("no", hint="`djlink doctor` says why")
    assert caught.value.hint == f"`djlink doctor {QUOTED}` says why"


def test_all_that_is_printed_and_shown_of_a_plan_names_the_files() -> None:
    plan = shown()
    for text in (str(plan), str(Applied(plan, samples.report())), unescape(plan._repr_html_())):
        found = check(text)
        assert found, "the samples name commands"
        for words in found:
            if words[0] not in WITHOUT_FILES:
                assert [words[at + 1] for at, word in enumerate(words) if word == "-f"] == list(FILES)


def test_a_file_cannot_act_upon_a_page() -> None:
    page = completed_html("next: `djlink apply --target &#x27;a*&#x27;`", of_files(FILES))
    assert "<b>" not in page
    assert (
        commands(unescape(page))
        == [["apply", "-f", FILES[0], "-f", FILES[1], "--target", "a*"]]
        == commands(completed("`djlink apply --target 'a*'`", of_files(FILES)))
    )
