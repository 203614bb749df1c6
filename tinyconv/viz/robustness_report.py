"""A report on the robustness of a model: figures, pictures, and what they mean in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..adversarial import (
    AccuracyCurve,
    AttackResult,
    accuracy_curve,
    apgd,
    at_radius,
    fgsm,
    pgd,
    worst_of,
)
from ..adversarial.evaluation.curves import interval
from ..adversarial.geometry import check_norm
from ..errors import ArgumentError
from ..nn import Module
from ..ops import as_tensor
from .decision_slice import decision_slice
from .document import Block, Heading, Paragraph, Picture, Table, check_path, write
from .plots import require_matplotlib
from .robustness import adversarial_panel, found_by_bars, robustness_curve


def write_report(
    path: Any,
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: float,
    norm: str = "linf",
    results: Mapping[str, AttackResult] | None = None,
    curves: Mapping[str, AccuracyCurve] | None = None,
    sanity: Any = None,
    classes: Sequence[str] | None = None,
    title: str = "Robustness report",
    bounds: tuple[float, float] = (0, 1),
    seed: int = 0,
    batch_size: int | None = None,
) -> AttackResult:
    """Write a report on how a model stands attacks within a radius.

    It holds the setting, the accuracy under each attack and under the worst of them for each
    image, the accuracy against the radius, adversarial images, the decision regions round one of
    them, and, where given, the sanity report. The file is written whole or not at all.

    Parameters
    ----------
    path : path-like
        ``.html``: one file that needs no other. ``.md``: Markdown, with the pictures in a folder
        beside it, named after it with ``_files``.
    model : Module or callable
        From images to logits ``(N, K)``.
    x, y : Tensor
        Images and true classes.
    eps : float
        Radius within which ``results`` were found.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``.
    results : dict of str to AttackResult, optional
        What attacks on all of ``x`` returned, by name (see :func:`tinyconv.adversarial.at_radius`
        for those that take no radius); default :func:`~tinyconv.adversarial.fgsm`,
        :func:`~tinyconv.adversarial.pgd` and :func:`~tinyconv.adversarial.apgd` are run.
    curves : dict of str to AccuracyCurve, optional
        Accuracy against the radius, by name; default that of PGD, from 0 to twice ``eps``.
    sanity : SanityReport, optional
        From ``sanity_report``: whether the figures can be believed.
    classes : sequence of str, optional
        Names; default the numbers from 0.
    title : str, default "Robustness report"
        First line of the report.
    bounds : (float, float), default (0, 1)
        Legal values of ``x``.
    seed, batch_size
        For the attacks that are run here.

    Returns
    -------
    AttackResult
        The worst for each image (see :func:`tinyconv.adversarial.worst_of`).

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ArgumentError
        If the suffix is another one, there is no image, ``eps`` is not above 0, or a result is of
        another number of images.
    CheckpointError
        If the file cannot be written.
    """
    path = check_path(path)
    check_norm("write_report", norm)
    require_matplotlib()
    x, y = as_tensor(x).detach(), as_tensor(y)
    if not len(x) or not 0 < eps < float("inf"):
        raise ArgumentError(
            f"write_report: needs at least one image, and 'eps' above 0, got {len(x)} and {eps!r}"
        )
    common: dict[str, Any] = {
        "norm": norm,
        "bounds": bounds,
        "seed": seed,
        "batch_size": batch_size,
    }
    if results is None:
        attacks = {"fgsm": fgsm, "pgd": pgd, "apgd": apgd}
        results = {
            name: at_radius(attack, eps=eps, **common)(model, x, y)
            for name, attack in attacks.items()
        }
    worst = worst_of(results)
    if len(worst) != len(x):
        raise ArgumentError(f"write_report: results of {len(worst)} images, but {len(x)} in 'x'")
    if curves is None:
        radii = np.linspace(0, 2 * eps, 9).tolist()
        curves = {"pgd": accuracy_curve(pgd, model, x, y, radii, **common)}
    blocks: list[Block] = [Heading(title), Paragraph(_summary(worst, eps, norm))]
    blocks += _setting(model, x, eps, norm, bounds)
    blocks += _by_attack(results, worst, norm)
    blocks += _curve(curves, norm)
    blocks += _images(model, x, worst, eps, norm, bounds, classes)
    if sanity is not None:
        blocks += _sanity(sanity)
    write(path, blocks)
    return worst


def _summary(worst: AttackResult, eps: float, norm: str) -> str:
    clean, robust = 1 - worst.clean_wrong.mean(), worst.robust_accuracy
    return (
        f"Of {len(worst)} images the model reads {clean:.1%} rightly. When every image may be "
        f"changed by up to {eps:.4g} in the {norm} norm, {_share(robust, len(worst))} are still "
        "read rightly under the strongest of the attacks for each. That is an upper bound: a "
        "better attack can only find more errors. The brackets hold the 95 % interval, for the "
        "images are a sample."
    )


def _share(share: float, count: int) -> str:
    """Return a share with its 95 % interval."""
    low, high = interval(np.array(share), count)
    return f"{share:.1%} [{low:.1%} to {high:.1%}]"


def _setting(model: Any, x: Any, eps: float, norm: str, bounds: tuple[float, float]) -> list[Block]:
    name = type(model).__name__ if isinstance(model, Module) else getattr(model, "__name__", "")
    rows = [
        ("model", name or "a function"),
        ("images", f"{len(x)} of shape {' × '.join(map(str, x.shape[1:]))}"),
        ("legal values", f"{bounds[0]:g} to {bounds[1]:g}"),
        ("norm", f"{norm}: {MEANING[norm]}"),
        ("radius eps", f"{eps:.4g}"),
    ]
    if isinstance(model, Module):
        count = sum(parameter.numel() for parameter in model.parameters())
        rows.insert(1, ("parameters", f"{count:,}"))
    return [Heading("Setting"), Table(("what", "value"), rows)]


#: What the radius limits.
MEANING = {
    "linf": "the largest change of any one value",
    "l2": "the root of the sum of the squared changes",
    "l1": "the sum of the sizes of all changes",
}


def _by_attack(results: Mapping[str, AttackResult], worst: AttackResult, norm: str) -> list[Block]:
    count = len(worst)
    rows = [("none", _share(1 - float(worst.clean_wrong.mean()), count), "", "", "", "")]
    named = dict(results)
    if len(results) > 1:
        named["worst for each image"] = worst
    for name, result in named.items():
        moved = result.success & ~result.clean_wrong
        rows.append((
            name, _share(result.robust_accuracy, count), f"{1 - result.success_uint8.mean():.1%}",
            f"{np.median(result.norm[norm][moved]):.3g}" if moved.any() else "none found",
            f"{result.queries[:, 0].mean():.1f}", f"{result.queries[:, 1].mean():.1f}",
        ))  # fmt: skip
    header = ("attack", "accuracy", "after rounding", f"median {norm}", "forward", "backward")
    text = (
        "Accuracy counts the images that are still read rightly; an image that was wrong before "
        "stays wrong. After rounding: the same when the changed images are stored with 8 bits a "
        "value. Median: size of the changes that succeeded. Forward and backward: mean passes "
        "through the model for each image."
    )
    caption = (
        "Which attack broke which images. Each image counts for the first attack that broke it, "
        "in the order of the table."
    )
    return [
        Heading("Accuracy under attack"), Paragraph(text), Table(header, rows, header[1:]),
        Picture("found_by", found_by_bars(worst, list(results)), caption),
    ]  # fmt: skip


def _curve(curves: Mapping[str, AccuracyCurve], norm: str) -> list[Block]:
    if not curves:
        return []
    rows = []
    for name, curve in curves.items():
        for eps, accuracy, low, high in zip(
            curve.eps, curve.accuracy, curve.low, curve.high, strict=True
        ):
            rows.append((name, f"{eps:.4g}", f"{accuracy:.1%}", f"{low:.1%} to {high:.1%}"))
    header = ("attack", f"radius ({norm})", "robust accuracy", "95 % interval")
    caption = (
        "Accuracy falls as the radius grows. A curve that stays up at radii at which an image "
        "can be turned into any other one speaks against the attack, not for the model."
    )
    return [
        Heading("Accuracy against the radius"),
        Picture("curve", robustness_curve(curves, norm), caption), Table(header, rows, header[1:]),
    ]  # fmt: skip


def _images(
    model: Any, x: Any, worst: AttackResult, eps: float, norm: str, bounds: tuple[float, float],
    classes: Sequence[str] | None,
) -> list[Block]:  # fmt: skip
    """Return adversarial images, where the samples are images, and a slice round one of them."""
    blocks: list[Block] = [Heading("Adversarial images")]
    if x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3)):
        caption = (
            "Images before and after the attack. Over each is the class that the model sees, and "
            "how sure it is. Between them is the difference, multiplied by the factor that stands "
            "there."
        )
        panel = adversarial_panel(worst, x, model, classes, norm=norm)
        blocks.append(Picture("images", panel, caption))
    else:
        blocks.append(Paragraph("The samples are not grey or colour images, so none is drawn."))
    moved = np.flatnonzero(worst.norm["linf"] > 0)
    if len(moved):
        row = min(moved, key=lambda i: (not worst.success[i], i))
        figure = decision_slice(
            model, x[int(row)], worst.x_adv[int(row)] - x[int(row)], eps=eps, norm=norm,
            classes=classes, bounds=bounds,
        )  # fmt: skip
        caption = (
            f"What the model sees round image {row}: to the right the attack goes, upwards a "
            "random direction. The dashed line is the edge of the ball. Compare how near a border "
            "is along the attack and along the random direction; paler means less sure."
        )
        blocks.append(Picture("slice", figure, caption))
    return blocks


def _sanity(sanity: Any) -> list[Block]:
    setting = ", ".join(f"{name} {value}" for name, value in sanity.setting.items())
    failures = ", ".join(sanity.failures)
    outcome = f"These checks failed: {failures}." if failures else "No check failed."
    if failures:
        outcome += " The figures above then say little about the model."
    text = (
        f"Whether the figures can be believed ({setting}). {outcome} Clean accuracy there "
        f"{sanity.clean_accuracy:.1%}, robust accuracy {sanity.robust_accuracy:.1%}."
    )
    rows = [
        (line.status, line.group, line.question, line.figure, line.advice) for line in sanity.lines
    ]
    header = ("outcome", "group", "what should hold", "figure", "what to do")
    return [Heading("Sanity report"), Paragraph(text), Table(header, rows)]
