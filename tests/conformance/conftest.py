"""Runs each check of a suite over the cases of that suite."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from suite import APPLIES


def pytest_generate_tests(metafunc):
    cases = getattr(metafunc.cls, "CASES", None)
    if cases is not None and "case" in metafunc.fixturenames:
        applies = APPLIES.get(metafunc.function.__name__, lambda case: True)
        chosen = [case for case in cases if applies(case)]
        metafunc.parametrize("case", chosen, ids=str)
