"""The same weights under our attacks and those of foolbox and torchattacks, where installed."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

EPS = 0.1


@pytest.fixture(scope="module")
def nets():
    """Return a small trained classifier of digits, here and in PyTorch."""
    tc.manual_seed(0)
    ours = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    digits = tc.datasets.Digits(train=True)
    data = tc.data.TensorDataset(tc.as_tensor(digits.images), tc.as_tensor(digits.targets))
    optimizer = tc.optim.Adam(ours.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in tc.data.DataLoader(data, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(ours(x), y).backward()
            optimizer.step()
    tnn = torch.nn
    theirs = tnn.Sequential(
        tnn.Conv2d(1, 8, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2), tnn.Flatten(),
        tnn.Linear(128, 32), tnn.ReLU(), tnn.Linear(32, 10),
    )  # fmt: skip
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy(force=True)) for k, v in ours.state_dict().items()}
    )
    return ours.eval(), theirs.eval()


@pytest.fixture(scope="module")
def samples(nets):
    """Return 100 digits that the net classifies rightly: tensors here and in PyTorch."""
    digits = tc.datasets.Digits(train=False)
    x, y = digits.images, digits.targets
    right = nets[0](tc.as_tensor(x)).argmax(1).numpy() == y
    x, y = x[right][:100], y[right][:100]
    return tc.as_tensor(x), tc.as_tensor(y), torch.tensor(x), torch.tensor(y)


def theirs_errs(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) != y).numpy()


def test_logits_and_input_gradients_agree(nets, samples):
    x, y, tx, ty = samples
    x, tx = x.clone().requires_grad_(), tx.clone().requires_grad_()
    nn.functional.cross_entropy(nets[0](x), y, reduction="sum").backward()
    torch.nn.functional.cross_entropy(nets[1](tx), ty, reduction="sum").backward()
    assert np.allclose(x.grad.numpy(), tx.grad.numpy(), atol=1e-5)


class TestTorchattacks:
    @pytest.fixture(autouse=True)
    def library(self):
        self.ta = pytest.importorskip("torchattacks")

    def test_fgsm_gives_the_same_images(self, nets, samples):
        x, y, tx, ty = samples
        ours = adv.fgsm(nets[0], x, y, eps=EPS)
        theirs = self.ta.FGSM(nets[1], eps=EPS)(tx, ty)
        same = np.isclose(ours.x_adv.numpy(), theirs.numpy(), atol=1e-6)
        assert same.mean() > 0.999  # but for gradients that are almost zero
        assert np.array_equal(ours.success, theirs_errs(nets[1], theirs, ty))

    def test_pgd_without_a_random_start_breaks_the_same_samples(self, nets, samples):
        x, y, tx, ty = samples
        ours = adv.pgd(nets[0], x, y, eps=EPS, steps=20, step_size=0.01, random_start=False)
        theirs = self.ta.PGD(nets[1], eps=EPS, alpha=0.01, steps=20, random_start=False)(tx, ty)
        broken = theirs_errs(nets[1], theirs, ty)
        # Ours keeps every success on the way; theirs returns the last image.
        assert (ours.success | ~broken).all()
        assert (ours.success != broken).mean() <= 0.02

    def test_deepfool_and_carlini_wagner_norms(self, nets, samples):
        x, y, tx, ty = samples
        theirs = self.ta.DeepFool(nets[1], steps=50, overshoot=0.02)(tx[:30], ty[:30])
        compare(adv.deepfool(nets[0], x[:30], y[:30]), theirs, nets, tx[:30], ty[:30], 1.02)
        theirs = self.ta.CW(nets[1], c=1, steps=300, lr=0.01)(tx[:30], ty[:30])
        compare(second_class(nets[0], x[:30], y[:30]), theirs, nets, tx[:30], ty[:30], 1.05)

    def test_auto_attack_leaves_as_many(self, nets, samples):
        x, y, tx, ty = (part[:30] for part in samples)
        theirs = self.ta.AutoAttack(nets[1], norm="Linf", eps=EPS, n_classes=10)(tx, ty)
        broken = theirs_errs(nets[1], theirs, ty)
        ours = adv.auto_attack(nets[0], x, y, eps=EPS)
        assert 3 < broken.sum() < 27
        assert (ours.success != broken).sum() <= 1


class TestFoolbox:
    @pytest.fixture(autouse=True)
    def library(self, nets):
        self.fb = pytest.importorskip("foolbox")
        self.net = self.fb.PyTorchModel(nets[1], bounds=(0, 1), device="cpu")

    def test_fgsm_breaks_the_same_samples(self, nets, samples):
        x, y, tx, ty = samples
        for norm, name in (("linf", "LinfFastGradientAttack"), ("l2", "L2FastGradientAttack")):
            eps = EPS if norm == "linf" else 0.5
            attack = getattr(self.fb.attacks, name)(random_start=False)
            _, _, broken = attack(self.net, tx, ty, epsilons=eps)
            ours = adv.fgsm(nets[0], x, y, eps=eps, norm=norm)
            assert np.array_equal(ours.success, broken.numpy()), norm

    def test_pgd_breaks_the_same_samples(self, nets, samples):
        x, y, tx, ty = samples
        attack = self.fb.attacks.LinfBasicIterativeAttack(
            abs_stepsize=0.01, steps=20, random_start=False
        )
        _, _, broken = attack(self.net, tx, ty, epsilons=EPS)
        ours = adv.bim(nets[0], x, y, eps=EPS, steps=20, step_size=0.01)
        assert (ours.success | ~broken.numpy()).all()
        assert (ours.success != broken.numpy()).mean() <= 0.02

    def test_deepfool_and_carlini_wagner_norms(self, nets, samples):
        x, y, tx, ty = (part[:30] for part in samples)
        _, theirs, _ = self.fb.attacks.L2DeepFoolAttack()(self.net, tx, ty, epsilons=None)
        compare(adv.deepfool(nets[0], x, y), theirs, nets, tx, ty, 1.02)
        attack = self.fb.attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=300)
        _, theirs, _ = attack(self.net, tx, ty, epsilons=None)
        compare(second_class(nets[0], x, y), theirs, nets, tx, ty, 1.05)

    @pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
    def test_fast_minimum_norms(self, norm, nets, samples):
        x, y, tx, ty = (part[:40] for part in samples)
        attack = {
            "l2": self.fb.attacks.L2FMNAttack, "linf": self.fb.attacks.LInfFMNAttack,
            "l1": self.fb.attacks.L1FMNAttack,
        }[norm](steps=200)  # fmt: skip
        _, theirs, _ = attack(self.net, tx, ty, epsilons=None)
        ours = adv.fmn(nets[0], x, y, norm=norm)
        compare(ours, theirs, nets, tx, ty, 1.02, norm)


def second_class(net, x, y):
    """Attack by Carlini and Wagner towards whichever class is second, as the other libraries."""
    return adv.carlini_wagner(net, x, y, n_target_classes=None)


def compare(ours, theirs, nets, tx, ty, factor, norm="l2"):
    """Our median norm is at most ``factor`` times theirs, and all our attacks succeed."""
    broken = theirs_errs(nets[1], theirs, ty)
    order = {"l1": 1, "l2": 2, "linf": float("inf")}[norm]
    norms = (theirs - tx).flatten(1).norm(order, dim=1).numpy()
    assert ours.success.all()
    assert broken.sum() >= 10  # DeepFool of torchattacks stops at the border, for half of them
    assert np.median(ours.norm[norm][broken]) <= factor * np.median(norms[broken])
