"""Which links of a manifest a command is about: `--target` and `--exclude`. Pure.

They select what is done. What keeps a link that is asked for from being done is told all the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.reconcile.resolve.links import Resolved
from djlink_manifest.reconcile.state.snapshot import Refusal, ServerFacts, refusal_about


@dataclass(frozen=True, slots=True)
class Selection:
    """What a command is about.

    `links` are worked on, `removed` those of the links taken out; `reported` are the links of which refusals
    are told, those left out by `--exclude` among them; `refusals` what is told of resolving the manifest.
    """

    links: frozenset[str]
    removed: frozenset[str]
    reported: frozenset[str]
    refusals: tuple[Refusal, ...]

    def reports(self, refusal: Refusal) -> bool:
        """Whether a refusal is told; one that only follows from others where its link is worked on."""
        address = refusal.address
        return (
            address in self.links
            or refusal in self.refusals
            or (address in self.reported and not refusal.causes)
        )


def select(
    resolved: Resolved,
    servers: Sequence[ServerFacts],
    targets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    *,
    below: bool = False,
    removed: Collection[str] = (),
) -> Selection:
    """The links of these addresses or globs, with all that they need; `below`: and all that needs them.

    Without those excluded, and without what needs them. And those of the links taken out, `removed`, that are
    named, or all where none is. `servers` are the sources. An address or glob may also name what is declared
    and gave no link: then nothing is done for it, and why is told. Raises UsageError for what names neither.
    """
    graph, going = resolved.graph, frozenset(removed)
    nodes = frozenset(graph.nodes)
    named = matching(resolved, servers, targets, "--target", going) if targets else nodes | going
    out = matching(resolved, servers, excludes, "--exclude", going)
    wanted = named & nodes
    told = graph.upstream(graph.downstream(wanted) if below else wanted)
    links = told - graph.downstream(out & nodes)
    causes = {cause for r in resolved.refusals if r.address in links for cause in r.causes}
    refusals = tuple(
        r
        for r in resolved.refusals
        if r.address in links
        or r.address in causes
        or (r.address in told and not r.causes)
        or (r.address not in nodes and (not targets or any(concerns(t, r.address) for t in targets)))
    )
    return Selection(links, going.intersection(named) - out, told, refusals)


def matching(
    resolved: Resolved,
    servers: Iterable[ServerFacts],
    patterns: Sequence[str],
    option: str,
    removed: Collection[str] = (),
) -> set[str]:
    """The links, and those taken out, that addresses or globs name.

    None for what is declared and gave no link. Raises UsageError for what is not declared either.
    """
    known, found = {*resolved.graph.nodes, *removed}, set[str]()
    unresolved = {r.address for r in resolved.refusals} | {s.name for s in servers if s.problem}
    for pattern in patterns:
        matched = {a for a in known if fnmatchcase(a, pattern)}
        if not matched and not any(concerns(pattern, address) for address in unresolved):
            close = nearest(pattern, sorted(known))
            hint = f"did you mean `{close}`?" if close else "`djlink status` lists the links"
            raise UsageError(f"{option} {pattern}: this manifest has no such link", hint=hint)
        found |= matched
    return found


def concerns(pattern: str, address: str) -> bool:
    """Whether an address or glob names the link, schema or source of this address, or anything below it."""
    if fnmatchcase(address, pattern):
        return True
    # what the end of the pattern names, below the address
    plain = re.sub(r"\[!?(.)[^]]*\]", r"\1", pattern)
    steps = plain.split(".")
    ends = (".".join(steps[n:]) for n in range(len(steps)))
    return any(fnmatchcase(f"{address}.{end}", pattern) for end in ends)


def check_address(resolved: Resolved, servers: Iterable[ServerFacts], address: str) -> None:
    """Raise UsageError where an address or glob is of no link, with the cause where it is declared."""
    if address in resolved.graph.nodes:
        return
    for server in servers:
        if server.problem and concerns(address, server.name):
            raise UsageError(f"{address}: {server.name} is unavailable: {server.problem}", hint=server.hint)
    refusal = refusal_about(address, resolved.refusals)
    if refusal is not None:
        about = "" if refusal.address == address else f"{refusal.address}: "
        raise UsageError(f"{address}: {about}{refusal.reason}", hint=refusal.hint)
    close = nearest(address, sorted(resolved.graph.nodes))
    hint = f"did you mean `{close}`?" if close else "`djlink status` lists the links"
    raise UsageError(f"{address}: this manifest has no such link", hint=hint)
