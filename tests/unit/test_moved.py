"""`moved`: what its entries may say, and which names follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from djlink_manifest.manifest.load import read
from djlink_manifest.manifest.models.moves import followed, former_places, former_schemas
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.reconcile.diff.renamed import as_before
from djlink_manifest.reconcile.resolve.local_schemas import local_schemas

BASE: dict[str, Any] = {
    "manifest": 1,
    "name": "atlas",
    "contact": "a@b.example",
    "local": {"host": "l"},
    "defaults": {"schema_name": "ours_{source}_{schema}"},
    "sources": {"kyoto2": {"host": "k", "schemas": {"lab": {"tables": ["Session"]}, "rec": {"tables": "*"}}}},
}


def told(folder: Path, moved: object, **more: Any) -> tuple[Manifest | None, list[str]]:
    """The manifest with these entries, and what is said of them, each with its line and help."""
    path = folder / "atlas.yaml"
    path.write_text(yaml.safe_dump({**BASE, "moved": moved, **more}, sort_keys=False))
    manifest, found = read([path])
    return manifest, [f"{d.location.line}: {d.summary}: {d.help}" for d in found]


@pytest.mark.parametrize(
    "moved",
    [
        [{"from": "kyoto", "to": "kyoto2"}],
        [{"from": "a", "to": "b"}, {"from": "b", "to": "kyoto2"}],
        [{"from": "a.b", "to": "kyoto.lab"}, {"from": "kyoto", "to": "kyoto2"}],
        [{"from": "kyoto2.old", "to": "kyoto2.lab"}],
        [{"from": "kyoto2.lab.Visit", "to": "kyoto2.lab.Session"}],
        [{"from": "kyoto2.rec.Scan", "to": "kyoto2.rec.Image"}],  # a glob may match both
        [{"local_schema": "old", "to": "ours_kyoto2_lab"}, {"local_schema": "old", "to": "ours_kyoto2_rec"}],
    ],
)
def test_what_moved_may_say(tmp_path: Path, moved: object) -> None:
    manifest, found = told(tmp_path, moved)
    assert manifest is not None
    assert found == []


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ([{"from": "kyoto", "to": "kyoto3"}], "does not declare `kyoto3`: did you mean `kyoto2`?"),
        ([{"from": "kyoto2", "to": "kyoto2"}], "is the name that it has already: remove the entry"),
        ([{"from": "kyoto2", "to": "kyoto3"}], "`kyoto2` is still declared at"),
        ([{"from": "kyoto2.lab", "to": "kyoto2.rec"}], "`kyoto2.lab` is still declared at"),
        ([{"from": "kyoto2.lab.session", "to": "kyoto2.rec.X"}], "`kyoto2.lab.session` is still declared at"),
        ([{"from": "a", "to": "b"}, {"from": "b", "to": "a"}], "`moved` forms a cycle: a → b → a"),
        (
            [{"from": "x", "to": "kyoto2"}, {"from": "x", "to": "kyoto2"}],
            "two entries move `x`: the other is at",
        ),
        ([{"from": "a", "to": "kyoto2.lab"}], "`a` is a source, and `kyoto2.lab` is a schema"),
        ([{"from": "kyoto2.rec.*", "to": "kyoto2.rec.X"}], "is a glob; name one table"),
        ([{"from": "kyoto2.rec.Scan.Field", "to": "kyoto2.rec.X"}], "is a part"),
        ([{"from": "local", "to": "kyoto2"}], "reserved for the local server"),
        ([{"local_schema": "old", "to": "ours_kyoto_lab"}], "no link has the local schema `ours_kyoto_lab`"),
        ([{"from": "a", "local_schema": "b", "to": "kyoto2"}], "needs either `from` or `local_schema`"),
        ([{"to": "kyoto2"}], "needs either `from` or `local_schema`"),
        ([{"from": "kyoto"}], "has no `to`: write the present name"),
        ([{"fro": "kyoto", "to": "kyoto2"}], "unknown key `fro`: did you mean `from`?"),
        ({"kyoto": "kyoto2"}, "`moved` must be a list"),
    ],
)
def test_what_moved_may_not_say(tmp_path: Path, moved: object, words: str) -> None:
    manifest, found = told(tmp_path, moved)
    assert manifest is None
    assert any(words in each for each in found), found
    assert all(int(each.partition(":")[0]) > 1 for each in found)  # at the entry


def test_removed_names_a_link_by_its_present_address(tmp_path: Path) -> None:
    moved = [{"from": "kyoto", "to": "kyoto2"}]
    _, found = told(tmp_path, moved, removed={"kyoto.lab.Note": {"table": "keep"}})
    assert any("`kyoto.lab.Note` has moved to `kyoto2.lab.Note`" in each for each in found)
    manifest, found = told(tmp_path, moved, removed={"kyoto2.lab.Note": {"table": "keep"}})
    assert (manifest is not None, found) == (True, [])


def test_an_approval_may_name_the_former_address(tmp_path: Path) -> None:
    approval = {
        "link": "kyoto.lab.Session",
        "keys": "sha256:" + "0" * 64,
        "count": 1,
        "until": "2026-11-20T09:00:00Z",
        "by": "a.lee",
        "date": "2026-11-20",
    }
    _, found = told(tmp_path, [{"from": "kyoto", "to": "kyoto2"}], approvals=[approval])
    assert found == []
    _, found = told(tmp_path, [], approvals=[approval])
    assert any("not linked" in each for each in found)


def test_files_may_each_have_some_entries(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**BASE, "moved": [{"from": "a", "to": "kyoto2"}]}))
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({"moved": [{"from": "b", "to": "kyoto2"}]}))
    for paths in ([tmp_path / "one.yaml", tmp_path / "two.yaml"], [tmp_path]):
        manifest, _ = read(paths)
        assert manifest is not None
        assert [entry.from_ for entry in manifest.moved] == ["a", "b"]


def entries(folder: Path, *pairs: tuple[str, str]) -> Sequence[Any]:
    manifest, found = told(folder, [{"from": before, "to": to} for before, to in pairs])
    assert manifest is not None, found
    return manifest.moved


def test_addresses_are_followed_over_all_moves_and_back(tmp_path: Path) -> None:
    moved = entries(
        tmp_path,
        ("old", "kyoto"),
        ("kyoto", "kyoto2"),
        ("kyoto2.days", "kyoto2.lab"),
        ("kyoto2.lab.Visit", "kyoto2.lab.Session"),
    )
    assert followed("old.days.Visit", moved)[-1] == "kyoto2.lab.Session"
    assert followed("old.days.Other", moved)[-1] == "kyoto2.lab.Other"
    assert followed("kyoto2.lab.Session", moved) == ()
    addresses = [former.address for former in former_places(moved, "kyoto2", "lab", "__session")]
    assert "old.days.Visit" in addresses
    assert addresses[0] == "kyoto.lab.Session"
    assert ("old", "days") in former_schemas(moved, "kyoto2", "lab")


def test_the_local_schemas_of_former_names_are_looked_at(tmp_path: Path) -> None:
    moved = [
        {"from": "kyoto", "to": "kyoto2"},
        {"local_schema": "first", "to": "second"},
        {"local_schema": "second", "to": "ours_kyoto2_rec"},
    ]
    manifest, _ = told(tmp_path, moved)
    assert manifest is not None
    assert local_schemas(manifest) == {
        *("ours_kyoto2_lab", "ours_kyoto2_rec", "ours_kyoto_lab", "ours_kyoto_rec"),
        *("first", "second"),
    }


def test_a_definition_is_the_same_under_the_names_that_its_tables_had() -> None:
    def table(name: str, *keys: ForeignKey, parts: tuple[TableDefinition, ...] = ()) -> TableDefinition:
        return TableDefinition("lab", name, (), ("s",), foreign_keys=keys, parts=parts)

    def key(name: str, parent: str) -> ForeignKey:
        return ForeignKey(name, ("s",), "lab", parent, ("s",))

    before = table("session", parts=(table("session__trial", key("session__trial_ibfk_1", "session")),))
    now = table("recording", parts=(table("recording__trial", key("recording__trial_ibfk_1", "recording")),))
    names = {("lab", t.name): ("lab", t.name.replace("recording", "session")) for t in now.tables}
    assert as_before(now, names).digest() == before.digest()
    assert as_before(table("scan", key("k", "recording")), names) == table("scan", key("k", "session"))
