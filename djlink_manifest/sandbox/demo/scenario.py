"""`djlink demo`: two labs with data, one that links it, on real servers that are thrown away at the end.

The demo does by itself what the people of three labs would do: owners fill their pipelines with DataJoint, an
administrator makes accounts with the rights they need and no more, and the lab that links runs `djlink`.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pymysql

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.demo import pipeline as pipelines
from djlink_manifest.sandbox.demo.folder import (
    ENVIRONMENT,
    MANIFEST,
    check_folder,
    remove_credentials,
    write_folder,
)
from djlink_manifest.sandbox.demo.pipeline import Pipeline, Source
from djlink_manifest.sandbox.servers.accounts import create_link_user, create_local_user, create_owner
from djlink_manifest.sandbox.servers.server import SandboxServer
from djlink_manifest.sandbox.servers.start import ServerOptions, start_servers

FOLDER = Path("djlink-demo")
SERVERS = {"princeton": ServerOptions(tls=True), "janelia": ServerOptions(), "local": ServerOptions()}
OWNER, LINK_USER, LOCAL_USER = "owner", "ourlab_link", "ourlab"
OUTBOUND = "ourlab_outbound"
OWNER_SCHEMA = "ourlab_outbound_owner"  # its views show the owners what is held, and let them ask
REQUESTED_LINK = "princeton.session.Session"
TRY_DELETE = (
    """python -c "import datajoint as dj; """
    """dj.VirtualModule('s', 'princeton_session').SessionNote().delete(prompt=False)\""""
)
LOCAL_SCHEMAS = (r"princeton\_%", r"janelia\_%")


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """What the demo plays on: servers by name, the folder, the environment of its commands, the pipelines."""

    servers: Mapping[str, SandboxServer]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    sources: Mapping[Source, Pipeline]
    owner_passwords: Mapping[Source, str] = field(repr=False)


def run(folder: Path = FOLDER, *, keep: bool = False, wait: bool | None = None) -> None:
    """Run the demo in `folder`, which is made where it is missing; talk on standard output.

    With `wait` the servers run on until Enter or Ctrl-C; None: at a terminal. With `keep` they outlive this
    process, and the way to stop them is said. Else they are stopped, whatever happens. Raises SandboxError
    where the folder holds other people's files, a server does not start, or a command fails.
    """
    check_folder(folder)
    with ended_in_order():
        _run(folder, keep, sys.stdin.isatty() and sys.stdout.isatty() if wait is None else wait)


def _run(folder: Path, keep: bool, wait: bool) -> None:
    say("Starting three throwaway servers.")
    servers = start_servers(SERVERS, report=say)
    kept = False
    try:
        setup = set_up(servers, folder)
        play(setup)
        print_next_steps(setup, runs_on=keep or wait)
        if keep:
            leave_running(setup)
            kept = True
        elif wait:
            wait_for_enter()
    finally:
        if not kept:
            for server in servers.values():
                server.stop()
            remove_credentials(folder)
            say("The servers are stopped.")


def set_up(servers: Mapping[str, SandboxServer], folder: Path) -> DemoSetup:
    """Make accounts, fill the sources as their owners, write the folder."""
    for name, server in servers.items():
        role = "receives" if name == "local" else "has data"
        say(f"  {name:<10} {server.vendor} {server.version} at {server.host}:{server.port}, {role}")
    environment: dict[str, str] = {}
    sources: dict[Source, Pipeline] = {}
    owner_passwords: dict[Source, str] = {}
    for source in pipelines.DECLARE:
        server, password = servers[source], secrets.token_urlsafe(12)
        owner_passwords[source] = secrets.token_urlsafe(12)
        schemas = pipelines.schema_names(source)
        create_owner(server, OWNER, owner_passwords[source], schemas, owner_schema=OWNER_SCHEMA)
        create_link_user(server, LINK_USER, password, schemas, OUTBOUND, owner_schema=OWNER_SCHEMA)
        environment |= _environment(source, server, LINK_USER, password)
        connection = pipelines.connect(server, OWNER, owner_passwords[source])
        sources[source] = pipelines.declare(source, connection)
        pipelines.fill(sources[source])
    password = secrets.token_urlsafe(12)
    create_local_user(servers["local"], LOCAL_USER, password, LOCAL_SCHEMAS)
    environment |= _environment("local", servers["local"], LOCAL_USER, password)
    environment |= _datajoint_environment(servers["local"], password)
    authority = servers["princeton"].ca_path
    write_folder(folder, environment, authority.read_text() if authority else "")
    rows = sum(sum(each.counts().values()) for each in sources.values())
    say(
        f"Their owners have filled them with {rows} rows through DataJoint. The manifest is "
        f"{folder / MANIFEST}."
    )
    return DemoSetup(servers, folder, environment, sources, owner_passwords)


def _environment(name: str, server: SandboxServer, user: str, password: str) -> dict[str, str]:
    words = {"HOST": server.host, "PORT": str(server.port), "USER": user, "PASSWORD": password}
    return {f"DEMO_{name.upper()}_{word}": value for word, value in words.items()}


def _datajoint_environment(server: SandboxServer, password: str) -> dict[str, str]:
    """What DataJoint reads, so that `import datajoint` in the demo's shell works on the local server."""
    where = {"DJ_HOST": server.host, "DJ_PORT": str(server.port), "DJ_USE_TLS": "false"}
    return where | {"DJ_USER": LOCAL_USER, "DJ_PASS": password}


def play(setup: DemoSetup) -> None:
    """The stations, one after another."""
    headline("Preview the changes")
    djlink(setup, "plan")
    headline("Apply them")
    djlink(setup, "apply", "--auto-approve")
    headline("Princeton records three more sessions")
    pipelines.add_rows(setup.sources["princeton"])
    say("The owner's script inserted them; `populate()` computed the dependent rows.")
    djlink(setup, "plan")
    djlink(setup, "apply", "--auto-approve")
    headline("The owner at princeton deletes rows")
    show_protection(setup)
    headline("Princeton requests the deletion of a session")
    show_deletion(setup)
    headline("The local server")
    show_local(setup)


def show_deletion(setup: DemoSetup) -> None:
    """Let the source ask for a deletion, see it, agree to it, do it; then the owner can delete."""
    server = setup.servers["princeton"]
    request_sql = (
        f"INSERT INTO {OWNER_SCHEMA}.session_session_requests\n"
        "                     (subject, session_date, session_number, reason)\n"
        "                   SELECT subject, session_date, session_number, 'wrong animal'\n"
        "                   FROM session.session WHERE subject = 'A001' ORDER BY session_date LIMIT 1"
    )
    say("The session was recorded from another animal. Until it is released, its owner cannot delete it:")
    say(f"  owner@princeton> {request_sql}")
    with closing(server.connect(OWNER, setup.owner_passwords["princeton"])) as connection:
        connection.cursor().execute(request_sql)
        connection.commit()
    say("\nThe lab that linked it sees who requests the deletion, why, and which local rows depend on it:\n")
    djlink(setup, "requests")
    say("\nIt approves. The entry can be reviewed like any other change of the manifest:\n")
    djlink(setup, "approve", REQUESTED_LINK, "--by", "a.lee")  # into the approvals.yaml beside the manifest
    djlink(setup, "apply", "--auto-approve")
    session = setup.sources["princeton"].tables["session.Session"]
    (key,) = (session & {"subject": "A001"}).keys(order_by="session_date", limit=1)
    say("\nNow the owner's own delete works, including all rows that depend on the session:")
    say("  owner@princeton> (Session & key).delete()")
    say(f"  {(session & key).delete(prompt=False)} session deleted")


def show_protection(setup: DemoSetup) -> None:
    """Let the owner delete a row that was pulled, and one that was not: only the first is refused."""
    server = setup.servers["princeton"]
    held = "DELETE FROM session.session_note WHERE subject = 'A001' AND note_number = 1"
    free = "DELETE FROM session.session_note WHERE subject = 'A003' AND note_number = 1"
    with closing(server.connect(OWNER, setup.owner_passwords["princeton"])) as connection:
        say("Notes on A001, a mouse, were pulled. The server protects them:")
        say(f"  owner@princeton> {held}")
        try:
            count = connection.cursor().execute(held)
        except pymysql.IntegrityError as refusal:
            say(f"  ERROR {refusal.args[0]}: {refusal.args[1]}")
        else:
            raise SandboxError(f"the source deleted {count} rows that were pulled", server="princeton")
        say("Notes on A003, a rat, were not pulled. The owner's delete works as before:")
        say(f"  owner@princeton> {free}")
        say(f"  {connection.cursor().execute(free)} rows deleted")


def show_local(setup: DemoSetup) -> None:
    """Count the rows of every linked table on both sides, and join some on the local server."""
    dj = pipelines.load_datajoint()
    password = setup.environment["DEMO_LOCAL_PASSWORD"]
    with closing(pipelines.connect(setup.servers["local"], LOCAL_USER, password)) as connection:
        modules: dict[str, Any] = {}
        say(f"  {'table':<24} {'source rows':>14} {'local rows':>10}")
        for source, pipeline in setup.sources.items():
            for name, rows in pipeline.counts().items():
                schema, *classes = name.split(".")
                local = f"{source}_{schema}"
                if local not in modules:
                    modules[local] = dj.VirtualModule(local, local, connection=connection)
                table: Any = modules[local]
                for each in classes:
                    table = getattr(table, each)
                say(f"  {name:<24} {rows:>14} {len(table()):>10}")
        session, lab, ephys = (modules[f"princeton_{name}"] for name in ("session", "lab", "ephys"))
        people = lab.User.proj("full_name", experimenter="user")
        say("\nLinked tables join like any others. Sessions with their experimenters and sorted units:\n")
        say(str((session.Session * people * ephys.Spikes).proj("full_name", "unit_count")))


def print_next_steps(setup: DemoSetup, *, runs_on: bool) -> None:
    """What a person can try while the servers run."""
    headline("What to try next")
    when = "While the servers run" if runs_on else "With `djlink demo --keep` the servers keep running. Then"
    say(
        f"""{when}, in another terminal:

  cd {shlex.quote(str(setup.folder.resolve()))} && . ./{ENVIRONMENT}
  djlink plan

- In {MANIFEST} write `Subject: {{}}`, without its `where`, and plan: the rats and their rows.
- Add `exclude: [Training]` below `behavior`, and plan: see what happens to the tables that refer to it.
- Delete local rows, and plan. They are wanted and held, so they are pulled again:
  {TRY_DELETE}
- Give a wrong password (DEMO_JANELIA_PASSWORD=x djlink plan): the other source is still applied."""
    )


def leave_running(setup: DemoSetup) -> None:
    """Let the servers outlive this process, and say how they are stopped."""
    for server in setup.servers.values():
        server.keep()
    pids = " ".join(str(server.pid) for server in setup.servers.values())
    say(f"\nThe servers keep running. To stop them and remove their data: kill {pids}")


def wait_for_enter() -> None:
    """Return at Enter, Ctrl-C or the end of standard input."""
    say("\nThe servers run until you press Enter.")
    with suppress(KeyboardInterrupt):
        sys.stdin.readline()


def djlink(setup: DemoSetup, *arguments: str) -> None:
    """Run `djlink` as a person would, in the demo's folder; SandboxError where it fails."""
    say(f"$ djlink {' '.join(arguments)}")
    command = [sys.executable, "-m", "djlink_manifest", *arguments]
    with subprocess.Popen(command, cwd=setup.folder, env=os.environ | setup.environment) as running:
        try:
            code = running.wait()
        except KeyboardInterrupt:
            # Ctrl-C reaches the command too, which finishes what it has in hand.
            running.wait()
            raise
    if code:
        raise SandboxError(
            f"`djlink {' '.join(arguments)}` failed with exit code {code}", hint="see its message above"
        )


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block, as Ctrl-C does, instead of ending the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def headline(words: str) -> None:
    """A line above a station."""
    say(f"\n== {words} ==\n")


def say(words: str) -> None:
    """Write a line now, before any command that follows writes its own."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
