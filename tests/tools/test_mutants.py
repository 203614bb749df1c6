"""The list of faults to plant: each is one that can be planted, and has tests that look for it."""

from pathlib import Path

import mutants


def test_every_fault_can_be_planted():
    mutants.check_applicable(mutants.FAULTS)


def test_every_fault_has_tests_and_every_test_is_there():
    assert {fault.file for fault in mutants.FAULTS} == set(mutants.TESTS)
    for tests in mutants.TESTS.values():
        assert all((mutants.ROOT / Path(test)).is_file() for test in tests.split())
