"""Which tile is fastest: measured once for each product on this GPU, and remembered.

:mod:`.choice` knows a good tile without a measurement. With ``config.cuda_autotune``, the first
product of each kind and size is computed with every plan that it could take, and the fastest is
taken from then on; also by later processes, which find it in ``tuned/`` of the cache folder, in a
file for this kind of GPU and these sources. A damaged file is measured anew, and where none can be
written, each process measures for itself.

Two plans may add up in a different order, so a result's last bits depend on what was found fastest.
``config.deterministic`` therefore leaves the choice to :mod:`.choice`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from .... import config
from ..driver.graphs import recording
from ..driver.launching import FOLDER, runner
from . import choice
from .choice import Plan, Size, alternatives, choose

#: Runs of each plan that are timed, after one that compiles it.
RUNS = 5

_lock = threading.RLock()
#: Plans by product, for each kind of GPU; read from its file when first needed.
_known: dict[str, dict[str, Plan]] = {}


def carry_out(
    name: str, size: Size, details: tuple[Any, ...], launch: Callable[[Plan], None], sliced: bool,
    trial: Callable[[Plan], None] | None = None,
) -> None:  # fmt: skip
    """Compute a product as the best plan has it.

    Parameters
    ----------
    name : str
        The kernel.
    size : Size
        Of the product.
    details : tuple
        Whatever else its time depends on; numbers, strings and tuples.
    launch : callable
        Computes the product by a plan; may be called several times.
    sliced : bool
        Whether the depth may be cut into slices.
    trial : callable, optional
        Takes as long as ``launch``, which then is called once only.
    """
    if not config.cuda_autotune.get() or config.deterministic.get():
        launch(choose(size, sliced))
        return
    key = repr((name, tuple(size), details))
    plan = _plans().get(key)
    if plan is None and recording():  # nothing runs, so nothing can be timed
        plan = choose(size, sliced)
    if plan is None:
        with _lock:
            plan = _fastest(alternatives(size, sliced), trial or launch)
            _plans()[key] = plan
            _write()
    launch(plan)


def _fastest(plans: list[Plan], trial: Callable[[Plan], None]) -> Plan:
    times = []
    for plan in plans:
        run = partial(trial, plan)
        run()
        times.append(median(runner().seconds(run) for _ in range(RUNS)))
    return plans[times.index(min(times))]


def forget() -> None:
    """Forget all plans of this process, but not those in the cache folder."""
    _known.clear()


def _plans() -> dict[str, Plan]:
    """Return what is known of the current kind of GPU."""
    name = runner().name
    found = _known.get(name)
    if found is None:
        with _lock:
            found = _known.setdefault(name, _read(_file()))
    return found


def _file() -> Path:
    """Return the file for the current kind of GPU: another one where the kernels are others."""
    known = sha256(repr(choice.TILES).encode())
    for source in sorted(FOLDER.rglob("*.cu*")):
        known.update(source.read_bytes())
    gpu = "".join(c if c.isalnum() else "-" for c in runner().name)
    return config.cache_dir.get() / "tuned" / f"{gpu}-{known.hexdigest()[:12]}.json"


def _read(file: Path) -> dict[str, Plan]:
    """Return the plans in a file; none, if it is not what :func:`_write` has written."""
    tiles = {tuple(tile): tile for some in choice.TILES.values() for tile in some}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return {
            key: Plan(tiles[tuple(tile)], int(slices), int(each))
            for key, (tile, slices, each) in entries.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write() -> None:
    """Add what is known to the file, all at once: a reader never sees half of it."""
    file = _file()
    plans = _read(file) | _plans()
    part = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(plans, indent=0), encoding="utf-8")
        os.replace(part, file)
