"""With a trust file, DataJoint's configuration is the environment's: no file of the checkout is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# The first import of DataJoint reads its configuration, so that each case needs a process of its own.
CODE = """
import json, os, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
if sys.argv[2] == "imported": import datajoint
before = dict(os.environ)
from djlink_manifest.servers.stores.settings import read_stores
from djlink_manifest.errors import StoreError
try:
    stores = read_stores({}, from_files=sys.argv[1] == "files")
    found = {name: dict(getattr(store, "settings", {})) for name, store in stores.configured.items()}
    said = stores.default
except StoreError as error:
    found, said = None, f"{error.message} {error.hint}"
print(json.dumps([found, said, [each for each in opened if ".secrets" in each or "datajoint.json" in each],
                  dict(os.environ) == before]))
"""
STORES = {"default": "own", "own": {"protocol": "file", "location": "/mnt/own"}}


def stores(
    folder: Path, *arguments: str, given: str | None = json.dumps(STORES)
) -> tuple[Any, str, Any, bool]:
    """The stores; the default one, or the error; DataJoint's files opened; whether `environ` is the same."""
    evil = {"stores": {"default": "evil", "evil": {"protocol": "file", "location": "/etc"}}}
    (folder / "datajoint.json").write_text(json.dumps(evil))
    (folder / ".secrets").mkdir()
    (folder / ".secrets" / "stores.own.endpoint").write_text("s3.evil.example")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("DJ_")}
    ended = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        cwd=folder,
        env={**environ, **({} if given is None else {"DJ_STORES": given})},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ended.stdout.splitlines()[-1])
    return found[0], found[1], found[2], found[3]


def test_without_files_the_stores_are_those_of_the_environment(tmp_path: Path) -> None:
    found, default, opened, same = stores(tmp_path, "environment", "fresh")
    assert (list(found), default) == (["own"], "own")
    assert found["own"]["location"] == "/mnt/own"
    assert "endpoint" not in found["own"]
    assert opened == []
    assert same


def test_without_files_it_does_not_matter_that_datajoint_has_read_them(tmp_path: Path) -> None:
    found, default, _, _ = stores(tmp_path, "environment", "imported")
    assert (list(found), default) == (["own"], "own")
    assert "endpoint" not in found["own"]


def test_without_files_and_variable_there_are_no_stores(tmp_path: Path) -> None:
    found, default, opened, _ = stores(tmp_path, "environment", "fresh", given=None)
    assert found == {}
    assert default is None
    assert opened == []


@pytest.mark.parametrize("given", ["[]", "{secret-canary"])
def test_a_variable_that_is_no_mapping_is_told_without_its_text(given: str, tmp_path: Path) -> None:
    found, said, _, _ = stores(tmp_path, "environment", "fresh", given=given)
    assert found is None
    assert "DJ_STORES" in said
    assert "canary" not in said


def test_with_files_the_checkout_decides(tmp_path: Path) -> None:
    found, default, opened, _ = stores(tmp_path, "files", "fresh", given=None)
    assert default == "evil"
    assert {"evil", "own"} == {*found}
    assert opened
