"""Trust files: what may stand in one, and that `djlink trust` writes one that allows exactly its manifest."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from djlink_manifest.errors import ManifestError, UsageError
from djlink_manifest.manifest.load import checkout_of, load, read
from djlink_manifest.manifest.models.options import FallingOptions
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, StoreSettings, TlsSpec
from djlink_manifest.manifest.models.trust import (
    TrustedLocal,
    TrustedServer,
    TrustedSource,
    TrustedStore,
    TrustedTls,
)
from djlink_manifest.manifest.models.values import SourceSpec
from djlink_manifest.manifest.trust.draft import refused_anyway, trust_text
from djlink_manifest.manifest.trust.read import TrustFile, read_trust
from tests.support.command import called

EXAMPLES = Path(__file__).parents[2] / "examples"
MARK = "▸"  # stands right before the place that a problem names
HEAD = "trust: 1\nmanifests: [atlas]\n"
LOCAL = 'local:\n  - {host: db.lab.example, user: "${env:DJ_USER}", password: "${env:DJ_PASS}"}\n'
SOURCE = """\
sources:
  - host: db.lab-a.example
    user: ${env:LINK_USER}
    password: ${env:LINK_PASS}
    outbound: ourlab_outbound
"""
MANIFEST = """\
manifest: 1
name: atlas
contact: data@lab.example
local: {host: db.lab.example}
sources:
  lab_a:
    host: db.lab-a.example
    outbound: ourlab_outbound
    schemas: {lab: {tables: [Subject]}}
"""

S3 = "protocol: s3, endpoint: e, bucket: b"
GCS = "protocol: gcs, bucket: b, token: '${env:T}'"

WRONG = (
    ("an unknown key", f"{HEAD}{LOCAL}▸hosts: [db.evil.example]\n", "`hosts` is an unknown key"),
    ("a key that is nearly known", f"{HEAD}{LOCAL}▸source: []\n", "did you mean `sources`?"),
    ("an unknown key of a server", f"{HEAD}{LOCAL}{SOURCE}    ▸stores_: []\n", "is an unknown key"),
    ("an unknown key of `tls`", f"{HEAD}{LOCAL}{SOURCE}    tls: {{▸cas: /a.pem}}\n", "is an unknown key"),
    ("no version", f"▸manifests: [atlas]\n{LOCAL}", "`trust` is missing"),
    ("another version", f"trust: ▸2\nmanifests: [atlas]\n{LOCAL}", "must be 1"),
    ("no manifest", f"trust: 1\n▸manifests: []\n{LOCAL}", "must name at least one"),
    ("no local server", f"▸{HEAD}", "`local` is missing"),
    ("no host", f"{HEAD}local:\n  - ▸{{user: u, password: '${{env:P}}'}}\n", "`local[0].host` is missing"),
    (
        "no outbound schema",
        f"{HEAD}{LOCAL}sources: [▸{{host: h, user: u, password: '${{env:P}}'}}]\n",
        "outbound",
    ),
    (
        "a literal password",
        f"{HEAD}{LOCAL}{SOURCE}".replace("${env:LINK_PASS}", "▸hunter2"),
        "must be a reference",
    ),
    (
        "a relative file",
        f"{HEAD}{LOCAL}{SOURCE}".replace("${env:LINK_PASS}", "▸${file:link}"),
        "by absolute paths",
    ),
    (
        "a relative certificate",
        f"{HEAD}{LOCAL}{SOURCE}    tls: {{ca: ▸ca.pem}}\n",
        "must be an absolute path",
    ),
    ("half a digest", f"{HEAD}{LOCAL}{SOURCE}    tls: {{ca: ▸'sha256:ab'}}\n", "64 hex digits"),
    ("a glob of ports", f"{HEAD}{LOCAL}{SOURCE}    port: ▸'*'\n", "must be a port number"),
    (
        "a misspelled reference",
        f"{HEAD}{LOCAL}{SOURCE}".replace("${env:LINK_USER}", "▸${ENV:U}"),
        "a reference is",
    ),
    ("the same key twice", f"{HEAD}{LOCAL}▸trust: 1\n", "trust"),
    ("no mapping", "▸- trust\n", "must be a mapping"),
)


def trusted(folder: Path, text: str, name: str = "trust.yaml") -> TrustFile:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_trust(str(path))


@pytest.mark.parametrize(("text", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_in_a_trust_file_is_told_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    before, _, after = text.partition(MARK)
    with pytest.raises(ManifestError) as error:
        trusted(tmp_path, before + after)
    [*found] = error.value.diagnostics
    lines = before.split("\n")
    assert (len(lines), len(lines[-1]) + 1) in {(d.location.line, d.location.column) for d in found}
    assert any(says in f"{d.summary} {d.help}" for d in found)


def test_a_trust_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trust.yaml"
    path.write_text(HEAD + LOCAL)
    path.chmod(0o666)
    with pytest.raises(UsageError, match="can be written by every user"):
        read_trust(str(path))
    path.chmod(0o664)
    assert read_trust(str(path)).trust.manifests == ["atlas"]


def test_a_trust_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_trust(str(tmp_path / "trust.yaml"))


def checkout(folder: Path, text: str = MANIFEST) -> Path:
    """A manifest in a repository of its own, beside which trust files and secrets can lie."""
    top = folder / "checkout"
    (top / ".git").mkdir(parents=True, exist_ok=True)
    path = top / "djlink.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusals(folder: Path, trust: str, text: str = MANIFEST) -> list[str]:
    _, diagnostics = read([checkout(folder, text)], trusted(folder, trust))
    return [each.summary for each in diagnostics if each.severity == "error"]


def test_defaults_are_held_against_what_the_trust_file_says(tmp_path: Path) -> None:
    assert refusals(tmp_path, HEAD + LOCAL + SOURCE) == []
    [said] = refusals(tmp_path, (HEAD + LOCAL + SOURCE).replace("LINK_PASS", "OTHER_PASS"))
    assert said == "`password` ${env:LINK_PASS} is not in the trust file for db.lab-a.example:3306"


def test_several_accounts_and_several_servers_can_be_allowed(tmp_path: Path) -> None:
    trust = HEAD + LOCAL + SOURCE.replace("${env:LINK_USER}", "[a, b]")
    for user, allowed in (("a", True), ("b", True), ("c", False)):
        text = MANIFEST.replace("outbound:", f"user: {user}\n    outbound:")
        assert (refusals(tmp_path, trust, text) == []) is allowed
    # two accounts of one server, each with its own password
    two = SOURCE + SOURCE.removeprefix("sources:\n").replace("LINK_", "SECOND_")
    mixed = MANIFEST.replace("outbound:", 'user: "${env:SECOND_USER}"\n    outbound:')
    assert len(refusals(tmp_path, HEAD + LOCAL + two, mixed)) == 1
    whole = mixed.replace("outbound:", 'password: "${env:SECOND_PASS}"\n    outbound:')
    assert refusals(tmp_path, HEAD + LOCAL + two, whole) == []


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ("{}/secrets/link", True),
        ("{}/secrets/below/link", True),
        ("{}/secrets/current", True),  # a link within the folder
        ("../secrets/link", True),
        ("{}/secrets/out", False),  # a link that leads out of it
        ("{}/secrets", False),
        ("{}/secrets/", False),
        ("{}/secrets-of-others/link", False),
        ("{}/secrets/../other", False),
        ("/proc/self/environ", False),
        ("inside", False),
    ],
)
def test_a_folder_of_files_allows_what_lies_below_it(named: str, allowed: bool, tmp_path: Path) -> None:
    for name in ("secrets/link", "secrets/below/link", "secrets-of-others/link", "other", "checkout/inside"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a password")
    (tmp_path / "secrets/current").symlink_to("below/link")
    (tmp_path / "secrets/out").symlink_to("../other")
    trust = HEAD + LOCAL + SOURCE.replace("${env:LINK_PASS}", f"${{file:{tmp_path}/secrets/}}")
    text = MANIFEST.replace("outbound:", f"password: ${{file:{named.format(tmp_path)}}}\n    outbound:")
    assert (refusals(tmp_path, trust, text) == []) is allowed


@pytest.mark.parametrize(
    ("trust", "manifest", "allowed"),
    [
        ("", "tls: true", True),
        ("", "tls: false", False),
        ("tls: false", "tls: false", True),
        ("tls: false", "tls: true", True),
        ("tls: false", "tls: {ca: /etc/ca.pem}", False),
        ("tls: true", "tls: {ca: /etc/ca.pem}", False),
        ("tls: {ca: /etc/ca.pem}", "tls: {ca: /etc/ca.pem}", True),
        ("tls: {ca: /etc/}", "tls: {ca: /etc/ca.pem}", True),
        ("tls: {ca: /etc/ca.pem}", "tls: {ca: /etc/other.pem}", False),
        ("tls: {ca: /etc/ca.pem}", "tls: true", False),
        ("tls: {ca: /etc/ca.pem}", "", False),
        ("tls: {ca: /etc/ca.pem, cert: /etc/c.pem, key: /etc/k.pem}", "tls: {ca: /etc/ca.pem}", False),
        ("tls: {ca: '${env:CA}'}", "tls: {ca: '${env:CA}'}", True),
        ("tls: {ca: '${env:CA}'}", "tls: {ca: '${env:OTHER}'}", False),
    ],
)
def test_tls_is_at_least_what_the_trust_file_asks_for(
    trust: str, manifest: str, allowed: bool, tmp_path: Path
) -> None:
    text = MANIFEST.replace("outbound:", f"{manifest}\n    outbound:")
    assert (refusals(tmp_path, f"{HEAD}{LOCAL}{SOURCE}    {trust}\n", text) == []) is allowed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize(
    ("trust", "manifest", "allowed"),
    [
        ("", "tls: false", True),
        ("", "", True),
        ("tls: {ca: /etc/ca.pem}", "tls: false", False),
        ("tls: {ca: /etc/ca.pem}", "", False),
        ("tls: {ca: /etc/ca.pem}", "tls: true", False),
        ("tls: {ca: /etc/ca.pem}", "tls: {ca: /etc/ca.pem}", True),
        ("tls: true", "tls: false", False),
        ("tls: true", "", False),
        ("tls: true", "tls: true", True),
        ("tls: false", "", True),
    ],
)
def test_a_tunnel_on_this_machine_has_the_tls_that_the_trust_file_asks_for(
    host: str, trust: str, manifest: str, allowed: bool, tmp_path: Path
) -> None:
    text = MANIFEST.replace("outbound:", f"{manifest}\n    outbound:").replace("db.lab-a.example", host)
    trusted = f"{HEAD}{LOCAL}{SOURCE}    {trust}\n".replace("db.lab-a.example", host)
    assert (refusals(tmp_path, trusted, text) == []) is allowed


@pytest.mark.parametrize(
    ("trust", "manifest", "allowed"),
    [
        (S3, f"{S3}, location: x", True),
        (f"{S3}, location: x", f"{S3}, location: x/y", True),
        (f"{S3}, location: x", f"{S3}, location: xy", False),
        (f"{S3}, location: x", f"{S3}, location: x/../y", False),
        (f"{S3}, location: x", S3, False),
        (f"{S3}, secure: false", S3, True),
        (S3, f"{S3}, secure: false", False),
        ("protocol: file, location: /mnt/a", "protocol: file, location: /mnt/a/b", True),
        ("protocol: file, location: /mnt/a", "protocol: file, location: /mnt/ab", False),
        ("protocol: file, location: /mnt/a", "protocol: file, location: /mnt/a/../b", False),
        ("configured: shared", "shared", True),
        ("configured: shared", "other", False),
        (GCS, GCS, True),
        (GCS, "protocol: gcs, bucket: b", False),
    ],
)
def test_stores_are_compared_key_by_key(trust: str, manifest: str, allowed: bool, tmp_path: Path) -> None:
    given = f"{{{manifest}}}" if ":" in manifest else manifest
    text = MANIFEST.replace("outbound:", f"store_settings: {{raw: {given}, same: raw}}\n    outbound:")
    assert (refusals(tmp_path, f"{HEAD}{LOCAL}{SOURCE}    stores: [{{{trust}}}]\n", text) == []) is allowed


def test_the_trust_file_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (EXAMPLES.parent / "docs" / "security.md").read_text(encoding="utf-8")
    block = text.partition("## A manifest in a pull request")[2].partition("```yaml\n")[2].partition("```")[0]
    assert [each.host for each in trusted(tmp_path, block).trust.sources] == ["db.navlab.example"]


AS_ENVIRONMENT = {"datajoint", "without_files"}  # which stand for `${env:DJ_HOST}` and the like


@pytest.mark.parametrize("local", ["datajoint", "{datajoint: true, tls: {ca: /etc/ca.pem}, identity: ours}"])
def test_what_is_left_to_datajoint_is_the_environments(local: str, tmp_path: Path) -> None:
    text = MANIFEST.replace("local: {host: db.lab.example}", f"local: {local}")
    path = checkout(tmp_path, text)
    (path.parent / "datajoint.json").write_text('{"database.host": "db.evil.example"}')
    written = called("trust", "-f", str(path), environ={}, folder=path.parent).stdout
    assert 'host: "${env:DJ_HOST}"' in written
    assert "evil" not in written
    assert refusals(tmp_path, written, text) == []
    assert refusals(tmp_path, written.replace("DJ_HOST", "OTHER_HOST"), text) == [
        "the server `${env:DJ_HOST}:3306` of `local` is not in the trust file"
    ]
    assert len(refusals(tmp_path, written.replace("DJ_PASS", "OTHER_PASS"), text)) == 1


def test_a_trust_file_knows_every_key_that_says_how_something_is_reached() -> None:
    assert TrustedStore.model_fields.keys() - {"configured"} == StoreSettings.model_fields.keys()
    assert TrustedTls.model_fields.keys() == TlsSpec.model_fields.keys()
    reaching = ServerSpec.model_fields.keys() - {"origin"}
    assert TrustedServer.model_fields.keys() == reaching
    assert TrustedLocal.model_fields.keys() == LocalSpec.model_fields.keys() - {"origin", *AS_ENVIRONMENT}
    of_a_source = SourceSpec.model_fields.keys() - FallingOptions.model_fields.keys() - {"origin", "schemas"}
    assert TrustedSource.model_fields.keys() - {"stores"} == of_a_source - {"store_settings"}


# Written from a manifest


@pytest.mark.parametrize(
    "files",
    [("two-labs.yaml",), ("demo.yaml",), ("snapshot.yaml",), ("overlay/atlas.yaml", "overlay/staging.yaml")],
    ids=lambda files: files[-1],
)
def test_the_trust_file_of_an_example_allows_it(files: tuple[str, ...], tmp_path: Path) -> None:
    for example in EXAMPLES.rglob("*.yaml"):
        copy = tmp_path / "checkout" / example.relative_to(EXAMPLES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(example.read_text())
    (tmp_path / "checkout/.git").mkdir()
    for name in ("certs/ourlab.pem", "princeton-ca.pem"):
        (tmp_path / "checkout" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "checkout" / name).write_text("a certificate")
    paths = [tmp_path / "checkout" / name for name in files]
    manifest = load(paths)
    found = checkout_of(paths)
    assert refused_anyway(manifest, found) == ()
    allowed, diagnostics = read(paths, trusted(tmp_path, trust_text(manifest, found)))
    assert [each.summary for each in diagnostics if each.severity == "error"] == []
    assert allowed is not None
    assert allowed.is_trusted
    assert not manifest.is_trusted


def test_the_trust_file_of_the_examples_is_what_the_command_writes(tmp_path: Path) -> None:
    path = checkout(tmp_path, (EXAMPLES / "two-labs.yaml").read_text())
    (path.parent / "certs").mkdir()
    (path.parent / "certs" / "ourlab.pem").write_text("data")
    written = called("trust", "-f", str(path), environ={}).stdout
    example = (EXAMPLES / "trust.yaml").read_text()
    data_lines = [line.partition("  #")[0].rstrip() for line in example.splitlines() if line[:1] != "#"]
    assert data_lines == [line for line in written.splitlines() if line[:1] != "#"]
    [*_, told] = [line for line in written.splitlines() if line[:1] == "#"]
    assert told in example
    allowed, diagnostics = read([path], trusted(tmp_path, example))
    assert allowed is not None, diagnostics


def test_the_command_writes_a_new_file_that_only_its_owner_can_change(tmp_path: Path) -> None:
    path = checkout(tmp_path)
    out = tmp_path / "trust.yaml"
    before = os.umask(0)
    try:
        ended = called("trust", "-f", str(path), "--out", str(out), environ={})
    finally:
        os.umask(before)
    assert ended.returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    again = called("trust", "-f", str(path), "--out", str(out), environ={})
    assert again.returncode == 1
    assert "already exists" in again.stderr
    linked = tmp_path / "linked.yaml"
    linked.symlink_to(tmp_path / "elsewhere.yaml")
    assert called("trust", "-f", str(path), "--out", str(linked), environ={}).returncode == 1
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_the_command_reads_no_secret_and_tells_what_no_trust_file_can_allow(tmp_path: Path) -> None:
    text = MANIFEST.replace("outbound:", "password: ${file:link}\n    outbound:")
    path = checkout(tmp_path, text)
    (path.parent / "link").write_text("canary")
    ended = called("trust", "-f", str(path), environ={"LINK_USER": "canary", "DJ_PASS": "canary"})
    assert ended.returncode == 0
    assert "canary" not in ended.stdout + ended.stderr
    assert "lab_a: `password` names a file of the checkout" in ended.stderr
    inside = called("trust", "-f", str(path), "--out", str(path.parent / "t.yaml"), environ={})
    assert "move it out of the manifest's checkout" in " ".join(inside.stderr.split())
