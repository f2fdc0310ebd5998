"""A repository with a manifest that a branch changes, and the servers that it is about."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.support.command import called
from tests.support.rig import Rig
from tests.support.sql import run_all


class Review:
    """A repository with a manifest of two tables, of which the main branch links one."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(9))",
            "CREATE TABLE {lab}.session (id int, n int, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
            "INSERT INTO {lab}.subject VALUES (1, 'mouse'), (2, 'rat')",
            "INSERT INTO {lab}.session VALUES (1, 1), (2, 1), (2, 2)",
        )
        rig.accounts({"lab_a": ["lab"]})
        self.git("init", "-q", "-b", "main")
        self.write({"Subject": {}})
        self.git("add", "djlink.yaml")
        self.commit("main")

    def git(self, *arguments: str) -> None:
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.rig.folder, check=True, env=environ, capture_output=True)

    def commit(self, words: str) -> None:
        self.git("-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qam", words)

    def write(self, tables: dict[str, Any], **more: Any) -> None:
        self.rig.write(self.rig.document({"lab_a": {"lab": {"tables": tables}}}, **more))

    def djlink(self, *arguments: str, code: int = 0) -> str:
        ended = called(*arguments, environ=self.rig.environ, folder=self.rig.folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout if code == 0 else ended.stderr

    def compared(self, *arguments: str) -> dict[str, Any]:
        told = json.loads(self.djlink("plan", "--against", "git:main", "--json", *arguments))
        found: dict[str, Any] = told["against"]
        return found
