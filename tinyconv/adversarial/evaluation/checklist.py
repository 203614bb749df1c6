"""The questions to ask of a robustness figure, one function each.

They follow Carlini et al. (2019), "On evaluating adversarial robustness", arXiv 1902.06705, and
the flags of AutoAttack. Each function looks at the :class:`Evidence` and returns a status, the
figure behind it, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .evidence import Evidence


class Verdict(NamedTuple):
    """The outcome of one check: ``"pass"``, ``"warn"``, ``"fail"`` or ``"skip"``, and why."""

    status: str
    figure: str
    advice: str = ""


def _judge(good: bool, figure: str, advice: str, otherwise: str = "fail") -> Verdict:
    return Verdict("pass", figure) if good else Verdict(otherwise, figure, advice)


def _robust(success: np.ndarray) -> str:
    return f"{1 - success.mean():.1%}"


# -- the model by itself ---------------------------------------------------------------------------


def clean_accuracy(e: Evidence) -> Verdict:
    """Check that the model is better than chance before any attack."""
    return _judge(
        e.accuracy > 1.5 / e.classes, f"{e.accuracy:.1%} of {len(e)} samples",
        "robustness of a model that cannot classify means nothing: train it, check labels and input"
        " range",
    )  # fmt: skip


def output_is_deterministic(e: Evidence) -> Verdict:
    """Check that two passes over the same images give the same logits."""
    change = (e.logits - e.repeated_logits).abs().max().item()
    return _judge(
        change == 0, f"logits differ by up to {change:.3g}",
        "the model is random: attack the mean over its randomness (eot=...), and also with the "
        "randomness held fixed",
    )  # fmt: skip


def output_is_logits(e: Evidence) -> Verdict:
    """Check that the model returns logits, not probabilities."""
    z = e.logits.numpy(force=True)
    probabilities = bool((z >= 0).all() and np.allclose(z.sum(1), 1, atol=1e-4))
    return _judge(
        not probabilities, "rows sum to 1" if probabilities else "rows do not sum to 1",
        "attack the logits before the softmax; a second softmax flattens every gradient",
    )  # fmt: skip


def gradients_exist(e: Evidence) -> Verdict:
    """Check that the cross-entropy has a finite gradient that is not zero."""
    slopes = e.slopes.reshape(len(e), -1).numpy(force=True)
    missing = (~np.isfinite(slopes).all(1) | (slopes == 0).all(1)) & e.right
    share = missing.sum() / max(e.right.sum(), 1)
    return _judge(
        share <= 0.05, f"{share:.1%} of gradients are zero, NaN or infinite",
        "gradients are masked: use the margin or DLR loss, divide the logits by a temperature, or "
        "give the blocking part a stand-in gradient (BPDA)",
    )  # fmt: skip


def probabilities_do_not_saturate(e: Evidence) -> Verdict:
    """Check that the probability of the true class is below 1 in floating point."""
    share = (e.certain & e.right).sum() / max(e.right.sum(), 1)
    return _judge(
        share <= 0.05, f"{share:.1%} of true classes have a probability of exactly 1",
        "the cross-entropy underflows and hides its slope: attack the margin or the DLR loss",
    )  # fmt: skip


def logits_have_a_usual_scale(e: Evidence) -> Verdict:
    """Check that the margin of the logits is moderate."""
    middle = float(np.median(e.spread))
    return _judge(
        middle < 50, f"median margin {middle:.3g}",
        "large logits make probabilities saturate: use a loss that no scale can hide", "warn",
    )  # fmt: skip


def gradients_foretell_the_loss(e: Evidence) -> Verdict:
    """Check that a small step along the gradient raises the margin as the gradient says."""
    share = float(e.slope_errors.mean())
    return _judge(
        share <= 0.2, f"wrong for {share:.1%} of samples",
        "the gradient is not that of the function (discretisation, randomness, a stand-in): use "
        "BPDA, averages over the randomness, and attacks without gradients",
    )  # fmt: skip


# -- convergence -----------------------------------------------------------------------------------


def iterative_beats_single_step(e: Evidence) -> Verdict:
    """Check that many small steps find more than one large step."""
    one, many = e.single_step.success, e.iterative.success
    return _judge(
        many.mean() >= one.mean() - e.tolerance,
        f"robust to FGSM {_robust(one)}, to PGD {_robust(many)}",
        "gradients mislead away from the image: look for masked gradients, tune the step size",
    )  # fmt: skip


def single_step_tells_the_truth(e: Evidence) -> Verdict:
    """Check that the single step does not promise much more than the strongest attack leaves."""
    promised, left = 1 - e.single_step.success.mean(), 1 - e.worst.mean()
    return _judge(
        promised - left <= 0.25, f"FGSM leaves {promised:.1%}, all attacks together {left:.1%}",
        "what stops one step does not stop an optimiser: quote the strongest attack for each sample"
        " alone, and suspect training or defences that only flatten the loss near the images",
    )  # fmt: skip


def more_steps_change_nothing(e: Evidence) -> Verdict:
    """Check that twice the steps find no more."""
    few, many = e.iterative.success, e.more_steps.success
    return _judge(
        many.mean() - few.mean() <= e.tolerance,
        f"robust {_robust(few)}, with twice the steps {_robust(many)}",
        "the attack has not converged: take more steps until the figure stands still", "warn",
    )  # fmt: skip


def more_restarts_change_nothing(e: Evidence) -> Verdict:
    """Check that twice the restarts find no more."""
    few, many = e.few_restarts.success, e.more_restarts.success
    return _judge(
        many.mean() - few.mean() <= e.tolerance,
        f"robust {_robust(few)}, with twice the restarts {_robust(many)}",
        "the loss surface is rugged: take more restarts until the figure stands still", "warn",
    )  # fmt: skip


def larger_radius_is_stronger(e: Evidence) -> Verdict:
    """Check that twice the radius finds more, unless next to nothing was left."""
    near, far = e.iterative.success, e.wider.success
    return _judge(
        far.mean() - near.mean() > e.tolerance or 1 - near.mean() <= e.tolerance,
        f"robust {_robust(near)}, within twice the radius {_robust(far)}",
        "an attack that a larger ball does not help is stuck: look for masked gradients",
    )  # fmt: skip


def unlimited_attack_reaches_chance(e: Evidence) -> Verdict:
    """Check that accuracy falls to chance if the image may become anything."""
    left = 1 - e.unlimited.success.mean()
    return _judge(
        left <= 1 / e.classes + e.tolerance, f"accuracy {left:.1%}, chance {1 / e.classes:.1%}",
        "no defence can stand that: the attack fails for a reason other than robustness",
    )  # fmt: skip


# -- strength of the attacks -----------------------------------------------------------------------


def losses_agree(e: Evidence) -> Verdict:
    """Check that the cross-entropy finds what the margin and the DLR loss find."""
    plain = e.iterative.success
    other = np.logical_or.reduce([plain, *(r.success for r in e.other_losses)])
    return _judge(
        other.mean() - plain.mean() <= max(0.1, e.tolerance),
        f"robust to the cross-entropy {_robust(plain)}, to margin and DLR too {_robust(other)}",
        "the cross-entropy is hidden, by the scale of the logits or by smoothed labels: quote the "
        "attacks on margin and DLR",
    )  # fmt: skip


def scores_find_no_more(e: Evidence) -> Verdict:
    """Check that Square, which knows no gradient, finds nothing that the others miss."""
    if e.scores is None:
        return Verdict("skip", "Square has no L1 form")
    alone = e.scores.success & ~e.white_box
    return _judge(
        alone.mean() <= e.tolerance, f"{alone.mean():.1%} of samples fall to Square alone",
        "gradients are masked: what needs less knowledge must not find more",
    )  # fmt: skip


def labels_find_no_more(e: Evidence) -> Verdict:
    """Check that HopSkipJump, which knows labels alone, finds nothing that the others miss."""
    if e.labels is None:
        return Verdict("skip", "HopSkipJump has no L1 form")
    alone = e.labels & ~e.white_box
    return _judge(
        alone.mean() <= e.tolerance, f"{alone.mean():.1%} of samples fall to HopSkipJump alone",
        "gradients are masked: what needs less knowledge must not find more",
    )  # fmt: skip


def noise_finds_no_more(e: Evidence) -> Verdict:
    """Check that random points of the ball find nothing that the others miss."""
    alone = e.random.success & ~e.white_box
    return _judge(
        alone.mean() <= e.tolerance, f"{alone.mean():.1%} of samples fall to noise alone",
        "an attack that noise beats is broken or blinded",
    )  # fmt: skip


def targets_find_no_more(e: Evidence) -> Verdict:
    """Check that going for each class in turn finds nothing that the untargeted attacks miss."""
    plain = np.logical_or.reduce([e.iterative.success, *(r.success for r in e.other_losses)])
    alone = e.towards_targets.success & ~plain
    return _judge(
        alone.mean() <= max(0.05, e.tolerance),
        f"{alone.mean():.1%} of samples fall to targeted attacks alone",
        "quote the targeted attack (APGD-T), and take more steps and restarts", "warn",
    )  # fmt: skip


def transfer_finds_no_more(e: Evidence) -> Verdict:
    """Check that images made on a similar model find nothing that the others miss."""
    if e.substitute is None:
        return Verdict("skip", "no substitute= was given", "train the same net without the defence")
    alone = e.transferred(e.substitute) & e.right & ~e.white_box
    return _judge(
        alone.mean() <= e.tolerance, f"{alone.mean():.1%} of samples fall to transfer alone",
        "gradients are masked: what needs less knowledge must not find more",
    )  # fmt: skip


def averages_find_no_more(e: Evidence) -> Verdict:
    """Check that the mean gradient of a random model finds no more than a single one."""
    if output_is_deterministic(e).status == "pass":
        return Verdict("skip", "the model is not random")
    one, mean = e.iterative.success, e.averaged.success
    return _judge(
        mean.mean() - one.mean() <= e.tolerance,
        f"robust {_robust(one)}, to averaged gradients {_robust(mean)}",
        "randomness blinds the attack: quote the attack on the mean (eot=...)",
    )  # fmt: skip


# -- the outcome -----------------------------------------------------------------------------------


def the_defence_helps(e: Evidence) -> Verdict:
    """Check that the model is more robust than its twin without the defence."""
    if e.undefended is None:
        return Verdict("skip", "no undefended= was given")
    ours, plain = float(1 - e.worst.mean()), e.worst_of(e.undefended)
    return _judge(
        ours > plain + e.tolerance, f"robust {ours:.1%}, without the defence {plain:.1%}",
        "the defence adds nothing against an attack that knows it",
    )  # fmt: skip


def something_is_left(e: Evidence) -> Verdict:
    """Check that the strongest attack for each sample leaves better than chance."""
    left = float(1 - e.worst.mean())
    return _judge(
        left > 1 / e.classes, f"robust accuracy {left:.1%}, clean accuracy {e.accuracy:.1%}",
        "the model is not robust at this radius",
    )  # fmt: skip


def successes_survive_a_file(e: Evidence) -> Verdict:
    """Check that most successes are still successes after rounding to 256 levels."""
    result = e.more_restarts
    found = result.success & ~result.clean_wrong
    if not found.any():
        return Verdict("skip", "no success to round")
    share = result.success_uint8[found].mean()
    return _judge(
        share >= 0.9, f"{share:.1%} of successes survive",
        "part of the successes lies between two levels of an image file: quote success_uint8",
        "warn",
    )  # fmt: skip


def small_movements_are_harmless(e: Evidence) -> Verdict:
    """Check that rotations and shifts, which are beyond the ball, do little harm."""
    if e.x.ndim != 4:
        return Verdict("skip", "the samples are no images")
    left = 1 - e.moved.success.mean()
    return _judge(
        left >= 0.5 * e.accuracy, f"accuracy under the worst movement {left:.1%}",
        "robust within a ball is not robust to everything: say so beside the figure", "warn",
    )  # fmt: skip


def noise_is_harmless(e: Evidence) -> Verdict:
    """Check that Gaussian noise of a tenth of the range does little harm."""
    return _judge(
        e.noisy_accuracy >= 0.5 * e.accuracy, f"accuracy under noise {e.noisy_accuracy:.1%}",
        "robust within a ball is not robust to everything: say so beside the figure", "warn",
    )  # fmt: skip


Check = Callable[[Evidence], Verdict]
CHECKLIST: dict[str, tuple[Check, ...]] = {
    "model": (
        clean_accuracy, output_is_deterministic, output_is_logits, gradients_exist,
        probabilities_do_not_saturate, logits_have_a_usual_scale, gradients_foretell_the_loss,
    ),
    "convergence": (
        iterative_beats_single_step, single_step_tells_the_truth, more_steps_change_nothing,
        more_restarts_change_nothing, larger_radius_is_stronger, unlimited_attack_reaches_chance,
    ),
    "strength": (
        losses_agree, targets_find_no_more, averages_find_no_more, scores_find_no_more,
        labels_find_no_more, noise_finds_no_more, transfer_finds_no_more,
    ),
    "outcome": (something_is_left, the_defence_helps, successes_survive_a_file),
    "beyond the ball": (small_movements_are_harmless, noise_is_harmless),
}  # fmt: skip
