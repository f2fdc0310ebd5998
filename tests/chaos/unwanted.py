"""What stays here unwanted, and why: two applies at once, of one manifest or of two, both killed; then rest.

The link says `unwanted: release` and `deletions: review`. Each row that is here at rest and not wanted must
have a reason that this harness sees, and the plan must tell of as many rows for that reason.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from djlink_manifest import cli
from tests.chaos.lab import PASSWORD, Lab
from tests.chaos.ledger import Ledger
from tests.chaos.looks import Looked, plan_in
from tests.chaos.owners import Owner
from tests.chaos.pipeline import TABLES

MOST_APPLIES = 10


@dataclass(slots=True)
class Trials:
    """Trials on one source, `north`. `stays` counts unwanted rows at rest, by state and reason."""

    lab: Lab
    seed: str
    tell: Callable[[str], object]
    stays: Counter[str] = field(default_factory=Counter)
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
        with self.lab.opened():
            self._run(trials)

    def _run(self, trials: int) -> None:
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
        plan = plan_in(text)
        looked = Looked(self.lab, self.ledger, manifest)
        self.faults += looked.rest().faults
        self.account(looked, plan)

    def account(self, looked: Looked, plan: Mapping[str, Any]) -> None:
        """Each unwanted row here has a reason, and the plan tells of as many for it."""
        self.faults += looked.account(plan)
        for table in TABLES:
            for key in looked.here.masters[table.name].keys() - looked.wanted[table.name]:
                self.stays[f"{looked.state(table, key)}  {looked.why(table, key)}"] += 1

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
        self.done["times that a person cleared all"] += 1

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
