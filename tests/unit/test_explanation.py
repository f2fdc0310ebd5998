"""What decides about an entity is told once, however many ways lead to it."""

from __future__ import annotations

from djlink_manifest.model.links.explanation import Reason, distinct_reasons


def test_what_decides_about_an_ancestor_is_told_at_its_first_mention_alone() -> None:
    reasons: tuple[Reason, ...] = (Reason("where", False, "`where` is not met"),)
    for layer in range(40):  # two ways down from each layer: 2**40 ways in all
        key = (("k", str(layer)),)
        reasons = tuple(
            Reason("foreign key", False, "names what is left out", f"a.lab.t{layer}_{place}", key, reasons)
            for place in range(2)
        )
    told, mentions, repeated = list(distinct_reasons(reasons)), list[str](), 0
    while told:
        each = told.pop()
        mentions.append(each.parent)
        repeated += each.repeated
        assert each.because or each.repeated or each.rule == "where"
        told += each.because
    assert len(mentions) < 200
    assert {f"a.lab.t{layer}_{place}" for layer in range(40) for place in range(2)} <= set(mentions)
    assert repeated > 0


def test_the_same_reason_is_told_once_beside_itself() -> None:
    root = Reason("where", False, "`where` is not met", place="atlas.yaml:3")
    to_root = Reason(
        "foreign key", False, "(lab) refers to a row that is not wanted", "a.lab.Lab", (), (root,)
    )
    to_other = Reason("foreign key", True, "(lab) refers to a row", "a.lab.Lab")
    assert distinct_reasons((to_root, to_root, to_other, root, root)) == (to_root, to_other, root)
