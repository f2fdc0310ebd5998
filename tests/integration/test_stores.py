"""External files: every type of DataJoint, in folders and in S3, read back with the lab's own DataJoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.external import (
    check_all,
    folder_store,
    open_archive,
    open_local,
    s3_server,
    s3_store,
)
from tests.rig import Rig, link_of
from tests.shared_servers import Pair

TO = {"raw": "ours", "second": "ours", "default": "ours"}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


def local_stores(monkeypatch: pytest.MonkeyPatch, stores: dict[str, Any]) -> None:
    """DataJoint's own configuration of this process, in which djlink runs."""
    from djlink_manifest.sandbox import pipeline

    pipeline.load_datajoint()
    from datajoint.settings import config

    monkeypatch.setattr(config, "stores", stores)


def manifest(rig: Rig, settings: dict[str, Any], stores: dict[str, str], **table: Any) -> dict[str, Any]:
    document = rig.document({"lab_a": {"lab": {"stores": stores, "tables": {"Session": table}}}})
    document["sources"]["lab_a"]["store_settings"] = settings
    return document


def made(kind: str, name: str, rig: Rig, s3: str, **more: Any) -> dict[str, Any]:
    """A store of a kind with a place of its own."""
    if kind == "file":
        return folder_store(rig.folder / name, **more)
    return s3_store(s3, rig.names(name), **more)


def as_manifest_says(store: dict[str, Any], rig: Rig) -> dict[str, Any]:
    """The settings of a source's store as a manifest gives them: secrets are references."""
    given = {k: v for k, v in store.items() if k not in {"subfolding", "partition_pattern", "hash_prefix"}}
    for key in ("access_key", "secret_key"):
        if key in given:
            rig.environ[f"SOURCE_{key.upper()}"] = given[key]
            given[key] = f"${{env:SOURCE_{key.upper()}}}"
    return given


@pytest.mark.parametrize(
    ("servers", "source", "target"),
    [
        (Pair("mysql", "mysql"), "file", "file"),
        (Pair("mysql", "mysql"), "file", "s3"),
        (Pair("mysql", "mysql"), "s3", "file"),
        (Pair("mysql", "mysql"), "s3", "s3"),
        (Pair("mariadb", "mariadb"), "file", "file"),
        (Pair("mysql", "mariadb"), "file", "s3"),
        (Pair("mariadb", "mysql"), "file", "file"),
    ],
    indirect=["servers"],
    ids=str,
)
def test_every_external_type_arrives_and_reads_as_at_the_source(
    rig: Rig, s3: str, monkeypatch: pytest.MonkeyPatch, source: str, target: str
) -> None:
    theirs = {
        "raw": made(source, "raw", rig, s3, subfolding=[2, 2], schema_prefix="theirs/objects"),
        "second": made(source, "second", rig, s3, partition_pattern="{number}"),
    }
    ours = {"ours": made(target, "ours", rig, s3, hash_prefix="H", subfolding=[1, 3])}
    archive = open_archive(rig, theirs)
    local_stores(monkeypatch, ours)
    rig.accounts({"lab_a": ["lab"]})
    settings = {name: as_manifest_says(store, rig) for name, store in theirs.items()} | {"default": "raw"}
    document = manifest(rig, settings, TO)
    plan, report = rig.apply(document)
    assert report.succeeded, report
    [pull] = [
        a for a in link_of(plan, rig.address("lab_a", "lab", "Session")).actions if type(a).__name__ == "Pull"
    ]
    assert pull.objects.count == 12 + 3 + 2 + 3
    [outcome] = report.outcomes
    assert outcome.objects == 12 + 3 + 2 + 3
    local = open_local(rig, ours, rig.folder / "downloads")
    check_all(archive, local)
    found = local.collected("ours")
    assert (found["deleted"], found["errors"]) == (0, 0)
    check_all(archive, local)
