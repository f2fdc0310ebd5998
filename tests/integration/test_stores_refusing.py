"""Stores that refuse: folders without rights, read-only and full filesystems, S3 without rights to write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.stores.case import Case, case, local_stores
from tests.support.stores.external import BUCKET, KEYS, check_all, s3_store

__all__ = ["case"]  # a fixture

APPLY = "import sys; sys.argv[0] = 'djlink'; from djlink_manifest.cli import main; main()"


def apply_without_roots_rights(case: Case) -> tuple[int, str]:
    """`djlink apply` in a process for which the rights on folders count, as they do for all but root."""
    # root keeps its accounts and files, and loses the right to pass over the rights on them
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    path = case.rig.write(case.document)
    done = subprocess.run(
        [*plain, sys.executable, "-c", APPLY, "apply", "--auto-approve", "-f", str(path)],
        env={
            **os.environ,
            **case.rig.environ,
            "DJ_STORES": json.dumps(case.local_store),
            "DJ_IGNORE_CONFIG_FILE": "true",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def mounted(kind: str, place: Path, *options: str) -> Iterator[None]:
    """A filesystem of its own at a place; skipped where this account may not mount one."""
    made = subprocess.run(["mount", *options, kind, str(place)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this account cannot mount: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def check_nothing_is_made(case: Case) -> None:
    """No table is here, and none at the source."""
    assert case.rig.run("local", f"SHOW DATABASES LIKE '{case.schema}'") == []
    assert case.rig.run("lab_a", "SHOW TABLES FROM {outbound}") == []


@contextmanager
def rights(path: Path, mode: int) -> Iterator[None]:
    """Other rights on a file or folder for a while."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def test_folders_and_objects_without_rights_are_told_and_bar_what_needs_them(case: Case) -> None:
    with rights(case.place, 0o555):
        code, said = apply_without_roots_rights(case)
    assert code == 1, said
    assert f"the folder {case.place} cannot be written to" in said
    assert case.files() == []
    check_nothing_is_made(case)
    section = case.place / "_hash"
    section.mkdir()
    with rights(section, 0o555):
        code, told = apply_without_roots_rights(case)
    assert code == 1, told
    assert f"the store `ours` of local (file, {case.place}) cannot be written to: Permission denied" in told
    assert case.sessions() == []
    with rights(case.raw("n", "ü", 2), 0):
        code, left_out = apply_without_roots_rights(case)
    assert code == 1, left_out
    assert "cannot be read in the store `raw` of lab_a" in left_out
    assert case.sessions() == [1, 3]
    assert "Traceback" not in said + told + left_out
    assert case.apply()[1].succeeded
    check_all(case.archive, case.local())


def test_a_read_only_filesystem_fails_the_link_and_is_told(case: Case) -> None:
    with mounted(str(case.place), case.place, "--bind"):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(case.place)], check=True)
        plan, report = case.apply()
    assert not report.outcomes
    [blocked] = case.link(plan).blocked
    assert f"the folder {case.place} cannot be written to" in blocked.reason
    check_nothing_is_made(case)
    assert case.files() == []


def test_a_full_filesystem_fails_the_link_and_what_is_missing_comes_when_there_is_room(case: Case) -> None:
    with mounted("tmpfs", case.place, "-t", "tmpfs", "-o", "size=24k"):
        [outcome] = case.apply()[1].outcomes
        assert outcome.status == "failed"
        assert outcome.problem == f"the store `ours` of local (file, {case.place}) is full"
        assert outcome.hint is not None
        assert case.sessions() == []
        assert not [each for each in case.files() if ".djlink" in str(each)]  # no piece stays
        subprocess.run(["mount", "-o", "remount,size=64m", str(case.place)], check=True)
        assert case.apply()[1].succeeded
        check_all(case.archive, case.local())
        assert case.local().collected("ours")["deleted"] == 0


@pytest.fixture
def guarded(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, str]]]:
    """The keys of accounts of an S3 that looks at who asks: one that may all, and one that only reads."""
    client: Any = boto3.client(
        "iam",
        endpoint_url=f"http://{s3}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    found = {}
    for name, actions in {"writer": ["s3:*"], "reader": ["s3:Get*", "s3:List*"]}.items():
        client.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        key = client.create_access_key(UserName=name)["AccessKey"]
        found[name] = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    with monkeypatch.context() as patched:
        patched.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
        yield found
    for name, keys in found.items():
        client.delete_access_key(UserName=name, AccessKeyId=keys["access_key"])
        client.delete_user_policy(UserName=name, PolicyName=name)
        client.delete_user(UserName=name)


def test_an_account_of_s3_that_may_only_read_fails_the_link_and_one_that_writes_goes_on(
    case: Case, s3: str, guarded: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = case.rig.names("guarded")
    local_stores(monkeypatch, {"ours": s3_store(s3, place, **guarded["reader"]), "default": "ours"})
    [outcome] = case.apply()[1].outcomes
    assert outcome.status == "failed"
    assert outcome.problem is not None
    assert f"the store `ours` of local (s3, {s3}/{BUCKET}/{place}) cannot be written to" in outcome.problem
    assert not any(secret in outcome.problem for secret in guarded["reader"].values())
    assert case.sessions() == []
    local_store = {"ours": s3_store(s3, place, **guarded["writer"]), "default": "ours"}
    local_stores(monkeypatch, local_store)
    assert case.apply()[1].succeeded
    case.local_store = local_store
    check_all(case.archive, case.local())


@pytest.mark.parametrize("wrong", ["secret_key", "access_key"])
def test_wrong_keys_of_s3_block_the_link_and_are_not_shown(
    case: Case, s3: str, guarded: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    keys = guarded["writer"] | {wrong: KEYS[wrong]}
    local_stores(monkeypatch, {"ours": s3_store(s3, "x", **keys), "default": "ours"})
    plan, report = case.apply()
    assert not report.outcomes
    [blocked] = case.link(plan).blocked
    words = f"{blocked.reason} {blocked.hint}"
    assert "store `ours` of local" in words
    assert not any(secret in words for secret in keys.values())
    check_nothing_is_made(case)
