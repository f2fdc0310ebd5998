"""Twelve DataJoint tables over two sources, linked by the installed command: all arrives as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pymysql
import pytest
import yaml

from djlink_manifest.sandbox.demo import pipeline
from tests.support.pipelines.atlas import COLUMNS, Atlas, keys, rows
from tests.support.servers import Servers, drop_everything, new_names


@pytest.fixture(scope="module")
def atlas(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atlas]:
    names = new_names()
    made = Atlas(servers, names, tmp_path_factory.mktemp("atlas"))
    applied = made.installed("apply", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    yield made
    for each in made.pipelines.values():
        each.connection.close()
    for server in servers:
        drop_everything(server, names)


def test_there_are_twelve_links_over_two_sources(atlas: Atlas) -> None:
    plan = json.loads(atlas.djlink("plan", "--json").stdout)
    assert len(plan["links"]) == 12
    assert {link["address"].split(".")[0] for link in plan["links"]} == {"lab_a", "lab_b"}


def test_rows_are_equal_byte_for_byte(atlas: Atlas) -> None:
    compared = 0
    for server, schema, table, local_schema, local_table in atlas.tables():
        [primary] = [k[2].split(",") for k in keys(server, schema, table) if k[0] == "PRIMARY"]
        source_rows = rows(server, schema, table, primary)
        assert rows(atlas.rig.servers.local, local_schema, local_table, primary) == source_rows, table
        compared += len(source_rows)
    assert compared > 150


def test_definitions_are_equal(atlas: Atlas) -> None:
    where = "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    columns = f"SELECT {COLUMNS} FROM information_schema.COLUMNS {where} ORDER BY ORDINAL_POSITION"
    comment = f"SELECT TABLE_COMMENT, TABLE_COLLATION FROM information_schema.TABLES {where}"
    for server, schema, table, local_schema, local_table in atlas.tables():
        local = atlas.rig.servers.local
        for question in (columns, comment):
            source_rows = server.execute(question, (schema, table))
            assert local.execute(question, (local_schema, local_table)) == source_rows, table
        assert keys(local, local_schema, local_table) == keys(server, schema, table), table


def test_foreign_keys_between_linked_tables_are_kept(atlas: Atlas) -> None:
    question = (
        "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) AS names, REFERENCED_TABLE_NAME,"
        " GROUP_CONCAT(REFERENCED_COLUMN_NAME ORDER BY ORDINAL_POSITION)"
        " FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        " AND REFERENCED_TABLE_NAME IS NOT NULL"
        " GROUP BY CONSTRAINT_NAME, REFERENCED_TABLE_NAME ORDER BY names"
    )
    total = 0
    for server, schema, table, local_schema, local_table in atlas.tables():
        source_rows = [(a, b.lstrip("#_"), c) for a, b, c in server.execute(question, (schema, table))]
        local_rows = atlas.rig.servers.local.execute(question, (local_schema, local_table))
        assert local_rows == source_rows, table
        total += len(source_rows)
    assert total >= 12


def test_the_second_plan_is_empty_and_ends_with_0(atlas: Atlas) -> None:
    plan = atlas.installed("plan", "--detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "No changes" in plan.stdout


def test_the_source_server_refuses_to_delete_what_was_pulled(atlas: Atlas) -> None:
    refused = 0
    for server, schema, table, _, _ in atlas.tables():
        if "__" in table.lstrip("_"):
            continue  # parts go with their master
        with server.connect(database=schema) as connection, connection.cursor() as cursor:
            # without the source's own children only the outbound table stands in the way
            children = cursor.execute(
                "SELECT 1 FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_SCHEMA = %s"
                " AND REFERENCED_TABLE_NAME = %s AND TABLE_SCHEMA <> %s",
                (schema, table, atlas.rig.outbound),
            )
            with pytest.raises(pymysql.IntegrityError, match="foreign key constraint fails") as failure:
                cursor.execute(f"DELETE FROM `{schema}`.`{table}`")
            if not children:
                assert atlas.rig.outbound in str(failure.value)
            refused += 1
    assert refused == 12


def test_new_rows_make_changes_that_the_exit_code_tells(atlas: Atlas) -> None:
    pipeline.add_rows(atlas.pipelines["janelia"], count=2)
    plan = atlas.installed("plan", "--detailed-exitcode")
    assert plan.returncode == 2, plan.stdout + plan.stderr
    assert atlas.djlink("apply", "--auto-approve").returncode == 0
    assert atlas.djlink("plan", "--detailed-exitcode").returncode == 0


def test_verify_finds_what_the_source_changed_and_mend_brings_it_here(atlas: Atlas) -> None:
    plan = atlas.djlink("plan", "--verify", "--detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "drift" not in plan.stdout
    source, schema = atlas.rig.servers.lab_a, atlas.rig.names("ephys")
    source.execute(f"UPDATE `{schema}`.`_recording__channel` SET depth = depth + 0.1 WHERE channel = 1")
    told = atlas.djlink("plan", "--verify")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "they differ from their source rows" in told.stdout
    assert "changed: mend" in told.stdout
    document = yaml.safe_load(atlas.path.read_text())
    document["defaults"]["changed"] = "mend"
    atlas.rig.write(document)
    assert "to refill" in atlas.djlink("status", "--verify").stdout
    applied = atlas.djlink("apply", "--verify", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "refilled" in applied.stdout
    local_schema = f"`{atlas.rig.local_schema('lab_a', 'ephys')}`.`recording__channel`"
    depths = "SELECT COUNT(*), SUM(depth) FROM "
    assert atlas.rig.servers.local.execute(depths + local_schema) == source.execute(
        f"{depths}`{schema}`.`_recording__channel`"
    )
    again = atlas.djlink("plan", "--verify", "--detailed-exitcode")
    assert again.returncode == 0, again.stdout + again.stderr


def test_linked_tables_join_in_datajoint(atlas: Atlas) -> None:
    dj = pipeline.load_datajoint()
    connection = pipeline.connect(atlas.rig.servers.local)
    try:
        prefix = f"{atlas.rig.names.prefix}our_lab_a_{atlas.rig.names.prefix}"
        session = dj.VirtualModule("session", prefix + "session", connection=connection)
        ephys = dj.VirtualModule("ephys", prefix + "ephys", connection=connection)
        joined = session.Session * ephys.Recording
        assert len(joined) == len(atlas.pipelines["princeton"].tables["ephys.Recording"]())
        assert len(ephys.Recording.Channel & "channel = 0") > 0
    finally:
        connection.close()
