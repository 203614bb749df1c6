"""Threads: a team of workers, and the regions in which all of them run one compiled kernel."""
