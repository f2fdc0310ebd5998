"""The script of a user of datajoint-link, run as a program against two servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from djlink_manifest.sandbox.servers.accounts import create_owner
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE

SCRIPT = Path(__file__).with_name("link_script.py")


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_all_that_datajoint_link_describes_works(rig: Rig, tmp_path: Path) -> None:
    create_owner(rig.server("lab_a"), rig.names("owner"), PASSWORD, [rig.names("lab")])
    rig.accounts({"lab_a": ["lab"]})
    local, source = rig.servers.local, rig.server("lab_a")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "LINK_"))},
        "PYTHONPATH": str(SCRIPT.parents[2]),
        "DJ_IGNORE_CONFIG_FILE": "true",
        "DJ_HOST": local.host,
        "DJ_PORT": str(local.port),
        "DJ_USER": rig.names("lab"),
        "DJ_PASS": PASSWORD,
        "DJ_USE_TLS": "false",
        "LINK_USER": rig.names("link"),
        "LINK_PASS": PASSWORD,
        "LINK_OUTBOUND": rig.outbound,
        "LOCAL_SCHEMA": rig.names("our_lab"),
        "SOURCE_SCHEMA": rig.names("lab"),
        "SOURCE_HOST": source.host,
        "SOURCE_PORT": str(source.port),
        "SOURCE_USER": rig.names("owner"),
        "SOURCE_PASS": PASSWORD,
    }
    ended = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "3 rows pulled" not in ended.stderr
    assert "1 row pulled" in ended.stderr  # the one pull that shows its progress
    assert PASSWORD not in ended.stdout + ended.stderr
