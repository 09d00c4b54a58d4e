"""psutil as it is installed still has the private name that tells processes from each other."""

import os

import psutil

from greensweep.energy.psutil_internals import identity_of


def test_a_process_keeps_its_identity_and_shares_it_with_no_other() -> None:
    own = identity_of(psutil.Process())
    assert own == identity_of(psutil.Process(os.getpid()))
    assert own != identity_of(psutil.Process(os.getppid()))
