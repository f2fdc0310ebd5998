"""Linked classes on a local server that the source does not know, or that was restored from a backup."""

from __future__ import annotations

import pytest

from djlink_manifest.errors import LinkRefused
from tests.support.notebooks import Notebook, notebook
from tests.support.snapshots import Saved
from tests.support.sql import run_all

__all__ = ["notebook"]


def test_a_moved_server_pulls_and_lets_go_of_nothing_until_adopt_confirms_it(notebook: Notebook) -> None:
    rig, subject = notebook.rig, notebook.link("Subject")
    subject().pull({"subject": "A1"}, display_progress=False)
    run_all(rig, "UPDATE {outbound}.`~djlink` SET fingerprint = REPEAT('0', 64), local_server = 'db.before'")
    assert subject().pull({"subject": "A2"}, display_progress=False).entities == 1
    with pytest.raises(LinkRefused, match=r"the source knows the local server as `db\.before`") as no:
        (subject() & {"subject": "A1"}).delete()
    assert no.value.hint == "if this server is the one to go on with, call adopt()"
    with pytest.raises(LinkRefused, match="moved, or it is a copy") as no:
        subject().unlink(prompt=False)
    assert "call adopt(), then remove it" in str(no.value.hint)
    assert len(subject()) == 2
    assert subject().adopt()
    assert not subject().adopt()
    (subject() & {"subject": "A1"}).delete()
    assert [row[0] for row in notebook.outbound("subject")] == ["A2"]


def test_a_request_for_what_is_gone_is_approved_once_the_server_is_confirmed(notebook: Notebook) -> None:
    rig, subject = notebook.rig, notebook.link("Subject")
    subject().pull(display_progress=False)
    run_all(rig, "UPDATE {outbound}.`~djlink` SET fingerprint = REPEAT('0', 64)")
    rig.run("local", f"DELETE FROM `{notebook.local}`.subject WHERE subject = 'A1'")
    rig.run(
        "lab_a",
        f"INSERT INTO {rig.outbound_table('lab', 'subject_deletion_requested')} (subject) VALUES ('A1')",
    )
    with pytest.raises(LinkRefused, match="wait for a confirmation"):
        subject().refresh()
    assert notebook.outbound("subject_deletion_approved") == []
    subject().adopt()
    subject().refresh()
    assert [row[0] for row in notebook.outbound("subject_deletion_approved")] == ["A1"]


def test_pulls_move_the_epoch_that_manifests_do_and_a_restored_server_is_refused(notebook: Notebook) -> None:
    rig, subject = notebook.rig, notebook.link("Subject")
    subject().pull({"subject": "A1"}, display_progress=False)
    backup = Saved.of(rig.servers.local, notebook.local)
    subject().pull({"subject": "A2"}, display_progress=False)
    backup.put_back(rig.servers.local)
    with pytest.raises(LinkRefused, match="has applied since this one did") as no:
        subject().pull(display_progress=False)
    assert str(no.value.hint).endswith("if this server is the one to go on with: call adopt()")
    assert subject().adopt()
    assert subject().pull(display_progress=False).entities == 2
    assert len(subject()) == 3
