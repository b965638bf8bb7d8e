"""What the tests of several machines say where they cannot have them."""

from __future__ import annotations

import pytest

from tests.machines._pretended import PretendedMachines
from tests.machines._stage import machines_for


def test_who_reads_the_summary_learns_that_machines_were_pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESSEMER_TEST_ONE_MACHINE", "the test wants it so")
    with pytest.warns(UserWarning, match="on one machine instead of several machines: the test wants it so$"):
        machines = machines_for(hidden=())
    assert isinstance(machines, PretendedMachines)
    machines.close()
