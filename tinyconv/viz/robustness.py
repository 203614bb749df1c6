"""What attacks did to a model, as matplotlib figures: images, curves, bars and a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..adversarial import AccuracyCurve, AttackResult, TransferMatrix, isolated
from ..autograd import no_grad
from ..errors import ArgumentError, ShapeError
from ..nn import functional as F
from ..ops import as_tensor
from .plots import _figure

#: Eight colours that stay apart for colour-blind eyes (Okabe and Ito, 2008), without yellow, which
#: is hard to see on white.
SAFE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY, FOOLED = "#8c8c8c", "#B34700"
STYLES, MARKERS = ("-", "--", "-.", ":"), "osD^vXP"


def adversarial_panel(
    result: AttackResult,
    x: Any,
    predictions: Any,
    classes: Sequence[str] | None = None,
    count: int = 6,
    norm: str | None = None,
) -> Any:
    """Draw clean images, what was added to each, and the sum, with what the model says.

    Images that the attack turned come first, then those that stood, then those that were wrong
    before; in the order of the data set.

    Parameters
    ----------
    result : AttackResult
        What an attack returned.
    x : Tensor
        The clean images, ``(N, H, W)``, ``(N, 1, H, W)`` or ``(N, 3, H, W)``.
    predictions : Module, callable or pair of arrays
        The model; or the probabilities ``(N, K)`` it gives to ``x`` and to ``result.x_adv``.
    classes : sequence of str, optional
        Names; default the numbers from 0.
    count : int, default 6
        How many images at most.
    norm : str, optional
        Which norm of the perturbation to print; default that of the attack, or ``"linf"``.

    Returns
    -------
    matplotlib.figure.Figure
        Perturbations are multiplied by the factor over each, at which the largest few of them may
        leave the range of colours, and drawn about white (grey images:
        orange where brighter, blue where darker) or about grey (colour images). Titles are bold
        where the model is wrong.

    Raises
    ------
    ShapeError
        If ``x`` is not as above, or not as ``result.x_adv``.
    ArgumentError
        If there is no image, or ``count`` is below 1.
    """
    clean, changed = image_array(x, "adversarial_panel"), image_array(result.x_adv, "x_adv")
    if clean.shape != changed.shape:
        raise ShapeError(
            f"adversarial_panel: 'x' has shape {tuple(x.shape)}, but the attack returned images of "
            f"shape {tuple(result.x_adv.shape)}"
        )
    if count < 1 or not len(clean):
        raise ArgumentError("adversarial_panel: needs at least one image, and 'count' at least 1")
    order = np.argsort(result.clean_wrong * 2 + ~result.success, kind="stable")
    rows = order[:count]
    before, after = _probabilities(predictions, x, result.x_adv, rows)
    norm = norm or result.config.get("norm", "linf")
    low, high = result.config.get("bounds", (0, 1))
    columns = min(len(rows), 8)
    blocks = -(-len(rows) // columns)
    figure = _figure(max(1.35 * columns, 3.2) + 0.4, 5.0 * blocks + 0.3)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    parts = figure.subfigures(blocks, 1, squeeze=False, hspace=0.04)[:, 0]
    grids = [part.subplots(3, columns, squeeze=False) for part in parts]
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    for position, row in enumerate(rows):
        block, column = divmod(position, columns)
        cells = grids[block][:, column]
        change = (changed[row] - clean[row]) / (high - low)
        factor = _magnification(change)
        _show(cells[0], (clean[row] - low) / (high - low))
        _show(cells[1], change * factor, signed=True)
        _show(cells[2], (changed[row] - low) / (high - low))
        _title(cells[0], before[position], classes, result.clean_wrong[row])
        size = f"{norm} {result.norm[norm][row]:.3g}"
        moved = np.any(change)
        cells[1].set_title(f"{factor:g} × change\n{size}" if moved else "no change", fontsize=8)
        _title(cells[2], after[position], classes, result.success[row])
        if column == 0:
            for axes, label in zip(cells, ("clean", "change", "adversarial"), strict=True):
                axes.set_ylabel(label, fontsize=9)
    key = "grey is none" if clean.shape[1] == 3 else "orange is brighter, blue is darker"
    figure.supxlabel(f"bold: the model is wrong; change: {key}", fontsize=8)
    return figure


def robustness_curve(curves: Mapping[str, AccuracyCurve], norm: str | None = None) -> Any:
    """Draw robust accuracy against the radius, each curve with its 95 % interval.

    Parameters
    ----------
    curves : dict of str to AccuracyCurve
        By the name of the model, or of the attack.
    norm : str, optional
        Of the radius, for the label of the axis.

    Returns
    -------
    matplotlib.figure.Figure
        Colours, marks and line styles all differ.

    Raises
    ------
    ArgumentError
        If there is no curve.
    """
    if not curves:
        raise ArgumentError("robustness_curve: argument 'curves' must hold at least one curve")
    figure = _figure(6.4, 4)
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        colour = SAFE[number % len(SAFE)]
        axes.fill_between(curve.eps, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            curve.eps, curve.accuracy, color=colour, label=name, markersize=5,
            marker=MARKERS[number % len(MARKERS)], linestyle=STYLES[number % len(STYLES)],
        )  # fmt: skip
    axes.set(
        xlabel="radius eps" + (f" ({norm})" if norm else ""), ylabel="robust accuracy",
        ylim=(-0.02, 1.02), title="accuracy under attack; shaded: 95 % interval",
    )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.margins(x=0.02)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def transfer_heatmap(matrix: TransferMatrix) -> Any:
    """Draw how often images made on one model fool another.

    Parameters
    ----------
    matrix : TransferMatrix
        From :func:`tinyconv.adversarial.transfer_matrix`.

    Returns
    -------
    matplotlib.figure.Figure
        Rows are the models attacked, columns the models shown the images; a dash where no image
        is classified rightly by both.
    """
    size, longest = len(matrix.names), max(map(len, matrix.names))
    cell, wide = max(0.75, 0.085 * min(longest, 12)), longest > 9
    figure = _figure(1.9 + 0.075 * longest + cell * size, 1.4 + 0.03 * longest + cell * size)
    axes = figure.subplots()
    shares = np.ma.masked_invalid(matrix.rates)
    axes.set_facecolor("#e6e6e6")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), rate in np.ndenumerate(matrix.rates):
        text = "–" if np.isnan(rate) else f"{rate:.0%}"
        axes.text(column, row, text, ha="center", va="center",
                  color="white" if rate > 0.65 else "black")  # fmt: skip
    axes.set(xlabel="shown to", ylabel="made on", xticks=range(size), yticks=range(size),
             title="share fooled")  # fmt: skip
    axes.set_xticklabels(matrix.names, rotation=30 if wide else 0, ha="right" if wide else "center")
    axes.set_yticklabels(matrix.names)
    figure.colorbar(image, ax=axes, format=lambda share, _: f"{share:.0%}", shrink=0.9)
    return figure


def found_by_bars(result: AttackResult, attacks: Sequence[str] = ()) -> Any:
    """Draw which of several attacks broke how many images, and how many still stand.

    Parameters
    ----------
    result : AttackResult
        From :func:`tinyconv.adversarial.worst_case` or :func:`tinyconv.adversarial.worst_of`.
    attacks : sequence of str, optional
        Names in the order in which the attacks were run, so that those that found nothing have a
        line, too; default those that found something, in the order of the data set.

    Returns
    -------
    matplotlib.figure.Figure
        A bar for images that were wrong before, one for each attack, and one for the rest.
    """
    found = list(result.found_by)
    names = list(dict.fromkeys([*attacks, *(name for name in found if name not in ("clean", ""))]))
    keys = ["clean", *names, ""]
    labels = ["wrong before any attack", *names, "still right"]
    colours = [GREY, *[SAFE[1]] * len(names), SAFE[0]]
    counts = [found.count(key) for key in keys]
    figure = _figure(6.4, 1.0 + 0.36 * len(keys))
    axes = figure.subplots()
    bars = axes.barh(range(len(keys)), counts, color=colours)
    texts = [f"{count} ({count / max(len(found), 1):.1%})" for count in counts]
    axes.bar_label(bars, texts, padding=3, fontsize=9)
    axes.set(
        xlabel="images", xlim=(0, 1.3 * max([*counts, 1])),
        title="each image counts once: the first attack that broke it",
    )  # fmt: skip
    axes.set_yticks(range(len(keys)), labels)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def image_array(x: Any, name: str) -> np.ndarray:
    """Return images as float64 ``(N, C, H, W)`` with one channel or three, or raise."""
    images = np.asarray(x.numpy(force=True) if hasattr(x, "numpy") else x, np.float64)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(
            f"{name}: images must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), "
            f"got {images.shape}"
        )
    return images


def probabilities(model: Any, x: Any, batch_size: int = 256) -> np.ndarray:
    """Return what a model gives to each class, ``(N, K)``, and leave it as it was."""
    parts = []
    with isolated(model, 0), no_grad():
        for start in range(0, len(x), batch_size):
            parts.append(F.softmax(model(x[start : start + batch_size]), dim=1).numpy(force=True))
    return np.concatenate(parts)


def _probabilities(predictions: Any, x: Any, x_adv: Any, rows: np.ndarray) -> list[np.ndarray]:
    """Return the probabilities of the chosen images, clean and adversarial."""
    if callable(predictions):
        x_adv = as_tensor(x_adv)
        pick = as_tensor(rows, device=x_adv.device)
        return [probabilities(predictions, as_tensor(images)[pick]) for images in (x, x_adv)]
    pair = [np.asarray(p.numpy(force=True) if hasattr(p, "numpy") else p) for p in predictions]
    if len(pair) != 2 or any(p.ndim != 2 or len(p) != len(x_adv) for p in pair):
        raise ShapeError(
            "adversarial_panel: 'predictions' must be a model, or two arrays of shape "
            f"({len(x_adv)}, classes), got shapes {[p.shape for p in pair]}"
        )
    return [p[rows] for p in pair]


def _title(axes: Any, shares: np.ndarray, classes: Sequence[str] | None, wrong: bool) -> None:
    """Write the class with the largest share over an image, and the share."""
    best = int(shares.argmax())
    text = f"{best if classes is None else classes[best]}: {100 * shares[best]:.0f} %"
    style = {"color": FOOLED, "weight": "bold"} if wrong else {}
    axes.set_title(text, fontsize=9, **style)


def _magnification(change: np.ndarray) -> float:
    """Return a round factor with which 98 % of the values that changed still fit into -1 to 1."""
    sizes = np.abs(change[change != 0])
    room = 1 / np.quantile(sizes, 0.98) * (1 + 1e-5) if len(sizes) else 1.0
    power = 10.0 ** np.floor(np.log10(room))
    return max(step * power for step in (1, 1.5, 2, 3, 4, 5, 7) if step * power <= room)


def _show(axes: Any, image: np.ndarray, signed: bool = False) -> None:
    """Draw an image ``(C, H, W)`` from 0 to 1, or a change from -1 to 1."""
    axes.set_visible(True)
    if len(image) == 3:
        shown = (image + 1) / 2 if signed else image
        axes.imshow(np.moveaxis(shown, 0, -1).clip(0, 1))
    elif signed:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("change", [SAFE[0], "white", SAFE[1]])
        axes.imshow(image[0], cmap=colours, vmin=-1, vmax=1)
    else:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
