"""What the documentation calls safe on anybody's branch, without a trust file, does nothing but read it.

Each command runs in a process of its own, in which every file that is opened, every socket and every process
is noted, as is every variable of the environment that is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from djlink_manifest.cli.root import djlink
from tests.unit.branches import MANIFEST, SECRETS

CODE = """
import json, os, sys
noted = {"opened": [], "outside": [], "read": []}
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        noted["opened"].append(os.fsdecode(arguments[0]))
    elif event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork")):
        noted["outside"].append(event)
class Environment(dict):
    def __getitem__(self, name):
        noted["read"].append(name)
        return dict.__getitem__(self, name)
    def get(self, name, default=None):
        noted["read"].append(name)
        return dict.get(self, name, default)
os.environ = Environment(os.environ)
from djlink_manifest import cli
sys.addaudithook(note)
code = cli.run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump({**noted, "code": code, "datajoint": "datajoint" in sys.modules}, file)
"""
SAFE = [("validate",), ("validate", "--json"), ("fmt", "--check"), ("trust",)]
SAFE += [("diff", "djlink.yaml", "djlink.yaml")] if "diff" in djlink.commands else []


@pytest.mark.parametrize("command", SAFE, ids=" ".join)
def test_a_safe_command_connects_to_nothing_and_reads_no_secret(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    secret = tmp_path / "secrets" / "lab_b"
    secret.parent.mkdir()
    secret.write_text("file-canary-8")
    top = tmp_path / "checkout"
    top.mkdir()
    text = MANIFEST.replace("LOCAL_PORT", "3306").replace("SOURCE_PORT", "3306").replace("DISK", "/mnt/disk")
    (top / "djlink.yaml").write_text(text.replace("SECRETS", str(secret.parent)))
    (top / "datajoint.json").write_text("{}")
    notes = tmp_path / "notes.json"
    ended = subprocess.run(
        [sys.executable, "-c", CODE, str(notes), *command],
        cwd=top,
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert notes.exists(), ended.stderr
    noted = json.loads(notes.read_text())
    assert noted["code"] in (0, 3), ended.stderr
    assert "djlink.yaml" in noted["opened"]
    assert str(secret) not in noted["opened"]
    assert not [each for each in noted["opened"] if "datajoint.json" in each]
    assert noted["outside"] == []
    assert not noted["datajoint"]
    assert set(noted["read"]) & SECRETS.keys() == set()
    assert "canary" not in ended.stdout + ended.stderr


def test_the_notes_of_an_unsafe_command_tell_what_it_did(tmp_path: Path) -> None:
    secret = tmp_path / "lab_b"
    secret.write_text("file-canary-8")
    text = MANIFEST.replace("LOCAL_PORT", "1").replace("SOURCE_PORT", "1").replace("DISK", "/mnt/disk")
    (tmp_path / "djlink.yaml").write_text(
        text.replace("SECRETS", str(tmp_path)).replace("db.lab-b.example", "localhost")
    )
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "lab_b.pem").write_text("a certificate")
    notes = tmp_path / "notes.json"
    subprocess.run(
        [sys.executable, "-c", CODE, str(notes), "plan"],
        cwd=tmp_path,
        env={**os.environ, **SECRETS},
        capture_output=True,
        check=False,
    )
    noted = json.loads(notes.read_text())
    assert str(secret) in noted["opened"]
    assert {"DJ_PASS", "LINK_PASS"} <= set(noted["read"])
    assert "socket.connect" in noted["outside"] or "socket.getaddrinfo" in noted["outside"]
