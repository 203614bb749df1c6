"""Arguments that make no sense are refused, by name, when the layer is made."""

import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ArgumentError, "in_channels=3 must be divisible"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ArgumentError, "out_channels=3 must be divisible"),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), ArgumentError, "groups"),
        (lambda: nn.Conv2d(0, 4, 3), ArgumentError, "in_channels"),
        (lambda: nn.Conv2d(3, 4, 0), ArgumentError, "kernel_size"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ArgumentError, "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 1.5), DTypeError, "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ArgumentError, "padding"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), ArgumentError, "'same' or 'valid'"),
        (lambda: nn.Conv2d(3, 4, 3, 2, padding="same"), ArgumentError, "stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ArgumentError, "zeros, reflect"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ArgumentError, "zeros"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), DTypeError, "padding"),
        (lambda: nn.Linear(-1, 4), ArgumentError, "in_features"),
        (lambda: nn.Linear(2.0, 4), DTypeError, "in_features"),
        (lambda: nn.Dropout(1.5), ArgumentError, "p must be from 0 to 1"),
        (lambda: nn.AlphaDropout(-0.1), ArgumentError, "AlphaDropout: p must be from 0 to 1"),
        (lambda: nn.StochasticDepth(1.5, "row"), ArgumentError, "StochasticDepth: p is a prob"),
        (lambda: nn.StochasticDepth(0.5, "col"), ArgumentError, "'col' is unknown; choose 'row'"),
        (lambda: nn.GaussianNoise(-1.0), ArgumentError, "GaussianNoise: std must be.*got -1.0"),
        (lambda: nn.GroupNorm(3, 4), ArgumentError, "divisible"),
        (lambda: nn.Hardtanh(1, 1), ArgumentError, "min_val"),
        (lambda: nn.ZeroPad1d((1, 2, 3)), ArgumentError, "ZeroPad1d: padding must be one int or 2"),
        (lambda: nn.CircularPad3d((1, 2)), ArgumentError, "CircularPad3d: padding .* or 6"),
        (lambda: nn.ReflectionPad1d(0.5), DTypeError, "ReflectionPad1d: padding"),
        (lambda: nn.ReflectionPad1d(1)(tc.zeros(2, 3, 4, 4)), ShapeError, "2 or 3 dimensions"),
        (lambda: nn.ReflectionPad2d(4)(tc.zeros(1, 1, 4, 5)), ShapeError, "at most 3 along dim"),
        (lambda: nn.PixelShuffle(0), ArgumentError, "PixelShuffle: upscale_factor"),
        (lambda: nn.PixelUnshuffle(0.5), DTypeError, "PixelUnshuffle: downscale_factor"),
        (lambda: nn.ChannelShuffle(-1), ArgumentError, "ChannelShuffle: groups"),
        (lambda: nn.Bilinear(0, 2, 3), ArgumentError, "Bilinear: in1_features"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), IndexRangeError, "Embedding: padding_idx=3"),
        (lambda: nn.Embedding(3, 2, sparse=True), ArgumentError, "Embedding: sparse=True"),
        (lambda: nn.Embedding(-1, 2), ArgumentError, "Embedding: num_embeddings"),
        (lambda: nn.Embedding(3, 2, _weight=tc.ones(2, 3)), ShapeError, r"\(3, 2\), got \(2, 3\)"),
        (lambda: nn.Embedding.from_pretrained(tc.ones(3)), ShapeError, "'embeddings' must be"),
        (lambda: nn.CELU(0.0), ArgumentError, "CELU: alpha"),
        (lambda: nn.RReLU(0.5, 0.2), ArgumentError, "RReLU.*lower=0.5 and upper=0.2"),
        (lambda: nn.RReLU(0.5, float("inf")), ArgumentError, "finite"),
        (lambda: nn.Softshrink(-1), ArgumentError, "Softshrink: lambd must be at least 0.*got -1"),
        (lambda: nn.Softmax2d()(tc.zeros(2, 3)), ShapeError, "Softmax2d.*3 or 4 dimensions"),
        (lambda: nn.MSELoss(reduction="max"), ArgumentError, "reduction"),
        (lambda: nn.BatchNorm2d(3)(tc.zeros(2, 3)), ShapeError, "BatchNorm2d: input must have 4"),
        (lambda: nn.SyncBatchNorm(3)(tc.zeros(3)), ShapeError, "SyncBatchNorm: .* at least 2 dim"),
        (lambda: nn.SyncBatchNorm(3, process_group=1), ArgumentError, "process_group must be None"),
        (lambda: nn.SyncBatchNorm.convert_sync_batchnorm(nn.ReLU(), 0), ArgumentError, "got 0"),
        (lambda: nn.BatchNorm1d(3)(tc.zeros(2, 3, 4, 4)), ShapeError, "2 or 3 dimensions"),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
