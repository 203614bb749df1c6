"""Pictures, with matplotlib from the ``viz`` extra."""

from .decision_slice import decision_slice
from .plots import confusion_matrix, image_grid, learning_curves
from .robustness import adversarial_panel, found_by_bars, robustness_curve, transfer_heatmap
from .robustness_report import write_report

__all__ = [
    "adversarial_panel",
    "confusion_matrix",
    "decision_slice",
    "found_by_bars",
    "image_grid",
    "learning_curves",
    "robustness_curve",
    "transfer_heatmap",
    "write_report",
]
