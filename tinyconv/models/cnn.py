"""The small CNN that courses begin with."""

from __future__ import annotations

from typing import Any

from .. import nn


class CNN(nn.Module):
    """A small CNN for images of 28 x 28 pixels: two convolutions, each pooled, two linear layers.

    With one channel and ten classes it has 220,234 parameters: 320 + 18,496 in the convolutions,
    200,768 + 650 in the linear layers.

    Parameters
    ----------
    num_classes : int, default 10
        Size of the output.
    in_channels : int, default 1
        Channels of the images; 1 for grey.
    dropout : float, default 0.25
        Probability of dropping a hidden unit of the classifier (Srivastava et al., 2014). There
        are only 64 of them, so fewer are dropped than the usual half.

    Notes
    -----
    Input ``(N, in_channels, 28, 28)``, output logits ``(N, num_classes)``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.models.CNN()
    >>> sum(p.numel() for p in model.parameters())
    220234
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, dropout: float = 0.25) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 64),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(64, num_classes),
        )

    def forward(self, x: Any) -> Any:
        """Return the logits of a batch of images."""
        return self.classifier(self.features(x))
