"""`store_settings`: what is checked offline, and what its references resolve to."""

from __future__ import annotations

from pathlib import Path

import pytest

from djlink_manifest.errors import SecretError
from djlink_manifest.manifest.models.secrets import resolve_stores
from djlink_manifest.model.stores.store import Store
from tests.unit.manifest_cases import HEAD, loaded, problems, told


def settings(text: str) -> str:
    """A manifest whose source has these lines below `store_settings`."""
    lines = "".join(f"      {line}\n" for line in text.strip("\n").split("\n"))
    source = "sources:\n  lab_a:\n    host: db.lab-a.example\n    store_settings:\n"
    return f"{HEAD}{source}{lines}    schemas: {{s: {{tables: [T]}}}}\n"


S3 = "raw: {protocol: s3, endpoint: s3.lab.example, bucket: b, %s}"


@pytest.mark.parametrize(
    ("text", "summary", "help"),
    [
        ("raw: {▸location: x}", "`sources.lab_a.store_settings.raw` has no `protocol`", "protocol: file"),
        ("raw: {protocol: ▸fil, location: x}", "unknown `protocol: fil`", "did you mean `file`"),
        ("▸raw: {protocol: s3, endpoint: x}", "a store with protocol s3 requires `bucket`", None),
        ("raw: {protocol: file, location: x, ▸bucket: b}", "`bucket` does not apply to protocol file", None),
        ("raw: {protocol: file, ▸locaton: x, location: y}", "unknown key `locaton`", "location"),
        ("raw: {protocol: file, location: ▸5}", "`location` must be text", "quote"),
        ("▸raw: [a]", "`raw` must be a mapping of settings, or the name of a store", None),
        ('▸raw: ""', "`raw` is empty", None),
        (
            S3 % '▸secret_key: "plain", access_key: "${env:A}"',
            "the manifest contains the value of `secret_key`",
            "${env:NAME}",
        ),
        ("▸" + S3 % 'access_key: "${env:A}"', "give `access_key` and `secret_key` together", None),
        (S3 % 'location: ▸"${env:}"', "a reference is misspelled", "${env:NAME}"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    tmp_path: Path, text: str, summary: str, help: str | None
) -> None:
    text = text.replace("raw: {▸location", "▸raw: {location")
    found = told(tmp_path, settings(text))
    assert summary in found.summary
    assert help is None or help in str(found.help)
    assert "plain" not in str(found.snippet)


def test_a_misspelt_secret_is_not_shown(tmp_path: Path) -> None:
    found = problems(tmp_path, settings(S3 % 'secretkey: "plain-text"'))
    assert found
    assert not any("plain-text" in f"{each}" for each in found)


def test_references_are_resolved_and_relative_folders_start_from_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    text = settings(
        S3 % 'access_key: "${env:A}", secret_key: "${file:key}", secure: false'
        + "\nnear: {protocol: file, location: data/raw}"
        + "\nfar: {protocol: file, location: /mnt/raw}\ndefault: raw"
    )
    manifest = loaded(tmp_path, text)
    assert "from a file" not in repr(manifest)
    found = resolve_stores(manifest.sources[0], {"A": "from the environment"})
    assert found == {
        "raw": Store(
            "raw",
            {
                "protocol": "s3",
                "endpoint": "s3.lab.example",
                "bucket": "b",
                "access_key": "from the environment",
                "secret_key": "from a file",
                "secure": False,
            },
        ),
        "near": Store("near", {"protocol": "file", "location": str(tmp_path / "data/raw")}),
        "far": Store("far", {"protocol": "file", "location": "/mnt/raw"}),
        "default": "raw",
    }


def test_a_reference_that_cannot_be_resolved_names_store_and_line(tmp_path: Path) -> None:
    manifest = loaded(tmp_path, settings(S3 % 'access_key: "${env:A}", secret_key: "${env:B}"'))
    words = r"`access_key` of the store `raw` of `lab_a`.* A is not set"
    with pytest.raises(SecretError, match=words) as told_of:
        resolve_stores(manifest.sources[0], {})
    assert told_of.value.location is not None
    assert told_of.value.location.line == 9
