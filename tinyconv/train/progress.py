"""Progress bars."""

from __future__ import annotations

import sys
from typing import Any

from .. import config


def progress_bar(
    total: int, initial: int, description: str, unit: str = "batch", delay: float = 0
) -> Any:
    """Return a tqdm bar that obeys ``TINYCONV_PROGRESS`` and shows up after ``delay`` seconds."""
    from tqdm.auto import tqdm

    shown = {"auto": None, "0": True, "1": False}[config.progress.get()]
    return tqdm(
        total=total, initial=initial, desc=description, unit=unit, disable=shown, delay=delay,
        leave=False, file=sys.stderr, dynamic_ncols=True,
    )  # fmt: skip
