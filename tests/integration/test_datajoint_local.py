# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""Linked tables through DataJoint, with the lab's own account: as if the lab had declared them itself."""

from __future__ import annotations

import operator
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from djlink_manifest.reconcile.plan.actions import PullAgain
from djlink_manifest.sandbox.demo import pipeline
from djlink_manifest.sandbox.demo.pipeline import Pipeline, Source
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE, PAIRS, Servers, drop_everything, new_names
from tests.support.sql import ask, run_all

SOURCES: dict[Source, str] = {"princeton": "lab_a", "janelia": "lab_b"}
SIZE = 6
ALL = {"tables": "*"}


@dataclass
class Lab:
    """Both pipelines linked, seen through the lab's own connection.

    `modules` are virtual modules of the local schemas by the source's schema; `kept` what DataJoint says of
    the source's tables.
    """

    rig: Rig
    dj: Any
    sources: dict[Source, Pipeline]
    document: dict[str, Any]
    connection: Any
    modules: dict[str, Any] = field(default_factory=dict)
    own: Any = None

    def local(self, name: str) -> Any:
        """The local class of `schema.Class` or `schema.Class.Part`."""
        schema, *path = name.split(".")
        found = self.modules[schema]
        for each in path:
            found = getattr(found, each)
        return found

    def pairs(self) -> Iterator[tuple[str, Any, Any]]:
        """Every table and part: its name, the source's class and the local one."""
        for each in self.sources.values():
            for name, source in each.tables.items():
                yield name, source, self.local(name)


def open_lab(rig: Rig) -> Lab:
    dj = pipeline.load_datajoint()
    sources = {}
    for source, server in SOURCES.items():
        connection = pipeline.connect(rig.server(server))
        sources[source] = pipeline.declare(source, connection, rig.names.prefix)
        pipeline.fill(sources[source], size=SIZE)
    schemas = {SOURCES[s]: list(pipeline.DECLARE[s]) for s in SOURCES}
    rig.accounts(schemas, local=("ALL",))
    document = rig.document({server: dict.fromkeys(names, ALL) for server, names in schemas.items()})
    _, report = rig.apply(document)
    assert report.succeeded
    lab = Lab(rig, dj, sources, document, connect_local(rig))
    for server, names in schemas.items():
        for schema in names:
            lab.modules[schema] = virtual(lab, schema, rig.local_schema(server, schema))
    lab.own = declare_own(lab)
    return lab


def connect_local(rig: Rig) -> Any:
    """The lab's own session of DataJoint."""
    return pipeline.connect(rig.servers.local, rig.names("lab"), PASSWORD)


def virtual(lab: Lab, name: str, schema: str) -> Any:
    return lab.dj.VirtualModule(name, schema, connection=lab.connection)


def make_own_schema(rig: Rig, linked: str) -> None:
    """A schema of the lab's own with the collation of its linked tables, as the documentation says."""
    [(collation,)] = ask(
        rig.servers.local,
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
        (linked,),
    )
    ask(rig.servers.local, f"CREATE DATABASE `{rig.names('own')}` COLLATE {collation}")


def declare_own(lab: Lab) -> Any:
    """Tables of the lab's own over linked ones, as a lab would write them."""
    import datajoint as dj

    ephys, session = lab.modules["ephys"], lab.modules["session"]
    make_own_schema(lab.rig, session.Session.database)
    schema = dj.Schema(lab.rig.names("own"), dict(lab.modules), connection=lab.connection)

    @schema
    class Rating(dj.Manual):
        definition = """
        -> session.Session
        ---
        -> lab.User.proj(rater="user")
        -> [nullable] imaging.Scan
        stars : int32
        """

    @schema
    class Quality(dj.Computed):
        definition = """
        -> ephys.Recording
        ---
        loudest : int32
        mean_trace : <blob>
        """

        class Channel(dj.Part):
            definition = """
            -> master
            -> ephys.Recording.Channel
            ---
            rms : float64
            """

        def make(self, key: dict[str, Any]) -> None:
            rows = (ephys.Recording.Channel & key).to_dicts(order_by="channel")
            traces = np.array([row["trace"] for row in rows]).astype(float)
            rms = np.sqrt((traces**2).mean(axis=1))
            loudest = rows[int(rms.argmax())]["channel"]
            self.insert1({**key, "loudest": loudest, "mean_trace": traces.mean(axis=0)})
            self.Channel.insert(
                [{**key, "channel": r["channel"], "rms": v} for r, v in zip(rows, rms, strict=True)]
            )

    @schema
    class Pairing(dj.Computed):
        definition = """
        -> session.Session
        -> imaging.Scan
        ---
        mouse : varchar(16)
        """

        @property
        def key_source(self) -> Any:
            early = session.Session & "session_number = 1"
            return early.proj() * (lab.modules["imaging"].Scan & "aborted = 0").proj()

        def make(self, key: dict[str, Any]) -> None:
            self.insert1({**key, "mouse": (lab.modules["imaging"].Scan & key).fetch1("mouse")})

    return SimpleNamespace(schema=schema, Rating=Rating, Quality=Quality, Pairing=Pairing)


pytestmark = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)


@pytest.fixture(scope="module")
def lab(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    rig = Rig(servers, new_names(), tmp_path_factory.mktemp("datajoint"))
    try:
        made = open_lab(rig)
        yield made
        for connection in (made.connection, *(p.connection for p in made.sources.values())):
            connection.close()
    finally:
        for server in servers:
            drop_everything(server, rig.names)


def rows_of(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table().to_dicts(order_by="KEY")
    return found


def told(rig: Rig, words: Any) -> Any:
    """What DataJoint says of a table; between vendors a JSON column is `longtext` to MariaDB's catalogue."""
    if rig.servers.pair in ALIKE or not isinstance(words, str):
        return words
    return re.sub(r": (json|longtext) *", ": json ", f": {words}")


def same(one: Any, other: Any) -> bool:
    """Whether two fetched values are equal, and of one type."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(one == other)


def test_every_class_and_part_is_there_under_its_own_name(lab: Lab) -> None:
    for name, _, local in lab.pairs():
        kind = lab.dj.Part if name.count(".") == 2 else lab.dj.Manual
        assert issubclass(local, kind), name
    classes: dict[str, Any] = {}
    schema = lab.rig.local_schema("lab_a", "ephys")
    lab.dj.Schema(schema, connection=lab.connection, create_schema=False).make_classes(into=classes)
    assert {"Probe", "Recording", "Spikes"} <= classes.keys()
    assert issubclass(classes["Spikes"].Unit, lab.dj.Part)


def test_fetched_values_equal_the_sources_in_value_and_type(lab: Lab) -> None:
    kinds = set()
    for name, source, local in lab.pairs():
        expected, found = rows_of(source), rows_of(local)
        assert len(found) == len(expected) > 0, name
        for one, other in zip(expected, found, strict=True):
            assert one.keys() == other.keys(), name
            for attribute in one:
                assert same(one[attribute], other[attribute]), (name, attribute)
                kinds.add(type(one[attribute]))
    assert {uuid.UUID, datetime, Decimal, np.ndarray, dict, str, float, int, type(None)} <= kinds


def test_headings_equal_the_sources(lab: Lab) -> None:
    for name, source, local in lab.pairs():
        one, other = source().heading, local().heading
        assert one.attributes.keys() == other.attributes.keys(), name  # loads both: a repr alone does not
        assert told(lab.rig, repr(one)) == told(lab.rig, repr(other)), name
        assert one.primary_key == other.primary_key, name
        assert one.table_status["comment"] == other.table_status["comment"], name
        for attribute in one.names:
            own, yours = one[attribute], other[attribute]
            for what in (
                "type",
                "original_type",
                "comment",
                "nullable",
                "default",
                "in_key",
                "is_blob",
                "uuid",
            ):
                words = [told(lab.rig, getattr(each, what, None)) for each in (own, yours)]
                assert words[0] == words[1], (name, attribute, what)


def test_attributes_are_the_same_across_linked_tables_where_they_are_at_the_source(lab: Lab) -> None:
    for source, each in lab.sources.items():
        for name, source_side in each.tables.items():
            local = lab.local(name)().heading
            for attribute in source_side().heading.names:
                origin = source_side().heading[attribute].lineage
                expected = None if origin is None else f"{SOURCES[source]}.{origin}"
                assert local[attribute].lineage == expected, (name, attribute)


JOINS = (
    ("session.Session", "lab.Subject"),
    ("session.Session", "ephys.Recording"),
    ("ephys.Recording", "ephys.Probe"),  # by a nullable foreign key
    ("ephys.Recording.Channel", "ephys.Spikes.Unit"),  # a part that refers to another table's part
    ("session.SessionNote", "session.Session"),
    ("imaging.Scan", "behavior.Training"),
    ("imaging.Segmentation.Cell", "imaging.Scan.Field"),
)


@pytest.mark.parametrize(("left", "right"), JOINS)
def test_joins_and_restrictions_by_a_table_give_what_they_give_at_the_source(
    lab: Lab, left: str, right: str
) -> None:
    source = lab.sources["princeton" if left in lab.sources["princeton"].tables else "janelia"]
    source_side, local_store = source.tables, {name: lab.local(name) for name in source.tables}
    operations: tuple[Callable[[Any, Any], Any], ...] = (operator.mul, operator.and_, operator.sub)
    for of in operations:
        assert len(of(local_store[left], local_store[right])) == len(
            of(source_side[left], source_side[right])
        )
    assert len(local_store[left] * local_store[right]) > 0


def test_restrictions_projections_and_aggregations_give_what_they_give_at_the_source(lab: Lab) -> None:
    source = lab.sources["princeton"].tables
    local_store = {name: lab.local(name) for name in source}

    def answers(t: Mapping[str, Any]) -> list[Any]:
        session, channel = t["session.Session"], t["ephys.Recording.Channel"]
        users = t["lab.User"].proj("full_name", experimenter="user")
        asked = [
            session & "session_number > 1",
            session & {"session_number": 1},
            session & (t["lab.Subject"] & {"species": "mouse"}),
            session - [{"subject": "A001"}],
            session & [{"subject": "A001"}, "session_number > 1"],
            session.proj(day="session_date", begun="HOUR(session_start)"),
            (session * users).proj("full_name"),
            t["ephys.Recording"].aggr(channel, n="count(*)", deepest="max(depth)"),
            lab.dj.U("species").aggr(t["lab.Subject"] * session, sessions="count(*)"),
        ]
        return [each.to_dicts(order_by="KEY") for each in asked[:-1]] + [
            sorted(asked[-1].to_dicts(), key=str)
        ]

    for one, other in zip(answers(source), answers(local_store), strict=True):
        assert one == other
        assert one


def test_a_table_of_the_labs_own_refers_to_linked_tables_and_joins_with_them(lab: Lab) -> None:
    session, rating = lab.local("session.Session"), lab.own.Rating
    key = session().keys(order_by="KEY")[0]
    scan = lab.local("imaging.Scan")().keys(order_by="KEY")[0]["scan"]
    user = lab.local("lab.User")().keys(order_by="KEY")[0]["user"]
    rating.insert1({**key, "rater": user, "scan": scan, "stars": 4})
    assert len(rating * session * lab.local("lab.Subject")) == 1
    assert len(session - rating) == SIZE - 1
    assert (rating * lab.local("imaging.Scan")).fetch1("mouse")
    with pytest.raises(lab.dj.errors.IntegrityError):
        rating.insert1({**key, "subject": "nobody", "rater": user, "stars": 1})
    (rating & key).delete(prompt=False)
    assert len(session()) == SIZE


def test_populate_computes_from_linked_tables_with_parts_and_blobs(lab: Lab) -> None:
    quality = lab.own.Quality
    assert quality.populate()["error_list"] == []
    assert len(quality()) == len(lab.local("ephys.Recording")()) == SIZE
    assert len(quality.Channel * lab.local("ephys.Recording.Channel")) == len(
        lab.sources["princeton"].tables["ephys.Recording.Channel"]()
    )
    key = quality().keys(order_by="KEY")[0]
    traces = (lab.sources["princeton"].tables["ephys.Recording.Channel"] & key).to_arrays("trace")
    assert np.array_equal((quality & key).fetch1("mean_trace"), np.array(list(traces)).mean(axis=0))
    assert quality.progress(display=False)[0] == 0


def test_populate_computes_from_a_join_of_tables_of_two_sources(lab: Lab) -> None:
    pairing = lab.own.Pairing
    due = len(pairing().key_source)
    assert due > 1
    assert pairing.populate()["error_list"] == []
    assert len(pairing()) == due
    assert len(pairing * lab.local("session.Session") * lab.local("imaging.Scan").proj()) == due


def test_diagrams_show_linked_tables_and_those_of_the_labs_own(lab: Lab) -> None:
    nodes = set((lab.dj.Diagram(lab.own.schema) - 2).nodes())
    for name in ("session.Session", "ephys.Recording", "lab.Subject", "imaging.Scan"):
        assert lab.local(name).full_table_name in nodes, name
    for each in lab.sources.values():
        names = {source_side.full_table_name: name for name, source_side in each.tables.items()}
        for name, source in each.tables.items():
            expected = {lab.local(names[parent]).full_table_name for parent in source().parents()}
            assert set(lab.local(name)().parents()) == expected, name
            assert lab.local(name).full_table_name in lab.dj.Diagram(lab.local(name)).nodes()


def test_describe_says_what_it_says_at_the_source(lab: Lab) -> None:
    for name, source, local_side in lab.pairs():
        words = {line.strip() for line in source().describe().splitlines() if "->" not in line}
        local = local_side().describe()
        assert {line.strip() for line in local.splitlines() if "->" not in line} == words, name
        assert local.count("->") == source().describe().count("->"), name


def test_rows_deleted_with_datajoint_go_with_what_depends_on_them_and_are_pulled_again(lab: Lab) -> None:
    lab.own.Quality.populate()
    session = lab.local("session.Session")
    key = session().keys(order_by="KEY")[-1]
    (session & key).delete(prompt=False)
    assert len(session()) == len(lab.own.Quality()) == SIZE - 1
    assert len(lab.own.Quality.Channel & key) == 0
    plan, report = lab.rig.apply(lab.document)
    for name in ("session.Session", "session.SessionNote", "ephys.Recording", "ephys.Spikes"):
        schema, table = name.split(".")
        [action] = link_of(plan, lab.rig.address("lab_a", schema, table)).actions
        assert isinstance(action, PullAgain), name
        assert "pull again" in action.reason
    assert report.succeeded
    assert rows_of(session) == rows_of(lab.sources["princeton"].tables["session.Session"])
    assert not lab.rig.plan(lab.document).has_changes


def test_tables_of_two_sources_that_are_called_alike_are_not_taken_for_one(rig: Rig) -> None:
    dj, made = pipeline.load_datajoint(), []
    for server in SOURCES.values():
        connection = pipeline.connect(rig.server(server))
        made.append(pipeline.declare("janelia", connection, rig.names.prefix))
        pipeline.fill(made[-1], size=2)
        connection.close()
    rig.accounts({server: ["behavior"] for server in SOURCES.values()}, local=("ALL",))
    _, report = rig.apply(rig.document({server: {"behavior": ALL} for server in SOURCES.values()}))
    assert report.succeeded
    connection = connect_local(rig)
    one, other = (
        dj.VirtualModule(server, rig.local_schema(server, "behavior"), connection=connection)
        for server in SOURCES.values()
    )
    assert len(one.Mouse * one.Training) > 0
    with pytest.raises(dj.DataJointError, match="different lineages"):
        len(one.Mouse * other.Training)
    connection.close()


def test_linked_tables_of_a_source_without_lineage_join_with_each_other_and_the_labs_own(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE DATABASE {other}",
        "CREATE TABLE {lab}.animal (animal int PRIMARY KEY)",
        "CREATE TABLE {other}.session (animal int, day int, helper int, PRIMARY KEY (animal, day),"
        " FOREIGN KEY (animal) REFERENCES {lab}.animal (animal),"
        " FOREIGN KEY (helper) REFERENCES {lab}.animal (animal))",
        "CREATE TABLE {other}.session__trial (animal int, day int, trial int,"
        " PRIMARY KEY (animal, day, trial),"
        " FOREIGN KEY (animal, day) REFERENCES {other}.session (animal, day))",
        "INSERT INTO {lab}.animal VALUES (1), (2)",
        "INSERT INTO {other}.session VALUES (1, 1, 2), (2, 1, NULL)",
        "INSERT INTO {other}.session__trial VALUES (1, 1, 1), (1, 1, 2)",
    )
    rig.accounts({"lab_a": ["lab", "other"]}, local=("ALL",))
    _, report = rig.apply(rig.document({"lab_a": {"lab": ALL, "other": ALL}}))
    assert report.succeeded
    connection = connect_local(rig)
    import datajoint as dj

    animals, sessions = (
        dj.VirtualModule(schema, rig.local_schema("lab_a", schema), connection=connection)
        for schema in ("lab", "other")
    )
    assert len(animals.Animal * sessions.Session) == 2
    assert len(animals.Animal * sessions.Session.Trial) == 2
    assert len(animals.Animal.proj(helper="animal") * sessions.Session.proj("helper")) == 1
    own = dj.Schema(rig.names("own"), {"sessions": sessions}, connection=connection)

    @own
    class Count(dj.Computed):
        definition = """
        -> sessions.Session
        ---
        trials : int32
        """

        def make(self, key: dict[str, Any]) -> None:
            self.insert1({**key, "trials": len(sessions.Session.Trial & key)})

    assert Count.populate()["error_list"] == []
    assert sorted((Count * animals.Animal).to_arrays("trials")) == [0, 2]
    connection.close()


def test_tables_that_differ_in_their_tier_alone_are_parted_by_schema_name(rig: Rig) -> None:
    dj, source = pipeline.load_datajoint(), pipeline.connect(rig.servers.lab_a)
    for base, contents in ((dj.Lookup, [{"sorter": 1, "word": "listed"}]), (dj.Manual, [])):
        schema = dj.Schema(rig.names("lab"), connection=source)
        members = {"definition": "sorter : int32\n---\nword : varchar(9)", "contents": contents}
        table = schema(type("Sorter", (base,), members))
        if base is dj.Manual:
            table.insert1({"sorter": 2, "word": "by hand"})
    source.close()
    rig.accounts({"lab_a": ["lab"]}, local=("ALL",))
    both = rig.document({"lab_a": {"lab": ALL}})
    [blocked] = [b for link in rig.plan(both).links for b in link.blocked][:1]
    assert "it has the same local table as" in blocked.reason
    assert "schema_name" in (blocked.hint or "")
    apart = {"sorter": {}, "#sorter": {"schema_name": rig.names("lists")}}
    _, report = rig.apply(rig.document({"lab_a": {"lab": {"tables": apart}}}))
    assert report.succeeded
    connection = connect_local(rig)
    hand, lists = (
        dj.VirtualModule("m", schema, connection=connection)
        for schema in (rig.local_schema("lab_a", "lab"), rig.names("lists"))
    )
    assert hand.Sorter().fetch1("word") == "by hand"
    assert lists.Sorter().fetch1("word") == "listed"
    connection.close()


def test_values_kept_inline_by_each_codec_are_fetched_as_at_the_source(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    monkeypatch.chdir(fetched)  # where DataJoint puts attached files
    source = pipeline.connect(rig.servers.lab_a)
    import datajoint as dj

    schema = dj.Schema(rig.names("lab"), connection=source)

    @schema
    class Value(dj.Manual):
        definition = """
        # of every kind, 100 %% of them
        id : uuid                    # "quoted" and 'quoted'
        ---
        anything : <blob>
        file : <attach>
        tree : json
        kind : enum('a b', 'ü')
        at : datetime(6)
        clock : time
        yes : bool
        weight : decimal(12,4)
        single : float32
        bare : longblob
        """

    attached = tmp_path / "notes, 100 %.txt"
    attached.write_bytes(bytes(range(256)))
    blob = {"a": [1, 2.5, None, "é😀"], "m": np.arange(6, dtype=np.complex64).reshape(2, 3), (1, 2): {3}}
    row = {
        "id": uuid.uuid4(),
        "anything": blob,
        "file": str(attached),
        "tree": {"x": [1, {"y": None}], "😀": "é"},
        "kind": "a b",
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901),
        "clock": "23:59:58",
        "yes": True,
        "weight": Decimal("-12345678.9012"),
        "single": 16777216.0,
        "bare": b"\x00\xff'\\%",
    }
    Value.insert1(row)
    rig.accounts({"lab_a": ["lab"]}, local=("ALL",))
    _, report = rig.apply(rig.document({"lab_a": {"lab": ALL}}))
    assert report.succeeded
    connection = connect_local(rig)
    local = dj.VirtualModule("m", rig.local_schema("lab_a", "lab"), connection=connection).Value
    one, other = Value().fetch1(), local().fetch1()
    first, second = Path(str(one.pop("file"))), Path(str(other.pop("file")))
    assert second.read_bytes() == attached.read_bytes()
    assert first.read_bytes() == second.read_bytes()
    own, yours = one.pop("anything"), other.pop("anything")
    assert np.array_equal(own.pop("m"), yours.pop("m"))
    assert own == yours
    assert one == other
    assert other["tree"] == row["tree"]
    assert Value().heading.attributes.keys() == local().heading.attributes.keys()
    assert told(rig, repr(Value().heading)) == told(rig, repr(local().heading))
    assert ask(rig.servers.local, f"SELECT COUNT(*) FROM `{local.database}`.value") == [(1,)]
    for each in (source, connection):
        each.close()
