"""What a person does in a notebook: links, pulls, deletes, and what the source sees of it."""

from __future__ import annotations

from tests.notebooks import Notebook, notebook

__all__ = ["notebook"]


def test_first(notebook: Notebook) -> None:
    subject = notebook.link("Subject")
    print(subject().source)
    r = subject().pull()
    print(r)
    session = notebook.link("Session")
    print(session.heading, session.Trial().heading, session.DeletionRequested())
    print(session().pull("subject = 'A1'"))
    print(session().pull(subject & "species='mouse'"))
    print(session().status())
    print(session().source.flagged)
    session().outbound.DeletionRequested.insert1({"subject": "A1", "day": 1})
    print(session().source.flagged)
    print(session().refresh(), session().DeletionRequested())
    (session() & "day=1").delete()
    print(session(), session.outbound, session.outbound.DeletionApproved())
    print(session().pull())
    assert 0
