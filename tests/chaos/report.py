"""What a run did and found, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pymysql

from tests.chaos.pipeline import TABLES
from tests.chaos.run import Chaos
from tests.chaos.unwanted import Trials


def report(chaos: Chaos) -> str:
    """The counts of a run, and its cuts."""
    return "\n".join(_lines(chaos))


def trials_report(trials: Trials) -> str:
    """The counts of trials: what was done, and which unwanted rows stayed for which reason."""
    lines = [f"DJLINK_SEED={trials.seed}", *_counts("trials", trials.done)]
    stays = (
        "unwanted local entities at each rest: source, outbound, local, requested, approved; why they stay"
    )
    return "\n".join([*lines, *_counts(stays, trials.stays)])


def _lines(chaos: Chaos) -> Iterator[str]:
    yield f"DJLINK_SEED={chaos.seed}: {chaos.summary()}"
    yield from _counts("kills of djlink", chaos.stages)
    yield from _counts("ends", chaos.ended)
    owners = Counter[str]()
    for ledger in chaos.ledgers.values():
        owners.update(ledger.counts)
        owners.update(
            {
                "entities known": len(ledger.lives),
                "of them seen here": sum(x.seen for x in ledger.lives.values()),
            }
        )
    yield from _counts("owners", owners)
    yield from _counts("what djlink entered into its ledgers", events(chaos))
    yield from _counts("local entities at each rest, and why they are here", chaos.reasons)
    yield from _counts("what the plans at rest said", chaos.told)
    within = sum(proof.within for proof in chaos.proofs)
    yield f"cuts: {len(chaos.proofs)}, of them {within} within a packet"
    yield from (f"  {proof}" for proof in chaos.proofs)


def _counts(title: str, counts: Counter[str]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"  {number:8,}  {what}" for what, number in sorted(counts.items()))


def events(chaos: Chaos) -> Counter[str]:
    """What djlink's own ledgers at the sources say happened to entities, and how many are held."""
    found = Counter[str]()
    for source in chaos.lab.sources:
        with chaos.lab.connect(source) as session, session.cursor() as cursor:
            for table in TABLES:
                name = f"`{chaos.lab.outbound}`.`{table.base}`"
                try:
                    cursor.execute(f"SELECT event, COUNT(*) FROM {name[:-1]}_history` GROUP BY event")
                    found.update({event: int(n) for event, n in cursor.fetchall()})
                    cursor.execute(f"SELECT COUNT(*) FROM {name}")
                    found["held at the end"] += int(cursor.fetchall()[0][0])
                except pymysql.err.ProgrammingError:
                    continue  # not linked yet
    return found
