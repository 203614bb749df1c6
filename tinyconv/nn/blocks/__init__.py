"""The building blocks of the classic architectures, one a file."""

from .dense import DenseBlock, DenseTransition
from .inception import InceptionCell
from .inverted_residual import InvertedResidual
from .residual import ResidualBlock
from .separable import DepthwiseSeparableConv2d
from .squeeze_excitation import SqueezeExcitation
from .unet import UNet

__all__ = [
    "DenseBlock",
    "DenseTransition",
    "DepthwiseSeparableConv2d",
    "InceptionCell",
    "InvertedResidual",
    "ResidualBlock",
    "SqueezeExcitation",
    "UNet",
]
