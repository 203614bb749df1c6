"""Runs each check of a suite over the cases of that suite."""

import sys
from pathlib import Path

import tinyconv.tensor  # noqa: F401  (says which class ops return)

sys.path.insert(0, str(Path(__file__).parent))


def pytest_generate_tests(metafunc):
    cases = getattr(metafunc.cls, "CASES", None)
    if cases is not None and "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=str)
