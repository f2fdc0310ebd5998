"""The demo's folder: what it writes, and that it leaves alone what it did not write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.demo.folder import (
    AUTHORITY,
    ENVIRONMENT,
    MANIFEST,
    SHIPPED,
    check_folder,
    remove_credentials,
    shipped_manifest,
    write_folder,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = 'it\'s $ecret `x` "y" \\ z'


def written(folder: Path) -> Path:
    write_folder(folder, {"DEMO_LOCAL_PASSWORD": PASSWORD}, "-----BEGIN CERTIFICATE-----\n")
    return folder


def test_the_shipped_manifest_is_the_example() -> None:
    assert shipped_manifest() == (EXAMPLES / SHIPPED).read_text(encoding="utf-8")


def test_only_the_owner_can_read_the_environment_whatever_the_umask(tmp_path: Path) -> None:
    folder = written(tmp_path / "new" / "demo")
    assert (folder / ENVIRONMENT).stat().st_mode & 0o777 == 0o600


def test_a_shell_reads_back_the_values_as_they_were(tmp_path: Path) -> None:
    folder = written(tmp_path)
    said = subprocess.run(
        ["sh", "-c", f'. ./{ENVIRONMENT} && printf %s "$DEMO_LOCAL_PASSWORD"'],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == PASSWORD


def test_the_folder_can_be_written_again(tmp_path: Path) -> None:
    written(written(tmp_path))
    assert (tmp_path / ENVIRONMENT).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [MANIFEST, ENVIRONMENT, AUTHORITY])
def test_a_file_of_somebody_else_stops_the_demo_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(SandboxError, match=name):
        check_folder(tmp_path)
    with pytest.raises(SandboxError, match=name):
        written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine\n"


def test_a_manifest_that_the_person_changed_is_theirs(tmp_path: Path) -> None:
    written(tmp_path)
    changed = (tmp_path / MANIFEST).read_text() + "# mine\n"
    (tmp_path / MANIFEST).write_text(changed)
    with pytest.raises(SandboxError, match=MANIFEST):
        written(tmp_path)
    assert (tmp_path / MANIFEST).read_text() == changed


@pytest.mark.parametrize("name", [MANIFEST, ENVIRONMENT, AUTHORITY])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.write_text(shipped_manifest())
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / name).symlink_to(target)
    with pytest.raises(SandboxError, match=name):
        written(folder)
    assert target.read_text() == shipped_manifest()


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine\n")
    with pytest.raises(SandboxError, match="not a folder"):
        check_folder(tmp_path / "demo")


def test_credentials_go_and_the_manifest_stays(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine\n")
    remove_credentials(written(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, "other"]


def test_credentials_of_somebody_else_stay(tmp_path: Path) -> None:
    (tmp_path / ENVIRONMENT).write_text("mine\n")
    remove_credentials(tmp_path)
    assert (tmp_path / ENVIRONMENT).read_text() == "mine\n"
