"""A manifest in Python: its links as classes, plan and apply as functions that return values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import djlink_manifest
from djlink_manifest import Atlas
from djlink_manifest.errors import LinkRefused, ManifestError, Unreachable, UsageError
from djlink_manifest.reconcile.runtime.events import Event, LinkOutcome
from tests.support.notebooks import Notebook, notebook
from tests.support.rig import PASSWORD

__all__ = ["notebook"]


@dataclass
class Shelf:
    """A manifest over the notebook's source, in a file."""

    notebook: Notebook
    path: Path

    def write(self, tables: Any, **defaults: Any) -> Atlas:
        """Write a manifest that links these tables, and load it."""
        document = self.notebook.rig.document({"lab_a": {"lab": {"tables": tables}}})
        document["defaults"].update(defaults)
        self.path.write_text(yaml.safe_dump(document))
        return djlink_manifest.load(self.path)

    def address(self, name: str) -> str:
        """A link's address."""
        return self.notebook.rig.address("lab_a", "lab", name)


@pytest.fixture
def shelf(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A manifest's place; the passwords that it refers to are in the environment."""
    monkeypatch.setenv("DJ_PASS", PASSWORD)
    return Shelf(notebook, tmp_path / "atlas.yaml")


def test_plan_and_apply_return_values_and_print_nothing(
    shelf: Shelf, capfd: pytest.CaptureFixture[str]
) -> None:
    atlas = shelf.write("*")
    events, words = list[Event](), list[str]()
    plan = djlink_manifest.plan(shelf.path, progress=words.append)
    assert plan.has_changes
    assert not plan.has_errors
    assert len(plan.links) == 3
    assert "pull 4 rows" in plan._repr_html_()
    assert any("observing" in each for each in words)
    applied = djlink_manifest.apply([shelf.path], progress=events.append)
    assert applied.succeeded
    assert {o.address: o.counts.pulled for o in applied.report.outcomes} == {
        shelf.address("Subject"): 3,
        shelf.address("Session"): 4,
        shelf.address("Count"): 4,
    }
    assert sum(isinstance(each, LinkOutcome) for each in events) == 3
    assert "4 rows pulled" in applied._repr_html_()
    again = atlas.apply(verify=True)
    assert again.succeeded
    assert again.report.outcomes == ()
    assert not atlas.plan(targets=[shelf.address("Session")]).has_changes
    assert capfd.readouterr().err == ""


def test_a_manifests_links_are_classes_on_the_labs_own_connection(shelf: Shelf) -> None:
    atlas = shelf.write("*")
    assert list(atlas) == sorted(shelf.address(n) for n in ("Count", "Session", "Subject"))
    with pytest.raises(LinkRefused, match="is not linked yet") as caught:
        atlas[shelf.address("Session")]
    assert "apply the manifest first" in str(caught.value.hint)
    assert atlas.apply().succeeded
    session, subject = atlas[shelf.address("Session")], atlas[shelf.address("Subject")]
    assert session is atlas[shelf.address("Session")]
    assert session().connection is shelf.notebook.dj.conn()
    assert session.__doc__ == "sessions of an animal"
    assert len(subject * session * session.Trial) == 9
    assert len(session().source.Trial()) == 9
    with pytest.raises(UsageError, match="is a link of the manifest") as wrong:
        session.unlink("drop")
    assert f"`removed: {{{shelf.address('Session')}: {{table: drop}}}}`" in str(wrong.value.hint)
    with pytest.raises(UsageError, match="this manifest has no such link") as wrong:
        atlas[shelf.address("Sesion")]
    assert wrong.value.hint == f"did you mean `{shelf.address('Session')}`?"


def test_a_class_of_a_manifest_pulls_what_is_wanted_and_the_parents_it_needs(shelf: Shelf) -> None:
    wanted = {"Subject": {"where": {"species": "mouse"}}, "Session": {"where": "day = 1"}}
    atlas = shelf.write(wanted)
    assert atlas.apply().succeeded
    session, subject = atlas[shelf.address("Session")], atlas[shelf.address("Subject")]
    subject.delete(prompt=False)
    assert [len(t.outbound) for t in (session, subject)] == [0, 0]
    done = session().pull({"subject": "A2"}, display_progress=False)
    assert (done.entities, [o.counts.pulled for o in done.along]) == (1, [1])
    assert subject.to_arrays("subject").tolist() == ["A2"]
    assert session().pull("day = 2", display_progress=False).entities == 0
    assert session().pull(display_progress=False).entities == 1
    assert len(subject()) == 2
    assert atlas.plan().has_changes is False


def test_a_restricted_pull_gives_nothing_back_that_the_manifest_would(shelf: Shelf) -> None:
    assert shelf.write(["Subject", "Session"]).apply().succeeded
    atlas = shelf.write({"Subject": {}, "Session": {"where": "day = 1"}}, unwanted="release")
    session = atlas[shelf.address("Session")]
    assert session().pull("subject = 'A1'", display_progress=False).entities == 0
    assert len(session()) == len(session.outbound) == 4


def test_deleting_a_manifests_rows_gives_them_back_until_it_is_applied_again(shelf: Shelf) -> None:
    atlas = shelf.write(["Subject", "Session"])
    assert atlas.apply().succeeded
    session, subject = atlas[shelf.address("Session")], atlas[shelf.address("Subject")]
    (subject & "species = 'rat'").delete(prompt=False)
    assert [len(t()) for t in (session, subject)] == [len(t.outbound) for t in (session, subject)] == [3, 2]
    applied = atlas.apply()
    assert {o.counts.pulled for o in applied.report.outcomes} == {1}


def test_a_link_whose_source_is_down_says_so(shelf: Shelf) -> None:
    document = shelf.notebook.rig.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    document["sources"]["lab_a"]["port"] = 1
    shelf.path.write_text(yaml.safe_dump(document))
    atlas = djlink_manifest.load(shelf.path)
    with pytest.raises(Unreachable) as caught:
        atlas[shelf.address("Subject")]
    assert caught.value.hint
    assert atlas.plan().has_errors


def test_what_is_declared_and_gives_no_link_is_told_with_its_cause_and_nothing_is_pulled_in_spite_of_it(
    shelf: Shelf,
) -> None:
    assert shelf.write(["Subject"]).apply().succeeded
    shelf.notebook.rig.run("lab_a", "INSERT INTO {lab}.`#subject` VALUES ('new', 'rat', NULL)")
    atlas = shelf.write({"*": {}, "Subjet": {"where": {"species": "mouse"}}})
    with pytest.raises(LinkRefused, match="the source has no such table") as caught:
        atlas[shelf.address("Subjet")]
    assert "did you mean `Subject`" in str(caught.value.hint)
    subject = atlas[shelf.address("Subject")]
    before = len(subject())
    for restrictions in ([], ["species = 'rat'"]):
        with pytest.raises(LinkRefused, match="Subjet cannot be linked: the source has no such table"):
            subject().pull(*restrictions)
    assert len(subject()) == before
    assert shelf.write({"Subject": {}})[shelf.address("Subject")]().pull().entities == 1


def test_a_table_of_a_manifest_is_not_decorated_too(shelf: Shelf) -> None:
    assert shelf.write(["Subject"]).apply().succeeded
    with pytest.raises(LinkRefused, match="belongs to the manifest"):
        shelf.notebook.link("Subject")


def test_a_manifest_that_is_not_valid_is_told_with_its_line(shelf: Shelf) -> None:
    shelf.path.write_text("manifest: 1\nname: x\nsource: {}\n")
    with pytest.raises(ManifestError) as caught:
        djlink_manifest.load(str(shelf.path))
    assert any(str(d.location).endswith("atlas.yaml:3") for d in caught.value.diagnostics)
