"""``attack``: small changes of test images that a trained model falls for, and how many it does."""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import adversarial, viz
from ..adversarial import AttackResult, at_radius, worst_of
from ..data import DataLoader, Subset
from ..errors import ArgumentError, CheckpointError, MissingDependencyError
from ..viz.document import check_path
from ..viz.plots import require_matplotlib
from .info import table
from .recipes import DATASETS, load_model, newest_checkpoint
from .train import positive

#: Radii at which the digits are still easy to read, but an ordinary CNN errs on many.
DEFAULT_EPS = {"linf": 0.1, "l2": 1.5, "l1": 12.0}

#: Attacks whose changes are limited in another way than by a radius: they are judged by their own.
OWN_LIMITS = ("jsma", "one_pixel", "spatial")


def attacks() -> dict[str, Callable[..., AttackResult]]:
    """Return all attacks of :mod:`tinyconv.adversarial` by name.

    An attack is a public function of ``(model, x, y, *, ..., bounds, ..., seed, ...)`` alone that
    returns an ``AttackResult``.
    """
    found: dict[str, Callable[..., AttackResult]] = {}
    for name in adversarial.__all__:
        thing = getattr(adversarial, name)
        if inspect.isfunction(thing) and _is_attack(inspect.signature(thing)):
            found[name] = thing
    return found


def _is_attack(signature: inspect.Signature) -> bool:
    parameters = signature.parameters
    plain = [p.name for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    common = plain == ["model", "x", "y"] and {"bounds", "seed"} <= set(parameters)
    return common and signature.return_annotation in (AttackResult, AttackResult.__name__)


def add_parser(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "attack", help="attack a trained model, and say how well it stands",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    names = list(attacks())
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="best.safetensors of a run; default the newest"
    )
    parser.add_argument(
        "--attack", nargs="+", default=["pgd"], choices=names, metavar="NAME",
        help=f"one or several of {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--norm", default="linf", choices=list(DEFAULT_EPS), help="of the change")
    radii = ", ".join(f"{eps:g} for {norm}" for norm, eps in DEFAULT_EPS.items())
    parser.add_argument(
        "--eps", type=positive(float),
        help=f"largest change, where 0 is black and 1 is white; default {radii}",
    )  # fmt: skip
    parser.add_argument("--count", type=positive(int), default=100, help="number of test images")
    parser.add_argument(
        "--steps", type=positive(int), help="steps of an attack; default that of each attack"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the attacks' random numbers")
    parser.add_argument("--out", type=Path, help="picture; default adversarial.png in the run")
    parser.add_argument(
        "--report", type=Path, metavar="FILE",
        help="report with curves and pictures: FILE.html or FILE.md",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Attack, print the table, and draw."""
    known, chosen = attacks(), list(dict.fromkeys(options.attack))
    takes_steps = [n for n in chosen if "steps" in inspect.signature(known[n]).parameters]
    if options.steps and not takes_steps:
        raise ArgumentError(f"--steps: {', '.join(chosen)} has no steps; leave it out")
    within = [name for name in chosen if name not in OWN_LIMITS]
    if options.report:
        check_path(options.report)
        if not within:
            raise ArgumentError(
                f"--report: {', '.join(chosen)} has no radius; add another --attack"
            )
    if options.report or options.out:  # asked for: known before the attacks take their time
        require_matplotlib()
    path = options.checkpoint or newest_checkpoint()
    if not path.exists():
        raise CheckpointError(
            f"no checkpoint {path}; train one with `python -m tinyconv train`, which writes "
            "runs/cnn-digits/best.safetensors"
        )
    model, description = load_model(path)
    test = DATASETS[description["data"]](False)
    count = min(options.count, len(test))
    loader: DataLoader[Any] = DataLoader(Subset(test, range(count)), batch_size=count)
    x, y = next(iter(loader))
    eps = options.eps or DEFAULT_EPS[options.norm]
    print(f"{path}: {description['name']}, {count} test images of {description['data']}")
    print(f"changes of at most {eps:g} in the {options.norm} norm, pixels from 0 to 1\n")
    results, seconds = {}, {}
    for name in chosen:
        more = {"seed": options.seed}
        if name in takes_steps and options.steps:
            more["steps"] = options.steps
        attack = _filled_in(known[name], name, eps, options.norm, more)
        start = time.perf_counter()
        results[name] = attack(model, x, y)
        seconds[name] = time.perf_counter() - start
    _print_table(results, seconds, options.norm)
    judged = {name: results[name] for name in within} or results
    classes = [str(name) for name in description["classes"]]
    _draw(options, path, model, x, classes, worst_of(judged))
    if options.report:
        viz.write_report(
            options.report, model, x, y, eps=eps, norm=options.norm, results=judged,
            classes=classes, title=f"Robustness of {description['name']} on {description['data']}",
            seed=options.seed,
        )  # fmt: skip
        print(f"wrote {options.report}")
    return 0


def _filled_in(
    attack: Callable[..., AttackResult], name: str, eps: float, norm: str, more: dict[str, Any]
) -> Callable[..., AttackResult]:
    """Return the attack as a function of model, images and classes."""
    if name not in OWN_LIMITS:
        return at_radius(attack, eps=eps, norm=norm, **more)
    return lambda model, x, y: attack(model, x, y, **more)


def _print_table(results: dict[str, AttackResult], seconds: dict[str, float], norm: str) -> None:
    """Print clean accuracy, and a line for each attack."""
    first = next(iter(results.values()))
    print(f"clean accuracy {1 - first.clean_wrong.mean():.2%}\n")
    sizes = list(dict.fromkeys((norm, "l2")))
    header = (
        "attack", "robust accuracy", *(f"median {size}" for size in sizes), "forward", "backward",
        "seconds",
    )  # fmt: skip
    lines = dict(results)
    within = {name: result for name, result in results.items() if name not in OWN_LIMITS}
    if len(within) > 1:
        lines["worst for each image"] = worst_of(within)
    rows = []
    for name, result in lines.items():
        moved = result.success & ~result.clean_wrong
        rows.append((
            name + (" *" if name in OWN_LIMITS else ""), f"{result.robust_accuracy:.2%}",
            *(f"{np.median(result.norm[p][moved]):.3g}" if moved.any() else "-" for p in sizes),
            *(f"{passes:.1f}" for passes in result.queries.mean(axis=0)),
            f"{seconds[name]:.1f}" if name in seconds else "",
        ))  # fmt: skip
    print(table(header, rows))
    print("median: size of the changes that succeeded; forward, backward: mean passes an image")
    if any(name in OWN_LIMITS for name in results):
        print("* limited in its own way, not by the radius; not part of the worst for each image")
    print()


def _draw(
    options: argparse.Namespace, path: Path, model: Any, x: Any, classes: list[str],
    result: AttackResult,
) -> None:  # fmt: skip
    """Write the picture of adversarial images beside the checkpoint, or where asked."""
    try:
        figure = viz.adversarial_panel(result, x, model, classes, norm=options.norm)
    except MissingDependencyError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return
    out = options.out or path.parent / "adversarial.png"
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:  # ValueError: a suffix that is no picture format
        raise CheckpointError(f"cannot write {out}: {error}") from None
    print(f"wrote {out}")
