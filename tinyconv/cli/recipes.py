"""What ``train`` and ``predict`` share: models and data sets by name, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import datasets, models, serialization
from ..errors import CheckpointError
from ..nn import Module

#: Models by the name used on the command line.
MODELS: dict[str, Callable[..., Module]] = {"cnn": models.CNN, "lenet5": models.LeNet5}

#: Data sets by name; each is built with ``train=True`` or ``train=False``.
DATASETS = {"digits": lambda train: datasets.Digits(train=train, size=28)}

FORMAT = "tinyconv-classifier"


def save_model(path: Path, name: str, data: str, classes: list[str], model: Module) -> None:
    """Save weights with what is needed to build the model again."""
    state = {
        "format": FORMAT, "name": name, "data": data, "classes": classes,
        "model": dict(model.state_dict()),
    }  # fmt: skip
    serialization.save(state, path)


def load_model(path: Path) -> tuple[Module, dict[str, Any]]:
    """Return the model in a checkpoint of :func:`save_model`, in eval mode, and its description.

    Raises
    ------
    CheckpointError
        If the file is not such a checkpoint.
    """
    state = serialization.load(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a classifier saved by `python -m tinyconv train`; "
            "give the best.safetensors of a run"
        )
    if state["name"] not in MODELS or state["data"] not in DATASETS:
        raise CheckpointError(
            f"{path} holds the model {state['name']!r} for the data {state['data']!r}; known are "
            f"{', '.join(MODELS)} and {', '.join(DATASETS)}"
        )
    model = MODELS[state["name"]](num_classes=len(state["classes"]))
    model.load_state_dict(state["model"])
    return model.eval(), state


def newest_checkpoint() -> Path:
    """Return the checkpoint written last under ``runs``."""
    found = sorted(Path("runs").glob("*/best.safetensors"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise CheckpointError(
            "no checkpoint under runs/; train one with `python -m tinyconv train`, "
            "or give the path of one"
        )
    return found[-1]
