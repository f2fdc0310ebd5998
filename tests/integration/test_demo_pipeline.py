"""The sandbox pipelines on a real server: their shape, their rows, and that they are the same every time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.demo.pipeline import Pipeline, add_rows, connect, declare, fill, schema_names
from tests.support.servers import Names, Servers

TABLES = {
    "lab": {"#species", "user", "subject"},
    "session": {"session", "session_note"},
    "ephys": {"#probe", "_recording", "_recording__channel", "__spikes", "__spikes__unit"},
    "behavior": {"mouse", "training"},
    "imaging": {"scan", "scan__field", "__segmentation", "__segmentation__cell"},
}


@pytest.fixture
def princeton(servers: Servers, names: Names) -> Iterator[Pipeline]:
    connection = connect(servers.lab_a)
    pipeline = declare("princeton", connection, names.prefix)
    fill(pipeline, size=6)
    yield pipeline
    connection.close()


@pytest.fixture
def janelia(servers: Servers, names: Names) -> Iterator[Pipeline]:
    connection = connect(servers.lab_b)
    pipeline = declare("janelia", connection, names.prefix)
    fill(pipeline, size=6)
    yield pipeline
    connection.close()


def rows_of(pipeline: Pipeline, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pipeline.tables[table]().to_dicts(order_by="KEY")
    return rows


def everything(pipeline: Pipeline) -> str:
    with np.printoptions(threshold=100_000):
        return "\n".join(f"{name}: {rows_of(pipeline, name)}" for name in pipeline.tables)


def foreign_keys(server: SandboxServer, names: Names, schema: str, table: str) -> set[tuple[str, str]]:
    """Pairs of a column and the `schema.table.column`, without the prefix, that it refers to."""
    rows = server.execute(
        "SELECT column_name, referenced_table_schema, referenced_table_name, referenced_column_name"
        " FROM information_schema.key_column_usage"
        " WHERE table_schema = %s AND table_name = %s AND referenced_table_name IS NOT NULL",
        (names(schema), table),
    )
    return {
        (column, f"{parent.removeprefix(names.prefix)}.{name}.{key}") for column, parent, name, key in rows
    }


def nullable_columns(server: SandboxServer, names: Names, schema: str, table: str) -> set[str]:
    rows = server.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s AND is_nullable = 'YES'",
        (names(schema), table),
    )
    return {column for (column,) in rows}


def test_the_two_sources_have_twelve_tables_of_every_tier_and_their_parts(
    servers: Servers, names: Names, princeton: Pipeline, janelia: Pipeline
) -> None:
    masters = 0
    for server, pipeline in ((servers.lab_a, princeton), (servers.lab_b, janelia)):
        for schema in schema_names(pipeline.source):
            found = server.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (names(schema),)
            )
            tables = {name for (name,) in found if not name.startswith("~")}
            assert tables == TABLES[schema]
            masters += len([name for name in tables if "__" not in name.lstrip("_")])
    assert masters == 12


def test_a_foreign_key_is_renamed(servers: Servers, names: Names, princeton: Pipeline) -> None:
    keys = foreign_keys(servers.lab_a, names, "session", "session")
    assert ("experimenter", "lab.user.user") in keys
    assert ("subject", "lab.subject.subject") in keys


def test_foreign_keys_are_nullable_and_some_are_null(
    servers: Servers, names: Names, princeton: Pipeline, janelia: Pipeline
) -> None:
    assert ("probe", "ephys.#probe.probe") in foreign_keys(servers.lab_a, names, "ephys", "_recording")
    assert "probe" in nullable_columns(servers.lab_a, names, "ephys", "_recording")
    probes = {row["probe"] for row in rows_of(princeton, "ephys.Recording")}
    assert None in probes
    assert len(probes) > 1
    # Of two columns one is NULL: the other still refers, by a key of its own.
    keys = foreign_keys(servers.lab_b, names, "imaging", "scan")
    assert {("mouse", "behavior.training.mouse"), ("mouse", "behavior.mouse.mouse")} <= keys
    assert "trained_on" in nullable_columns(servers.lab_b, names, "imaging", "scan")
    assert None in {row["trained_on"] for row in rows_of(janelia, "imaging.Scan")}


def test_a_part_refers_to_a_part_of_another_table(
    servers: Servers, names: Names, princeton: Pipeline
) -> None:
    keys = foreign_keys(servers.lab_a, names, "ephys", "__spikes__unit")
    assert ("channel", "ephys._recording__channel.channel") in keys
    assert ("subject", "ephys.__spikes.subject") in keys


def test_each_master_row_of_a_table_with_parts_has_part_rows(princeton: Pipeline, janelia: Pipeline) -> None:
    for pipeline, part in ((princeton, "ephys.Recording.Channel"), (janelia, "imaging.Scan.Field")):
        master = part.rpartition(".")[0]
        without = pipeline.tables[master]() - pipeline.tables[part]()
        assert len(pipeline.tables[master]()) == 6
        assert len(without) == 0
    assert len(princeton.tables["ephys.Spikes.Unit"]()) > 6
    assert len(janelia.tables["imaging.Segmentation.Cell"]()) > 6


def test_values_are_of_many_types_and_come_back_as_they_went_in(
    princeton: Pipeline, janelia: Pipeline
) -> None:
    session = rows_of(princeton, "session.Session")[0]
    assert isinstance(session["session_start"], datetime)
    assert session["session_start"].microsecond % 1000
    assert session["task"]["rewards"] == [0.5, 1, None]
    subject = rows_of(princeton, "lab.Subject")[0]
    assert isinstance(subject["subject_uuid"], uuid.UUID)
    assert isinstance(subject["weight"], Decimal)
    assert {"佐藤 花子", "Siobhán O'Neill"} <= {row["full_name"] for row in rows_of(princeton, "lab.User")}
    notes = " ".join(row["note"] for row in rows_of(princeton, "session.SessionNote"))
    assert "🐁" in notes
    assert "C:\\raw\\today" in notes
    assert "10 %" in notes
    trace = rows_of(princeton, "ephys.Recording.Channel")[0]["trace"]
    assert trace.dtype == np.int16
    assert trace.shape == (1500,)
    assert isinstance(rows_of(janelia, "imaging.Scan")[0]["scan"], uuid.UUID)
    assert rows_of(janelia, "imaging.Segmentation.Cell")[0]["mask"].dtype == np.bool_


def test_computed_rows_follow_from_the_recordings(princeton: Pipeline) -> None:
    for unit in rows_of(princeton, "ephys.Spikes.Unit"):
        key = {name: unit[name] for name in ("subject", "session_date", "session_number", "channel")}
        trace = (princeton.tables["ephys.Recording.Channel"] & key).fetch1("trace").astype(float)
        at = (unit["spike_times"] * 30_000).round().astype(int)
        assert len(at)
        assert (trace[at] < -3 * np.median(np.abs(trace))).all()


def test_rows_are_the_same_for_the_same_seed_and_however_they_were_added(
    servers: Servers, names: Names, princeton: Pipeline
) -> None:
    connection = connect(servers.lab_b)
    other = declare("princeton", connection, names.prefix)
    fill(other, size=4)
    assert everything(other) != everything(princeton)
    add_rows(other, count=2)
    assert everything(other) == everything(princeton)
    connection.close()


def test_another_seed_gives_other_rows(servers: Servers, names: Names, janelia: Pipeline) -> None:
    connection = connect(servers.lab_a)
    other = declare("janelia", connection, names.prefix)
    fill(other, seed=2, size=6)
    assert everything(other) != everything(janelia)
    connection.close()


def test_copies_with_different_prefixes_stand_side_by_side_on_one_server(
    servers: Servers, names: Names, princeton: Pipeline
) -> None:
    connection = connect(servers.lab_a)
    other = declare("princeton", connection, names("b_"))
    assert other.counts() | {"lab.Species": 0, "ephys.Probe": 0} == dict.fromkeys(other.tables, 0)
    assert princeton.counts()["session.Session"] == 6
    connection.close()


def test_declaring_again_changes_nothing(servers: Servers, princeton: Pipeline) -> None:
    connection = connect(servers.lab_a)
    again = declare("princeton", connection, princeton.prefix)
    assert again.counts() == princeton.counts()
    connection.close()
