"""A report on whether a robustness figure can be believed, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError, GradientError
from ...train.progress import progress_bar
from ..geometry import check_norm
from .checklist import CHECKLIST, Verdict
from .evidence import EFFORTS, Evidence


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes
    ----------
    group, name : str
        Which check; the name is that of a function in ``adversarial.evaluation.checklist``.
    question : str
        What holds if the check passes.
    status : str
        ``"pass"``, ``"warn"``, ``"fail"``, or ``"skip"`` where it could not be asked.
    figure : str
        What was measured.
    advice : str
        What to do, unless it passed.
    """

    group: str
    name: str
    question: str
    status: str
    figure: str
    advice: str


@dataclass(frozen=True)
class SanityReport:
    """The lines of the checklist, and what was asked.

    Attributes
    ----------
    lines : list of Line
        In the order of the checklist.
    setting : dict
        Norm, radius, number of samples, effort and seed.
    clean_accuracy, robust_accuracy : float
        Before the attacks, and under the strongest attack for each sample.
    """

    lines: list[Line]
    setting: dict[str, Any]
    clean_accuracy: float
    robust_accuracy: float

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings and skipped checks are left to the reader."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """Names of the checks that failed."""
        return [line.name for line in self.lines if line.status == "fail"]

    def table(self) -> str:
        """Return the report as plain text."""
        setting = ", ".join(f"{name} {value}" for name, value in self.setting.items())
        rows = [
            f"sanity report: {setting}",
            f"clean accuracy {self.clean_accuracy:.1%}, robust accuracy {self.robust_accuracy:.1%}",
        ]
        group = ""
        for line in self.lines:
            if line.group != group:
                group = line.group
                rows.append(f"\n{group}")
            rows.append(f"  {line.status:4}  {line.question}")
            rows.append(f"        {line.figure}")
            if line.advice:
                rows.append(f"        -> {line.advice}")
        return "\n".join(rows)

    def markdown(self) -> str:
        """Return the report as a Markdown table."""
        rows = ["| | check | figure | what to do |", "|---|---|---|---|"]
        rows += [
            f"| {line.status} | {line.question} | {line.figure} | {line.advice} |"
            for line in self.lines
        ]
        return "\n".join(rows)


def sanity_report(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: float,
    norm: str = "linf",
    bounds: tuple[float, float] = (0, 1),
    seed: int = 0,
    effort: str = "quick",
    substitute: Any = None,
    undefended: Any = None,
) -> SanityReport:
    """Ask whether the robustness of a model is real, by the checklist of Carlini et al.

    "On evaluating adversarial robustness" (2019), arXiv 1902.06705. Attacks of all kinds are run
    and compared with each other: where a weaker kind finds more than a stronger one, where more
    effort does not help, or where a gradient does not describe the function, the model hides its
    gradients rather than being robust.

    Parameters
    ----------
    model : Module or callable
        From images to logits ``(N, K)``.
    x, y : Tensor
        Images and true classes; some hundred are enough.
    eps : float
        The radius at which the model is claimed to be robust.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``.
    bounds : (float, float), default (0, 1)
        Legal values of ``x``.
    seed : int, default 0
        Of all random numbers.
    effort : str, default "quick"
        ``"quick"`` takes about 500 passes a sample; ``"full"`` about fifty times as many, with
        10,000 draws of noise, as the checklist wants before a figure is published.
    substitute : Module, optional
        A similar model, for the check of transfer.
    undefended : Module, optional
        The same model without its defence, for the check that the defence helps.

    Returns
    -------
    SanityReport

    Raises
    ------
    ArgumentError
        If ``eps`` is not positive, ``effort`` unknown, or there is no sample; also what
        :func:`fgsm` raises.
    """
    check_norm("sanity_report", norm)
    if not 0 < eps < float("inf"):
        raise ArgumentError(f"sanity_report: argument 'eps' must be positive, got {eps!r}")
    if effort not in EFFORTS:
        names = ", ".join(map(repr, EFFORTS))
        raise ArgumentError(f"sanity_report: argument 'effort' must be one of {names}")
    if not len(x):
        raise ArgumentError("sanity_report: at least one sample is needed")
    evidence = Evidence(
        model, x, y, eps=eps, norm=norm, bounds=bounds, seed=seed, effort=effort,
        substitute=substitute, undefended=undefended,
    )  # fmt: skip
    lines = []
    total = sum(len(checks) for checks in CHECKLIST.values())
    with progress_bar(total, 0, "sanity report", unit="check", delay=1) as bar:
        for group, checks in CHECKLIST.items():
            for check in checks:
                name = check.__name__
                try:
                    verdict = check(evidence)
                except GradientError as error:
                    status = "fail" if name == "gradients_exist" else "skip"
                    verdict = Verdict(status, "the logits have no gradient", str(error))
                question = (check.__doc__ or name).removeprefix("Check that ").rstrip(".")
                lines.append(Line(group, name, question, *verdict))
                bar.update()
    setting = {"norm": norm, "eps": eps, "samples": len(evidence), "effort": effort, "seed": seed}
    return SanityReport(lines, setting, evidence.accuracy, _robust_accuracy(evidence))


def _robust_accuracy(evidence: Evidence) -> float:
    """Return the accuracy under all attacks; under those without gradients if there are none."""
    try:
        return float(1 - evidence.worst.mean())
    except GradientError:
        found = [evidence.random.success]
        found += [] if evidence.scores is None else [evidence.scores.success]
        found += [] if evidence.labels is None else [evidence.labels]
        return float(1 - np.logical_or.reduce(found).mean())
