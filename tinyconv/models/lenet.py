"""LeNet-5, the network that read cheques."""

from __future__ import annotations

from typing import Any

from .. import nn


class LeNet5(nn.Module):
    """LeNet-5 for images of 28 x 28 pixels: two convolutions, three linear layers.

    The layout is that of LeCun et al., 1998, "Gradient-based learning applied to document
    recognition", in its present-day form: full connections between the feature maps, max pooling,
    ReLU and a plain linear output. With one channel and ten classes it has 61,706 parameters.

    Parameters
    ----------
    num_classes : int, default 10
        Size of the output.
    in_channels : int, default 1
        Channels of the images; 1 for grey.

    Notes
    -----
    Input ``(N, in_channels, 28, 28)``, output logits ``(N, num_classes)``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.models.LeNet5()
    >>> model(tc.zeros(2, 1, 28, 28)).shape
    tinyconv.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        # Padding 2 makes 32 x 32 of 28 x 28, the size the paper's network was drawn for.
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Any) -> Any:
        """Return the logits of a batch of images."""
        return self.classifier(self.features(x))
