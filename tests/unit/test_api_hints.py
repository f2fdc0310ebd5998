"""Hints in Python: what the core says of a manifest is said in the words of `Link`."""

from __future__ import annotations

import pytest

from djlink_manifest.api.hints import in_python


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (None, None),
        ("pull the parent first: Subject().pull()", "pull the parent first: Subject().pull()"),
        ("leave it out (`exclude`)", "it cannot be linked as it is"),
        ("take it out of the manifest", "it cannot be linked as it is"),
        (
            "only `<blob@>` and `<attach@>` can; name a local store, or take it out of the manifest",
            "only `<blob@>` and `<attach@>` can; name a local store",
        ),
        (
            "write `stores: {raw: <local store>}`; DataJoint's configuration has `ours`",
            'give Link stores={"<local store>": "raw"}; DataJoint\'s configuration has `ours`',
        ),
        (
            "below `sources.db.lab.example.store_settings` write `raw:` with its protocol and location, or "
            "the name of a store of DataJoint's configuration",
            'give Link source_stores={"raw": {"protocol": ..., "location": ...}}, or there the name of a '
            "store of DataJoint's configuration",
        ),
        (
            "choose another local schema with `schema_name`, or rename that table; to take it over: djlink "
            "adopt db.lab.example:3306.lab.Session",
            "give Link another local schema, or rename that table",
        ),
        (
            "keep `schema_name` as it was. To move it: take the link out of `sources`, write "
            "`removed: {a.lab.T: {table: drop}}` and apply; then link it anew",
            "give Link the local schema that it had",
        ),
        (
            "check `host`, `port` and `outbound` of db; if they are right and the outbound tables are gone "
            "for good: djlink adopt db.lab.T",
            "check `host`, `port` and `outbound` of db",
        ),
    ],
)
def test_a_hint_is_said_in_the_words_of_link(hint: str | None, said: str | None) -> None:
    assert in_python(hint) == said
