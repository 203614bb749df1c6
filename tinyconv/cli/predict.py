"""``predict``: test images with what a trained model says about them, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import viz
from ..autograd import no_grad
from ..data import DataLoader, Subset
from ..errors import CheckpointError
from ..nn import functional as F
from .recipes import DATASETS, load_model, newest_checkpoint


def add_parser(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "predict", help="show test images with their predictions",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="best.safetensors of a run; default the newest"
    )
    parser.add_argument("--count", type=int, default=32, help="number of images")
    parser.add_argument("--out", type=Path, help="picture; default predictions.png in the run")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Predict, print, and draw."""
    path = options.checkpoint or newest_checkpoint()
    model, description = load_model(path)
    classes = description["classes"]
    test = DATASETS[description["data"]](False)
    count = max(1, min(options.count, len(test)))
    loader: DataLoader[Any] = DataLoader(Subset(test, range(count)), batch_size=count)
    images, targets = next(iter(loader))
    with no_grad():
        probabilities = F.softmax(model(images), dim=1)
    confidence, predicted = probabilities.max(dim=1)
    titles, wrong = [], []
    for target, guess, share in zip(
        targets.tolist(), predicted.tolist(), confidence.tolist(), strict=True
    ):
        is_wrong = target != guess
        wrong.append(is_wrong)
        suffix = f" (is {classes[target]})" if is_wrong else ""
        titles.append(f"{classes[guess]}: {100 * share:.0f} %{suffix}")
    figure = viz.image_grid(images.numpy(), titles, wrong)
    out = options.out or path.parent / "predictions.png"
    try:
        figure.savefig(out)
    except OSError as error:
        raise CheckpointError(f"cannot write {out}: {error.strerror}") from None
    print(f"{count - sum(wrong)} of {count} correct; wrote {out}")
    return 0
