"""The parts of ``tools/bench.py``: what is timed, on which sides, how, and how it is shown."""
