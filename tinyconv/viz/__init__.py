"""Pictures, with matplotlib from the ``viz`` extra."""

from .plots import confusion_matrix, image_grid, learning_curves

__all__ = ["confusion_matrix", "image_grid", "learning_curves"]
