"""What stays here unwanted, and why: two applies at once, of one manifest or of two, both killed; then rest.

The link says `unwanted: release` and `deletions: review`. Each row that is here at rest and not wanted must
have a reason that this harness sees, and the plan must tell of as many rows for that reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from djlink_manifest import cli
from tests.chaos.lab import PASSWORD, Lab
from tests.chaos.ledger import Ledger
from tests.chaos.looks import Looked
from tests.chaos.owners import Owner
from tests.chaos.pipeline import TABLES, Key, Table

MOST_APPLIES = 10
NEEDED, REQUESTED, OVER = "needed by rows that stay", "requested, waits for a person", "over `max_deletions`"


@dataclass(slots=True)
class Trials:
    """Trials on one source, `north`. `stays` counts unwanted rows at rest, by state and reason."""

    lab: Lab
    seed: str
    tell: Callable[[str], object]
    stays: Counter[str] = field(default_factory=Counter)
    cleared: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    random: random.Random = field(init=False)
    ledger: Ledger = field(init=False)
    owner: Owner = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.ledger = Ledger("north")
        self.owner = Owner(self.lab, "north", self.ledger, self.seed, subjects=25)
        self.owner.acts += [(self.owner.request, 16)]

    def run(self, trials: int) -> None:
        """That many trials, or until a fault."""
        self.owner.fill()
        self.called("apply", "--auto-approve", manifest="wide")
        for number in range(1, trials + 1):
            self.trial()
            if self.faults:
                return
            if number % 10 == 0:
                self.clear()
                self.tell(f"{number} trials: {dict(self.done)}; {dict(self.stays)}")

    def trial(self) -> None:
        """Owners work, two applies begin and are killed, all comes to rest and is looked at."""
        for _ in range(self.random.randint(4, 14)):
            self.owner.step()
        manifests = self.random.choice([("narrow", "narrow"), ("narrow", "wide"), ("wide", "wide")])
        commands = [self.lab.start("apply", "--auto-approve", manifest=m) for m in manifests]
        for proxy in self.lab.proxies.values():
            proxy.arm()
        while not any(p.begun for p in self.lab.proxies.values()) and commands[0].code is None:
            time.sleep(0.002)
        time.sleep(self.random.uniform(0, 1.2))
        for command in commands:
            self.done["killed" if command.kill() else f"ended {command.code} before its kill"] += 1
        for _ in range(self.random.randint(0, 4)):
            self.owner.step()
        self.done[f"trials with {' and '.join(manifests)}"] += 1
        at_last = self.random.choice(["narrow", "narrow", "wide"])
        self.rest(at_last)

    def rest(self, manifest: str, *more: str) -> None:
        """Apply until nothing is due, then account for each unwanted row."""
        for proxy in self.lab.proxies.values():
            proxy.quiet()
        for number in range(MOST_APPLIES + 1):
            code, text = self.called(
                "plan", "--verify", "--json", "--detailed-exitcode", *more, manifest=manifest
            )
            if code == 0:
                break
            if number == MOST_APPLIES:
                self.faults.append(f"no rest after {MOST_APPLIES} applies, the plan ends with {code}:")
                self.faults.append(self.called("plan", "--verify", *more, manifest=manifest)[1])
                return
            self.called("apply", "--auto-approve", "--verify", *more, manifest=manifest)
            self.done["applies at rest"] += 1
        plan = json.loads(text[text.index("{") :])
        looked = Looked(self.lab, self.ledger, manifest)
        for table in TABLES:
            self.account(looked, table, link_of(plan, self.lab.address("north", table)))

    def account(self, looked: Looked, table: Table, link: Mapping[str, Any]) -> None:
        """Each unwanted row here has a reason, and the plan tells of as many for it."""
        reasons = {key: self.reason(looked, table, key) for key in sorted(looked.here.masters[table.name])}
        for key, reason in reasons.items():
            if reason is not None and key not in looked.wanted[table.name]:
                self.stays[f"{state(looked, table, key)}  {reason}"] += 1
        found = Counter(reasons.values())
        told = dict(told_of(link))
        for reason in (NEEDED, REQUESTED, OVER):
            if found[reason] != told[reason]:
                keys = [key for key, why in reasons.items() if why == reason]
                self.faults.append(
                    f"{table.name}: {found[reason]} rows {reason}, the plan tells of {told[reason]}: {keys}\n"
                    + json.dumps({n: link[n] for n in ("blocked", "warnings", "kept", "actions")}, indent=1)
                )

    def reason(self, looked: Looked, table: Table, key: Key) -> str | None:
        """Why an entity is here though it is not wanted, or is to go; None where it is wanted."""
        if key in looked.requested[table.name]:
            return REQUESTED
        if key in looked.wanted[table.name]:
            return None
        return NEEDED if (table.name, key) in looked.referred else OVER

    def clear(self) -> None:
        """A person approves all, and lets go what is over the limit: nothing unwanted may be left."""
        for table in reversed(TABLES):
            into = ("--into", str(self.lab.folder / "approvals.yaml"), "--by", "chaos")
            self.called("approve", self.lab.address("north", table), *into, manifest="narrow")
        self.rest("narrow", "--max-deletions", "100%")
        looked = Looked(self.lab, self.ledger, "narrow")
        for table in TABLES:
            for key in looked.here.masters[table.name].keys() - looked.wanted[table.name]:
                self.faults.append(f"{table.name} {key} is here, unwanted, though a person cleared all")
        self.cleared["times cleared"] += 1

    def called(self, *arguments: str, manifest: str) -> tuple[int, str]:
        """A djlink command in this process: its exit code, and what it printed."""
        files = [str(self.lab.folder / name) for name in (f"{manifest}.yaml", "approvals.yaml")]
        out = io.StringIO()
        with (
            patch.dict(os.environ, {"CHAOS_PASSWORD": PASSWORD, "NO_COLOR": "1", "COLUMNS": "150"}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            code = cli.run([*arguments, "-f", files[0], "-f", files[1]])
        return code, out.getvalue()


def link_of(plan: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """A link in the JSON of a plan."""
    found: Mapping[str, Any] = next(link for link in plan["links"] if link["address"] == address)
    return found


def told_of(link: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """How many rows the plan says stay, by reason."""
    review = [block for block in link["blocked"] if block["kind"] == "review"]
    requested = [b["count"] for b in review if b["reason"].startswith("deletion requested")]
    yield NEEDED, link["kept"]
    yield REQUESTED, max(requested, default=0)
    yield OVER, sum(b["count"] for b in review if b["reason"].startswith("no longer wanted"))


def state(looked: Looked, table: Table, key: Key) -> str:
    """The facts of an entity as the state table has them: source, outbound, local, requested, approved."""
    sets = (
        looked.theirs.masters[table.name],
        looked.held[table.name],
        looked.here.masters[table.name],
        looked.requested[table.name],
        looked.approved[table.name],
    )
    letters = zip("SOLRA", sets, strict=True)
    return "".join(letter if key in keys else "-" for letter, keys in letters)
