"""The classic architectures, built from ``nn``."""

from .cnn import CNN
from .lenet import LeNet5

__all__ = ["CNN", "LeNet5"]
