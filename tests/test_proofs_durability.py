"""The proofs of what a 250 means, in small versions, each with its negative control: nothing is lost with the power."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.proofs import faults, fsync, power


@pytest.mark.servers
def test_every_250_is_written_after_the_fsync_of_its_own_rows() -> None:
    """Seen by strace; on PostgreSQL see the next test."""
    assert fsync.run(60).is_kept


@pytest.mark.servers
@pytest.mark.parametrize("control", [fsync.run_normal, fsync.run_eatmydata])
def test_a_250_without_an_fsync_is_found(control: Callable[[int], fsync.Figures]) -> None:
    """The negative controls: commits that do not call fsync, and an fsync that does nothing."""
    assert control(20).is_broken


@pytest.mark.servers
def test_every_250_is_written_after_postgresql_flushed_its_commit() -> None:
    """Whatever the database's default; and the negative control, whose transactions do not wait for the flush."""
    with fsync.server() as postgresql:
        assert fsync.run_postgresql(postgresql, 30).is_kept
        assert fsync.run_postgresql(postgresql, 20, is_loosened=True).is_broken


@pytest.mark.servers
def test_no_acknowledged_mail_is_lost_with_the_power() -> None:
    """At 30 moments; and the negative control on the same recording, a disk whose syncs do nothing."""
    recording = power.record(100)
    figures = power.cut(recording, 30)
    assert figures.is_kept, str(figures)
    assert power.cut(recording, 30, is_lying=True).lost


@pytest.mark.servers
def test_a_mail_that_is_lost_with_the_power_is_found() -> None:
    """The negative control: commits that do not call fsync."""
    assert power.cut(power.record_normal(40), 30).lost


@pytest.mark.servers
def test_no_acknowledged_mail_is_lost_with_the_power_after_failed_syncs() -> None:
    """The kernel tells once that pages were not written, and shows them from then on as if they were."""
    figures = power.cut(power.record(40, failing=power.FAILING[0]), 30)
    assert figures.is_kept, str(figures)


@pytest.mark.servers
def test_a_log_recovered_after_failed_syncs_is_found() -> None:
    """The negative control: the writer closes SQLite's only connection, and goes on."""
    assert power.cut(power.record_alone(80), 150).lost


@pytest.mark.servers
def test_a_failing_disk_costs_no_acknowledged_mail() -> None:
    """Each kind of fault, once and lasting; a third of them with a kill."""
    figures = faults.run([2])
    assert figures.is_kept, str(figures)
    assert figures.codes[451] + figures.codes[452] > 0


@pytest.mark.servers
def test_a_full_disk_costs_no_acknowledged_mail() -> None:
    """Filled and emptied, then filled, killed and emptied."""
    figures = faults.run_full(2)
    assert figures.is_kept, str(figures)


@pytest.mark.servers
def test_a_mail_that_a_failing_disk_did_not_take_is_found() -> None:
    """The negative control: a daemon that answers 250 whatever the database said."""
    assert faults.run_careless([1]).found.lost
