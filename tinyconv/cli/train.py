"""``train``: learn to read handwritten digits, and leave checkpoints, tables and pictures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from .. import config, ops, optim, serialization, viz
from ..backend import as_device
from ..data import DataLoader, random_split
from ..errors import ArgumentError, CheckpointError, MissingDependencyError
from ..nn.summary import summary
from ..train import Evaluation, Trainer
from ..train.interrupt import StopSignal
from .recipes import DATASETS, MODELS, load_model, save_model

OPTIMIZERS = {
    "adam": lambda params, lr: optim.Adam(params, lr=lr),
    "adamw": lambda params, lr: optim.AdamW(params, lr=lr),
    "sgd": lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9, nesterov=True),
}
#: Rates that work for each optimizer on both models.
DEFAULT_LR = {"adam": 3e-3, "adamw": 3e-3, "sgd": 0.05}


def add_parser(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "train", help="train a CNN on handwritten digits",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("model", nargs="?", default="cnn", choices=sorted(MODELS))
    parser.add_argument("--data", default="digits", choices=sorted(DATASETS))
    parser.add_argument("--epochs", type=positive(int), default=20)
    parser.add_argument("--batch-size", type=positive(int), default=64)
    parser.add_argument("--lr", type=positive(float), help="default depends on the optimizer")
    parser.add_argument("--optimizer", default="adam", choices=sorted(OPTIMIZERS))
    parser.add_argument("--device", help="default is TINYCONV_DEVICE, or cpu")
    parser.add_argument("--seed", type=int, help="default is TINYCONV_SEED, or 0")
    parser.add_argument("--out", type=Path, help="output folder; default runs/MODEL-DATA")
    parser.add_argument(
        "--resume", action="store_true", help="go on from last.safetensors in the output folder"
    )
    parser.set_defaults(run=run)


def positive(kind: Any) -> Any:
    """Return a parser of positive, finite numbers for an option."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def run(options: argparse.Namespace) -> int:
    """Train, evaluate, and write the output folder."""
    out = options.out or Path("runs") / f"{options.model}-{options.data}"
    _make_folder(out)
    seed = next(s for s in (options.seed, config.seed.get(), 0) if s is not None)
    with as_device(options.device):
        job = _Job(options, out, seed)
        interrupted = job.train()
        job.finish(interrupted)
    return 130 if interrupted else 0


def _make_folder(out: Path) -> None:
    """Make the output folder now: a typing error should not cost a training run."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CheckpointError(
            f"cannot write to the output folder {out}: {error.strerror}; choose one with --out"
        ) from None


class _Job:
    """One training run: data, model and trainer, set up from the options."""

    def __init__(self, options: argparse.Namespace, out: Path, seed: int) -> None:
        self.options, self.out = options, out
        ops.manual_seed(seed)
        known = DATASETS[options.data](True)
        self.test = DATASETS[options.data](False)
        self.classes = [str(name) for name in known.classes]
        # The best epoch is chosen on images that neither training nor the final test sees.
        training, validation = random_split(known, [0.9, 0.1])
        self.train_loader: DataLoader[Any] = DataLoader(training, options.batch_size, shuffle=True)
        self.validation_loader: DataLoader[Any] = DataLoader(validation, 256)
        self.model = MODELS[options.model](num_classes=len(self.classes)).to(as_device())
        lr = options.lr or DEFAULT_LR[options.optimizer]
        optimizer = OPTIMIZERS[options.optimizer](self.model.parameters(), lr)
        scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
        self.trainer = Trainer(
            self.model, optimizer, scheduler=scheduler, num_classes=len(self.classes)
        )
        self.settings = {
            "model": options.model, "data": options.data, "batch_size": options.batch_size,
            "optimizer": options.optimizer, "lr": lr, "epochs": options.epochs, "seed": seed,
        }  # fmt: skip
        self.best = -1.0
        if options.resume:
            self._resume()

    # -- training ---------------------------------------------------------------------------

    def train(self) -> bool:
        """Train; return whether Ctrl-C ended it."""
        image = self.test[0][0]
        print(summary(self.model, (1, *image.shape)))
        print(
            f"\ntraining {self.options.model} on {len(self.train_loader.dataset)} images, "
            f"validating on {len(self.validation_loader.dataset)}; writing to {self.out}"
        )
        start = time.perf_counter()
        self.trainer.fit(
            self.train_loader, self.validation_loader,
            epochs=self.options.epochs, on_epoch_end=self._end_epoch,
        )  # fmt: skip
        with StopSignal():  # a second Ctrl-C must not hit the file that keeps the work
            self._save_last()
        seconds = time.perf_counter() - start
        done = "stopped by a signal" if self.trainer.interrupted else "done"
        print(f"{done} after {self.trainer.epoch} epochs; this run took {seconds:.1f} s")
        return self.trainer.interrupted

    def _end_epoch(self, row: dict[str, Any]) -> None:
        print(
            f"epoch {row['epoch']:>3}/{self.options.epochs}  "
            f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
            f"val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}  "
            f"{row['seconds']:.1f} s"
        )
        # Equal accuracy on few images is common: the lower loss decides.
        score = row["val_accuracy"] - 1e-3 * min(row["val_loss"], 1.0)
        if score > self.best:
            self.best = score
            name, data = self.options.model, self.options.data
            save_model(self.out / "best.safetensors", name, data, self.classes, self.model)
        self.trainer.history.save(self.out / "history.csv")
        self._save_last()

    # -- going on later ---------------------------------------------------------------------

    def _save_last(self) -> None:
        state = {
            "settings": self.settings, "best": self.best,
            "trainer": self.trainer.state_dict(self.train_loader),
        }  # fmt: skip
        serialization.save(state, self.out / "last.safetensors")

    def _resume(self) -> None:
        path = self.out / "last.safetensors"
        if not path.exists():
            raise CheckpointError(f"nothing to resume: {path} does not exist; leave out --resume")
        state = serialization.load(path)
        if not isinstance(state, dict) or "settings" not in state:
            raise CheckpointError(f"{path} was not written by `python -m tinyconv train`")
        for name, value in state["settings"].items():
            if self.settings.get(name) != value:
                flag = "MODEL" if name == "model" else "--" + name.replace("_", "-")
                raise ArgumentError(
                    f"--resume: the run in {self.out} used {flag} {value}, now it is "
                    f"{self.settings.get(name)}; give the same, or another --out"
                )
        self.best = state["best"]
        self.trainer.load_state_dict(state["trainer"], self.train_loader)
        print(f"resuming after epoch {self.trainer.epoch}")

    # -- results ----------------------------------------------------------------------------

    def finish(self, interrupted: bool) -> None:
        """Evaluate the best checkpoint on the test images; print the table, draw the pictures."""
        best = self.out / "best.safetensors"
        if not best.exists():
            print(f"no epoch was completed; go on with --resume --out {self.out}")
            return
        model, _ = load_model(best)
        self.model.load_state_dict(model.state_dict())
        result = self.trainer.evaluate(DataLoader(self.test, 256))
        print("\n" + result.confusion.table(self.classes))
        print(f"\ntest accuracy {100 * result.accuracy:.2f} % on {len(self.test)} images")
        self._draw(result)
        if interrupted:
            print("go on with the same command and --resume")
        else:
            print(f"look at predictions with: python -m tinyconv predict {best}")

    def _draw(self, result: Evaluation) -> None:
        try:
            curves = viz.learning_curves(self.trainer.history)
            matrix = viz.confusion_matrix(result.confusion.counts, self.classes)
        except MissingDependencyError as error:
            print(f"no pictures: {error}", file=sys.stderr)
            return
        for name, figure in (("curves.png", curves), ("confusion.png", matrix)):
            figure.savefig(self.out / name)
            print(f"wrote {self.out / name}")
