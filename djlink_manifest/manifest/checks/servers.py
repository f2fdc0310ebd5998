"""Servers and references: secrets are never literal, references stand only where they are resolved."""

from __future__ import annotations

import re
from collections import defaultdict

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.checks.stores import is_store_secret
from djlink_manifest.manifest.models.names import identifier_fault, source_fault
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, TlsSpec
from djlink_manifest.manifest.text import references
from djlink_manifest.manifest.text.nodes import Fields, Items, Leaf, Node, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.model.server.address import is_loopback

_SERVER_KEYS = frozenset({"host", "port", "user", "password", "outbound"})
_SHOWN_KEYS = ("host", "port", "user", "outbound")  # in what is printed, or on the server
_SECRET_NAME = re.compile(r"(?:^|_)(?:pass|passwd|password|pwd|pw|secret|token|credentials?)$", re.IGNORECASE)
_TLS_KEYS = frozenset({"ca", "cert", "key"})


def check_servers(at: Checked) -> None:
    """Note what is wrong with names, addresses, logins and TLS of the servers, and stray references."""
    _check_server(at.manifest.local, at)
    for source in at.manifest.sources:
        steps = source.origin.path
        if fault := source_fault(source.name):
            at.error(steps, f"the source's name {fault}", key=True)
        _check_server(source, at)
        if source.outbound and "${" not in source.outbound and (fault := identifier_fault(source.outbound)):
            key_path = (*steps, "outbound")
            at.error(key_path, f"the outbound schema's name {fault}")
    if not at.manifest.contact.strip():
        at.warning(
            ("contact",),
            "`contact` is missing",
            "write `contact: you@lab.example`; source owners see it with the rows that you hold",
        )
    _check_references(at.root, (), at.problems)
    _check_swapped(at)
    _check_shared(at)


def _check_shared(at: Checked) -> None:
    """Warn of a password that several servers are sent: whoever runs one of them can log in to the others."""
    users = defaultdict[str, list[ServerSpec]](list)
    for server in (at.manifest.local, *at.manifest.sources):
        if references.only_references(server.password):
            users[server.password].append(server)
    for password, servers in users.items():
        if len({_machine(server) for server in servers}) < 2:
            continue
        last = servers[-1]
        steps = last.origin.path
        given = "password" in last.model_fields_set
        names = ", ".join(server.name for server in servers)
        at.warning(
            (*steps, "password") if given else steps,
            f"{names} share one password, `{password}`: whoever administers one of these servers can use it "
            "at the others",
            "let each account have a password of its own, and name each: "
            f"`password: ${{env:{_variable(last)}}}`",
            key=True,
        )


def _machine(server: ServerSpec) -> tuple[str, str]:
    """What tells servers apart; those of this machine are one person's."""
    return ("localhost", "") if is_loopback(server.host) else (server.host, server.port)


def _variable(server: ServerSpec) -> str:
    """A name for the variable with a server's password."""
    return f"{re.sub('[^A-Z0-9]', '_', server.name.upper())}_PASSWORD"


def _check_swapped(at: Checked) -> None:
    """Note references to passwords where other values are meant, which are shown."""
    servers = (at.manifest.local, *at.manifest.sources)
    secret = {each for server in servers for each in _references(server, "password")}
    for server in servers:
        for key in _SHOWN_KEYS:
            for each in _references(server, key):
                if each in secret or (each.kind == "env" and _SECRET_NAME.search(each.name)):
                    key_path = (*server.origin.path, key)
                    at.error(
                        key_path,
                        f"`{key}` refers to a password: `${{{each.kind}:{each.name}}}`",
                        f"refer to the {key} itself: this value is displayed, and a password must not be",
                    )


def _references(server: ServerSpec, key: str) -> list[references.ValueReference]:
    """The references in a value that the manifest itself sets."""
    if key not in server.model_fields_set:
        return []
    try:
        return [
            each
            for each in references.parts(getattr(server, key))
            if isinstance(each, references.ValueReference)
        ]
    except references.BadReference:
        return []


def _check_server(server: ServerSpec, at: Checked) -> None:
    """`password` is told at its key: the line of its value may be an anchor's, which is not masked."""
    set_keys, steps = server.model_fields_set, server.origin.path
    variable = "DJ_PASS" if steps == ("local",) else "LINK_PASS"
    if (
        "password" in set_keys
        and not references.only_references(server.password)
        and not _broken(server.password)
    ):
        at.problems.conceal(spot_of(at.root, (*steps, "password")))  # where it stands, be it an anchor's line
        at.error(
            (*steps, "password"),
            "the manifest contains a password" if server.password else "`password` is empty",
            f"write `password: ${{env:{variable}}}` and set the variable; if this was committed, change the "
            "password",
            key=True,
        )
    for key in ("host", "user"):
        if key in set_keys and not getattr(server, key).strip() and not _is_configured(server, key):
            at.error((*steps, key), f"`{key}` is empty", key=True)
    _check_host(steps, server, at)
    if isinstance(server.tls, TlsSpec):
        _check_tls(steps, server.tls, at)


def _is_configured(server: ServerSpec, key: str) -> bool:
    """Whether DataJoint's configuration gives what the manifest does not write."""
    return isinstance(server, LocalSpec) and server.datajoint and key == "host"


def _check_host(steps: Steps, server: ServerSpec, at: Checked) -> None:
    key_path = (*steps, "host")
    if "://" in server.host or "@" in server.host:
        at.problems.conceal(spot_of(at.root, key_path))
        help = "write only the host name; use the keys `port`, `user` and `password` for the rest"
        at.error(key_path, "`host` is a URL or contains a login", help, key=True)
    elif "${" in server.host or not server.host.strip():
        return
    elif re.fullmatch(r"[^:\[\]]+:\d+", server.host):
        host, _, port = server.host.partition(":")
        at.error(key_path, "`host` contains a port", f"write `host: {host}` and `port: {port}`")
    elif re.search(r"[\s/\\`'\"]", server.host):
        at.error(key_path, "`host` is not a host name or address")


def _check_tls(steps: Steps, tls: TlsSpec, at: Checked) -> None:
    key_path = (*steps, "tls")
    if at.is_wrong(key_path):
        return  # what does not fit was taken out
    if not (tls.ca or tls.cert or tls.key):
        help = "write `tls: true` to verify with the system's certificate authorities"
        at.error(key_path, "`tls` does not name a file", help, key=True)
    elif bool(tls.cert) != bool(tls.key):
        given, missing = ("cert", "key") if tls.cert else ("key", "cert")
        at.error(
            (*key_path, given),
            f"`tls` has `{given}` without `{missing}`",
            "give the client certificate and its key together",
            key=True,
        )


def _check_references(node: Node, steps: Steps, problems: Problems) -> None:
    """Note references that are misspelt, or that stand where nothing resolves them."""
    if isinstance(node, Fields):
        for key, entry in node.entries.items():
            key_path = (*steps, key)
            if references.has_reference(key):
                problems.error(
                    "a reference cannot be a key", entry.spot, dotted(steps), "write the name itself"
                )
            if isinstance(entry.value, Leaf):
                concealed = key == "password" or is_store_secret(key_path)
                _check_text(entry.value, entry.spot if concealed else entry.value.spot, key_path, problems)
            else:
                _check_references(entry.value, key_path, problems)
    elif isinstance(node, Items):
        for index, item in enumerate(node.items):
            if isinstance(item, Leaf):
                _check_text(item, item.spot, (*steps, index), problems)
            else:
                _check_references(item, (*steps, index), problems)


def _check_text(leaf: Leaf, spot: Spot, steps: Steps, problems: Problems) -> None:
    if not isinstance(leaf.value, str) or "${" not in leaf.value:
        return
    if _resolved(steps):
        if _broken(leaf.value):
            help = "a reference is `${env:NAME}` or `${file:path}`"
            problems.error("a reference is misspelled", spot, dotted(steps), help)
    elif references.has_reference(leaf.value):
        problems.error(
            "references are not resolved here",
            spot,
            dotted(steps),
            "references work in host, port, user, password, tls, outbound and store_settings",
        )


def _resolved(steps: Steps) -> bool:
    """Whether the value at a place is one in which references are resolved."""
    match steps:
        case ("local", "tls", key) | ("sources", _, "tls", key):
            return key in _TLS_KEYS
        case ("sources", _, "store_settings", _, _):
            return True
        case ("local", key) | ("sources", _, key):
            return key in _SERVER_KEYS
    return False


def _broken(text: str) -> bool:
    try:
        references.parts(text)
    except references.BadReference:
        return True
    return False
