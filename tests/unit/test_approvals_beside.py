"""An `approvals.yaml` beside the manifest: read without being named, and able to approve and nothing else."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from djlink_manifest.cli.root import djlink
from djlink_manifest.errors import Diagnostic
from djlink_manifest.manifest.edit.approvals import empty_approvals, name_in
from djlink_manifest.manifest.load import load, read
from tests.support.command import called
from tests.unit.manifest_cases import tables, written

MANIFEST = tables("Subject: {}")
DIGESTS = ["sha256:" + 32 * pair for pair in ("ab", "cd")]


def entry(digest: str = DIGESTS[0]) -> str:
    return (
        f'  - {{link: lab_a.s.Subject, keys: "{digest}", count: 2, until: "2026-11-20T09:00:00Z", by: a.lee, '
        'date: "2026-11-20"}\n'
    )


def errors(paths: list[Path]) -> list[Diagnostic]:
    return [each for each in read(paths)[1] if each.severity == "error"]


def test_approvals_beside_the_manifest_are_read_and_the_file_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    without = load([path])
    beside = written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    manifest = load([path])
    assert [each.keys for each in manifest.approvals] == DIGESTS[:1]
    assert (without.files, without.found) == ((str(path),), ())
    assert (manifest.files, manifest.found) == ((str(path), str(beside)), (str(beside),))
    assert manifest.digest != without.digest
    assert manifest.approvals[0].location.file == str(beside)


def test_they_are_joined_to_the_manifests_own(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST + "approvals:\n" + entry(DIGESTS[1]))
    written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    assert {each.keys for each in load([path]).approvals} == set(DIGESTS)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "approvals:\n", "approvals: []\n", "manifest: 1\n"])
def test_a_file_without_approvals_takes_none_away(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST + "approvals:\n" + entry())
    written(tmp_path, text, "approvals.yaml")
    assert len(load([path]).approvals) == 1


def test_a_file_that_is_named_or_lies_in_a_named_folder_is_read_once(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    beside = written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    (tmp_path / "link.yaml").symlink_to("approvals.yaml")
    (tmp_path / "x").mkdir()
    for other in (beside, tmp_path / "link.yaml", tmp_path / "x" / ".." / beside.name):
        manifest = load([path, other])
        assert (len(manifest.approvals), manifest.found) == (1, ())
    (tmp_path / "link.yaml").unlink()
    manifest = load([tmp_path])
    assert (len(manifest.approvals), manifest.found) == (1, ())


def test_each_folder_of_a_named_file_counts(tmp_path: Path) -> None:
    base, over = written(tmp_path / "a", MANIFEST), written(tmp_path / "b", "contact: x@y.example\n")
    for name, digest in zip("ab", DIGESTS, strict=True):
        written(tmp_path / name, "approvals:\n" + entry(digest), "approvals.yaml")
    manifest = load([base, over])
    assert {each.keys for each in manifest.approvals} == set(DIGESTS)
    assert len(manifest.found) == 2


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("local", "local: {host: db.evil.example}\n"),
        ("sources", "sources: {lab_a: {host: db.evil.example}}\n"),
        ("sources", "sources: null\n"),
        ("removed", "removed: {lab_a.s.Subject: {table: drop}}\n"),
        ("defaults", "defaults: {deletions: auto}\n"),
        ("contact", "contact: other@lab.example\n"),
    ],
)
def test_it_can_change_nothing_else(key: str, text: str, tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    beside = written(tmp_path, "approvals:\n" + entry() + text, "approvals.yaml")
    [told] = errors([path])
    assert told.summary.startswith(f"`{key}` is not taken from a file that is read without being named")
    assert (told.location.file, told.location.line) == (str(beside), 3)
    assert f"-f {beside}" in str(told.help)


def test_approvals_of_another_manifest_in_the_folder_are_not_taken(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    written(tmp_path, "name: paper\napprovals:\n" + entry(), "approvals.yaml")
    manifest = load([path])
    assert (manifest.approvals, manifest.files, manifest.found) == ((), (str(path),), ())
    written(tmp_path, "name: atlas\napprovals:\n" + entry(), "approvals.yaml")
    assert len(load([path]).approvals) == 1
    assert len(load([tmp_path]).approvals) == 1  # side by side, both files have the name


def test_a_folder_of_two_names_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST)
    written(tmp_path, "name: paper\napprovals:\n" + entry(), "approvals.yaml")
    [told] = errors([tmp_path])
    assert told.summary == "the key `name` occurs in two files of one directory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("approvals: {}\n", "list"),
        ("approvals: [\n", "approvals.yaml"),
        ("- 1\n", "mapping"),
        ("approvals:\n  - {link: lab_a.s.Subject}\n", "keys"),
    ],
)
def test_a_broken_file_is_an_error_of_its_own(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    written(tmp_path, text, "approvals.yaml")
    told = errors([path])
    assert {Path(each.location.file).name for each in told} == {"approvals.yaml"}
    assert said in " ".join(f"{each.location} {each.summary} {each.help}" for each in told)


def test_what_is_there_and_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    (tmp_path / "approvals.yaml").symlink_to("nowhere")
    assert "cannot be read" in errors([path])[0].summary
    (tmp_path / "approvals.yaml").unlink()
    (tmp_path / "approvals.yaml").mkdir()
    assert "cannot be read" in errors([path])[0].summary


def test_a_file_that_approve_begins_says_whose_it_is(tmp_path: Path) -> None:
    for name in ("atlas", "1e3", "007", "no", "a.b_c-1"):
        text = empty_approvals(name)
        assert name_in(text) == name
        path = written(tmp_path, MANIFEST.replace("name: atlas", f'name: "{name}"'))
        written(tmp_path, text + "approvals:\n" + entry(), "approvals.yaml")
        assert len(load([path]).approvals) == 1


def test_commands_say_that_they_read_it(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    environ = {"DJ_USER": "me", "LINK_OUTBOUND": "o", "LINK_USER": "l"}
    ended = called("grants", environ=environ, folder=tmp_path)
    assert ended.stderr == "approvals.yaml is read too, as it lies beside the manifest.\n"
    assert "djlink.yaml, approvals.yaml: valid" in called("validate", environ={}, folder=tmp_path).stdout


TOLD = "is read too, as it lies beside the manifest"
ARGUMENTS = {
    "adopt": ["lab_a.s.Subject"],
    "approve": ["lab_a.s.Subject"],
    "count": ["lab_a.s.Subject"],
    "diff": ["djlink.yaml"],
    "explain": ["lab_a.s.Subject", "id=1"],
}


def on_manifests() -> list[tuple[str, click.Command]]:
    """The commands that read the manifest and plan from it or print it."""
    return [
        (name, each)
        for name, each in sorted(djlink.commands.items())
        if any(p.name == "files" for p in each.params) and name not in ("init", "fmt")
    ]


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_output_for_programs_and_quiet_output_do_not_tell_which_files_were_read(
    option: str, tmp_path: Path
) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    asked = 0
    for name, each in on_manifests():
        if not any(option in parameter.opts for parameter in each.params):
            continue
        agreed = ["--yes"] if any("--yes" in parameter.opts for parameter in each.params) else []
        ended = called(name, *ARGUMENTS.get(name, []), option, *agreed, environ={}, folder=tmp_path)
        assert TOLD not in ended.stderr, name
        asked += 1
    assert asked > 2


def test_a_plan_names_its_files_itself(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    written(tmp_path, "approvals:\n" + entry(), "approvals.yaml")
    assert TOLD not in called("plan", environ={}, folder=tmp_path).stderr
    assert TOLD in called("status", environ={}, folder=tmp_path).stderr
