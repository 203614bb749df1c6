"""AutoAttack: four attacks without settings to tune, each on what the ones before it left."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...errors import ArgumentError
from ..geometry import check_norm
from ..isolation import isolated
from ..problem import radius
from ..result import AttackResult
from ..running import check_bounds, check_classes, check_images, check_mask
from .apgd import apgd
from .at_radius import at_radius
from .ensemble import Ready, worst_case
from .fab import fab
from .square import square

VERSIONS = ("standard", "rand")


def auto_attack(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    version: str = "standard",
    bounds: tuple[float, float] = (0, 1),
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack as the benchmark does: a figure that different defences can be compared by.

    Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", arXiv 2003.01690. ``"standard"``: APGD on the cross-entropy
    with 100 steps, APGD-T on the DLR loss with 100 steps towards each of 9 classes, FAB-T likewise,
    and Square with 5,000 steps. ``"rand"``, for models that are random themselves: APGD on the
    cross-entropy and on the DLR loss, with gradients averaged over 20 passes. Each is run on the
    samples that still stand.

    With fewer than four classes, which the DLR loss towards a class needs, the margin takes its
    place.

    Parameters
    ----------
    model, x, y, eps, bounds, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "linf"
        ``"linf"`` or ``"l2"``.
    version : str, default "standard"
        Or ``"rand"``.

    Returns
    -------
    AttackResult
        ``found_by`` tells which of ``"apgd-ce"``, ``"apgd-t"``, ``"fab-t"``, ``"square"`` (or
        ``"apgd-dlr"``) broke a sample.

    Raises
    ------
    ArgumentError
        If ``version`` is unknown; also what :func:`fgsm` raises.

    Notes
    -----
    It takes about 2,000 passes forward and as many backward for each sample that stands, and 5,000
    more forward: an hour for 1,000 images where a pass of one takes half a millisecond.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model, x = tc.models.LeNet5(), tc.rand(4, 1, 28, 28)
    >>> result = tc.adversarial.auto_attack(model, x, model(x).argmax(1), eps=0.3)
    >>> result.robust_accuracy, result.found_by.tolist()
    (0.0, ['apgd-ce', 'apgd-ce', 'apgd-ce', 'apgd-ce'])
    """
    arguments = dict(locals())
    config = {k: v for k, v in arguments.items() if k not in ("model", "x", "y")}
    check_norm("auto_attack", norm, ("linf", "l2"))
    if version not in VERSIONS:
        names = " or ".join(map(repr, VERSIONS))
        raise ArgumentError(f"auto_attack: argument 'version' must be {names}, got {version!r}")
    head = {name: config[name] for name in ("bounds", "seed", "batch_size", "model_mode")}
    x = check_images("auto_attack", x)
    y = check_classes("auto_attack", y, x)
    check_bounds("auto_attack", bounds, x)
    per_sample = {"eps": radius("auto_attack", eps, x, norm)}
    if mask is not None:
        per_sample["mask"] = check_mask("auto_attack", mask, x)
    parts = _parts(norm, version, _classes(model, x, seed, model_mode), head)
    return worst_case(
        model, x, y, parts, index=index, per_sample=per_sample, name="auto_attack", config=config
    )


def _parts(norm: str, version: str, classes: int, head: dict[str, Any]) -> dict[str, Ready]:
    """Return the attacks in the order in which they are run; the radius is given for each call."""
    within = {"norm": norm, **head}
    if version == "rand":
        dlr = "dlr" if classes > 2 else "margin"
        return {
            "apgd-ce": partial(apgd, eot=20, **within),
            "apgd-dlr": partial(apgd, loss=dlr, eot=20, **within),
        }
    targets = max(min(9, classes - 1), 1)
    dlr = "dlr" if classes > 3 else "margin"
    return {
        "apgd-ce": partial(apgd, **within),
        "apgd-t": partial(apgd, loss=dlr, n_target_classes=targets, **within),
        "fab-t": at_radius(fab, eps=0.0, n_target_classes=targets, **within),
        "square": partial(square, **within),
    }


def _classes(model: Any, x: Any, seed: int, model_mode: str) -> int:
    """Return how many classes the model tells apart, from a pass over one sample."""
    if not len(x):
        return 2
    with isolated(model, seed, model_mode):
        return int(model(x[:1]).shape[1])
