"""The run: applies begin, and end as chance has it; now and then all rests, and everything is looked at."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.lab import Command, Lab
from tests.chaos.ledger import Ledger
from tests.chaos.looks import Looked, Watcher, awaiting, plan_in, told_reasons
from tests.chaos.owners import Owner, go_on, rest
from tests.chaos.pipeline import TABLES
from tests.chaos.wire import Cut, Direction, Kind, Proof

APPLY = ("apply", "--auto-approve")
MOST_APPLIES = 12  # until a rest ends
MOST_ROUNDS = 3  # of approving all that waits, until nothing does
REST_EACH = 40  # faults made between two rests
DEFECT = re.compile(r"Traceback|unexpected \w+ at|defect of djlink")
STAYS = "not refilled: their source rows now refer to"
NUMBERS = re.compile(r"\d[\d,]*")
CUT_KINDS: tuple[Kind, ...] = ("reset", "close", "silence")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is to happen."""

    kills: int = 200
    cuts: int = 50
    server_kills: int = 10

    def left(self, done: Counter[str]) -> list[str]:
        """The kinds of faults of which some are due still, as often as they are due."""
        due = {"kill": self.kills, "cut": self.cuts, "server kill": self.server_kills}
        return [kind for kind, most in due.items() for _ in range(max(0, most - done[kind]))]


@dataclass(slots=True)
class Chaos:
    """One run over a lab. `tell` gets a line of what goes on; `faults` is what must never be."""

    lab: Lab
    seed: str
    wanted: Wanted
    tell: Callable[[str], object]
    subjects: int = 60  # at most, at each source
    done: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seen_bytes: dict[tuple[str, Direction], int] = field(default_factory=dict)
    random: random.Random = field(init=False)
    ledgers: dict[str, Ledger] = field(init=False)
    owners: list[Owner] = field(init=False)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.ledgers = {name: Ledger(name) for name in self.lab.sources}
        self.owners = [
            Owner(self.lab, name, self.ledgers[name], self.seed, self.subjects) for name in self.lab.sources
        ]
        self.watcher = Watcher(self.lab, self.ledgers, self.seed)

    @property
    def proofs(self) -> list[Proof]:
        """The cuts that were made."""
        return [proof for proxy in self.lab.proxies.values() for proof in proxy.proofs]

    def run(self) -> None:
        """Link, let everything happen, and bring it to rest."""
        with self.lab.opened():
            self._run()

    def _run(self) -> None:
        for owner in self.owners:
            owner.fill()
        self._finished(self._apply(), "the first apply")
        due = REST_EACH
        with self._at_work():
            while not self.faults and (left := self.wanted.left(self.done)):
                {"kill": self.kill, "cut": self.cut, "server kill": self.kill_server}[
                    self.random.choice(left)
                ]()
                if self.random.random() < 0.12:
                    self.approve(dies=self.random.random() < 0.3)
                if self._faults_made() >= due:
                    due += REST_EACH
                    self.rest()
        if not self.faults:
            self.rest()
        if not self.faults:
            self.settle()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        for thread in self._threads():
            thread.start()
        try:
            yield
        finally:
            for thread in self._threads():
                thread.stop.set()
            for thread in self._threads():
                thread.join(60)
            self._collect()

    def _threads(self) -> Sequence[Owner | Watcher]:
        return (*self.owners, self.watcher)

    # what happens

    def kill(self) -> None:
        """One or two applies, killed at any moment of their time."""
        self._arm()
        commands = [self.lab.start(*APPLY)]
        if self.random.random() < 0.4:
            commands.append(
                self.lab.start(*APPLY, *self.random.choice([(), ("--verify",), ("--parallelism", "1")]))
            )
        self._wait_a_while(commands)
        for command in commands:
            commits = sum(proxy.commits for proxy in self.lab.proxies.values())
            received = sum(proxy.bytes["down"] for proxy in self.lab.proxies.values())
            if command.kill():
                self.done["kill"] += 1
                self.stages[
                    "after a commit" if commits else "reading" if received else "before it connected"
                ] += 1
            else:
                self._finished(command, "an apply that was too quick", may_fail=True)
        if self.random.random() < 0.3:
            self._finished(self._apply(), "the apply after a kill", may_fail=True)

    def cut(self) -> None:
        """An apply of which one connection is cut at any byte; it goes on or fails."""
        kind = self.random.choice(CUT_KINDS)
        server = self.random.choice(sorted(self.lab.proxies))
        direction: Direction = self.random.choice(["up", "down"])
        byte = self.random.randint(0, max(1, self.seen_bytes.get((server, direction), 20_000)))
        proxy, before = self.lab.proxies[server], len(self.proofs)
        self._arm()
        proxy.arm(Cut(direction, byte, kind, seconds=self.random.uniform(0.2, 3)))
        self._finished(self._apply(), f"an apply with a {kind} of {server}", may_fail=True)
        proxy.arm()
        self.done["cut"] += len(self.proofs) - before
        for proof in self.proofs[before:]:
            self.ended[f"cut: {kind}"] += 1
            if not proof.within:
                self.ended["cuts between packets"] += 1

    def kill_server(self) -> None:
        """A server dies in the middle of an apply, and comes back."""
        server = self.lab.servers[self.random.choice(sorted(self.lab.servers))]
        self._arm()
        command = self.lab.start(*APPLY)
        self._wait_a_while([command])
        server.kill()
        time.sleep(self.random.uniform(0, 1.5))
        server.restart()
        command.wait(150)
        self.done["server kill"] += 1
        self.ended[f"server killed: {server.name}"] += 1
        self._finished(command, f"an apply whose server {server.name} died", may_fail=True)

    def approve(self, *, dies: bool = False) -> None:
        """A person approves what a link's owner asked for."""
        self._arm()
        source = self.random.choice(self.lab.sources)
        table = self.random.choice([t for t in TABLES if self.lab.may_wait(source, t)])
        self._approve(source, table, dies=dies)

    def _approve(self, source: str, table: Any, *, dies: bool = False) -> bool:
        """Whether something was approved."""
        command = self.lab.start("approve", self.lab.address(source, table), "--by", "chaos", *self._into())
        if dies:
            self._wait_a_while([command])
            self.done["kill"] += command.kill()
        command.wait(120)
        requested = self.lab.marked(source, "_deletion_requested")[table.name]
        self.ledgers[source].permit(table.name, requested)
        self._check_words(command, "approve")
        self.ended["approvals given"] += command.code == 0
        return command.code == 0

    def _into(self) -> tuple[str, str]:
        return "--into", str(self.lab.folder / "approvals.yaml")

    # rest

    def rest(self) -> None:
        """Let everybody stop, apply until nothing is due, and look at every row."""
        rest(self.owners)
        for proxy in self.lab.proxies.values():
            proxy.quiet()
        applies, plan = self.apply_until_nothing_is_due()
        self._read_plan(plan)
        self.ended["rests"] += 1
        self.tell(f"at rest after {applies} applies: {self.summary()}")
        for ledger in self.ledgers.values():
            looked = Looked(self.lab, ledger, "narrow")
            found = looked.rest()
            self.faults += [*found.faults, *looked.account(plan)]
            self.reasons.update(found.reasons)
        self._collect()
        go_on(self.owners)

    def apply_until_nothing_is_due(self) -> tuple[int, Mapping[str, Any]]:
        """The number of applies that it took, and the plan that says so."""
        for number in range(MOST_APPLIES):
            planned = self.lab.run("plan", "--verify", "--json", "--detailed-exitcode")
            self._check_words(planned, "plan")
            plan = plan_in(planned.text)
            errors = [f"{a}: {reason}" for a, kind, reason, _ in told_reasons(plan) if kind == "error"]
            if errors:
                self.tell(f"a plan at rest has errors: {errors}")
            if planned.code == 0:
                return number, plan
            self._finished(self._apply("--verify"), "an apply at rest", may_fail=True)
        last = self.lab.run("plan", "--verify")
        self.faults.append(f"no rest after {MOST_APPLIES} applies:\n{last.text}")
        return MOST_APPLIES, plan

    def _read_plan(self, plan: Mapping[str, Any]) -> None:
        for _, kind, reason, _ in told_reasons(plan):
            self.told[f"{kind}: {NUMBERS.sub('N', reason)[:110]}"] += 1
            if kind in ("error", "upstream") and not reason.startswith(STAYS):
                self.faults.append(f"at rest the plan has {kind}: {reason}")

    def settle(self) -> None:
        """A person does what plans say until nothing awaits an approval; then no requested row is here."""
        for number in range(1, MOST_ROUNDS + 1):
            _, plan = self.apply_until_nothing_is_due()
            if not (waiting := awaiting(plan)):
                break
            for source in self.lab.sources:
                for table in TABLES:
                    if self.lab.address(source, table) in waiting and not self._approve(source, table):
                        self.faults.append(f"{source}: {table.name} awaits an approval that cannot be given")
            self.ended["rounds of approvals at the end"] = number
        self.rest()
        for source in self.lab.sources:
            looked = Looked(self.lab, self.ledgers[source], "narrow")
            for table in TABLES:
                left = looked.requested[table.name] & looked.here.masters[table.name].keys()
                self.faults += [f"{source}: {table.name} {key} was approved, and is here" for key in left]

    # how

    def _arm(self) -> None:
        for proxy in self.lab.proxies.values():
            proxy.arm()

    def _wait_a_while(self, commands: list[Command]) -> None:
        """Any time of an apply; now and then before it logs in, else from its first byte on."""
        usual = sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else 2.0
        begun = time.monotonic() if self.random.random() < 0.1 else None
        after = self.random.uniform(0, 1.1) * usual
        while any(c.code is None for c in commands):
            begun = begun or self._begun()
            if begun is not None and time.monotonic() > begun + after:
                return
            time.sleep(0.002)

    def _begun(self) -> float | None:
        """When the first byte went to a server since the proxies were armed."""
        return min((p.begun for p in self.lab.proxies.values() if p.begun is not None), default=None)

    def _apply(self, *arguments: str, manifest: str = "narrow") -> Command:
        command = self.lab.run(*APPLY, *arguments, manifest=manifest, seconds=170)
        if command.code is None:
            command.kill()
            self.faults.append(f"an apply did not end in 170 s:\n{command.text[-3000:]}")
        elif command.code == 0:
            begun = self._begun()
            if begun is not None:
                self.seconds = [*self.seconds[-20:], time.monotonic() - begun]
            for name, proxy in self.lab.proxies.items():
                for direction in ("up", "down"):
                    self.seen_bytes[name, direction] = proxy.bytes[direction]
        return command

    def _finished(self, command: Command, what: str, *, may_fail: bool = False) -> None:
        self._check_words(command, what)
        self.done["apply"] += 1
        self.ended[f"applies that ended {command.code}"] += 1
        if command.code not in ((0, 1) if may_fail else (0,)):
            self.faults.append(f"{what} ended with {command.code}:\n{command.text[-3000:]}")

    def _check_words(self, command: Command, what: str) -> None:
        if DEFECT.search(command.text):
            self.faults.append(f"{what} met a defect:\n{command.text[-3000:]}")

    def _collect(self) -> None:
        for thread in self._threads():
            self.faults += thread.faults
            thread.faults.clear()

    def _faults_made(self) -> int:
        return sum(self.done[kind] for kind in ("kill", "cut", "server kill"))

    def summary(self) -> str:
        """The counts so far."""
        done = ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for what, n in sorted(self.done.items()))
        return f"{done}; {self.watcher.looks:,} looks"
