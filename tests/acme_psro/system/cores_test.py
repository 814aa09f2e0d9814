"""Tests of the number of cores that are available to this process."""

import os

import pytest

from acme_psro.system import cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not pin processes")
def test_a_process_that_is_pinned_has_fewer() -> None:
    before = os.sched_getaffinity(0)
    assert cores.count() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.count() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_elsewhere_it_has_all_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores.count() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.count() == 1
