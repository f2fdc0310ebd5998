"""In Python too, what bars pulls bars no request and no deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from djlink_manifest.errors import LinkRefused
from tests.support.notebooks import Notebook, notebook

__all__ = ["notebook"]


def at_the_source(statement: str) -> Callable[[Notebook], None]:
    def happens(notebook: Notebook) -> None:
        notebook.rig.run("lab_a", statement)

    return happens


CAUSES = {
    "of its own": at_the_source("ALTER TABLE {lab}.session MODIFY note int NOT NULL"),
    "of its parent": at_the_source("ALTER TABLE {lab}.`#subject` MODIFY species int NOT NULL"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_link_of_which_no_row_comes_refreshes_and_deletes(notebook: Notebook, cause: str) -> None:
    for name in ("Subject", "Session"):
        notebook.link(name)().pull(display_progress=False)
    notebook.rig.run("lab_a", "UPDATE {lab}.session SET note = '1'")
    notebook.rig.run("lab_a", "UPDATE {lab}.`#subject` SET species = '1'")
    CAUSES[cause](notebook)
    session: Any = notebook.link("Session")
    with pytest.raises(LinkRefused):
        session().pull(display_progress=False)
    status = session().status()
    assert (status.source, status.held, status.local) == (4, 4, 4)
    notebook.rig.run(
        "lab_a",
        f"INSERT INTO {notebook.rig.outbound_table('lab', 'session_deletion_requested')} (subject, day)"
        " VALUES ('A1', 1)",
    )
    assert session().refresh() == 1
    assert len(session.DeletionRequested()) == 1
    assert (session & session.DeletionRequested()).delete(prompt=False)
    assert (session & {"subject": "B1"}).delete(prompt=False)
    assert len(notebook.outbound("session")) == len(session()) == 2
    assert len(notebook.outbound("session_deletion_approved")) == 1
    status = session().status()
    assert (status.source, status.held, status.local) == (4, 2, 2)


def test_a_class_whose_child_gets_no_rows_deletes_with_it(notebook: Notebook) -> None:
    for name in ("Subject", "Session"):
        notebook.link(name)().pull(display_progress=False)
    notebook.rig.run("lab_a", "UPDATE {lab}.session SET note = '1'")
    CAUSES["of its own"](notebook)
    subject: Any = notebook.link("Subject")
    assert (subject & {"subject": "A1"}).delete(prompt=False)
    assert len(notebook.outbound("session")) == 2
    assert len(notebook.outbound("subject")) == 2
