"""The digits of scikit-learn."""

import importlib.util
import pickle

import numpy as np
import pytest

from tinyconv.data import DataLoader
from tinyconv.datasets import Digits
from tinyconv.errors import ArgumentError, MissingDependencyError
from tinyconv.tensor import Tensor

pytest.importorskip("sklearn")


def rows(images):
    return sorted(map(bytes, (images * 16).round().astype(np.uint8).reshape(len(images), -1)))


def test_the_splits_are_scikit_learns_digits_once_each():
    from sklearn.datasets import load_digits

    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    both = np.concatenate([train.images, test.images])
    labels = np.concatenate([train.targets, test.targets])
    pixels, truth = load_digits(return_X_y=True)
    assert rows(both) == rows(pixels / 16)
    by_image = dict(zip(map(bytes, pixels.astype(np.uint8)), truth, strict=True))
    flat = (both * 16).astype(np.uint8).reshape(1797, 64)
    assert [by_image[bytes(row)] for row in flat] == labels.tolist()


def test_the_split_is_stratified_and_always_the_same():
    test = Digits(train=False)
    total = np.bincount(np.concatenate([Digits().targets, test.targets]))
    assert (np.abs(np.bincount(test.targets) - total * 360 / 1797) < 1).all()
    assert test.targets[:10].tolist() == Digits(train=False).targets[:10].tolist()


@pytest.mark.parametrize("size", [8, 16, 28, 5, 1])
def test_other_sizes_are_interpolated_as_by_pytorch(size):
    torch = pytest.importorskip("torch")
    small, images = Digits(train=False).images, Digits(train=False, size=size).images
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(small), (size, size), mode="bilinear", align_corners=False
    ).numpy()
    assert images.shape == (360, 1, size, size)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)
    assert images.min() >= 0
    assert images.max() <= 1


def test_a_sample_is_a_tensor_and_an_int():
    data = Digits()
    image, label = data[3]
    assert isinstance(image, Tensor)
    assert tuple(image.shape) == (1, 8, 8)
    assert image.dtype.name == "float32"
    assert type(label) is int
    image.array[...] = 9.0  # the sample is the caller's: the data set keeps its own
    assert data.images[3].max() <= 1
    assert data.classes == list("0123456789")


def test_transforms_are_applied():
    data = Digits(transform=lambda image: image * 2, target_transform=lambda label: -label)
    image, label = data[1]
    assert image.array.max() == 2 * data.images[1].max()
    assert label == -data.targets[1]


@pytest.mark.parametrize("way", [{}, {"num_workers": 2}], ids=str)
def test_batches_with_and_without_a_transform_agree(way):
    plain = DataLoader(Digits(train=False), 100, **way)
    single = DataLoader(Digits(train=False, transform=lambda image: image), 100, **way)
    for (a, x), (b, y) in zip(plain, single, strict=True):
        assert (a.array == b.array).all()
        assert a.dtype.name == b.dtype.name == "float32"
        assert x.tolist() == y.tolist()
        assert x.dtype.name == y.dtype.name == "int64"


def test_it_travels_to_other_processes():
    copy = pickle.loads(pickle.dumps(Digits(train=False)))
    assert (copy.images == Digits(train=False).images).all()


def test_repr_is_like_torchvisions():
    text = repr(Digits(train=False, size=16, transform=str.upper))
    assert text.splitlines() == [
        "Dataset Digits",
        "    Number of datapoints: 360",
        "    Split: Test",
        "    Image size: 1 x 16 x 16",
        "    Transform: <method 'upper' of 'str' objects>",
    ]


@pytest.mark.parametrize("size", [0, -8, 8.0, True])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ArgumentError, match="size must be a positive integer"):
        Digits(size=size)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install \"tinyconv\[data\]\""):
        Digits()
