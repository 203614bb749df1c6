"""What the benchmark tool times: its networks and layers are the same on both sides."""

import numpy as np
import pytest
from benchmarks import cases, layers, nets, sides

import tinyconv as tc

NETS = {net.name: net for net in nets.NETS}

# -- networks -----------------------------------------------------------------------------------

# Counts from the papers or from torchvision. GoogLeNet and the U-Net have no canonical form for
# these sizes.
COUNTS = {
    "LeNet-5": 61_706,
    "MNIST CNN": 220_234,
    "VGG-11": 9_225_610,
    "ResNet-18": 11_173_962,
    "DenseNet-BC-100-12": 769_162,
    "ResNet-50": 25_557_032,
    "MobileNetV2": 3_504_872,
}


@pytest.mark.parametrize("name", COUNTS)
def test_number_of_parameters(name):
    assert sum(p.numel() for p in NETS[name].build(tc).parameters()) == COUNTS[name]


@pytest.mark.parametrize(("name", "model"), [("LeNet-5", "LeNet5"), ("MNIST CNN", "CNN")])
def test_small_networks_are_those_of_the_package(name, model):
    ours = [tuple(p.shape) for p in NETS[name].build(tc).parameters()]
    assert ours == [tuple(p.shape) for p in getattr(tc.models, model)().parameters()]


@pytest.mark.parametrize("name", NETS)
def test_networks_compute_the_same_as_in_pytorch(name, ours, theirs):
    net = NETS[name]
    size = (32, 32) if max(net.images[2:]) > 32 else net.images[2:]
    small = nets.Net(name, net.build, (2, net.images[1], *size), net.classes, net.dense)
    case = cases.Inference(small)
    task = case.make(ours)
    weights = task.weights()
    expected, found = task.probe(), case.make(theirs, weights).probe()
    assert found["logits"].shape[:2] == (2, net.classes)
    assert np.abs(found["logits"]).max() > 1e-3  # else they agree about nothing
    assert cases.disagreement(case, expected, found) == ""


def test_training_probe_sees_a_wrong_loss_gradient_and_step(ours):
    case = cases.Training(NETS["LeNet-5"])
    task = case.make(ours)
    start = task.weights()
    good = task.probe()
    np.testing.assert_equal(task.weights(), start)
    assert "loss" in cases.disagreement(case, good, {"loss": good["loss after a step"]})
    for name in ("loss", "gradients", "update", "loss after a step"):
        bad = {**good, name: good[name] * 1.2}
        assert name in cases.disagreement(case, good, bad)
    assert "shape" in cases.disagreement(case, good, {"gradients": good["gradients"][1:]})
    assert "nan" in cases.disagreement(case, good, {"loss": np.array(np.nan)})
    assert cases.disagreement(case, good, good) == ""


def test_training_step_learns_and_probe_restores_dropout(ours):
    model = nets.plain(tc, nets.PLAIN["MNIST CNN"])
    with cases.without_dropout(model):
        assert [m.p for m in model.modules() if hasattr(m, "p")] == [0.0]
    assert [m.p for m in model.modules() if hasattr(m, "p")] == [0.25]
    task = cases.Training(NETS["LeNet-5"]).make(ours)
    first = task.step().item()
    for _ in range(5):
        task.step()
    assert task.step().item() < first


# -- layers and sides ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [cases.Forward, cases.ForwardBackward])
@pytest.mark.parametrize(
    "name", ["first conv 5x5", "conv 1x1, 256", "cat", "cross-entropy, 64", "dropout", "transposed"]
)
def test_layers_agree_with_pytorch(kind, name, ours, theirs):
    layer = next(layer for layer in layers.LAYERS if layer.name.startswith(name))
    case = kind(layer)
    task = case.make(ours)
    expected, found = task.probe(), case.make(theirs, task.weights()).probe()
    assert expected.keys() == found.keys()
    assert cases.disagreement(case, expected, found) == ""
    if layer.random:
        assert not expected
    elif kind is cases.ForwardBackward and name == "first conv 5x5":
        assert expected.keys() == {"output", "gradient 0", "gradient 1"}  # none of the images
    task.step()


def test_backward_does_not_add_up_gradients(ours):
    layer = next(layer for layer in layers.LAYERS if layer.name.startswith("conv 1x1"))
    task = cases.ForwardBackward(layer).make(ours)
    first = {name: array.copy() for name, array in task.probe().items()}
    second = task.probe()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_names_of_cases_are_unique():
    names = [(case.group, case.name) for case in cases.all_cases()]
    assert len(set(names)) == len(names)


def test_memory_layout_of_inputs(ours):
    array = np.zeros((2, 3, 5, 4), np.float32)
    last = (240, 4, 48, 12)
    assert cases_strides(ours.tensor(array)) == array.strides
    assert cases_strides(ours.tensor(array, first=False)) == last
    torch = pytest.importorskip("torch")
    side = sides.Torch(1, "channels_last")
    assert side.tensor(array).is_contiguous(memory_format=torch.channels_last)
    conv = side.place(torch.nn.Conv2d(3, 4, 3))
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert side.suits(4)
    assert side.suits(5)
    assert not side.suits(3)
    assert sides.Torch(1).suits(3)


def cases_strides(tensor):
    return tensor.array.strides


def test_unknown_side_and_defaults(monkeypatch):
    with pytest.raises(ValueError, match="unknown side 'torhc'; choose tinyconv"):
        sides.make_side("torhc", 1)
    monkeypatch.setattr(sides, "installed", lambda spec: spec.startswith(("tinyc", "torch", "jax")))
    assert sides.default_sides() == ["tinyconv", "torch", "torch:channels_last", "jax"]
    assert sides.default_sides(torch=False, peers=False) == ["tinyconv"]


def test_optimizer_cases_agree_with_pytorch(ours, theirs):
    for update in layers.UPDATES:
        small = layers.Update(
            update.name, update.optimizer, update.options, update.rival_options,
            lambda lib: nets.plain(lib, nets.PLAIN["LeNet-5"]),
        )  # fmt: skip
        case = cases.Optimizer(small)
        task = case.make(ours)
        weights = task.weights()
        wrong = cases.disagreement(case, task.probe(), case.make(theirs, weights).probe())
        assert wrong == ""
