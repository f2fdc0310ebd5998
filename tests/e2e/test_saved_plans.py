"""`plan --out`, `show`, `apply FILE`: what was shown is what is done, and what moved since is said."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.cli.commands import saved_plans
from djlink_manifest.report.document.form import PlanDocument
from djlink_manifest.report.document.restore import plan_of
from djlink_manifest.report.plan.json_form import checksum
from djlink_manifest.report.plan.totals import of_plan
from tests.support.command import called
from tests.support.pipelines.deletion import TABLES, auto, document, local, outbound, request
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, CROSSED
from tests.support.sql import run_all

EACH = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)
ONE = pytest.mark.parametrize("servers", [ALIKE[0]], indirect=True, ids=str)


class Folder:
    """A rig's folder with a manifest, and the command in it."""

    def __init__(self, rig: Rig) -> None:
        run_all(rig, *TABLES)
        rig.accounts({"lab_a": ["lab"]})
        self.rig = rig
        self.file = rig.folder / "plan.json"

    def write(self, doc: dict[str, Any]) -> None:
        self.rig.write(doc)

    def djlink(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        ended = called(*arguments, environ=self.rig.environ, folder=self.rig.folder)
        assert "Traceback" not in ended.stderr
        assert code is None or ended.returncode == code, (ended.stdout, ended.stderr)
        return ended

    def plan(self, *options: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.djlink("plan", "--out", "plan.json", *options, code=code)

    def linked(self, doc: dict[str, Any]) -> None:
        """Write the manifest and apply it."""
        self.write(doc)
        self.djlink("apply", "--auto-approve")

    def stale(self, *words: str) -> str:
        """Apply the file: it is stale, for these reasons, and nothing is changed."""
        before = self.rows()
        ended = self.djlink("apply", "plan.json", code=1)
        assert "plan.json is stale: it was not applied, and nothing was changed" in ended.stderr
        for each in words:
            assert each in " ".join(ended.stderr.split()), ended.stderr
        assert "djlink plan --out plan.json" in ended.stderr
        assert self.rows() == before
        return ended.stderr

    def rows(self) -> list[Any]:
        """All local rows, and all outbound rows, of the tables that are there."""
        found = list[Any]()
        for table in ("subject", "session", "session__trial", "spikes"):
            found.append(self.is_linked(table) and sorted(map(str, local(self.rig, table))))
        for table in ("subject", "session", "spikes"):
            found.append(self.is_linked(table) and outbound(self.rig, table))
        return found

    def is_linked(self, table: str) -> bool:
        schema = self.rig.local_schema("lab_a", "lab")
        names = self.rig.run(
            "local", f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'"
        )
        return (table,) in names

    def value(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def put(self, value: dict[str, Any]) -> None:
        """Write a plan's file as somebody would who knows how: with the sums and the checksum made anew."""
        document = PlanDocument.model_validate_json(json.dumps(value))
        value = {**value, "summary": asdict(of_plan(plan_of(document)))}
        self.file.write_text(json.dumps({**value, "checksum": checksum(value)}))


@pytest.fixture
def folder(rig: Rig) -> Folder:
    return Folder(rig)


@EACH
def test_a_plan_is_written_shown_and_applied_without_a_question(folder: Folder) -> None:
    folder.write(document(folder.rig))
    shown = folder.plan()
    assert "next: `djlink apply plan.json`" in shown.stderr
    assert stat.S_IMODE(folder.file.stat().st_mode) == 0o600
    assert folder.djlink("show", "plan.json").stdout == shown.stdout
    assert json.loads(folder.djlink("show", "plan.json", "--json").stdout) == folder.value()
    assert list(folder.rig.folder.glob(".plan.json*")) == []
    applied = folder.djlink("apply", "plan.json")
    assert "3 links done" in applied.stdout
    assert len(local(folder.rig, "subject")) == 3
    assert "No changes" in folder.djlink("plan").stdout
    assert "No changes" in folder.djlink("apply", "plan.json").stdout


@ONE
def test_a_file_of_a_plan_has_no_secret_no_key_and_no_value(folder: Folder) -> None:
    rig = folder.rig
    rig.run("lab_a", "INSERT INTO {lab}.subject VALUES ('planted-key-4711', 'plantedvl')")
    rig.run("lab_a", "INSERT INTO {lab}.session VALUES ('planted-key-4711', 99)")
    folder.write({**auto(rig), "contact": "data@ourlab.example"})
    folder.plan()
    texts = [folder.file.read_text()]
    folder.djlink("apply", "plan.json")
    request(rig, "subject", "name = 'planted-key-4711'", reason="wrong mouse")
    rig.run("lab_a", "UPDATE {lab}.subject SET species = 'x' WHERE name = 'ann'")
    folder.plan("--verify")
    texts.append(folder.file.read_text())
    for text in texts:
        for secret in ("planted-key-4711", "plantedvl", PASSWORD, "'ann'", '"ann"', "mouse'"):
            assert secret not in text
    assert "wrong mouse" in texts[1]  # why something is asked for is what the reviewer needs


@EACH
def test_deletions_that_a_plan_shows_are_done_and_later_ones_make_it_stale(folder: Folder) -> None:
    rig = folder.rig
    folder.linked(auto(rig))
    request(rig, "spikes", "id = 1")
    assert "delete 1 local row" in folder.plan().stdout
    request(rig, "spikes", "id = 2")
    folder.stale("Spikes", "1 row to delete locally in the plan; now 2: a request came in since")
    folder.plan()
    folder.djlink("apply", "plan.json")
    assert {row[0] for row in local(rig, "spikes")} == {3}


def asked_later(folder: Folder, kind: str) -> None:
    """The owner requests another row of a link: one that is held, or one that the lab only has."""
    rig = folder.rig
    if kind == "not held":
        rig.run("lab_a", "INSERT INTO {lab}.spikes VALUES (7, NULL, NULL, NULL)")
        schema = rig.local_schema("lab_a", "lab")
        rig.run("local", f"INSERT INTO `{schema}`.spikes VALUES (7, NULL, NULL, NULL)")
    request(rig, "spikes", {"held": "id = 2", "not held": "id = 7"}[kind], reason="later")


@ONE
@pytest.mark.parametrize("later", ["held", "not held"])
def test_an_approved_deletion_is_done_though_more_is_requested_later(folder: Folder, later: str) -> None:
    rig = folder.rig
    folder.linked(document(rig))
    request(rig, "spikes", "id = 1")
    folder.djlink("approve", rig.address("lab_a", "lab", "Spikes"))
    assert "delete 1 local row" in folder.plan().stdout
    asked_later(folder, later)
    folder.djlink("apply", "plan.json")
    assert {row[0] for row in local(rig, "spikes")} == {2, 3} | ({7} if later == "not held" else set())
    folder.plan()
    folder.djlink("apply", "plan.json")  # what came later has no approval
    assert 2 in {row[0] for row in local(rig, "spikes")}


@ONE
@pytest.mark.parametrize("later", ["held", "not held"])
def test_a_granted_deletion_is_done_though_more_is_requested_later(folder: Folder, later: str) -> None:
    rig = folder.rig
    folder.linked(document(rig))
    request(rig, "spikes", "id = 1")
    asked = rig.outbound_table("lab", "spikes_deletion_requested")
    rig.run("lab_a", f"UPDATE {asked} SET granted_at = CURRENT_TIMESTAMP, granted_by = 'lee'")
    assert "delete 1 local row" in folder.plan().stdout
    asked_later(folder, later)
    folder.djlink("apply", "plan.json")
    assert {row[0] for row in local(rig, "spikes")} == {2, 3} | ({7} if later == "not held" else set())


@ONE
def test_an_approved_set_that_takes_other_rows_along_now_is_stale(folder: Folder) -> None:
    """Bound to the keys of the approved set and of what goes along, as many as they may be."""
    rig = folder.rig
    folder.linked(document(rig))
    request(rig, "session", "name = 'ann' AND n = 1")
    folder.djlink("approve", rig.address("lab_a", "lab", "Session"))
    folder.plan()
    request(rig, "session", "name = 'ann' AND n = 2")
    schema = rig.local_schema("lab_a", "lab")
    rig.run("local", f"UPDATE `{schema}`.spikes SET name = NULL, n = NULL, k = NULL WHERE id = 1")
    rig.run("local", f"UPDATE `{schema}`.spikes SET name = 'ann', n = 1, k = 7 WHERE id = 3")
    folder.stale("Session", "1 row to delete locally in the plan; now as many, but others")


@ONE
def test_as_many_other_rows_to_delete_make_a_plan_stale(folder: Folder) -> None:
    rig = folder.rig
    folder.linked(auto(rig))
    request(rig, "spikes", "id = 1")
    folder.plan()
    asked = rig.outbound_table("lab", "spikes_deletion_requested")
    rig.run("lab_a", f"DELETE FROM {asked}")
    request(rig, "spikes", "id = 2")
    folder.stale("Spikes", "1 row to delete locally in the plan; now as many, but others")
    rig.run("lab_a", f"DELETE FROM {asked}")
    folder.stale("1 row to delete locally in the plan; now 0")


@ONE
def test_pulls_may_have_grown_by_as_much_as_the_plan_says(folder: Folder) -> None:
    rig = folder.rig
    folder.linked(document(rig))
    for option in ([], ["--max-growth", "0"], ["--max-growth", "1"], ["--max-growth", "50%"]):
        rig.run("lab_a", "DELETE FROM {lab}.spikes WHERE id > 3")
        rig.run("lab_a", "INSERT INTO {lab}.spikes VALUES (4, NULL, NULL, NULL)")
        folder.plan(*option)
        rig.run("lab_a", "INSERT INTO {lab}.spikes VALUES (5, NULL, NULL, NULL), (6, NULL, NULL, NULL)")
        most = {"0": 1, "1": 2}.get(option[-1] if option else "")
        if most is not None:
            folder.stale("Spikes", f"1 row to come in the plan; now 3, and at most {most} may")
    folder.djlink("apply", "plan.json")
    assert len(local(rig, "spikes")) == 6


@ONE
def test_a_changed_table_a_new_table_and_a_blocked_link_make_a_plan_stale(folder: Folder) -> None:
    rig = folder.rig
    folder.linked(document(rig))
    folder.plan()
    rig.run("lab_a", "ALTER TABLE {lab}.spikes ADD extra int NULL")
    folder.stale(
        "Spikes", "the source table has another definition now", "column extra", "is not in the plan"
    )
    folder.plan()
    rig.run("lab_a", "CREATE TABLE {lab}.rig (id int PRIMARY KEY)")
    folder.stale("Rig", "it is a link now, and the plan does not have it")
    folder.plan()
    rig.run("lab_a", "DROP TABLE {lab}.rig")
    folder.stale("Rig", "it is in the plan, and no link now")
    folder.plan()
    rig.run("lab_a", "ALTER TABLE {lab}.subject DROP COLUMN species")
    folder.stale("Subject", "it is blocked now")


@ONE
def test_a_plan_of_another_manifest_or_without_terms_is_refused_with_the_next_step(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig))
    folder.plan()
    folder.write({**document(rig), "contact": "else@ourlab.example"})
    ended = folder.djlink("apply", "plan.json", code=1)
    assert "the manifest says something else than when plan.json was made" in ended.stderr
    folder.write({**document(rig), "name": "another"})
    assert "was made from the manifest" in folder.djlink("apply", "plan.json", code=1).stderr
    folder.write(document(rig))
    (rig.folder / "old.json").write_bytes(
        (Path(__file__).parents[1] / "unit" / "plan_files" / "version_1.json").read_bytes()
    )
    assert "cannot" not in folder.djlink("show", "old.json").stderr
    assert "can be shown but not applied" in folder.djlink("apply", "old.json", code=1).stderr
    assert not folder.is_linked("subject")


def _broken_manifest(folder: Folder) -> None:
    folder.write({**document(folder.rig), "sources": 7})


def _another_server(folder: Folder) -> None:
    value = folder.value()
    value["sources"][0]["identity"] = "0" * 64
    folder.put(value)


REFUSED: dict[str, tuple[Callable[[Folder], object], str]] = {
    "another manifest": (lambda f: f.write({**document(f.rig), "contact": "x@y.z"}), "something else than"),
    "another name": (lambda f: f.write({**document(f.rig), "name": "other"}), "was made from the manifest"),
    "another server": (_another_server, "is another server than"),
    "no file": (lambda f: f.file.unlink(), "cannot be read"),
    "no plan": (lambda f: f.file.write_text("{}"), "is not a plan of djlink"),
    "no terms": (lambda f: f.file.write_text(f.djlink("plan", "--json").stdout), "it lacks `terms`"),
    "a broken manifest": (_broken_manifest, "sources"),
}


@ONE
def test_whatever_refuses_a_file_is_told_as_json_too(folder: Folder) -> None:
    for case, (move, words) in REFUSED.items():
        folder.write(document(folder.rig))
        folder.file.unlink(missing_ok=True)
        folder.plan()
        move(folder)
        ended = folder.djlink("apply", "plan.json", "--json", code=1)
        [told] = map(json.loads, ended.stdout.splitlines())
        assert told["type"] == "refused", case
        assert words in told["reason"], case
        assert words in " ".join(ended.stderr.split()), case
        assert not folder.is_linked("subject")


@ONE
def test_the_output_of_plan_json_says_which_option_makes_files_to_apply(folder: Folder) -> None:
    folder.write(document(folder.rig))
    folder.file.write_text(folder.djlink("plan", "--json").stdout)
    told = " ".join(folder.djlink("apply", "plan.json", code=1).stderr.split())
    assert "`djlink plan --out FILE` writes them, `djlink plan --json` does not" in told
    assert "run `djlink plan --out plan.json`, then apply that" in told
    folder.plan()
    folder.djlink("apply", "plan.json")
    assert "nothing to apply" in folder.plan().stderr
    assert "djlink apply" not in folder.plan().stderr


@ONE
def test_a_plan_with_errors_is_kept_and_not_applied(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig, ["Subject", "Sessoin"]))
    assert "cannot be applied" in folder.plan(code=1).stderr
    assert "Sessoin" in folder.djlink("show", "plan.json").stdout
    assert "plan.json has errors and is not applied" in folder.djlink("apply", "plan.json", code=1).stderr
    folder.plan("--target", rig.address("lab_a", "lab", "Subject"))
    folder.djlink("apply", "plan.json")
    assert folder.is_linked("subject")


@ONE
def test_a_plan_keeps_its_selection(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig))
    folder.plan("--target", "*.Session", "--exclude", "*.Spikes")
    assert "2 links done" in folder.djlink("apply", "plan.json").stdout
    assert not folder.is_linked("spikes")


@ONE
def test_a_plan_for_another_local_server_or_source_is_refused(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig))
    folder.plan()
    value = folder.value()
    value["local"]["identity"] = "0" * 64
    folder.put(value)
    assert "local (" in folder.djlink("apply", "plan.json", code=1).stderr
    value = folder.value()
    value["local"], value["sources"][0]["identity"] = folder.value()["local"], "0" * 64
    assert not folder.is_linked("subject")


@pytest.mark.parametrize("option", [["--target", "x.y.Z"], ["--exclude", "x.y.Z"], ["--verify"],
                                    ["--max-deletions", "5"]], ids=lambda o: o[0])  # fmt: skip
def test_an_apply_of_a_file_takes_no_option_of_planning(option: list[str], tmp_path: Path) -> None:
    ended = called("apply", "plan.json", *option, environ={}, folder=tmp_path)
    assert ended.returncode == 1
    assert f"{option[0]} does not go with a plan's file" in ended.stderr


@ONE
def test_a_plan_replaces_a_plan_and_nothing_else(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig))
    folder.plan()
    folder.plan()
    manifest = (rig.folder / "djlink.yaml").read_bytes()
    for name, words in (
        ("djlink.yaml", "djlink.yaml is there already and is not replaced"),
        ("nowhere/plan.json", "there is no folder nowhere"),
        (".", "not replaced"),
        ("/dev/null", "is not a regular file"),
    ):
        ended = folder.djlink("plan", "--out", name, code=1)
        assert words in ended.stderr
    (rig.folder / "link.json").symlink_to("plan.json")
    assert "symbolic link" in folder.djlink("plan", "--out", "link.json", code=1).stderr
    assert (rig.folder / "djlink.yaml").read_bytes() == manifest
    assert "--max-deletions is not kept" in folder.plan("--max-deletions", "5", code=1).stderr
    assert "add --out FILE" in folder.djlink("plan", "--max-growth", "5", code=1).stderr


@ONE
def test_a_plan_names_its_manifest_and_cannot_name_any_other_file(folder: Folder, tmp_path: Path) -> None:
    rig = folder.rig
    rig.write(document(rig), "atlas.yaml")
    folder.djlink("plan", "-f", "atlas.yaml", "--out", "plan.json")
    folder.djlink("plan", "-f", str(rig.folder / "atlas.yaml"), "--out", "plan.json")
    assert folder.value()["terms"]["files"] == ["atlas.yaml"]
    outside = tmp_path / "outside.yaml"
    outside.write_bytes((rig.folder / "atlas.yaml").read_bytes())
    value = folder.value()
    for name in (str(outside), "../outside.yaml", "~/x.yaml\0"):
        folder.put({**value, "terms": {**value["terms"], "files": [name]}})
        folder.djlink("apply", "plan.json", code=1)
    folder.put({**value, "terms": {**value["terms"], "files": [str(outside)]}})
    ended = folder.djlink("apply", "plan.json", code=1)
    assert "is not in this folder" in ended.stderr
    folder.djlink("apply", "plan.json", "-f", "atlas.yaml")
    assert folder.is_linked("subject")


@ONE
def test_the_events_of_a_stale_plan_say_what_moved(folder: Folder) -> None:
    rig = folder.rig
    folder.write(document(rig))
    folder.plan()
    rig.run("lab_a", "ALTER TABLE {lab}.spikes ADD extra int NULL")
    ended = folder.djlink("apply", "plan.json", "--json", code=1)
    [event] = [json.loads(each) for each in ended.stdout.splitlines()]
    assert event["type"] == "stale"
    assert {each["address"] for each in event["moved"]} == {rig.address("lab_a", "lab", "Spikes")}


@EACH
def test_an_apply_of_a_file_holds_to_the_guards_of_the_manifest(folder: Folder) -> None:
    """Who can write the file may order what the manifest allows, and no more."""
    rig = folder.rig
    folder.linked(auto(rig))
    request(rig, "spikes", "id < 3")
    folder.plan()
    generous = folder.value()
    strict = [
        document(rig),  # deletions: review
        document(rig, defaults={"deletions": "auto", "max_deletions": 1}),
    ]
    for manifest in strict:
        folder.write(manifest)
        folder.plan(code=None)
        value = folder.value()
        folder.put({**generous, "manifest": value["manifest"]})
        folder.stale("Spikes", "2 rows to delete locally in the plan; now 0")
    assert len(local(rig, "spikes")) == 3


@ONE
def test_a_file_that_was_edited_orders_nothing_that_is_not_due(folder: Folder) -> None:
    rig = folder.rig
    folder.linked(auto(rig))
    request(rig, "spikes", "id = 1")
    rig.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'cat')")
    folder.plan()
    honest = folder.value()
    address = rig.address("lab_a", "lab", "Spikes")
    [spikes] = [link for link in honest["links"] if link["address"] == address]
    [delete] = [action for action in spikes["actions"] if action["kind"] == "delete"]
    changes: list[dict[str, Any]] = [
        {"entities": 2, "rows": [{"table": delete["rows"][0]["table"], "rows": 2}]},
        {"entities": 0},
        {"cause": "granted"},
        {"cause": "unwanted"},
        {"bound": []},
        {"along": [{"address": rig.address("lab_a", "lab", "Subject"), "entities": 1}]},
    ]
    for change in changes:
        value = json.loads(json.dumps(honest))
        for link in value["links"]:
            link["actions"] = [
                {**action, **change} if action == delete else action for action in link["actions"]
            ]
        folder.put(value)
        folder.stale("Spikes", "to delete locally in the plan")
    # words decide nothing: what is done is what is due, and what a reader saw
    value = json.loads(json.dumps(honest))
    for link in value["links"]:
        for action in link["actions"]:
            action["reason"] = "ordered by the king"
    folder.put(value)
    ended = folder.djlink("apply", "plan.json")
    assert "ordered by the king" not in ended.stdout
    assert {row[0] for row in local(rig, "spikes")} == {2, 3}
    assert len(local(rig, "subject")) == 4


@EACH
def test_a_request_between_the_comparison_and_the_apply_waits_for_the_next_plan(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, compare = folder.rig, saved_plans.what_moved
    folder.linked(auto(rig))
    request(rig, "spikes", "id = 1")
    folder.plan()

    def late(*given: Any) -> Any:
        found = compare(*given)
        request(rig, "spikes", "id = 2")
        return found

    monkeypatch.setattr(saved_plans, "what_moved", late)
    folder.djlink("apply", "plan.json")
    assert {row[0] for row in local(rig, "spikes")} == {2, 3}
    assert "delete 1 local row" in folder.djlink("plan").stdout
