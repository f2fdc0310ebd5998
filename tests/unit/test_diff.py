"""`djlink diff`: what a change of a manifest means, offline, from files, folders and revisions of git."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from djlink_manifest.manifest.compare.changes import Change
from djlink_manifest.manifest.compare.compare import compare
from djlink_manifest.manifest.compare.meaning import extent
from djlink_manifest.manifest.load import load
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, SqlCondition
from djlink_manifest.report.commands.diff import diff_markdown
from tests.support.command import called
from tests.support.hostile_text import HOSTILE
from tests.support.markdown import Rendered
from tests.unit.manifest_cases import HEAD, SOURCE, tables, written


def changes(folder: Path, old: str, new: str) -> list[Change]:
    before = load([written(folder, old, "old.yaml")])
    after = load([written(folder, new, "new.yaml")])
    return list(compare(before, after))


def told(found: list[Change]) -> list[tuple[str, tuple[str, ...], str, str | None, str | None, bool]]:
    return [(c.kind, c.subjects, c.option, c.before, c.after, c.is_risky) for c in found]


def test_a_manifest_says_the_same_as_itself(tmp_path: Path) -> None:
    text = tables("'*': {pull: needed}\nT: {where: {a: [1, 2]}}")
    assert changes(tmp_path, text, text + "# and a comment\n") == []


OPTION_CASES = {
    "where, narrower": (
        "T: {where: {a: [1, 2]}}",
        "T: {where: {a: 1}}",
        ("where", "a IN (1, 2)", "a = 1", False),
        "fewer rows are wanted; pulled ones that no longer match stay",
    ),
    "where, narrower under release": (
        "T: {unwanted: release}",
        "T: {unwanted: release, where: {a: 1}}",
        ("where", None, "a = 1", True),
        "that no longer match are deleted locally and released at the source, up to 5% of the rows",
    ),
    "where, wider": (
        "T: {where: {a: 1, b: x}}",
        "T: {where: {a: 1}}",
        ("where", "a = 1 AND b = 'x'", "a = 1", False),
        "more rows are wanted; those that it adds are pulled",
    ),
    "where, other": (
        'T: {where: "a > 1"}',
        'T: {where: "a > 2"}',
        ("where", "a > 1", "a > 2", False),
        "other rows are wanted",
    ),
    "where, taken away": (
        "T: {where: {a: 1}}",
        "T: {}",
        ("where", "a = 1", None, False),
        "more rows are wanted",
    ),
    "deletions": (
        "T: {deletions: review}",
        "T: {deletions: auto, max_deletions: 20}",
        ("deletions", "review", "auto", True),
        "carried out without approval, up to 20 rows in 24 hours",
    ),
    "deletions, back": (
        "T: {deletions: auto}",
        "T: {}",
        ("deletions", "auto", "review", False),
        "wait for an approval",
    ),
    "unwanted": (
        "T: {}",
        "T: {unwanted: release}",
        ("unwanted", "keep", "release", True),
        "those kept so far too, are deleted locally and released at the source",
    ),
    "unwanted, back": ("T: {unwanted: release}", "T: {}", ("unwanted", "release", "keep", False), "stay"),
    "pull none": ("T: {}", "T: {pull: none}", ("pull", "all", "none", False), "nothing new is pulled"),
    "pull needed under release": (
        "T: {unwanted: release}\nU: {}",
        "T: {unwanted: release, pull: needed}\nU: {}",
        ("pull", "all", "needed", True),
        "pulled ones that nothing needs are deleted and released",
    ),
    "changed": ("T: {}", "T: {changed: mend}", ("changed", "report", "mend", True), "replaces local values"),
    "max_deletions": (
        "T: {max_deletions: 20}",
        "T: {max_deletions: 30}",
        ("max_deletions", "20", "30", True),
        "30 rows of a link may be deleted without approval",
    ),
    "max_deletions, fewer": (
        "T: {max_deletions: 5%}",
        "T: {max_deletions: 2%}",
        ("max_deletions", "5%", "2%", False),
        "2% of the rows",
    ),
    "stores": (
        "T: {}",
        "T: {stores: {raw: ours}}",
        ("stores", None, "raw: ours", False),
        "go to the new stores",
    ),
    "schema_name": (
        "T: {}",
        "T: {schema_name: other}",
        ("schema_name", "{schema}", "other", True),
        "blocked, unless `moved`",
    ),
    "collation": (
        "T: {}",
        "T: {collation: utf8mb4_bin}",
        ("collation", "source", "utf8mb4_bin", True),
        "in place",
    ),
    "outbound_table": (
        "T: {}",
        "T: {outbound_table: t2}",
        ("outbound_table", None, "t2", True),
        "blocked until",
    ),
}


@pytest.mark.parametrize("case", OPTION_CASES)
def test_each_option_that_changes_is_told_with_its_values_and_what_it_means(
    tmp_path: Path, case: str
) -> None:
    old, new, (option, before, after, is_risky), words = OPTION_CASES[case]
    found = [c for c in changes(tmp_path, tables(old), tables(new)) if c.option == option]
    assert told(found) == [("changed", ("lab_a.s.T",), option, before, after, is_risky)]
    assert words in found[0].meaning
    assert found[0].location is not None
    assert found[0].location.file.endswith("new.yaml")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, Equals("a", (1,)), "narrower"),
        (Equals("a", (1,)), None, "wider"),
        (Equals("a", (1, 2)), Equals("a", (2,)), "narrower"),
        (Equals("a", (1, True)), Equals("a", (True,)), "narrower"),
        (Equals("a", (1,)), Equals("b", (1,)), "other"),
        (AnyOf((Equals("a", (1,)), SqlCondition("x"))), SqlCondition("x"), "narrower"),
        (SqlCondition("x"), AllOf((SqlCondition("x"), Equals("b", (2,)))), "narrower"),
        (AllOf((SqlCondition("x"), SqlCondition("y"))), SqlCondition("y"), "wider"),
        (SqlCondition("a > 1"), SqlCondition("a > 2"), "other"),
    ],
)
def test_a_condition_is_called_narrower_only_where_that_is_sure(
    one: Condition | None, other: Condition | None, expected: str
) -> None:
    assert extent(one, other) == expected


def test_an_option_that_falls_is_told_once_for_all_its_links(tmp_path: Path) -> None:
    text = tables("A: {}\nB: {}\nC: {unwanted: keep}")
    [change] = changes(tmp_path, text, text + "defaults: {unwanted: release}\n")
    assert change.subjects == ("lab_a.s.A", "lab_a.s.B")


def test_links_that_come_and_go_and_what_becomes_of_their_rows(tmp_path: Path) -> None:
    old = tables("A: {}\nB: {}\nC: {}\nD: {}")
    new = tables("A: {}\nE: {where: {a: 1}}") + (
        "removed: {lab_a.s.B: {table: keep}, lab_a.s.C: {table: drop}, lab_a.s.Long_ago: {table: drop}}\n"
    )
    found = changes(tmp_path, old, new)
    assert told(found) == [
        ("removed", ("lab_a.s.B",), "", None, "removed: keep", False),
        ("removed", ("lab_a.s.C",), "", None, "removed: drop", True),
        ("removed", ("lab_a.s.D",), "", None, None, True),
        ("added", ("lab_a.s.E",), "", None, None, False),
        ("changed", ("lab_a.s.Long_ago",), "removed", None, "drop", True),
    ]
    words = {c.subjects[0][-1]: c.meaning for c in found}
    assert "the local tables stay, as ordinary ones" in words["B"]
    assert "the local tables are dropped" in words["C"]
    assert "it is forgotten: what was pulled stays protected" in words["D"]
    assert "rows where a = 1 are pulled" in words["E"]


def test_a_table_that_a_glob_matched_before_is_not_new_and_not_removed(tmp_path: Path) -> None:
    glob, named = tables("'*': {}"), tables("'*': {}\nScan: {where: {a: 1}}\n_other: {}")
    [change] = changes(tmp_path, glob, named)
    assert (change.subjects, change.option) == (("lab_a.s.Scan",), "where")
    [change] = changes(tmp_path, named, glob)
    assert (change.subjects, change.option, change.after) == (("lab_a.s.Scan",), "where", None)


def test_a_glob_that_goes_leaves_the_tables_that_only_it_matched_forgotten(tmp_path: Path) -> None:
    found = changes(tmp_path, tables("'*': {}"), tables("Scan: {}"))
    assert told(found) == [("removed", ("lab_a.s.*",), "", None, None, True)]
    assert "its tables that no other entry matches are forgotten" in found[0].meaning


def test_one_table_spelled_otherwise_is_the_same(tmp_path: Path) -> None:
    assert changes(tmp_path, tables("SpikeSorting: {}"), tables("__spike_sorting: {}")) == []


def test_what_is_excluded_is_told(tmp_path: Path) -> None:
    old, new = tables("'*': {}"), tables("'*': {}", "        exclude: ['*Debug*']\n")
    assert told(changes(tmp_path, old, new)) == [("changed", ("lab_a.s",), "exclude", None, "*Debug*", True)]
    assert told(changes(tmp_path, new, old)) == [("changed", ("lab_a.s",), "exclude", "*Debug*", None, False)]


@pytest.mark.parametrize(
    ("entry", "new"),
    [
        ("{from: lab_a, to: lab_z}", tables("T: {where: {a: 1}}").replace("lab_a:", "lab_z:")),
        ("{from: lab_a.s, to: lab_a.r}", tables("T: {where: {a: 1}}").replace("      s:", "      r:")),
        ("{from: lab_a.s.T, to: lab_a.s.U}", tables("U: {where: {a: 1}}")),
    ],
)
def test_what_moves_is_neither_removed_nor_added_and_its_options_are_compared(
    tmp_path: Path, entry: str, new: str
) -> None:
    found = changes(tmp_path, tables("T: {}"), f"{new}moved: [{entry}]\n")
    kinds = [(c.kind, c.option) for c in found if not c.subjects[0].startswith("sources.")]
    assert kinds == [("moved", ""), ("changed", "where")]


def test_servers_names_and_approvals_are_told_and_no_secret(tmp_path: Path) -> None:
    old = tables("T: {}")
    new = old.replace("host: db.lab-a.example", "host: evil.example\n    password: ${env:OTHER}").replace(
        "name: atlas", "name: other"
    ) + (
        "approvals:\n  - {link: lab_a.s.T, keys: 'sha256:" + "a" * 64 + "', count: 17, "
        "until: 2026-11-20T09:00:00Z, with: {lab_a.s.U: 3400}, by: a.lee, date: 2026-11-20}\n"
    )
    found = {(c.subjects[0], c.option): c for c in changes(tmp_path, old, new)}
    assert found["sources.lab_a", "host"].after == "evil.example"
    assert found["sources.lab_a", "password"].after == "${env:OTHER}"
    assert "adopt" in found["name", "name"].meaning
    approval = found["lab_a.s.T", "approvals"]
    assert "deletes 17 rows whose deletion is requested, with 3,400 of lab_a.s.U" in approval.meaning
    assert all(c.is_risky for c in found.values())


@pytest.mark.parametrize(("with_orphans", "noun"), [("false", "row"), ("true", "local row")])
def test_an_approval_of_one_row_is_told_as_one_row(with_orphans: str, noun: str, tmp_path: Path) -> None:
    old = tables("T: {}")
    for count, words in ((1, f"deletes 1 {noun} w"), (2, f"deletes 2 {noun}s w")):
        new = old + (
            "approvals:\n  - {link: lab_a.s.T, keys: 'sha256:" + "a" * 64 + f"', count: {count}, "
            f"orphans: {with_orphans}, by: a.lee, date: 2026-11-20"
            + (", until: 2026-11-20T09:00:00Z}\n" if with_orphans == "false" else "}\n")
        )
        for folder, (first, second) in (("added", (old, new)), ("removed", (new, old))):
            (tmp_path / f"{folder}{count}").mkdir()
            [change] = changes(tmp_path / f"{folder}{count}", first, second)
            assert words.removeprefix("deletes ") in change.meaning
            assert folder == "removed" or words in change.meaning


@pytest.mark.parametrize(
    "text", [t for t in HOSTILE if "\n" not in t and "\x1b" not in t and "\u202e" not in t]
)
def test_hostile_text_of_a_manifest_does_nothing_in_markdown(tmp_path: Path, text: str) -> None:
    where = json.dumps(f"a = '{text}'".replace("\\", ""))
    found = changes(
        tmp_path,
        tables("T: {}"),
        tables("T: {where: " + where + "}").replace("data@lab.example", json.dumps(text)),
    )
    made = Rendered(diff_markdown(found))
    assert set(made.tags) <= {"h3", "p", "strong", "ul", "li", "code"}
    assert made.linked == []


class Repository:
    """A repository with a manifest that changes on a branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "a")
        self.git("config", "user.email", "a@b.example")

    def git(self, *arguments: str) -> None:
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, env=environ, capture_output=True)

    def commit(self, text: str, name: str = "djlink.yaml") -> None:
        written(self.folder, text, name)
        self.git("add", "-A")
        self.git("commit", "-qm", "x")

    def diff(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return called("diff", *arguments, environ={}, folder=folder or self.folder)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_revision_is_compared_with_the_working_folder_and_with_another_revision(
    repository: Repository,
) -> None:
    repository.commit(tables("T: {}"))
    repository.git("tag", "v1")
    repository.commit(tables("T: {where: {a: 1}}"))
    written(repository.folder, tables("T: {where: {a: 1}, deletions: auto}"), "djlink.yaml")
    ended = repository.diff("git:v1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "where: – → a = 1" in ended.stdout
    assert "deletions: review → auto" in ended.stdout
    ended = repository.diff("git:v1", "git:main", "--json")
    told = json.loads(ended.stdout)
    assert (told["old"], told["new"]) == (["git:v1:djlink.yaml"], ["git:main:djlink.yaml"])
    assert [(c["option"], c["after"]) for c in told["changes"]] == [("where", "a = 1")]
    assert repository.diff("git:HEAD", "git:main").stdout == "The manifests say the same.\n"
    assert repository.diff("git:v1", "--markdown").stdout.startswith("### What the manifest's change means")


def test_folders_overlays_and_files_beside_are_read_in_the_revision(repository: Repository) -> None:
    repository.commit(HEAD + SOURCE + "      s: {tables: [T]}\n", "m/atlas.yaml")
    repository.commit("removed: {lab_a.s.Old: {table: keep}}\n", "m/removed.yaml")
    repository.commit("defaults: {unwanted: release}\n", "here.yaml")
    approval = f"{{link: lab_a.s.T, keys: 'sha256:{'a' * 64}', count: 1, until: 2026-11-20T09:00:00Z, "
    approval += "by: a, date: 2026-11-20}"
    repository.commit(f"approvals: [{approval}]\n", "approvals.yaml")
    told = json.loads(repository.diff("git:HEAD~3", "git:main", "-f", "m", "--json").stdout)
    assert [(c["option"], c["after"]) for c in told["changes"]] == [("removed", "keep")]
    assert told["new"] == ["git:main:m/atlas.yaml", "git:main:m/removed.yaml"]
    told = json.loads(repository.diff("git:main", "git:main", "-f", "m", "-f", "here.yaml", "--json").stdout)
    assert told["new"][-1] == "git:main:approvals.yaml"
    # from a folder below, and by git's own way of naming a path
    inside = repository.folder / "m"
    assert repository.diff("git:main", "-f", "atlas.yaml", folder=inside).returncode == 0
    assert repository.diff("git:main:m/atlas.yaml", "git:main:./atlas.yaml", folder=inside).returncode == 0


REFUSED = {
    "no such revision": (("git:nope",), "there is no revision `nope`"),
    "an option of git": (("git:--output=x",), "names no revision"),
    "nothing": (("git:",), "names no revision"),
    "spaces": (("git:main --exec",), "names no revision"),
    "a range": (("git:main..main",), "there is no revision"),
    "a tree": (("git:main^{tree}",), "there is no revision"),
    "no such file": (("git:main", "-f", "other.yaml"), "other.yaml"),
    "out of the repository": (("git:main:../../etc/passwd",), "not in the work tree"),
    "out of it over a folder": (("git:main:a/../../etc/passwd",), "does not start from the top"),
    "an absolute path": (("git:main:/etc/passwd",), "does not start from the top"),
    "a file that is none": (("nope.yaml",), "The old manifest, nope.yaml, is not valid"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_names_no_manifest_is_refused_with_a_next_step(repository: Repository, case: str) -> None:
    repository.commit(tables("T: {}"))
    arguments, words = REFUSED[case]
    ended = repository.diff(*arguments)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_the_next_step_for_a_revision_names_origin_only_where_there_is_one(repository: Repository) -> None:
    repository.commit(tables("T: {}"))
    said = repository.diff("git:nope").stderr
    assert "origin" not in said
    assert "git branch --all" in said
    repository.git("remote", "add", "origin2", "https://nowhere.example/x.git")
    assert "git fetch origin" not in repository.diff("git:nope").stderr
    repository.git("remote", "add", "origin", "https://nowhere.example/x.git")
    assert "git fetch origin nope" in repository.diff("git:nope").stderr


def test_a_manifest_that_is_not_there_is_never_answered_with_a_new_one(repository: Repository) -> None:
    repository.commit(tables("T: {}"), "djlink.yaml")
    for arguments, environ in (
        (("diff", "nope.yaml"), {}),
        (("plan", "--against", "nope.yaml"), {}),
        (("validate",), {"DJLINK_FILE": "nope.yaml"}),
        (("validate", "-f", "nope.yaml"), {}),
    ):
        ended = called(*arguments, environ=environ, folder=repository.folder)
        assert ended.returncode == 1
        assert "`-f FILE`" in ended.stderr
        assert "djlink init" not in ended.stderr


def test_a_name_that_a_tag_and_a_branch_have_is_refused_and_the_whole_name_is_read(
    repository: Repository,
) -> None:
    """Who may push a tag would choose what a change is compared with."""
    repository.commit(tables("T: {}"))
    repository.git("update-ref", "refs/remotes/origin/main", "HEAD")
    repository.commit(tables("T: {where: {a: 1}}"))
    assert "a = 1" in repository.diff("git:origin/main").stdout
    for tag in ("origin/main", "main"):
        repository.git("tag", tag)
        ended = repository.diff(f"git:{tag}")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"`git:{tag}` is ambiguous" in ended.stderr
    assert "a = 1" in repository.diff("git:refs/remotes/origin/main").stdout


def test_the_side_that_is_not_valid_is_named_and_both_are_told(repository: Repository) -> None:
    repository.commit(tables("T: {pul: all}"))
    written(repository.folder, tables("T: {}\nU: {unwnted: keep}"), "djlink.yaml")
    ended = repository.diff("git:main")
    assert ended.returncode == 1
    first, second = (
        ended.stderr.index("The old manifest, git:main, is not valid"),
        ended.stderr.index("The new manifest is"),
    )
    assert (
        first < ended.stderr.index("git:main:djlink.yaml:") < second < ended.stderr.index("╭─ djlink.yaml:")
    )
    assert "`unwanted`" in ended.stderr


def test_symbolic_links_and_submodules_of_a_revision_are_not_followed(repository: Repository) -> None:
    (repository.folder / "djlink.yaml").symlink_to("/etc/passwd")
    (repository.folder / "folder").symlink_to("/etc")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "x")
    (repository.folder / "djlink.yaml").unlink()
    written(repository.folder, tables("T: {}"), "djlink.yaml")
    ended = repository.diff("git:main")
    assert (ended.returncode, "root" in ended.stderr) == (1, False)
    assert "git:main:djlink.yaml is a symbolic link" in ended.stderr
    assert "is a symbolic link, which is not followed" in repository.diff("git:main:folder/passwd").stderr
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository.folder, capture_output=True, text=True
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit.stdout.strip()},module")
    repository.git("commit", "-qm", "x")
    assert "is a submodule" in repository.diff("git:main:module/djlink.yaml").stderr
    assert "is a submodule" in repository.diff("git:main:module").stderr


def test_nothing_of_the_repository_is_run(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    script.chmod(0o755)
    repository.commit("* diff=x filter=x\n", ".gitattributes")
    repository.commit(tables("T: {}"))
    for key in ("core.fsmonitor", "diff.x.textconv", "filter.x.smudge", "core.pager", "core.sshCommand"):
        repository.git("config", key, str(script))
    (repository.folder / ".git" / "hooks" / "post-checkout").symlink_to(script)
    ran.unlink(missing_ok=True)
    assert repository.diff("git:main").returncode == 0
    assert not ran.exists()
    # nor a program called git that lies in the folder
    (repository.folder / "git").symlink_to(script)
    ended = called("diff", "git:main", environ={"PATH": ".:" + os.environ["PATH"]}, folder=repository.folder)
    assert not ran.exists()
    assert ended.returncode == 1
    assert "git is not installed" in ended.stderr


def test_a_bare_repository_that_a_branch_brings_is_not_entered(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit(tables("T: {}"))
    bare = repository.folder / "sub"
    subprocess.run(["git", "clone", "-q", "--bare", ".", str(bare)], cwd=repository.folder, check=True)
    written(bare, tables("T: {}"), "djlink.yaml")
    ended = repository.diff("git:main", folder=bare)
    assert ended.returncode == 1
    assert "is not in the work tree of a git repository" in ended.stderr


def test_without_git_and_outside_of_a_repository_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, tables("T: {}"), "djlink.yaml")
    ended = called(
        "diff", "git:main", environ={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}, folder=tmp_path
    )
    assert (ended.returncode, "not in the work tree of a git repository" in ended.stderr) == (1, True)
    ended = called("diff", "git:main", environ={"PATH": str(tmp_path)}, folder=tmp_path)
    assert (ended.returncode, "git is not installed" in ended.stderr) == (1, True)


def test_a_file_of_a_revision_that_is_too_large_is_refused(repository: Repository) -> None:
    repository.commit("#" * 8_100_000 + "\n")
    written(repository.folder, tables("T: {}"), "djlink.yaml")
    ended = repository.diff("git:main")
    assert ended.returncode == 1
    assert "the file is larger than 8 MB" in ended.stderr
