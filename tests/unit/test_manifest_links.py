"""A manifest that is a symbolic link: whatever it leads to, nothing of it is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from djlink_manifest.manifest.text.checkout import is_within, leads_elsewhere, top_of
from tests.support.command import called
from tests.unit.manifest_cases import HEAD

PREY = {
    "a key and a value": "secret-canary: {x: secret-canary}\n",
    "broken YAML": "[default]\nkey = {secret-canary: [\n",
    "a tab": "a:\n\tsecret-canary: 1\n",
    "an alias": "x: *secret-canary\n",
    "a manifest with a mistake": f"{HEAD}secret-canary: 1\n",
    "a manifest with a warning": f"{HEAD.replace('contact: data@lab.example', '')}"
    "sources: {secret-canary: {host: h, schemas: {s: {tables: [T]}}}}\n",
    "a wrong value": "manifest: secret-canary\n",
}


MANIFEST = """\
manifest: 1
name: atlas
contact: CONTACT
local: {host: h, user: u, password: "${env:P}"}
sources:
  a: {host: h2, user: u, password: "${env:Q}", outbound: o, schema_name: x, schemas: {s: {tables: [T]}}}
"""


def lab(folder: Path) -> Path:
    top = folder / "checkout"
    (top / ".git").mkdir(parents=True)
    return top


@pytest.mark.parametrize("prey", PREY.values(), ids=PREY.keys())
@pytest.mark.parametrize(
    "command",
    [("validate",), ("validate", "--json"), ("fmt", "--check"), ("plan",), ("trust",)],
    ids=" ".join,
)
def test_what_a_linked_file_holds_is_not_printed(prey: str, command: tuple[str, ...], tmp_path: Path) -> None:
    top = lab(tmp_path)
    (tmp_path / "prey").write_text(prey)
    (top / "djlink.yaml").symlink_to("../prey")
    ended = called(*command, environ={}, folder=top)
    printed = ended.stdout + ended.stderr
    assert "canary" not in printed
    if ended.returncode:
        assert "symbolic link" in printed or ended.returncode == 3  # fmt --check
    (top / "djlink.yaml").unlink()
    (top / "djlink.yaml").write_text(prey)
    shown = called("validate", environ={}, folder=top)
    assert "canary" in shown.stdout + shown.stderr or shown.returncode == 0


@pytest.mark.parametrize("name", ["djlink.yaml", "approvals.yaml"])
@pytest.mark.parametrize(
    "command", [("diff", "old/old.yaml"), ("diff", "old/old.yaml", "--markdown"), ("trust",)]
)
def test_a_valid_file_elsewhere_is_not_shown_over_a_link(
    name: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    """Its values are what these commands show."""
    top = lab(tmp_path)
    approval = f"{{link: a.s.T, keys: 'sha256:{'a' * 64}', count: 1, until: 2026-11-20T09:00:00Z"
    approval += ", by: secret-canary, date: 2026-11-20}"
    prey = {
        "djlink.yaml": MANIFEST.replace("CONTACT", "secret-canary"),
        "approvals.yaml": f"approvals: [{approval}]\n",
    }
    (top / "old").mkdir()
    for each in ("djlink.yaml", "old/old.yaml"):
        (top / each).write_text(MANIFEST.replace("CONTACT", "data@lab.example"))
    (top / name).unlink(missing_ok=True)
    (top / name).write_text(prey[name])
    assert (
        name == "djlink.yaml"
        or command == ("trust",)
        or "canary" in called(*command, environ={}, folder=top).stdout
    )
    (top / name).rename(tmp_path / name)
    (top / name).symlink_to(f"../{name}")
    ended = called(*command, environ={}, folder=top)
    assert ended.returncode == 1
    assert "canary" not in ended.stdout + ended.stderr
    assert "symbolic link" in ended.stderr


def test_what_another_file_says_of_a_linked_one_is_not_printed(tmp_path: Path) -> None:
    top = lab(tmp_path)
    (tmp_path / "prey").write_text("secret_canary: 1\n")
    (top / "a.yaml").symlink_to("../prey")
    (top / "b.yaml").write_text("secret_canari: null\n")
    ended = called("validate", "-f", "a.yaml", "-f", "b.yaml", environ={}, folder=top)
    assert ended.returncode == 1
    assert "canary" not in ended.stdout + ended.stderr
    ended = called("validate", "-f", ".", environ={}, folder=top)
    assert "canary" not in ended.stdout + ended.stderr


def test_the_next_step_names_the_file_itself(tmp_path: Path) -> None:
    top = lab(tmp_path)
    (tmp_path / "prey").write_text("unknown: 1\n")
    (top / "djlink.yaml").symlink_to("../prey")
    ended = called("validate", environ={}, folder=top)
    assert "errors not shown: the file is a symbolic link to elsewhere" in ended.stderr
    assert f"djlink validate -f {tmp_path / 'prey'}" in ended.stderr
    assert "unknown" in called("validate", "-f", str(tmp_path / "prey"), environ={}, folder=top).stderr


@pytest.mark.parametrize(
    ("name", "target", "elsewhere"),
    [
        ("djlink.yaml", "real.yaml", False),
        ("djlink.yaml", "..data/djlink.yaml", False),  # as a ConfigMap is mounted
        ("djlink.yaml", ".env", True),
        ("djlink.yaml", ".git/config.yaml", True),
        ("djlink.yaml", "../out.yaml", True),
        ("djlink.yaml", "/proc/self/environ", True),
        ("sub/djlink.yaml", "../real.yaml", True),
    ],
)
def test_a_link_to_a_yaml_file_below_its_folder_is_as_good_as_the_file(
    name: str, target: str, elsewhere: bool, tmp_path: Path
) -> None:
    top = lab(tmp_path)
    for each in ("real.yaml", "..data/djlink.yaml", ".env", ".git/config.yaml", "../out.yaml"):
        (top / each).parent.mkdir(exist_ok=True)
        (top / each).write_text("x")
    (top / name).parent.mkdir(exist_ok=True)
    (top / name).symlink_to(target)
    assert (leads_elsewhere(top / name) is not None) is elsewhere


def test_a_linked_folder_leads_elsewhere_even_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (other / "djlink.yaml").write_text("x")
    for top in (lab(tmp_path), tmp_path / "exported"):  # a checkout, and a copy without `.git`
        top.mkdir(exist_ok=True)
        (top / "linked").symlink_to(other)
        monkeypatch.chdir(top)
        assert leads_elsewhere("linked") == str(other)
        assert leads_elsewhere("linked/djlink.yaml") == str(other / "djlink.yaml")
        assert leads_elsewhere(top / "linked/djlink.yaml") == str(other / "djlink.yaml")


def test_a_link_above_the_checkout_is_nobodys_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = lab(tmp_path)
    (top / "djlink.yaml").write_text("x")
    (tmp_path / "linked").symlink_to(top)
    assert leads_elsewhere(tmp_path / "linked" / "djlink.yaml") is None
    monkeypatch.chdir(tmp_path / "linked")
    assert leads_elsewhere("djlink.yaml") is None


def test_the_checkout_of_a_file_is_the_outermost_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = lab(tmp_path)
    (top / "sub" / "deeper").mkdir(parents=True)
    (top / "sub" / ".git").write_text("gitdir: elsewhere")
    assert top_of(top / "sub" / "deeper" / "djlink.yaml") == top
    alone = tmp_path / "alone" / "sub"
    alone.mkdir(parents=True)
    assert top_of(alone / "djlink.yaml") == alone
    monkeypatch.chdir(alone.parent)
    assert top_of("sub/djlink.yaml") == alone.parent
    assert is_within("sub/../trust.yaml", alone.parent)
    assert not is_within("../trust.yaml", alone.parent)


# Written through


@pytest.mark.parametrize("target", ["../prey.yaml", ".git/prey.yaml"])
def test_nothing_is_written_through_a_link_that_leads_out(target: str, tmp_path: Path) -> None:
    top = lab(tmp_path)
    prey = top / target
    prey.write_text("name:    atlas   \n")
    (top / "a.yaml").write_text("name:    atlas   \n")
    (top / "b.yaml").symlink_to(target)
    ended = called("fmt", "-f", "a.yaml", "-f", "b.yaml", environ={}, folder=top)
    assert ended.returncode == 1
    assert "out of its folder, which is not written to" in " ".join(ended.stderr.split())
    assert prey.read_text() == (top / "a.yaml").read_text() == "name:    atlas   \n"
    assert called("fmt", "--check", "-f", "b.yaml", environ={}, folder=top).returncode == 3
    prey.unlink()
    (top / "djlink.yaml").symlink_to(target)
    assert called("init", environ={}, folder=top).returncode == 1
    assert called("init", "--force", environ={}, folder=top).returncode == 1
    assert not prey.exists()
