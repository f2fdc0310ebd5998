"""Hints in Python: what the core says of a manifest is said in the words of `Link`."""

from __future__ import annotations

import pytest

from djlink_manifest.api.hints import in_python


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (None, None),
        ("pull the parent first: Subject().pull()", "pull the parent first: Subject().pull()"),
        (
            "if it no longer exists, so that the GRANT fails, write `removed: {db.lab.a__b: {table: "
            "keep}}`; else ask the source's administrator to run: GRANT SELECT ON `lab`.`a__b` TO 'u'@'%';",
            "if it no longer exists, so that the GRANT fails, ask for the same privilege on the whole "
            "schema; else ask the source's administrator to run: GRANT SELECT ON `lab`.`a__b` TO 'u'@'%';",
        ),
        ("exclude it (`exclude`)", "it cannot be linked in its present form"),
        ("remove it from the manifest", "it cannot be linked in its present form"),
        (
            "only `<blob@>` and `<attach@>` can be inline; name a local store, or remove it from the "
            "manifest",
            "only `<blob@>` and `<attach@>` can be inline; name a local store",
        ),
        (
            "write `stores: {raw: <local store>}`; DataJoint's configuration has `ours`",
            'give Link stores={"<local store>": "raw"}; DataJoint\'s configuration has `ours`',
        ),
        (
            "below `sources.db.lab.example.store_settings` write `raw:` with its protocol and location, or "
            "the name of a store of DataJoint's configuration",
            'give Link source_stores={"raw": {"protocol": ..., "location": ...}}, or the name of a '
            "store of DataJoint's configuration",
        ),
        (
            "choose another local schema with `schema_name`, or rename that table; to take it over: `djlink "
            "adopt db.lab.example:3306.lab.Session`",
            "give Link another local schema, or rename that table",
        ),
        (
            "restore the former `schema_name`. To move the table: delete the link from `sources`, write "
            "`removed: {a.lab.T: {table: drop}}` and apply; then link it again",
            "give Link its former local schema",
        ),
        (
            "check `host`, `port` and `outbound` of db; if they are correct and the outbound tables are "
            "lost: `djlink adopt db.lab.T`",
            "check `host`, `port` and `outbound` of db",
        ),
        (
            "use that server, or give this manifest another name and outbound schema; if this server is the "
            "one to go on with: `djlink adopt db.lab.T`",
            "use that server, or give Link another `outbound`; if this server is the one to go on with: call "
            "adopt()",
        ),
        (
            "if this server is the one to go on with, run `djlink adopt db.lab.T`; or state `local: "
            "{identity: NAME}` in the manifest",
            "if this server is the one to go on with, call adopt()",
        ),
    ],
)
def test_a_hint_is_said_in_the_words_of_link(hint: str | None, said: str | None) -> None:
    assert in_python(hint) == said
