# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""What a user of datajoint-link does, sentence by sentence of its description, as one script.

Run as a program by the tests: DJ_* name the lab's server, LINK_* the source's account and outbound schema,
SOURCE_* the source and its owner, LOCAL_SCHEMA and SOURCE_SCHEMA the schemas. It ends
with 0 where every sentence holds.
"""

from __future__ import annotations

import os
from typing import Any

import datajoint as dj

from djlink_manifest import LazySchema, Link

LOCAL, SOURCE = os.environ["LOCAL_SCHEMA"], os.environ["SOURCE_SCHEMA"]
HOST, PORT = os.environ["SOURCE_HOST"], int(os.environ["SOURCE_PORT"])


# -- at the source: the other lab's own table, on its own account ------------------------------------------
owner = dj.Connection(
    HOST, os.environ["SOURCE_USER"], os.environ["SOURCE_PASS"], PORT, use_tls=False, backend="mysql"
)
their_schema = dj.Schema(SOURCE, connection=owner)


class SourceTable:
    """The other lab's table, which is called `Table` as well."""

    @their_schema
    class Table(dj.Manual):
        definition = """
        # a source table
        number : int32
        ---
        word : varchar(20)
        blob : <blob>
        """

        class Part(dj.Part):
            definition = """
            -> master
            piece : int32
            ---
            value : float64
            """


source_table: Any = SourceTable.Table


def fill() -> None:
    """Five entities with two part rows each."""
    source_table.insert([{"number": n, "word": f"word {n}", "blob": [n, n]} for n in range(5)])
    source_table.Part.insert(
        [{"number": n, "piece": p, "value": n + p / 3} for n in range(5) for p in range(2)]
    )


def fails(work: Any, kind: type[Exception] = dj.DataJointError) -> bool:
    """Whether the work is refused with an error of this kind."""
    try:
        work()
    except kind:
        return True
    return False


def numbers(table: Any) -> list[int]:
    """The keys of a table or expression."""
    return sorted(int(n) for n in table.to_arrays("number"))


fill()

# -- "The definition of the local table looks like this" ---------------------------------------------------
local_schema = LazySchema(LOCAL)
source_schema = LazySchema(SOURCE, host=f"{HOST}:{PORT}")

# "LazySchema establishes the connection to the database when needed and, unlike Schema, not when the
# instance is created."
assert not local_schema.is_activated()
assert LazySchema("x", host="not.there.invalid").database == "x"


# "A mapping of store names can be passed as a keyword argument to the constructor of the Link class."
assert Link(local_schema, source_schema, stores={"local_store": "source_store"}).stores == (
    ("source_store", "local_store"),
)


@Link(local_schema, source_schema)
class Table:
    """The local table."""


table: Any = Table

# "The local table is created when the link is first established and has primary and non-primary attributes
# that are identical to the ones of the source table."
assert table().is_declared
assert table().heading.names == source_table().heading.names
assert table().primary_key == ["number"]
assert table.__doc__ is not None
assert "The local table." in table.__doc__

# "The contents of the source table can be viewed using the source attribute"
assert numbers(table().source) == [0, 1, 2, 3, 4]
assert numbers(table().source & "number > 2") == [3, 4]
assert len(table().source.Part & {"number": 1}) == 2
assert "word 1" in repr(table().source)

# "DataJoint restrictions can be passed to the pull method if only specific entities are to be pulled"
assert table().pull("number < 2", display_progress=False).entities == 2
assert table().pull({"number": 2}, "word = 'word 2'", display_progress=False).entities == 1
assert numbers(table()) == [0, 1, 2]

# "All entities that are not present in the local table and whose deletion has not been requested can be
# pulled using the pull method"
table().outbound.DeletionRequested.insert1({"number": 4})
assert numbers(table().source.flagged) == [4]
table().pull()
assert numbers(table()) == [0, 1, 2, 3]
assert table().pull(display_progress=False).entities == 0

# "A pull consists of three consecutive steps. ... their primary keys are inserted into the outbound table
# and, lastly, the complete entities are inserted into the local table. If the source table has part tables,
# their entities will also be fetched and inserted into the corresponding part tables of the local table."
assert numbers(table().outbound) == [0, 1, 2, 3]
assert table.to_dicts() == (source_table & "number < 4").to_dicts()
assert table.Part().to_dicts() == (source_table.Part & "number < 4").to_dicts()

# "As a result these entities can not be deleted from the source table without also being deleted from the
# outbound table." Others can.
assert fails(lambda: (source_table & "number = 0").delete(prompt=False))
(source_table & "number = 4").delete(prompt=False)
assert numbers(source_table) == [0, 1, 2, 3]

# "Regular database users should have no privileges on the outbound schema"
outbound = os.environ["LINK_OUTBOUND"]
assert fails(lambda: owner.query(f"SELECT * FROM `{outbound}`.`{SOURCE}_table`"))

# "The primary keys of entities that should be deleted from the local table can be inserted into the
# DeletionRequested part table of the outbound table. The local side can check which entities had their
# deletion requested by viewing their DeletionRequested part table"
# "The refresh method can be used to update the DeletionRequested part table of the local table with new
# entries from the outbound table"
table().outbound.DeletionRequested.insert([{"number": 0}, {"number": 1}])
assert numbers(table().DeletionRequested()) == []
assert table().refresh() == 2
assert numbers(table().DeletionRequested()) == [0, 1]
assert numbers(table().source.flagged) == [0, 1]

# "Deleting the aforementioned entities from the local table can be accomplished by appropriately
# restricting the local table and calling the delete method"
restriction = table().DeletionRequested().proj()
(table() & restriction).delete(prompt=False)
assert numbers(table()) == [2, 3]
assert len(table.Part()) == 4

# "The source side can then see that entities have been deleted from the local table by checking if the
# corresponding primary keys are present in the DeletionApproved part table of the outbound table."
# "Now the entities can be safely deleted from the outbound and source tables."
assert numbers(table().outbound.DeletionApproved()) == [0, 1]
(source_table & "number < 2").delete(prompt=False)
assert numbers(source_table) == [2, 3]

# "The local side is always free to delete any entities from the local table that had their deletion not
# requested by the source side. Doing so will simply delete the locally deleted entities from the outbound
# table."
(table() & "number = 2").delete(prompt=False)
assert numbers(table().outbound) == [3]
assert numbers(table().outbound.DeletionApproved()) == []
(source_table & "number = 2").delete(prompt=False)
assert numbers(source_table) == [3]

# "It preserves referential integrity across the linked tables and supports useful DataJoint features such
# as part tables"
status = table().status()
assert (status.source, status.held, status.local, status.to_pull) == (1, 1, 1, 0)
