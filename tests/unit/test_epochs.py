"""Whose a link is: every combination of the two marks' epochs, the fingerprint and the stated identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from djlink_manifest.model.server.catalog import Mark, ServerIdentity, Version
from djlink_manifest.model.server.epochs import Verdict, judged, local_server, next_epoch, number_of

IDENTITY = ServerIdentity(Version("mysql", "9.7.4", (9, 7, 4)), "us@%", "db", 3306, "/var", 1 << 24, "u-1")
HERE = local_server(IDENTITY)
PLACE = ("id", "lab_t", "ours", "", "lab", "t", "our_out", "lab_t", "db", "loc", "t")

EPOCHS: list[tuple[str | None, str | None, str | None, Verdict]] = [
    # the source's, the local one, the one announced locally
    (None, None, None, "own"),
    (None, None, "1.a", "own"),
    ("1.a", None, "1.a", "own"),
    ("4.a", "4.a", None, "own"),
    ("4.a", "4.a", "5.b", "own"),
    ("5.b", "4.a", "5.b", "own"),
    ("1.x", None, "1.a", "other"),
    ("5.x", "4.a", "5.b", "other"),
    ("5.x", "4.a", None, "other"),
    ("4.x", "4.a", None, "other"),
    ("9.x", "4.a", None, "other"),
    ("3.x", "4.a", None, "older source"),
    ("3.x", "4.a", "5.b", "older source"),
    (None, "4.a", None, "older source"),
    ("4.a", None, None, "remade"),
]
NAMES: list[tuple[str | None, str | None, bool, Verdict]] = [
    # the identity that the manifest states, that in the source's mark, whether the fingerprint is this one's
    (None, None, True, "own"),
    (None, None, False, "moved"),
    (None, "a", True, "own"),
    (None, "a", False, "moved"),
    ("a", None, True, "own"),
    ("a", None, False, "own"),
    ("a", "a", True, "own"),
    ("a", "a", False, "own"),
    ("b", "a", True, "renamed"),
    ("b", "a", False, "renamed"),
]


def mark(epoch: str | None, announced: str | None = None) -> Mark:
    return Mark(*PLACE, HERE.fingerprint, "d", epoch=epoch, epoch_next=announced)


@pytest.mark.parametrize(("source", "local", "announced", "verdict"), EPOCHS)
@pytest.mark.parametrize(("stated", "noted", "same", "named"), NAMES)
def test_equal_epochs_leave_it_to_the_names_and_others_do_not(
    source: str | None,
    local: str | None,
    announced: str | None,
    verdict: Verdict,
    stated: str | None,
    noted: str | None,
    same: bool,
    named: Verdict,
) -> None:
    source_mark = replace(mark(source), identity=noted)
    if not same:
        source_mark = replace(source_mark, fingerprint="0" * 64)
    expected = named if verdict == "own" else verdict
    assert judged(source_mark, mark(local, announced), local_server(IDENTITY, stated)) == expected


def test_a_mark_that_is_missing() -> None:
    assert judged(None, None, HERE) == "own"
    assert judged(mark(None), None, HERE) == "own"
    assert judged(mark("4.a"), None, HERE) == "remade"
    assert judged(None, mark(None), HERE) == "own"
    assert judged(None, replace(mark(None), fingerprint="0" * 64), HERE) == "moved"


@pytest.mark.parametrize("change", [{"hostname": "x"}, {"port": 1}, {"datadir": "/x"}, {"uuid": "u-2"}])
def test_another_host_name_port_folder_or_uuid_is_another_fingerprint(change: dict[str, object]) -> None:
    other = local_server(replace(IDENTITY, **change))  # type: ignore[arg-type] # as the field takes it
    assert judged(mark("4.a"), mark("4.a"), other) == "moved"


def test_a_mark_written_before_the_server_told_its_uuid_still_names_it() -> None:
    earlier = replace(mark("4.a"), fingerprint=local_server(replace(IDENTITY, uuid="")).fingerprint)
    assert judged(earlier, mark("4.a"), HERE) == "own"


def test_an_epoch_is_later_than_all_before_and_never_the_same() -> None:
    one, other = next_epoch([None, "3.a", "12.b", "x", "9" * 40 + ".z"]), next_epoch(["12.b"])
    assert (number_of(one), number_of(other)) == (13, 13)
    assert one != other
    assert number_of(next_epoch([])) == 1
    assert len(one) <= 64
