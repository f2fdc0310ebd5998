"""`djlink init` without --from: a manifest from answers at a terminal, or from options."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from djlink_manifest.cli.commands.init import problems_of
from djlink_manifest.cli.terminal.ask import ask
from djlink_manifest.errors import DjlinkError, UsageError
from djlink_manifest.manifest.edit.draft import (
    Draft,
    DraftHead,
    DraftSchema,
    DraftServer,
    DraftTable,
    Setting,
    drafted,
)
from djlink_manifest.manifest.models.datajoint_config import ConfigFault, settings_of
from djlink_manifest.manifest.models.names import identifier_fault, source_fault
from djlink_manifest.manifest.text.references import (
    LINK_OUTBOUND,
    LINK_PASS,
    LINK_USER,
    LOCAL_PASS,
    LOCAL_USER,
    only_references,
)

LOCAL_HOST, LOCAL_PORT, DATAJOINT = "${env:DJ_HOST}", "${env:DJ_PORT}", "datajoint"
USUAL_PORT = "3306"
PORTS = {"--local-host": "--local-port", "--host": "--port"}
CONTACT = "data@ourlab.example"
EXAMPLE = (
    "`djlink init --source princeton --host db.princeton.example --schema ephys`, or run it at a terminal"
)
_WITH_PORT = re.compile(r"(\$\{[^}]*\}|[^:\[\]]+):(\d+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a manifest needs: its option, what is asked, and the default."""

    option: str
    words: str
    default: str | None

    def fault(self, answer: str) -> str | None:
        """Return why an answer does not do, as the end of a sentence."""
        if not answer:
            return "is needed"
        match self.option:
            case "--name":
                return (
                    None if _NAME.fullmatch(answer) else "must consist of letters, digits, `.`, `_` and `-`"
                )
            case "--source":
                return source_fault(answer)
            case "--host" | "--local-host":
                return _host_fault(answer)
            case "--port" | "--local-port":
                return _port_fault(answer)
            case "--schema":
                faults = ((each, identifier_fault(each)) for each in schemas_in(answer))
                return next((f"has a schema that {why}: {each}" for each, why in faults if why), None)
            case "--outbound" if "${" not in answer:
                return identifier_fault(answer)
        return None


def questions(environ: Mapping[str, str]) -> tuple[Question, ...]:
    """Return the questions in their order."""
    local = DATAJOINT if _is_configured(environ) else LOCAL_HOST
    port = LOCAL_PORT if environ.get("DJ_PORT") else USUAL_PORT
    return (
        Question("--name", "Name of the manifest, which marks the tables that it owns", "our-lab"),
        Question("--contact", "Contact, which the owners of the sources see", CONTACT),
        Question(
            "--local-host", "Host of the local server (`datajoint`: by DataJoint's configuration)", local
        ),
        Question("--local-port", "Port of the local server", port),
        Question("--source", "Name of the source, the first word of its addresses", None),
        Question("--host", "Host of the source's server", None),
        Question("--port", "Port of the source's server", USUAL_PORT),
        Question("--user", "Account on it, the link user, or a reference to its name", LINK_USER),
        Question("--outbound", "Schema on it for djlink's outbound tables", LINK_OUTBOUND),
        Question("--schema", "Schemas to link, separated by commas", None),
    )


def schemas_in(answer: str) -> list[str]:
    """Return the schemas of an answer or of options, each once."""
    return list(dict.fromkeys(word for word in re.split(r"[,\s]+", answer) if word))


def from_answers(options: Mapping[str, Any], *, may_ask: bool) -> str:
    """Return the text of a manifest from options; what they lack is asked, or is its default.

    Raises UsageError for what is lacking where nobody can be asked, and for options that do not do.
    """
    answers, from_terminal = dict[str, str](), set[str]()
    for question in questions(os.environ):
        given = options[question.option.strip("-").replace("-", "_")]
        text = ",".join(given) if isinstance(given, tuple) else str(given or "")
        if question.option in PORTS.values() and not text:
            host = next(host for host, port in PORTS.items() if port == question.option)
            if question.option in answers or answers[host] == DATAJOINT:
                continue
            if host not in from_terminal:
                is_usual = host == "--local-host" and answers[host] == LOCAL_HOST
                answers[question.option] = (question.default if is_usual else None) or USUAL_PORT
                continue
        if text:
            if why := question.fault(text):
                raise UsageError(f"{question.option} {text}: this {why}")
            if answers.get(question.option, text) != text:
                raise UsageError(
                    f"{question.option} {text}: the host has the port {answers[question.option]}",
                    hint=f"leave out {question.option}, or the port of the host",
                )
            answers[question.option] = text
        elif may_ask:
            answers[question.option] = ask(question.words, question.default, question.fault)
            from_terminal.add(question.option)
        elif question.default is not None:
            answers[question.option] = question.default
        else:
            raise UsageError(f"a manifest from options needs {question.option}", hint=EXAMPLE)
        if question.option in PORTS:
            _cut_port(answers, question.option)
    password = options["password"] or LINK_PASS
    if not only_references(password):
        raise UsageError(
            "`--password` takes a reference, not a password",
            hint="for example: --password '${env:LINK_PASS}', or '${file:secrets/link}'",
        )
    text = drafted(_draft(answers, password, options))
    if problems := problems_of(text, ()):
        raise DjlinkError(f"this gives no valid manifest: {problems[0].summary}", hint=problems[0].help)
    return text


def _draft(answers: Mapping[str, str], password: str, options: Mapping[str, Any]) -> Draft:
    tls: list[Setting] = [("tls", {"ca": options["ca"]})] if options["ca"] else []
    if options["tls"] is not None and not tls:
        tls = [("tls", options["tls"])]
    server = DraftServer(
        (
            ("host", answers["--host"]),
            *_port(options["port"] or answers.get("--port")),
            ("user", answers["--user"]),
            ("password", password),
            *tls,
            ("outbound", answers["--outbound"]),
        )
    )
    head = DraftHead(answers["--name"], answers["--contact"], _local(answers, options))
    schemas = tuple(DraftSchema(name, (DraftTable("*"),)) for name in schemas_in(answers["--schema"]))
    opening = (
        "Written by `djlink init`. Every table of the schemas is linked: name tables instead of `*`, and",
        "restrict them with `where`. Passwords are references: ${env:NAME} or ${file:path}.",
    )
    return Draft(answers["--source"], schemas, server, head, opening)


def _local(answers: Mapping[str, str], options: Mapping[str, Any]) -> DraftServer:
    host = answers["--local-host"]
    port = tuple(_port(options["local_port"] or answers.get("--local-port")))
    if host == DATAJOINT:
        return DraftServer((("datajoint", True), *port))
    return DraftServer((("host", host), *port, ("user", LOCAL_USER), ("password", LOCAL_PASS)))


def _port(port: int | str | None) -> Iterator[Setting]:
    """Yield the setting of a port, but none for the usual one that no option names."""
    if port is not None and port != USUAL_PORT:
        yield "port", int(port) if str(port).isdigit() else port


def _cut_port(answers: dict[str, str], option: str) -> None:
    """Take the port out of `host:port`, as the answer to its own question."""
    if found := _WITH_PORT.fullmatch(answers[option]):
        answers[option], answers[PORTS[option]] = found[1], found[2]


def _is_configured(environ: Mapping[str, str]) -> bool:
    """Whether DataJoint's configuration has a file that names the local server here."""
    try:
        found = settings_of(environ, Path.cwd(), with_password=False)
    except ConfigFault:
        return False
    return "host" in found and not found["host"].is_variable


def _host_fault(host: str) -> str | None:
    if "://" in host or "@" in host:
        return "is a URL or contains a login, not a host name"
    if found := _WITH_PORT.fullmatch(host):
        return _port_fault(found[2]) or _host_fault(found[1])
    if re.search(r"[\s/\\`'\"]", host):
        return "is not a host name or address"
    return None


def _port_fault(port: str) -> str | None:
    if only_references(port):
        return None
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536
    return None if is_port else "is not a port: 1 to 65535"
