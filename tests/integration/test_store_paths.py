"""Paths that lead out of a store, in comments, names, rows, listings and links: none is followed."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.model.stores.external import Transport
from djlink_manifest.model.stores.store import Store, Stores
from djlink_manifest.servers.stores.copy_object import MANIFEST, base32
from djlink_manifest.servers.stores.transport import Sought, StoreTransport
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask
from tests.support.stores.case import Case, case, client, local_stores, manifest
from tests.support.stores.external import BUCKET, folder_store, s3_store

__all__ = ["case"]  # a fixture
BOTH = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
HASH = "abcdefghijklmnopqrstuvwx23"


def bring(
    source_store: dict[str, Any], local_store: dict[str, Any], path: str, goal: str = "goal"
) -> dict[str, str]:
    """Bring one object, as an apply does, and the object `right`; why they could not be copied."""
    stores = Stores(
        {"ours": Store("ours", local_store)}, "ours", {"lab": {"raw": Store("raw", source_store)}}
    )
    objects = [Transport("raw", path, "ours", goal), Transport("raw", "right", "ours", "right")]
    with closing(StoreTransport(stores)) as store_transport:
        refused = store_transport.bring("lab", objects, "schema", threading.Event(), lambda brought: None)
    return {each.source_path: words for each, words in refused.items()}


@pytest.fixture
def source_store(tmp_path: Path) -> dict[str, Any]:
    """A folder store of a source, with the object `right`; beside it lies what is not the source's."""
    found = folder_store(tmp_path / "theirs")
    (tmp_path / "theirs/right").write_text("right")
    (tmp_path / "secret").write_text("not the source's")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text("not the source's")
    return found


@pytest.fixture
def local_store(tmp_path: Path) -> dict[str, Any]:
    """A local folder store; beside it lies a folder of somebody else."""
    (tmp_path / "victim").mkdir()
    return folder_store(tmp_path / "ours")


def put(rig: Rig, table: str, number: int, said: dict[str, Any]) -> None:
    """A row whose object is described so."""
    place = f"`{rig.names('lab')}`.`{table}`".replace("%", "%%")
    ask(rig.servers.lab_a, f"INSERT INTO {place} VALUES (%s, %s)", (number, json.dumps(said)))


def files(folder: Path) -> list[str]:
    """All that lies below a folder but folders."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir())


def test_a_link_that_leads_out_of_a_sources_store_is_not_followed(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "theirs"
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path / "secrets")
    (root / "tree/deep").mkdir(parents=True)
    (root / "tree/deep/file").symlink_to("../../../secret")
    (root / "loop").symlink_to("loop")
    for path in ("file", "folder", "folder/key", "tree"):
        refused = bring(source_store, local_store, path)
        assert list(refused) == [path]
        assert "leads out of the store" in refused[path]
    assert list(bring(source_store, local_store, "loop")) == ["loop"]
    assert files(tmp_path / "ours") == ["right"]


def test_a_link_that_stays_in_the_store_is_followed(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "theirs"
    (root / "deep").mkdir()
    (root / "deep/file").symlink_to("../right")
    (root / "also").symlink_to(root / "deep")
    for number, path in enumerate(("deep/file", "also/file", "also")):
        assert bring(source_store, local_store, path, f"goal{number}") == {}
    assert files(tmp_path / "ours") == ["goal0", "goal1", "goal2/file", "right"]
    # the folder of a store may itself be reached by a link
    (tmp_path / "mount").symlink_to(tmp_path / "ours")
    assert (
        bring(source_store, {**local_store, "location": str(tmp_path / "mount")}, "deep/file", "again") == {}
    )
    assert (tmp_path / "ours/again").read_text() == "right"


def test_a_link_to_a_folder_within_an_object_refuses_it_instead_of_leaving_its_files_out(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "theirs"
    (root / "more").mkdir()
    (root / "more/file").write_text("x")
    (root / "tree").mkdir()
    (root / "tree/more").symlink_to(root / "more")
    assert "a link to a folder" in bring(source_store, local_store, "tree")["tree"]


def test_what_is_no_file_is_refused_and_not_waited_for(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "theirs"
    os.mkfifo(root / "pipe")
    (root / "tree").mkdir()
    os.mkfifo(root / "tree/pipe")
    (root / "listed").mkdir()
    (root / f"listed{MANIFEST}").mkdir()
    for path in ("pipe", "tree", "listed", "right/below"):
        assert list(bring(source_store, local_store, path)) == [path]
    assert files(tmp_path / "ours") == ["right"]


@pytest.mark.parametrize(
    "name", ["a\nb", "a\\b", "a\x1b[31mb", "a\x9bb", b"\xff".decode("utf-8", "surrogateescape")]
)
def test_a_folder_that_lists_a_hostile_name_is_refused_whole(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path, name: str
) -> None:
    tree = tmp_path / "theirs/tree"
    tree.mkdir()
    (tree / name).write_text("x")
    (tree / "other").write_text("y")
    words = bring(source_store, local_store, "tree")["tree"]
    assert words.isprintable()
    assert files(tmp_path / "ours") == ["right"]


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_an_object_whose_path_is_too_long_for_the_store_is_refused_alone(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path, s3: str, kind: str
) -> None:
    store = local_store if kind == "file" else s3_store(s3, secrets.token_hex(4))
    goal = "x" * 256 if kind == "file" else "/".join(["x" * 100] * 11)
    (tmp_path / "theirs/long").write_text("x")
    refused = bring(source_store, store, "long", goal)
    assert list(refused) == ["long"]
    assert "is too long" in refused["long"]
    assert list(bring(source_store, store, "x" * 5000)) == ["x" * 5000]


def test_a_link_that_leads_out_of_a_local_store_is_not_written_through(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root, victim = tmp_path / "ours", tmp_path / "victim"
    (victim / "keys").write_text("the victim's")
    (root / "out").symlink_to(victim)
    (root / "file").symlink_to(victim / "keys")
    (tmp_path / "theirs/deep").write_text("x")
    for goal in ("out/keys", "out/new", "out/deep/new"):
        assert "leads out of the store" in bring(source_store, local_store, "deep", goal)["deep"]
    # what stands at the place itself is replaced, and never what it leads to
    assert bring(source_store, local_store, "deep", "file") == {}
    assert (root / "file").read_text() == "x"
    assert files(victim) == ["keys"]
    assert (victim / "keys").read_text() == "the victim's"


def test_unfinished_writes_are_not_put_aside_through_a_link(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "theirs/one").write_text("x")
    (tmp_path / "ours/_schema").symlink_to(tmp_path / "victim")
    refused = bring(source_store, {**local_store, "schema_prefix": "_schema"}, "one")
    assert set(refused) == {"one", "right"}
    assert files(tmp_path / "victim") == []


def test_a_folder_that_becomes_a_link_in_between_is_not_followed(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from djlink_manifest.servers.stores import folder

    plain, root = folder.FolderStore._steps, tmp_path / "theirs"
    (root / "tree").mkdir()
    (root / "tree/key").write_text("x")

    def swapped(store: Any, path: Any, *asked: Any) -> Any:
        if not path.startswith("tree"):  # the other object is brought at the same time
            return plain(store, path, *asked)
        if (root / "tree").is_symlink():
            (root / "tree").unlink()
            (root / "before").rename(root / "tree")
        steps = plain(store, path, *asked)
        (root / "tree").rename(root / "before")
        (root / "tree").symlink_to(tmp_path / "secrets")
        return steps

    monkeypatch.setattr(folder.FolderStore, "_steps", swapped)
    assert list(bring(source_store, local_store, "tree/key")) == ["tree/key"]
    assert files(tmp_path / "ours") == ["right"]


@pytest.mark.parametrize(
    "key", ["tree/../../up", "tree/a/../../../../up", "tree//up", "tree/./up", "tree/a\nb", "tree/a\\..\\b"]
)
def test_a_listing_that_names_a_key_out_of_the_folder_refuses_the_object(
    local_store: dict[str, Any], tmp_path: Path, s3: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    source_store = s3_store(s3, secrets.token_hex(4))
    base = f"{BUCKET}/{source_store['location']}"
    for name in ("right", "tree/file"):
        client(s3).put_object(Bucket=BUCKET, Key=f"{source_store['location']}/{name}", Body=b"x")
    plain = S3FileSystem.find

    def hostile(fs: Any, path: str, **asked: Any) -> Any:
        # a server may answer what it likes; clients that tidy paths up do not get such keys into one
        return {**plain(fs, path, **asked), f"{base}/{key}": {"size": 1, "type": "file"}}

    monkeypatch.setattr(S3FileSystem, "find", hostile)
    for store in (local_store, s3_store(s3, secrets.token_hex(4))):
        refused = bring(source_store, store, "tree")
        assert list(refused) == ["tree"]
        assert refused["tree"].isprintable()
    assert files(tmp_path / "ours") == ["right"]


def test_a_listing_of_other_keys_than_asked_for_refuses_the_object(
    local_store: dict[str, Any], tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    source_store = s3_store(s3, secrets.token_hex(4))
    for name in ("right", "tree/file", "other/file"):
        client(s3).put_object(Bucket=BUCKET, Key=f"{source_store['location']}/{name}", Body=b"x")
    listed = {f"{BUCKET}/{source_store['location']}/other/file": {"size": 1, "type": "file"}}
    monkeypatch.setattr(S3FileSystem, "find", lambda fs, path, **asked: listed)
    assert list(bring(source_store, local_store, "tree")) == ["tree"]
    assert files(tmp_path / "ours") == ["right"]


def test_a_path_that_s3_would_read_otherwise_is_refused(
    local_store: dict[str, Any], source_store: dict[str, Any], s3: str
) -> None:
    source_row = s3_store(s3, secrets.token_hex(4))
    client(s3).put_object(Bucket=BUCKET, Key=f"{source_row['location']}/victim", Body=b"the victim's")
    goal = "victim?versionId=1"
    Path(source_store["location"], "one").write_text("x")
    assert list(bring(source_store, source_row, "one", goal)) == ["one"]
    body = client(s3).get_object(Bucket=BUCKET, Key=f"{source_row['location']}/victim")["Body"].read()
    assert body == b"the victim's"


def test_an_endless_object_ends_where_its_size_does(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from djlink_manifest.servers.stores.store import OpenStore

    plain, read = OpenStore.read, list[int]()

    def endless(store: OpenStore, path: str, stop: threading.Event | None = None) -> Any:
        if path != "right" or store.of == "local":
            yield from plain(store, path, stop)
            return
        while len(read) < 50:
            read.append(1)
            yield b"x" * 1000

    monkeypatch.setattr(OpenStore, "read", endless)
    assert list(bring(source_store, local_store, "right")) == ["right"]
    assert len(read) < 5
    assert files(tmp_path / "ours") == []


def test_what_a_list_of_files_holds_instead_of_paths_and_sizes_is_no_accident(
    source_store: dict[str, Any], local_store: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "theirs"
    (root / "tree").mkdir()
    (root / "tree/file").write_text("x")
    for text in (
        "[" * 100_000,
        '{"files": [{"path": "file", "size": Infinity}]}',
        '{"files": [{"path": "../secret", "size": 16}]}',
        '{"files": [{"path": "a\\u001b[31m", "size": 16}]}',
        '{"files": 3}',
        "\ufeff",
    ):
        (root / f"tree{MANIFEST}").write_text(text)
        refused = bring(source_store, local_store, "tree")
        assert all(words.isprintable() for words in refused.values())
        assert ("path" in text) <= (list(refused) == ["tree"]) or "Infinity" in text
    stores = Stores({"ours": Store("ours", source_store)}, "ours", {})
    with closing(StoreTransport(stores)) as store_transport:
        sought = [Sought("ours", path, None, None) for path in ("tree", "../secret", "right")]
        assert store_transport.faults("local", sought, reading=True) == [False, True, False]


@BOTH
def test_a_codec_of_a_comment_that_is_no_name_refuses_the_link_and_others_come(case: Case) -> None:
    case.rig.run(
        "lab_a",
        "CREATE TABLE {lab}.attack (number int PRIMARY KEY, "
        "c json COMMENT ':<x/../../../../victim/authorized_keys@raw>:')",
    )
    victim = case.rig.folder / "victim"
    victim.mkdir()
    keys = victim / "authorized_keys"
    keys.write_text("the victim's")
    text = b"the attacker's"
    Path(case.archive.stores["raw"]["location"], "x").write_bytes(text)
    digest = base32(hashlib.md5(text).digest())
    said = {"path": "x", "store": "raw", "hash": digest, "size": len(text)}
    put(case.rig, "attack", 1, said)
    case.document["sources"]["lab_a"]["schemas"][case.rig.names("lab")]["tables"]["Attack"] = {}
    plan, _ = case.apply()
    assert keys.read_text() == "the victim's"
    [refusal] = [r for r in plan.refusals if r.address.endswith(".Attack")] or link_of(
        plan, case.rig.address("lab_a", "lab", "Attack")
    ).blocked
    assert "attack.c" in refusal.reason
    assert "does not name a codec" in refusal.reason
    assert refusal.hint
    assert case.sessions() == [1, 2, 3]


@BOTH
def test_tables_whose_names_init_refuses_are_refused_by_globs_each_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_store, local_store = folder_store(rig.folder / "theirs"), folder_store(rig.folder / "ours")
    (rig.folder / "theirs/x").write_bytes(b"the attacker's")
    local_stores(monkeypatch, {"ours": local_store, "default": "ours"})
    rig.run("lab_a", "CREATE DATABASE {lab}")
    names = ("x/../../..", "..", "a.b", "a\\b", "a b", "a*", "lone__part", "plain")
    for name in names:
        table = f"{{lab}}.`{name}`"
        rig.run("lab_a", f"CREATE TABLE {table} (id int PRIMARY KEY, v json COMMENT ':<npy@raw>:')")
        put(rig, name, 1, {"path": "x", "store": "raw", "dtype": "int", "shape": [1]})
    rig.accounts({"lab_a": ["lab"]})
    document = manifest(rig, {"raw": source_store}, {"raw": "ours"})
    document["sources"]["lab_a"]["schemas"][rig.names("lab")]["tables"] = "*"
    plan, report = rig.apply(document)
    place = f"lab_a.{rig.names('lab')}."
    refused = {r.address.removeprefix(place): r for r in plan.refusals}
    assert len(refused) == len(names) - 1
    assert all("its name " in r.reason and r.hint for r in refused.values()), refused
    assert [outcome.address for outcome in report.outcomes] == [f"{place}Plain"]
    assert report.outcomes[0].status == "done"
    assert files(rig.folder / "ours") == [f"_schema/{rig.local_schema('lab_a', 'lab')}/plain/x"]


@BOTH
def test_rows_whose_objects_are_not_as_datajoint_writes_them_are_left_out_and_others_come(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_store, local_store = folder_store(rig.folder / "theirs"), folder_store(rig.folder / "ours")
    (rig.folder / "theirs/x").write_bytes(b"right")
    (rig.folder / "secret").write_bytes(b"wrong")
    local_stores(monkeypatch, {"ours": local_store, "default": "ours"})
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run("lab_a", "CREATE TABLE {lab}.t (id int PRIMARY KEY, f json COMMENT ':<filepath@raw>:')")
    right = {"path": "x", "store": "raw", "size": 5, "is_dir": False}
    wrong: list[Any] = [
        {"path": path}
        for path in ("../secret", "/etc/hostname", "a//../x", "x\\..", "C:/x", ".", "a/\x1b[31m", "", 3, None)
    ]
    sizes: list[Any] = ["5", -5, 5.5, True, [], 1 << 70]
    wrong += [{"size": size} for size in sizes]
    wrong += [{"hash": value} for value in ("../../../secret", 3, ["a"], HASH + "\n")]
    wrong += [{"store": value} for value in (3, ["raw"], "\x1b[31mraw", "../raw")]
    for number, each in enumerate([{}, {"url": "file:///etc/hostname"}, *wrong]):
        put(rig, "t", number, {**right, **each})
    rig.accounts({"lab_a": ["lab"]})
    document = manifest(rig, {"raw": source_store}, {"raw": "ours"})
    document["sources"]["lab_a"]["schemas"][rig.names("lab")]["tables"] = "*"
    _, report = rig.apply(document)
    [outcome] = report.outcomes
    assert (outcome.counts.pulled, outcome.counts.refused) == (2, len(wrong))
    assert outcome.problem is not None
    assert outcome.problem.isprintable()
    assert files(rig.folder / "ours") == ["x"]
    schema = rig.local_schema("lab_a", "lab")
    kept = [json.loads(row[0]) for row in rig.servers.local.execute(f"SELECT f FROM `{schema}`.t")]
    assert kept == [{**right, "store": "ours"}] * 2
