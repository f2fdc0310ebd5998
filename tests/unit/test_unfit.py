"""What of a server's settings blocks a plan, and where: the doctor's findings, as the plan takes them."""

from __future__ import annotations

import pytest

from djlink_manifest.model.links.selection import SqlCondition
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.reconcile.resolve.unfit import needs_zones, rejecting

ADMIN = Grant(frozenset({"SUPER", "CONNECTION_ADMIN"}), "*", "*")


@pytest.mark.parametrize(
    ("settings", "subjects"),
    [
        ({}, []),
        ({"read_only": "OFF", "super_read_only": "OFF"}, []),
        ({"read_only": "ON"}, ["read_only"]),
        ({"read_only": "NO_LOCK"}, ["read_only"]),
        ({"read_only": "ON", "super_read_only": "ON"}, ["super_read_only"]),
        ({"innodb_read_only": "ON"}, ["innodb_read_only"]),
        ({"log_bin": "ON", "binlog_format": "STATEMENT"}, ["binlog_format"]),
        ({"log_bin": "OFF", "binlog_format": "STATEMENT"}, []),
    ],
)
def test_which_settings_reject_writes(settings: dict[str, str], subjects: list[str]) -> None:
    found = list(rejecting("lab_a", settings, ()))
    assert [each.subject for each in found] == subjects
    assert all((each.level, each.server) == ("error", "lab_a") and each.fix for each in found)


def test_an_account_that_is_exempt_from_read_only_may_write() -> None:
    assert not list(rejecting("local", {"read_only": "ON"}, [ADMIN]))
    assert list(rejecting("local", {"read_only": "ON", "super_read_only": "ON"}, [ADMIN]))


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("CONVERT_TZ(at, '+00:00', '+02:00') > '2026-01-01'", False),
        ("convert_tz (at, 'UTC', 'Europe/Berlin') > '2026-01-01'", True),
        ('CONVERT_TZ(at, "+00:00", "Etc/GMT-5") > 1', True),
        ("name = 'Europe/Berlin'", False),
    ],
)
def test_a_condition_needs_zones_where_it_names_one(text: str, needs: bool) -> None:
    assert needs_zones(SqlCondition(text)) is needs
