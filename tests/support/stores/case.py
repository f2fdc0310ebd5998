"""A linked pipeline with external values, its stores, and what becomes of its objects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.rig import Rig, link_of, quiet
from tests.support.stores.external import (
    Archive,
    LocalLab,
    folder_store,
    open_archive,
    open_local,
    s3_server,
)

TO = {"raw": "ours", "second": "ours", "default": "ours"}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


def local_stores(monkeypatch: pytest.MonkeyPatch, stores: dict[str, Any]) -> None:
    """DataJoint's own configuration of this process, in which djlink runs."""
    from djlink_manifest.sandbox.demo import pipeline

    pipeline.load_datajoint()
    from datajoint.settings import config

    monkeypatch.setattr(config, "stores", stores)


def manifest(rig: Rig, settings: dict[str, Any], stores: dict[str, str], **table: Any) -> dict[str, Any]:
    document = rig.document({"lab_a": {"lab": {"stores": stores, "tables": {"Session": table}}}})
    document["sources"]["lab_a"]["store_settings"] = settings
    return document


@dataclass
class Case:
    """An archive in folders, to be linked into the store `local_store`."""

    rig: Rig
    archive: Archive
    local_store: dict[str, Any]
    document: dict[str, Any]

    @property
    def schema(self) -> str:
        return self.rig.local_schema("lab_a", "lab")

    @property
    def place(self) -> Path:
        """The folder of the local store."""
        return Path(self.local_store["ours"]["location"])

    def raw(self, name: str, subject: str = "a/b c", number: int = 1) -> Path:
        """The file of an object at the source."""
        where = Path(self.archive.stores["raw"]["location"])
        return Path(where, self.archive.metadata(name, subject, number)["path"])

    def local_name(self, name: str, number: int = 1) -> dict[str, Any]:
        """What a local row says of its object."""
        text = f"SELECT `{name}` FROM `{self.schema}`.session WHERE number = {number}"
        found: dict[str, Any] = json.loads(self.rig.servers.local.execute(text)[0][0])
        return found

    def sessions(self) -> list[int]:
        """The numbers of the local sessions."""
        rows = self.rig.servers.local.execute(f"SELECT number FROM `{self.schema}`.session ORDER BY number")
        return [row[0] for row in rows]

    def files(self) -> list[Path]:
        """All files of the local store."""
        return sorted(each for each in self.place.rglob("*") if each.is_file())

    def wait_for_the_dead(self) -> None:
        """Until the servers have ended the sessions of a killed process."""
        until = time.monotonic() + 20
        while any(self.rig.own_sessions(server) for server in ("lab_a", "local")):
            assert time.monotonic() < until, "the sessions of a killed process live on"
            time.sleep(0.01)

    def local(self) -> LocalLab:
        return open_local(self.rig, self.local_store, self.rig.folder / "downloads")

    def apply(self, *, verify: bool = False, listener: Any = quiet, stop: Any = None) -> tuple[Plan, Report]:
        with self.rig.job(self.document) as job:
            plan = job.plan(verify=verify)
            return plan, job.apply(plan, listener, stop or threading.Event())

    def link(self, plan: Plan) -> LinkPlan:
        return link_of(plan, self.rig.address("lab_a", "lab", "Session"))


@pytest.fixture
def case(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Case:
    source_store = {name: folder_store(rig.folder / name) for name in ("raw", "second")}
    local_store = {"ours": folder_store(rig.folder / "ours"), "default": "ours"}
    archive = open_archive(rig, source_store)
    local_stores(monkeypatch, local_store)
    rig.accounts({"lab_a": ["lab"]})
    return Case(
        rig, archive, local_store, manifest(rig, {**source_store, "default": "raw"}, {"*": "default"})
    )


def client(s3: str) -> Any:
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("s3", endpoint_url=f"http://{s3}", region_name="us-east-1", **keys)
