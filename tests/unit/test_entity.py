"""The state table as properties: what must hold of every presence and standing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.model.links.entity import EntityTerms, Presence, State, Step, state_of, step_for

PRESENCES = st.builds(Presence, *[st.booleans()] * 5)
STANDINGS = st.builds(EntityTerms, *[st.booleans()] * 5)
DELETING = {Step.DELETE_APPROVE, Step.DELETE_RELEASE}


@given(PRESENCES)
def test_a_presence_without_a_source_row_is_absent_orphan_or_impossible(presence: Presence) -> None:
    without = {State.ABSENT, State.ORPHAN, State.IMPOSSIBLE}
    assert (state_of(presence) in without) == (not presence.source)


@given(PRESENCES)
def test_what_foreign_keys_forbid_is_impossible_and_nothing_else_is(presence: Presence) -> None:
    forbidden = not presence.source and (presence.outbound or presence.requested or presence.approved)
    assert (state_of(presence) is State.IMPOSSIBLE) == forbidden


@given(PRESENCES, STANDINGS)
def test_only_rows_of_the_source_that_are_not_here_are_pulled(presence: Presence, terms: EntityTerms) -> None:
    if step_for(presence, terms) in {Step.PULL, Step.PULL_AGAIN}:
        assert presence.source
        assert not presence.local
        assert terms.pullable or (presence.outbound and terms.remade)


@given(PRESENCES, STANDINGS)
def test_what_is_requested_or_approved_is_never_pulled_for_the_first_time(
    presence: Presence, terms: EntityTerms
) -> None:
    if presence.approved or (presence.requested and not terms.remade):
        assert step_for(presence, terms) not in {Step.PULL, Step.PULL_AGAIN, Step.REGISTER}
    if presence.requested:
        assert step_for(presence, terms) not in {Step.PULL, Step.REGISTER}


@given(PRESENCES, STANDINGS)
def test_what_a_dropped_table_lost_is_neither_approved_nor_released_unless_unwanted_rows_go(
    presence: Presence, terms: EntityTerms
) -> None:
    lost = presence.source and presence.outbound and not presence.local and not presence.approved
    kept = presence.requested or terms.wanted or terms.pullable or not terms.release_unwanted
    if lost and kept and terms.remade:
        assert step_for(presence, terms) is Step.PULL_AGAIN


@given(PRESENCES, STANDINGS)
def test_a_request_deletes_nothing_unless_it_is_granted(presence: Presence, terms: EntityTerms) -> None:
    if presence.requested or presence.approved:
        assert step_for(presence, replace(terms, granted=False)) not in DELETING


@given(PRESENCES, STANDINGS)
def test_local_rows_are_deleted_only_on_request_or_where_unwanted_and_released(
    presence: Presence, terms: EntityTerms
) -> None:
    match step_for(presence, terms):
        case Step.DELETE_APPROVE:
            assert presence.local
            assert terms.granted
            assert presence.requested or presence.approved
        case Step.DELETE_RELEASE:
            assert presence.local
            assert terms.release_unwanted
            assert not terms.wanted


@given(PRESENCES, STANDINGS)
def test_protection_is_given_up_only_where_nothing_is_here_any_more(
    presence: Presence, terms: EntityTerms
) -> None:
    if step_for(presence, terms) in {Step.RELEASE, Step.APPROVE}:
        assert presence.outbound
        assert not presence.local


@given(PRESENCES, STANDINGS)
def test_orphans_are_only_reported(presence: Presence, terms: EntityTerms) -> None:
    if presence.local and not presence.source:
        forbidden = presence.outbound or presence.requested or presence.approved
        assert step_for(presence, terms) is (Step.BLOCK if forbidden else Step.REPORT)


@given(STANDINGS)
def test_a_pulled_and_wanted_entity_needs_nothing(terms: EntityTerms) -> None:
    shared = Presence(source=True, outbound=True, local=True, requested=False, approved=False)
    assert step_for(shared, replace(terms, wanted=True)) is Step.NOTHING


AFTER = {
    Step.PULL: {"outbound": True, "local": True},
    Step.PULL_AGAIN: {"local": True},
    Step.RELEASE: {"outbound": False},
    Step.DELETE_RELEASE: {"local": False, "outbound": False},
    Step.DELETE_APPROVE: {"local": False, "outbound": False, "approved": True},
    Step.APPROVE: {"outbound": False, "approved": True},
    Step.REGISTER: {"outbound": True},
}


def standing_of(presence: Presence, *, wanted: bool, granted: bool) -> EntityTerms:
    pullable = wanted and not presence.requested and not presence.approved
    return EntityTerms(wanted, pullable, release_unwanted=True, granted=granted)


@given(PRESENCES, st.booleans(), st.booleans())
def test_every_step_leads_to_an_entity_that_needs_no_further_step(
    presence: Presence, wanted: bool, granted: bool
) -> None:
    step = step_for(presence, standing_of(presence, wanted=wanted, granted=granted))
    if step not in AFTER:
        return
    after = presence._replace(**AFTER[step])
    following = step_for(after, standing_of(after, wanted=wanted, granted=granted))
    if step is Step.REGISTER and not wanted:
        # A row taken over is held like any other; wanted no longer, it is then released.
        assert following is Step.DELETE_RELEASE
    else:
        assert following is Step.NOTHING


@given(PRESENCES, st.booleans())
def test_a_crash_between_the_two_halves_of_a_step_leads_to_the_same_end(
    presence: Presence, wanted: bool
) -> None:
    terms = standing_of(presence, wanted=wanted, granted=True)
    match step_for(presence, terms):
        case Step.PULL:
            half = presence._replace(outbound=True)
            assert step_for(half, terms) is Step.PULL_AGAIN
        case Step.DELETE_RELEASE:
            half = presence._replace(local=False)
            assert step_for(half, terms) is Step.RELEASE
        case Step.DELETE_APPROVE if presence.outbound and not presence.approved:
            half = presence._replace(local=False)
            assert step_for(half, terms) is Step.APPROVE


@pytest.mark.parametrize("step", list(Step))
def test_every_step_follows_from_some_presence_and_standing(step: Step) -> None:
    found = {
        step_for(Presence(*where), EntityTerms(*how))
        for where in itertools.product((False, True), repeat=5)
        for how in itertools.product((False, True), repeat=4)
    }
    assert step in found
