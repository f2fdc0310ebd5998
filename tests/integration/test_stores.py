"""External files: every type of DataJoint, in folders and in S3, read back with the lab's own DataJoint."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from djlink_manifest.manifest.load import load
from djlink_manifest.model.server.health import Finding
from djlink_manifest.reconcile.doctor.examination import examine
from djlink_manifest.reconcile.plan.actions import Pull, Refill
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Advanced, Event
from tests.support.faults.crash import Applier
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import Pair
from tests.support.stores.case import TO, Case, case, local_stores, manifest
from tests.support.stores.external import (
    KEYS,
    check_all,
    check_value,
    dj_insert_small,
    folder_store,
    open_archive,
    open_local,
    s3_store,
)

__all__ = ["case"]  # a fixture


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


def rig_plan(rig: Rig, document: dict[str, Any], *, verify: bool) -> Plan:
    with rig.job(document) as job:
        return job.plan(verify=verify)


def doctor_of_stores(rig: Rig, document: dict[str, Any]) -> list[Finding]:
    """What the doctor says of the stores."""
    diagnosis = examine(load([rig.write(document)]), {**os.environ, **rig.environ})
    return [f for f in diagnosis.findings if f.subject.startswith("store")]


def pull_of(plan: Plan, rig: Rig) -> Pull:
    """What is to be pulled of the table."""
    link = link_of(plan, rig.address("lab_a", "lab", "Session"))
    [pull] = [action for action in link.actions if isinstance(action, Pull)]
    return pull


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
    source_store = {
        "raw": made(source, "raw", rig, s3, subfolding=[2, 2], schema_prefix="theirs/objects"),
        "second": made(source, "second", rig, s3, partition_pattern="{number}"),
    }
    local_value = {"ours": made(target, "ours", rig, s3, hash_prefix="H", subfolding=[1, 3])}
    archive = open_archive(rig, source_store)
    local_stores(monkeypatch, local_value)
    rig.accounts({"lab_a": ["lab"]})
    settings = {name: as_manifest_says(store, rig) for name, store in source_store.items()} | {
        "default": "raw"
    }
    document = manifest(rig, settings, TO)
    told = [(f.server, f.subject, f.level) for f in doctor_of_stores(rig, document)]
    assert told == [
        ("local", "store ours", "ok"),
        *(("lab_a", f"store {n}", "ok") for n in ("default", *source_store)),
    ]
    plan, report = rig.apply(document)
    assert report.succeeded, report
    assert pull_of(plan, rig).objects.count == 12 + 4 + 2 + 3
    [outcome] = report.outcomes
    assert outcome.counts.objects == 12 + 4 + 2 + 3
    local = open_local(rig, local_value, rig.folder / "downloads")
    check_all(archive, local)
    assert local.collected("ours")["deleted"] == 0
    check_all(archive, local)
    plan = rig_plan(rig, document, verify=True)
    assert not plan.has_changes
    assert not link_of(plan, rig.address("lab_a", "lab", "Session")).drift
    # rows without protection are taken over where they equal the source's, wherever their objects lie
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', 'session')}")
    _, report = rig.apply(document)
    assert report.outcomes[0].counts.registered == 3


def test_an_entity_whose_object_is_missing_or_altered_is_left_out_and_the_others_come(case: Case) -> None:
    altered, missing = case.raw("n", "ü", 2), case.raw("b")
    right = missing.read_bytes()
    missing.write_bytes(right[:-1] + b"x")  # also the second session's: one content, one object
    kept = altered.read_bytes()
    plan, report = case.apply()
    assert pull_of(plan, case.rig).entities == 3
    [outcome] = report.outcomes
    assert (outcome.status, outcome.counts.pulled, outcome.counts.refused) == ("failed", 1, 2)
    assert outcome.problem is not None
    assert "the external objects of 2 entities could not be copied" in outcome.problem
    assert "differs from what was stored there" in outcome.problem
    assert case.sessions() == [3]
    held = f"SELECT number FROM {case.rig.outbound_table('lab', 'session')}"
    assert case.rig.run("lab_a", held) == [(3,)]
    missing.write_bytes(right)
    altered.unlink()
    link = case.link(rig_plan(case.rig, case.document, verify=True))
    [blocked] = link.blocked
    assert (blocked.kind, blocked.count) == ("error", 1)
    assert "missing or damaged at the source" in blocked.reason
    plan, report = case.apply(verify=True)
    assert (report.succeeded, case.sessions()) == (True, [1, 3])
    altered.write_bytes(kept)
    assert case.apply()[1].succeeded
    check_all(case.archive, case.local())


@pytest.mark.parametrize(
    ("path", "words"),
    [("../secret", "leads out of the store"), ("/etc/hostname", "leads out of the store")],
)
def test_a_row_cannot_lead_out_of_the_store(case: Case, path: str, words: str) -> None:
    (case.rig.folder / "secret").write_text("not the source's")
    case.rig.run("lab_a", f"UPDATE {{lab}}.session SET o = JSON_SET(o, '$.path', '{path}') WHERE number = 1")
    [outcome] = case.apply()[1].outcomes
    assert outcome.problem is not None
    assert words in outcome.problem
    assert case.sessions() == [2, 3]


def test_what_is_lost_or_altered_here_is_found_and_brought_again(case: Case) -> None:
    assert case.apply()[1].succeeded
    for name in ("o", "b"):
        path = case.place / case.local_name(name)["path"]
        path.write_bytes(b"x" * path.stat().st_size) if name == "b" else path.unlink()
    shutil.rmtree(case.place / case.local_name("d")["path"] / "deep")
    link = case.link(rig_plan(case.rig, case.document, verify=True))
    # one content stands in two rows
    assert "missing or altered locally: 4 external objects" in [d.reason for d in link.drift]
    assert not link.actions
    case.document["defaults"]["changed"] = "mend"
    plan, report = case.apply(verify=True)
    assert [a.entities for a in case.link(plan).actions if isinstance(a, Refill)] == [2]
    assert report.succeeded
    check_all(case.archive, case.local())
    assert not case.link(rig_plan(case.rig, case.document, verify=True)).drift


def test_a_value_that_changed_at_the_source_comes_and_the_old_object_is_garbage(case: Case) -> None:
    assert case.apply()[1].succeeded
    key, new = ("a/b c", 1), {"b": {"new": 1}, "n": np.ones(3)}
    case.archive.table.update1({"subject": key[0], "number": key[1], **new})
    case.archive.rows[key] = {**case.archive.rows[key], **new}
    assert not case.apply()[0].has_changes
    case.document["defaults"]["changed"] = "mend"
    _, report = case.apply(verify=True)
    assert report.outcomes[0].counts.refilled == 1
    local = case.local()
    check_all(case.archive, local)
    # the blob's content is still the second session's
    assert local.collected("ours")["schema_paths_deleted"] == 1
    (local.session & "number > 1").delete(prompt=False)
    # objects stay until DataJoint collects them
    assert local.collected("ours")["deleted"] == 5
    del case.archive.rows["ü", 2], case.archive.rows["none", 3]
    check_all(case.archive, local)


def test_another_file_at_the_place_of_a_filepath_stays_and_refuses_the_entity(case: Case) -> None:
    existing = case.place / "rig/2026 01/data.bin"
    existing.parent.mkdir(parents=True)
    existing.write_bytes(b"the lab's own!")
    [outcome] = case.apply()[1].outcomes
    assert outcome.problem is not None
    assert "a different file exists at rig/2026 01/data.bin" in outcome.problem
    assert existing.read_bytes() == b"the lab's own!"
    assert case.sessions() == [2, 3]


def test_a_stop_while_objects_are_copied_leaves_no_row_and_no_piece(case: Case) -> None:
    stop = threading.Event()

    def listener(event: Event) -> None:
        if isinstance(event, Advanced):
            stop.set()

    _, report = case.apply(listener=listener, stop=stop)
    assert report.interrupted
    assert not [each for each in case.files() if ".djlink" in str(each)]
    assert case.apply()[1].succeeded
    check_all(case.archive, case.local())


def test_a_local_folder_that_is_gone_when_it_is_written_to_is_not_made_anew(case: Case) -> None:
    with case.rig.job(case.document) as job:
        plan = job.plan()
        case.place.rmdir()
        [outcome] = job.apply(plan, quiet, threading.Event()).outcomes
    assert outcome.problem is not None
    assert "there is no folder" in outcome.problem
    assert not case.place.exists()
    assert case.sessions() == []


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "is full"), (errno.EROFS, "is read-only")])
def test_a_store_that_takes_nothing_fails_the_link_and_leaves_nothing_half_done(
    case: Case, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("djlink_manifest.servers.stores.folder.os.fsync", refuse)
        [outcome] = case.apply()[1].outcomes
    assert outcome.status == "failed"
    assert outcome.problem == f"the store `ours` of local (file, {case.place}) {words}"
    assert outcome.hint is not None
    assert case.sessions() == []
    assert case.files() == []
    assert case.apply()[1].succeeded
    check_all(case.archive, case.local())


def test_a_process_killed_at_any_change_leaves_no_row_without_its_objects(case: Case) -> None:
    environ = {**case.rig.environ, "DJ_STORES": json.dumps(case.local_store), "DJ_IGNORE_CONFIG_FILE": "true"}
    tables = case.document["sources"]["lab_a"]["schemas"][case.rig.names("lab")]["tables"]
    tables["Session"] = {"where": "number > 99"}
    assert case.apply()[1].succeeded  # the tables are made
    tables["Session"] = {}
    path = str(case.rig.write(case.document))
    applier = Applier(environ, Path(__file__).parents[2])
    orphans, at, answer = 0, 1, {"killed": 9}
    try:
        while answer == {"killed": 9}:
            at += 1
            answer = applier(manifest=path, at=at)
            case.wait_for_the_dead()
            local = case.local()
            for row in local.session.to_dicts():
                key = (row["subject"], row["number"])
                for name, value in case.archive.rows[key].items():
                    check_value(name, row[name], value)
            orphans = max(orphans, len(local.collected("ours", dry_run=True)["orphaned_schema_paths"]))
            local.connection.close()
    finally:
        applier.close()
    assert at > 4
    assert orphans > 0
    assert not answer["problems"]
    check_all(case.archive, case.local())
    (left := case.place / "_schema" / case.schema / ".djlink" / "piece").parent.mkdir()
    left.write_text("what a crash leaves")
    assert case.local().collected("ours")["deleted"] == 1
    check_all(case.archive, case.local())


@pytest.mark.parametrize(
    ("settings", "stores", "words", "hint"),
    [
        (
            {},
            None,
            "keeps .*session.b, .*in the store `raw`, but `stores` has no local store for it",
            "`ours`",
        ),
        (
            {},
            {"*": "our"},
            "maps `[*]` to `our`: DataJoint's configuration has no store `our`",
            "mean `ours`",
        ),
        ({}, {"*": "ours"}, "no settings say how to reach the default store of lab_a", "store_settings"),
        ({"default": "rew"}, {"*": "ours"}, "has no store `rew`", None),
        (
            {"raw": {"location": "/nowhere"}},
            {"*": "ours"},
            "store `raw` of lab_a .*: .*no folder /nowhere",
            "docs",
        ),
        ({}, {"*": "inline"}, r"it cannot keep .*session.h \(`<hash@>`\).* in the row", "`<attach@>` can"),
    ],
    ids=["no mapping", "no such store", "no default", "no such name", "unreachable", "not inline"],
)
def test_stores_that_cannot_be_used_block_the_link_and_say_the_next_step(
    case: Case, settings: dict[str, Any], stores: dict[str, str] | None, words: str, hint: str | None
) -> None:
    source = case.document["sources"]["lab_a"]
    schema = source["schemas"][case.rig.names("lab")]
    schema.pop("stores")
    if stores is not None:
        schema["stores"] = stores
    given = source["store_settings"]
    if hint == "store_settings":
        del given["default"]
    for name, each in settings.items():
        given[name] = {**given[name], **each} if isinstance(each, dict) else each
    plan, report = case.apply()
    assert not report.outcomes
    blocked = "; ".join(f"{b.reason} | {b.hint}" for b in case.link(plan).blocked)
    assert re.search(words, blocked), blocked
    assert hint is None or hint in blocked
    ill = [f for f in doctor_of_stores(case.rig, case.document) if f.level != "ok"]
    assert any(re.search(words, f"{f.words} | {f.fix}") for f in ill), ill
    assert all((f.level, bool(f.why), bool(f.fix)) == ("error", True, True) for f in ill)
    assert case.files() == []


@pytest.mark.parametrize("prefix", ["", "objects"])
def test_the_doctor_tries_a_store_out_and_leaves_nothing_in_it(
    case: Case, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.local_store["ours"]["schema_prefix"] = prefix
    if prefix:
        (case.place / prefix).mkdir()
    local_stores(monkeypatch, case.local_store)
    before = sorted(case.place.rglob("*"))
    found = doctor_of_stores(case.rig, case.document)
    assert [f.level for f in found] == ["ok"] * len(found)
    assert "can be written to and read" in found[0].words
    assert sorted(case.place.rglob("*")) == before

    def refuse(upload: Any, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("djlink_manifest.servers.stores.folder._FolderUpload.write", refuse)
    [full] = [f for f in doctor_of_stores(case.rig, case.document) if f.level != "ok"]
    assert (full.level, full.server, full.subject) == ("error", "local", "store ours")
    assert "is full" in full.words
    assert sorted(case.place.rglob("*")) == before


@pytest.mark.parametrize("fault", ["bucket", "endpoint", "key"])
def test_s3_that_cannot_be_used_is_told_without_its_secrets(
    case: Case, s3: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store = s3_store(s3, "nowhere")
    store |= {"bucket": "no-bucket"} if fault == "bucket" else {}
    store |= {"endpoint": "127.0.0.1:9"} if fault == "endpoint" else {}
    if fault == "key":
        del store["secret_key"]
    local_stores(monkeypatch, {"ours": store, "default": "ours"})
    begun = time.monotonic()
    plan, _ = case.apply()
    assert time.monotonic() - begun < 40
    [blocked] = case.link(plan).blocked
    [ill] = [f for f in doctor_of_stores(case.rig, case.document) if f.level != "ok"]
    words = f"{blocked.reason} {blocked.hint} {ill.words} {ill.fix}"
    assert "store `ours` of local" in words
    assert ill.level == "error"
    assert not any(secret in words for secret in KEYS.values())


@pytest.mark.parametrize(
    "servers", [Pair("mysql", "mysql"), Pair("mysql", "mariadb")], indirect=True, ids=str
)
def test_inline_values_stand_in_the_row(case: Case) -> None:
    dj_insert_small(case)
    schema = case.document["sources"]["lab_a"]["schemas"][case.rig.names("lab")]
    schema |= {"stores": {"*": "inline"}, "tables": ["Small"]}
    _, report = case.apply()
    assert report.succeeded, report
    assert case.files() == []
    local = open_local(case.rig, {}, case.rig.folder / "downloads", "Small")
    rows = local.session.to_dicts(order_by="number")
    assert [row["b"] for row in rows] == [{"n": n % 2} for n in range(5)]
    assert Path(rows[0]["a"]).read_text() == "attached"
    assert rows[4]["a"] is None
    plan = rig_plan(case.rig, case.document, verify=True)
    assert not plan.has_changes
    assert not link_of(plan, case.rig.address("lab_a", "lab", "Small")).drift
    # altered here, taken out here, changed at the source, put in here where the source has none
    local_schema = f"`{case.schema}`.small"
    case.rig.run("local", f"UPDATE {local_schema} SET b = 'altered' WHERE number = 0")
    case.rig.run("local", f"UPDATE {local_schema} SET a = NULL WHERE number = 1")
    case.rig.run(
        "lab_a", "UPDATE {lab}.small d JOIN {lab}.small s ON s.number = 3 SET d.b = s.b WHERE d.number = 2"
    )
    case.rig.run("local", f"UPDATE {local_schema} SET a = 'x' WHERE number = 4")
    link = link_of(rig_plan(case.rig, case.document, verify=True), case.rig.address("lab_a", "lab", "Small"))
    assert "missing or altered locally: 4 external objects" in [each.reason for each in link.drift]
    case.document["defaults"]["changed"] = "mend"
    _, report = case.apply(verify=True)
    assert report.outcomes[0].counts.refilled == 4
    rows = local.session.to_dicts(order_by="number")
    assert [row["b"] for row in rows] == [{"n": n} for n in (0, 1, 1, 1, 0)]
    assert [row["a"] is None for row in rows] == [False, False, False, False, True]
    assert not rig_plan(case.rig, case.document, verify=True).has_changes
