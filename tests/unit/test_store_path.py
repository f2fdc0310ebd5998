"""The one check of paths: whatever a path is made of, it lies inside of its store or is refused."""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import ObjectRefused
from djlink_manifest.model.stores.path import LONGEST, BadPath, store_path
from djlink_manifest.model.stores.store import Store
from djlink_manifest.servers.stores.open import open_store
from djlink_manifest.servers.stores.store import OpenStore

PIECES = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "\\",
        "\0",
        "\n",
        "\x85",
        "\u2028",
        "C:",
        "~",
        "%2e%2e",
        "．．",
        "out",
        "in",
        "a",
        "...",
        " ",
        "s3://b",
    ]
)
HOSTILE = st.one_of(
    st.lists(PIECES, max_size=8).map("/".join),
    st.lists(PIECES, max_size=8).map("".join),
    st.text(max_size=30),
    st.text(alphabet="./\\a\0", max_size=12),
)


@given(HOSTILE)
def test_a_checked_path_stays_below_any_root_on_any_system(text: str) -> None:
    try:
        path = store_path(text)
    except BadPath:
        return
    assert path == text
    assert posixpath.normpath(f"/root/{path}") == f"/root/{path}"
    assert PurePosixPath("/root", path).parts[:2] == ("/", "root")
    assert PureWindowsPath("D:\\root", path).parts[:2] == ("D:\\", "root")
    assert all(step and step not in {".", ".."} for step in path.split("/"))


@pytest.mark.parametrize("value", [None, 3, b"a", ["a"], True, "", "x" * (LONGEST + 1)])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(BadPath):
        store_path(value)


@pytest.mark.parametrize("text", ["a", "a/b.c", "ü/☃ x", "...", "ab:c", "~x", "..a/b..", "%2e%2e/x", "-"])
def test_paths_that_look_odd_and_lead_nowhere_else_are_taken(text: str) -> None:
    assert store_path(text) == text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> OpenStore:
    """A folder with links in and out, beside what is not its own."""
    top = tmp_path_factory.mktemp("paths")
    root = top / "root"
    (root / "in/deep").mkdir(parents=True)
    (top / "secret").write_text("secret")
    (top / "a").mkdir()
    (top / "a/a").write_text("secret")
    (root / "a").write_text("ours")
    (root / "out").symlink_to("..")
    (root / "in/out").symlink_to(top / "a")
    (root / "in/a").symlink_to("../a")
    (root / "in/deep/out").symlink_to(top / "secret")
    return open_store(Store("s", {"protocol": "file", "location": str(root)}), "lab")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(HOSTILE, st.lists(st.sampled_from(["in", "out", "a", "deep", "new"]), min_size=1).map("/".join))
)
def test_nothing_outside_of_a_folder_is_read_written_or_removed(store: OpenStore, path: str) -> None:
    root = Path(store.store.settings["location"])
    outside = {
        each: each.read_bytes()
        for each in root.parent.rglob("*")
        if each.is_file() and root not in each.parents
    }
    for act in (
        lambda: store.look(path),
        lambda: store.files(path),
        lambda: b"".join(store.read(path)),
        lambda: _written(store, path),
        lambda: store.remove(path),
        lambda: store.tidy(path),
    ):
        with suppress(ObjectRefused, OSError):
            assert act() != b"secret"
    assert outside == {
        each: each.read_bytes()
        for each in root.parent.rglob("*")
        if each.is_file() and root not in each.parents
    }
    for gone in ("a", "in/a", "out", "in/out", "in/deep/out"):  # as they were
        if not os.path.lexists(root / gone):
            (root / gone).parent.mkdir(parents=True, exist_ok=True)
            (root / gone).symlink_to({"out": ".."}.get(gone, root.parent / "a"))


def _written(store: OpenStore, path: str) -> None:
    upload = store.begin(path, 3, "in/scratch")
    try:
        upload.write(b"new")
        upload.commit()
    finally:
        upload.discard()


# what folders, S3, URLs, Windows shares and Unicode's line ends may take for a way up or out
FURTHER = (
    *(
        "a/../../b",
        "../a",
        "a/..",
        "./a",
        "a/./b",
        "/a",
        "//a/b",
        "a//b",
        "a/",
        "..",
        ".",
        "C:/x",
        "c:x",
        "\\\\srv\\x",
    ),
    *("a/\x00/b", "a\n/../b", "a/\r", "a/\x85b", "a/\u2028b", "a\x7f/b", "..\\..\\x", "a/..\\b", "\ud800/a"),
    *("a/" * 3000 + "b", "x" * 4097, "/", "", "a/\u2029/..", "/../../x"),
)


@pytest.mark.parametrize("text", FURTHER, ids=lambda text: repr(text)[:24])
def test_further_ways_up_and_out_are_refused(text: str) -> None:
    with pytest.raises(BadPath):
        store_path(text)
