"""What the commands beside plan and apply show: findings, an explanation, an owner's tables, addresses."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.declared import declared
from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.explanation import Explanation, Reason, Records
from djlink_manifest.model.links.holding import LinkHolding, OwnedLink, TableHolding, Unreadable
from djlink_manifest.model.server.health import Diagnosis, ExaminedServer, Finding
from djlink_manifest.report.commands.declared import declared_lines
from djlink_manifest.report.commands.doctor import diagnosis_lines
from djlink_manifest.report.commands.explain import explanation_lines
from djlink_manifest.report.commands.owner import board_lines, touched_lines, unreadable_lines
from djlink_manifest.report.plan.requests import request_lines, unknown_lines
from djlink_manifest.report.screen.layout import Item, Rows
from tests.unit import plan_samples as samples

DIAGNOSIS = Diagnosis(
    "atlas",
    (
        ExaminedServer("local", "db.ourlab.example", 3306, True, "mysql", "9.7.4", "djlink@%"),
        ExaminedServer("princeton", "db.princeton.example", 3307),
    ),
    (
        Finding("local", "TLS", "ok", "TLSv1.3, verified against certs/ourlab.pem"),
        Finding(
            "local",
            "max_allowed_packet",
            "warning",
            "4,194,304 bytes here, 67,108,864 bytes at princeton",
            "rows of more than 4 MB cannot be written, and their entities are refused",
            "SET GLOBAL max_allowed_packet = 67108864; and in the server's configuration",
        ),
        Finding("local", "clock", "note", "12 s ahead of this machine"),
        Finding(
            "princeton",
            "privileges",
            "error",
            "the link user lacks SELECT, REFERENCES on the schema `ephys`",
            "none of its tables can be linked",
            "GRANT SELECT, REFERENCES ON `ephys`.* TO 'link'@'%';",
        ),
    ),
)
_OF_SUBJECT = Reason(
    "where", False, "`where` is not met: species = 'mouse' AND dead IS NULL", place="atlas.yaml:23"
)
EXPLANATION = Explanation(
    "lab_a.ephys.Session",
    (("subject", "A7"), ("session", "2026-11-02 10:00:00")),
    Presence(True, True, True, True, False),
    "tainted",
    False,
    False,
    "delete locally, then approve",
    True,
    Records(
        pulled_at=datetime(2026, 11, 2),
        requested_at=datetime(2026, 11, 20, 8),
        requested_by="owner@db.lab-a.org",
        reason="consent withdrawn by the participant's family",
    ),
    (
        Reason("pull", True, "`pull: all`", place="atlas.yaml:24"),
        Reason(
            "foreign key",
            False,
            "(subject) refers to a row that is not wanted",
            "lab_a.lab.Subject",
            (("subject", "A7"),),
            (_OF_SUBJECT,),
        ),
        Reason(
            "foreign key",
            False,
            "(subject) of Probe refers to a row that is not wanted",
            "lab_a.lab.Subject",
            (("subject", "A7"),),
            (_OF_SUBJECT,),
        ),
        Reason("request", False, "its deletion is requested"),
    ),
)


def _of(manifest: str, contact: str) -> OwnedLink:
    return OwnedLink(("ephys", "recording"), manifest, contact, "ourlab_owner", "ourlab", "ephys_recording")


_ATLAS = LinkHolding(
    _of("hippocampus-atlas", "data@ourlab.example"), 1240, datetime(2026, 11, 2), 3, 3, 12 * 86_400
)
BOARD = (
    TableHolding(
        ("ephys", "recording"),
        "ephys.Recording",
        1243,
        (_ATLAS, LinkHolding(_of("cortex-map", "map@theirlab.example"), approved=3)),
    ),
    TableHolding(("ephys", "probe"), "ephys.Probe", None, ()),
    TableHolding(
        ("ephys", "__spike_sorting_parameters"),
        "ephys.SpikeSortingParameters",
        12,
        (LinkHolding(_of("map", "map@theirlab.example"), 12, datetime(2026, 1, 2)),),
    ),
)
UNREADABLE = (
    Unreadable(
        "oldlab_owner",
        "its views are of the account `old`@`%`, which no longer exists",
        "ask the lab to run `djlink apply`, which makes them anew",
    ),
)
MANIFEST = """\
manifest: 1
name: atlas
contact: data@ourlab.example
local: {host: db.ourlab.example}
defaults: {schema_name: "ours_{schema}", max_deletions: 20}
sources:
  princeton:
    host: db.princeton.example
    schemas:
      ephys:
        unwanted: release
        stores: {raw: ours, "*": inline}
        tables: {Recording: {where: {subject: [A001, A002, A003]}}, SpikeSortingParameters: {}}
      lab: {pull: needed, exclude: ["*Debug*"], tables: "*"}
"""


def doctor() -> list[Item]:
    """What `djlink doctor` shows."""
    return diagnosis_lines(DIAGNOSIS)


def explain() -> list[Item]:
    """What `djlink explain` shows."""
    return explanation_lines(EXPLANATION, samples.TRACE)


def held() -> list[Item]:
    """What `djlink source held` shows, and what `djlink source request` asks about."""
    return [*board_lines(BOARD), *unreadable_lines(UNREADABLE), *touched_lines(BOARD)]


def addresses() -> list[Item]:
    """What `djlink list` shows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.yaml"
        path.write_text(MANIFEST, encoding="utf-8")
        shown = declared_lines(declared(load([path])))
    return [_without(each, f"{folder}/") for each in shown]


def _without(item: Item, folder: str) -> Item:
    """The item with places as they are in the folder."""
    assert isinstance(item, Rows)
    return Rows(tuple(replace(row, place=row.place.removeprefix(folder)) for row in item.rows))


def requests() -> list[Item]:
    """What `djlink requests` shows."""
    return [*request_lines(samples.rich_plan().links), *unknown_lines(samples.rich_plan().links)]


SCREENS = {
    "doctor": doctor,
    "explain": explain,
    "held": held,
    "list": addresses,
    "requests": requests,
}
