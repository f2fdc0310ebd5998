"""External values as pure functions: what a column says, where an object goes, which stores are meant."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.model.stores.external import (
    BadObject,
    External,
    Metadata,
    Place,
    external_of,
    housed,
    is_legacy,
    read_metadata,
    transport,
)
from djlink_manifest.model.stores.path import StorePath
from djlink_manifest.model.stores.store import NoStore, Store, Stores
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.reconcile.resolve.external_columns import Housed, house

PLACE = Place("ephys", "__spikes", "princeton_ephys", "spikes")
HASH = "abcdefghijklmnopqrstuvwx23"
LOCAL_STORE = Store(
    "ours",
    {"protocol": "file", "location": "/ours", "hash_prefix": "H", "schema_prefix": "S", "subfolding": [2, 3]},
)
BARE = Store("bare", {"protocol": "file", "location": "/b", "hash_prefix": "", "filepath_prefix": "files"})
LOCAL = {"ours": LOCAL_STORE, "bare": BARE}


def column(comment: str, type_: str = "json") -> Column:
    return Column("c", type_, nullable=True, comment=comment)


@pytest.mark.parametrize(
    ("comment", "type_", "found"),
    [
        (":<blob@raw>:waves", "json", External("blob", "raw")),
        (":<npy@>:", "json", External("npy", "default")),
        (":<graph@cold>:a :colon", "json", External("graph", "cold")),
        (":<graph>:names its own store", "json", External("graph", None)),
        (":<blob>:in the row", "longblob", None),
        (":<graph>:in the row", "longblob", None),
        (":json:plain", "json", None),
        ("a comment with <blob@raw>", "json", None),
        (":blob@raw:", "binary(16)", None),
    ],
)
def test_what_a_column_says_of_its_store(comment: str, type_: str, found: External | None) -> None:
    assert external_of(column(comment, type_)) == found


def test_columns_of_datajoint_before_2_are_told_apart() -> None:
    assert is_legacy(column(":blob@raw:", "binary(16)"))
    assert is_legacy(column(":external-raw:", "char(51)"))
    assert not is_legacy(column(":<blob@raw>:"))
    assert not is_legacy(column(":uuid:", "binary(16)"))


def transport_of(
    metadata: dict[str, Any], codec: str, target: str = "ours", prefix: str = "_schema"
) -> tuple[str, dict[str, Any]]:
    external = External(codec, "raw")
    checked = read_metadata(json.dumps(metadata).encode(), external)
    assert checked is not None
    found, local_value = transport(checked, external, PLACE, [("raw", target)], prefix, LOCAL)
    return found.path, local_value


def moved(
    metadata: dict[str, Any], codec: str = "object", target: str = "ours", prefix: str = "_schema"
) -> tuple[str, dict[str, Any]]:
    path, local_value = transport_of(metadata, codec, target, prefix)
    assert path == local_value["path"]
    return path, local_value


@pytest.mark.parametrize(
    ("path", "prefix", "goal"),
    [
        ("_schema/ephys/__spikes/id=1/w_Ab-9.npy", "_schema", "S/princeton_ephys/spikes/id=1/w_Ab-9.npy"),
        ("ephys/__spikes/id=1/w_Ab-9", "", "S/princeton_ephys/spikes/id=1/w_Ab-9"),
        ("a/b/lab=x/ephys/__spikes/id=1/w", "a/b", "S/princeton_ephys/spikes/lab=x/id=1/w"),
        ("elsewhere/w_Ab-9", "_schema", "S/princeton_ephys/spikes/elsewhere/w_Ab-9"),
    ],
)
def test_an_object_by_schema_goes_below_the_local_table(path: str, prefix: str, goal: str) -> None:
    found, local_value = moved({"path": path, "store": "raw", "size": 3, "url": "s3://x"}, prefix=prefix)
    assert found == goal
    assert local_value == {"path": goal, "store": "ours", "size": 3}


def test_an_object_by_hash_goes_where_datajoint_would_put_it() -> None:
    metadata = {"hash": HASH, "path": f"_hash/ephys/{HASH}", "schema": "ephys", "store": "raw", "size": 9}
    goal, local_value = moved(metadata, "blob")
    assert goal == f"H/princeton_ephys/ab/cde/{HASH}"
    assert local_value == {**metadata, "path": goal, "schema": "princeton_ephys", "store": "ours"}
    assert moved(metadata, "blob", "bare")[0] == f"princeton_ephys/{HASH}"
    # garbage collection would take it for an orphan if it were called like a hash
    assert moved(metadata, "graph")[0] == f"{goal}.graph"


def test_a_filepath_keeps_its_path_within_the_local_stores_rules() -> None:
    assert moved({"path": "rig/1/a.bin", "store": "raw"}, "filepath")[0] == "rig/1/a.bin"
    assert moved({"path": "rig/1/a.bin", "store": "raw"}, "filepath", "bare")[0] == "files/rig/1/a.bin"
    assert moved({"path": "files/a.bin", "store": "raw"}, "filepath", "bare")[0] == "files/a.bin"
    for path in (f"H/princeton_ephys/{HASH}", "H", "h/x", "S"):
        with pytest.raises(BadObject, match="a section of the local store"):
            moved({"path": path, "store": "raw"}, "filepath")
    # as people write a folder; rows are compared by what stands behind the last slash
    found, local_value = transport_of({"path": "rig/run/", "store": "raw"}, "filepath")
    assert (found, local_value["path"]) == ("rig/run", "rig/run/")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../../b", "..", "a/./b", "a\\b", "a\nb", "a\0b"])
def test_a_path_that_leads_out_of_the_store_is_refused(path: str) -> None:
    with pytest.raises(BadObject, match=r"its path (leads out of|contains a character|is empty)"):
        moved({"path": path, "store": "raw"})


@given(st.text(max_size=40), st.sampled_from(["object", "filepath", "graph"]))
def test_no_path_of_a_source_leads_out_of_the_local_table(path: str, codec: str) -> None:
    try:
        goal, _ = transport_of({"path": path, "store": "raw"}, codec)
    except BadObject:
        return
    steps = goal.split("/")
    assert ".." not in steps
    assert not goal.startswith("/")
    assert codec == "filepath" or goal.startswith("S/princeton_ephys/spikes/")


@pytest.mark.parametrize(
    "metadata",
    [
        {"path": "a", "store": "other"},
        {"path": "a"},
        {"path": "a", "store": "raw", "hash": "../../x"},
        {"path": "a", "store": "raw", "hash": 5},
    ],
    ids=[
        "a store that is not mapped",
        "the default store",
        "a hash that is a path",
        "a hash that is a number",
    ],
)
def test_a_row_that_cannot_be_followed_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(BadObject):
        moved(metadata)


def test_a_codec_of_the_labs_own_may_call_other_things_a_size_and_a_hash() -> None:
    said = {"path": "_schema/s/t/k=1/c_x", "store": "raw", "size": [512, 512], "hash": "9f86d081" * 8}
    found = read_metadata(json.dumps(said).encode(), External("spike-train", "raw"))
    assert found is not None
    assert (found.hash, found.size) == (None, None)
    assert moved(said, "spike-train")[1]["size"] == [512, 512]
    with pytest.raises(BadObject, match="no such hash"):
        moved(said, "blob")
    with pytest.raises(BadObject, match="no such size"):
        moved({**said, "hash": HASH}, "blob")


def test_metadata_is_read_where_a_column_promises_it_and_where_it_looks_like_it() -> None:
    text = json.dumps({"path": "a", "store": None}).encode()
    wanted = Metadata(StorePath("a"), "default", None, None, {"path": "a", "store": None})
    assert read_metadata(text, External("blob", "raw")) == wanted
    assert read_metadata(text, External("graph", None)) == wanted
    assert read_metadata(b'{"path": "a"}', External("graph", None)) is None
    assert read_metadata(b"[1]", External("graph", None)) is None
    for value in (b"[1]", b"not json", b'{"path": 5}', b"null"):
        with pytest.raises(BadObject):
            read_metadata(value, External("blob", "raw"))


def test_a_column_here_names_the_local_store_or_holds_the_value() -> None:
    source_columns = column(":<blob@raw>:waves: 100% 'of' it")
    local_columns = housed(source_columns, External("blob", "raw"), "ours")
    assert local_columns == replace(source_columns, comment=":<blob@ours>:waves: 100% 'of' it")
    inline = housed(source_columns, External("blob", "raw"), "inline")
    assert inline == replace(source_columns, type="longblob", comment=":<blob>:waves: 100% 'of' it")


STORES = Stores(
    {"ours": LOCAL_STORE, "bare": BARE, "broken": NoStore("the store `broken` is not set up correctly: x")},
    "ours",
    {
        "lab": {
            "raw": Store("raw", {"protocol": "file", "location": "/raw"}),
            "default": "raw",
            "old": "oours",
        }
    },
)


def housing(
    comment: str, *mapping: tuple[str, str], schema: str = "local_s", stores: Stores = STORES
) -> Housed:
    table = TableDefinition("s", "t", (Column("id", "int"), column(comment)), ("id",))
    return house(table, "lab", schema, mapping, stores)


def test_a_table_is_housed_in_the_stores_that_are_meant() -> None:
    found = housing(":<blob@>:x", ("*", "default"))
    assert found.problems == ()
    assert found.stores == (("*", "ours"),)
    assert found.table.column("c").comment == ":<blob@ours>:x"
    assert housing("no object", ("*", "nowhere")) == Housed(housing("no object").table)


@pytest.mark.parametrize(
    ("comment", "mapping", "words"),
    [
        (":<blob@raw>:", [], "the store `raw`, but `stores` has no local store for it"),
        (":<blob@raw>:", [("raw", "ous")], "has no store `ous`.*did you mean `ours`"),
        (":<blob@raw>:", [("raw", "broken")], "not set up correctly"),
        (":<blob@cold>:", [("*", "ours")], "how to reach the store `cold` of lab"),
        (":<blob@old>:", [("*", "ours")], "no store `oours`.*did you mean `ours`"),
        (":<npy@raw>:", [("raw", "inline")], r"cannot keep t\.c \(`<npy@>`\) in the row"),
        (":blob@raw:", [("raw", "ours")], "before 2.0"),
        (":<x/../../y@raw>:", [("raw", "ours")], r"the comment of t\.c does not name a codec"),
    ],
)
def test_what_cannot_be_housed_is_told(comment: str, mapping: list[tuple[str, str]], words: str) -> None:
    import re

    found = housing(comment, *mapping)
    assert re.search(words, " ".join(f"{reason} {hint}" for reason, hint in found.problems)), found.problems
    assert found.stores == ()


@pytest.mark.parametrize("codec", ["graph", "spike-train", "lab.graph", "größe", "x1"])
def test_a_codec_has_the_name_that_its_lab_gave_it(codec: str) -> None:
    assert housing(f":<{codec}@raw>:", ("raw", "ours")).problems == ()


@pytest.mark.parametrize("codec", ["..", ".x", "-x", "a b", "a/b", "a\\b", "a\nb", "x" * 65])
def test_a_codec_whose_name_is_no_part_of_a_path_is_refused(codec: str) -> None:
    [(reason, _)] = housing(f":<{codec}@raw>:", ("raw", "ours")).problems
    assert "does not name a codec" in reason


def test_one_store_for_two_schemas_of_one_name_is_refused() -> None:
    shared = replace(STORES, given={"lab": {"raw": Store("raw", dict(LOCAL_STORE.settings))}})
    assert housing(":<blob@raw>:", ("raw", "ours"), stores=shared).problems == ()
    [(reason, _)] = housing(":<blob@raw>:", ("raw", "ours"), schema="s", stores=shared).problems
    assert "would delete the source's objects" in reason


def test_a_store_never_shows_its_secrets() -> None:
    store = Store("raw", {"protocol": "s3", "endpoint": "e", "bucket": "b", "secret_key": "hidden-key"})
    assert "hidden-key" not in f"{store!r} {store.where} {Stores({'raw': store})!r}"
    assert store.secrets == ("hidden-key",)
