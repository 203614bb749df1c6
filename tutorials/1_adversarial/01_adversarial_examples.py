r"""
Adversarial examples
====================

A network that reads 97 % of all digits can be made to misread nearly every one of them, by a change
after which we still read the same digit. This page makes such changes, with one gradient step and
with better means, then trains a network that stands more of them, and ends with the hard part: how
one finds out whether it really does.

.. admonition:: At a glance

   | **You will learn** what attacks with and without gradients do, what adversarial training costs,
     and how to report robustness so that it can be believed
   | **Before this page** :doc:`/tutorials/0_basics/01_first_network`
   | **Papers** Goodfellow, Shlens and Szegedy (2015), *Explaining and harnessing adversarial
     examples*; Madry et al. (2018), *Towards deep learning models resistant to adversarial
     attacks*; Carlini et al. (2019), *On evaluating adversarial robustness*
   | **Network** two convolutions, 13,706 parameters
   | **Time** about one minute on two CPU cores
"""

# %%
# A network to attack
# -------------------
# The digits of the first page, in their own size of 8 x 8 pixels, and a small network: everything
# here is about its *input*. Values go from 0, black, to 1, white; the attacks keep to that. (Where
# a network wants normalised pictures, make the normalisation its first layer, ``nn.Normalize``.
# Then an attack sees pixels, and its radius means what it says.)

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.nn import functional as F

known, test = tc.datasets.Digits(train=True), tc.datasets.Digits(train=False)
training = tc.data.TensorDataset(tc.as_tensor(known.images), tc.as_tensor(known.targets))
trained = tc.config.max_steps.get() is None and tc.config.max_epochs.get() is None
count = 200 if trained else 16  # a test of this page runs it in brief
x, y = tc.as_tensor(test.images)[:count], tc.as_tensor(test.targets)[:count]


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 16 maps of 4 x 4
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 32 maps of 2 x 2
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def loader():
    return tc.data.DataLoader(training, batch_size=64, shuffle=True)


tc.manual_seed(0)
plain = make_model()
optimizer = tc.optim.Adam(plain.parameters(), lr=0.01)
tc.train.Trainer(plain, optimizer).fit(loader(), epochs=20)
plain.eval()
clean = (plain(x).argmax(1) == y).float().mean().item()
print(f"accuracy on {len(x)} test pictures: {clean:.1%}")
assert sum(p.numel() for p in plain.parameters()) == 13_706

# %%
# One step
# --------
# In training we ask how the loss changes with the parameters, and step *down*. Here the parameters
# stay, we ask how it changes with the *pixels*, and step up. The fast gradient sign method (FGSM)
# moves every pixel by the same small amount :math:`\varepsilon`, each in the direction that raises
# the loss:
#
# .. math:: x' = x + \varepsilon \cdot \mathrm{sign}\left(\nabla_x \, \ell(x, y)\right) .
#
# That is the farthest one can go up a linear slope when no pixel may change by more than
# :math:`\varepsilon`, that is, within the ball of the norm :math:`L_\infty`. By hand it takes three
# lines; ``adversarial.fgsm`` does the same, and keeps a record.

EPS = 0.15
pixels = x.clone().requires_grad_(True)
F.cross_entropy(plain(pixels), y, reduction="sum").backward()
by_hand = (x + EPS * pixels.grad.sign()).clamp(0, 1)

one_step = adversarial.fgsm(plain, x, y, eps=EPS)
print(one_step.table())
moved = ~one_step.clean_wrong  # what was wrong before comes back as it was
assert np.array_equal(one_step.x_adv.numpy()[moved], by_hand.numpy()[moved])

# %%
# Most of the pictures are lost to one step. *Robust accuracy* counts what is right before and
# after, as a share of **all** pictures; so it can never exceed the clean accuracy.
#
# Above each picture: what the network says and how sure it is. Between the two rows: what was
# added, orange where it got brighter, blue where it got darker.


def panel(model, images, changed, columns=8):
    """Draw pictures, their change, and the sum, with what the model says of them."""
    from matplotlib.colors import LinearSegmentedColormap

    signed = LinearSegmentedColormap.from_list("signed", ["#0072B2", "white", "#D55E00"])
    figure, grid = plt.subplots(3, columns, figsize=(9, 4), layout="constrained")
    with tc.no_grad():
        said = [F.softmax(model(part), 1) for part in (images, changed)]
    for i in range(columns):
        change = (changed[i, 0] - images[i, 0]).numpy()
        grid[0, i].imshow(images[i, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        grid[1, i].imshow(change, cmap=signed, vmin=-0.3, vmax=0.3)
        grid[2, i].imshow(changed[i, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        for row, probabilities in zip((0, 2), said):
            digit = probabilities[i].argmax().item()
            sure = probabilities[i, digit].item()
            grid[row, i].set_title(f"{digit}: {sure:.0%}", fontsize=10)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for axes, label in zip(grid[:, 0], ("clean", "change", "adversarial")):
        axes.set_ylabel(label)


def shown(result, count=8):
    """Numbers of the first pictures that an attack turned; of any if there are too few."""
    order = np.argsort(~(result.success & ~result.clean_wrong), kind="stable")
    return tc.as_tensor(order[:count])


rows = shown(one_step)
panel(plain, x[rows], one_step.x_adv[rows])
plt.show()

# %%
# On 64 pixels the change can be seen, but what it does to the network cannot be guessed from it. A
# photograph has thousands of pixels, and the slopes of all of them add up: there a change that is
# a twentieth of this one is enough, and nobody sees it.
#
# Is it just noise?
# -----------------
# No. Noise of the same size moves each pixel just as far, but in directions that have nothing to do
# with the network. ``adversarial.noise`` tries many points of the ball for each picture and
# keeps the worst; it still finds little. What hurts is the *direction*.
#
# Many small steps
# ----------------
# The loss is not linear, so one large step is not the best one can do. Projected gradient descent
# (PGD) takes many small steps, each with a fresh gradient, and goes back into the ball after each.
# It starts at a random point. It is the attack with which one measures.
#
# ``accuracy_curve`` runs an attack at several radii. Never report one radius alone.

radii = [0, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3]
attacks = {
    "100 points of noise": partial(adversarial.noise, draws=100),
    "FGSM, one step": adversarial.fgsm,
    "PGD, 40 steps": adversarial.pgd,
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def draw_curves(curves, title):
    figure, axes = plt.subplots(figsize=(6.6, 3.8), layout="constrained")
    for (name, curve), colour, mark in zip(curves.items(), COLOURS, "osD^"):
        axes.fill_between(
            curve.eps, curve.low, curve.high, color=colour, alpha=0.15, lw=0
        )
        axes.plot(curve.eps, curve.accuracy, mark + "-", color=colour, label=name)
    axes.axvline(EPS, color="grey", ls=":", lw=1)
    axes.set(xlabel=r"radius $\varepsilon$", ylabel="robust accuracy", title=title)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(alpha=0.3)
    axes.legend()


curves = {
    name: adversarial.accuracy_curve(attack, plain, x, y, radii)
    for name, attack in attacks.items()
}
draw_curves(curves, "plain network; shaded: 95 % interval")
plt.show()
at_eps = {name: curve.accuracy[radii.index(EPS)] for name, curve in curves.items()}
for name, left in at_eps.items():
    print(f"{name:<20} leaves {left:.1%} at radius {EPS}")
if trained:
    assert (
        at_eps["100 points of noise"] > at_eps["FGSM, one step"] > at_eps["PGD, 40 steps"]
    )

# %%
# How little is enough?
# ---------------------
# Other attacks turn the question round: not "does it fall within :math:`\varepsilon`?", but "what
# is the least change that makes it fall?". *DeepFool* pretends that the network is linear, steps
# onto the nearest border between two classes, and repeats; it is quick. The attack of *Carlini and
# Wagner* (C&W) lets Adam minimise the length of the change plus a penalty for failing; it is slow
# and thorough. Both measure in :math:`L_2` here, the root of the sum of squares.

few = 50
quick = adversarial.deepfool(plain, x[:few], y[:few])
thorough = adversarial.carlini_wagner(
    plain, x[:few], y[:few], steps=50, binary_search_steps=4, lr=0.05
)
found = quick.success & thorough.success & ~quick.clean_wrong
for result in (quick, thorough):
    print(
        f"{result.attack:<15} success {result.success.mean():.0%}, "
        f"median L2 distance {np.median(result.norm['l2'][found]):.3f}, "
        f"{result.queries.sum(1).mean():.0f} passes a picture"
    )
if trained:
    assert thorough.success.all()
    assert np.median(thorough.norm["l2"][found]) < np.median(quick.norm["l2"][found])
rows = shown(thorough)
panel(plain, x[:few][rows], thorough.x_adv[rows])
plt.show()

# %%
# The network is now split between two digits: these pictures lie on the border, just across. An
# attack for the least change always "succeeds" in the end, so report its *distances*. The success
# rate says something only together with a radius.
#
# Without gradients
# -----------------
# An attacker need not know the network. *Square* sees only the scores: it recolours random squares
# and keeps what raises the loss. *HopSkipJump* sees only the label: it walks along the border. And
# pictures made on *another* network, trained from other random weights, transfer.

tc.manual_seed(1)
other = make_model()
optimizer = tc.optim.Adam(other.parameters(), lr=0.01)
tc.train.Trainer(other, optimizer).fit(loader(), epochs=20)
elsewhere = adversarial.pgd(other.eval(), x, y, eps=EPS, stop="never").x_adv
right = plain(x).argmax(1) == y
transferred = (plain(elsewhere).argmax(1) == y) & right
scores = adversarial.square(plain, x, y, eps=EPS, steps=500)
labels = adversarial.hop_skip_jump(plain, x[:few], y[:few], norm="linf", steps=10)
within = labels.success & (labels.norm["linf"] <= EPS)
print(f"PGD, knows all               leaves {at_eps['PGD, 40 steps']:.1%}")
print(f"Square, sees scores          leaves {scores.robust_accuracy:.1%}")
print(f"HopSkipJump, sees labels     leaves {1 - within.mean():.1%} (of {few})")
print(f"transfer, sees nothing       leaves {transferred.float().mean().item():.1%}")

# %%
# Who knows more should find more, within the error of a picture or two. (Square comes as far as PGD
# here, for a price: hundreds of looks at each picture in place of a few gradients, and on 64 pixels
# a random square is a good guess.) Where less knowledge finds clearly more, something is wrong with
# the attack, and we come back to that.
#
# Adversarial training
# --------------------
# The defence that has held up is the plainest: train on the worst pictures, not on the clean ones.
#
# .. math:: \min_\theta \; \mathbb{E} \max_{\|\delta\|_\infty \le \varepsilon}
#           \ell(f_\theta(x + \delta), y)
#
# The inner maximum is found by PGD, in each step of training anew; seven gradient steps make it
# about eight times as expensive. We begin with a few epochs of plain training, because random
# weights may not get away from guessing.

tc.manual_seed(0)
robust = make_model()
optimizer = tc.optim.Adam(robust.parameters(), lr=3e-3)
tc.train.Trainer(robust, optimizer).fit(loader(), epochs=3)
method = adversarial.PGDTraining(eps=EPS, steps=7)
history = adversarial.AdversarialTrainer(robust, optimizer, method).fit(
    loader(), epochs=15
)
robust.eval()

models = {"plain": plain, "adversarially trained": robust}
curves = {
    name: adversarial.accuracy_curve(adversarial.pgd, model, x, y, radii)
    for name, model in models.items()
}
draw_curves(curves, "accuracy under PGD; shaded: 95 % interval")
plt.show()

# %%
# Clean beside robust
# -------------------
# A robust accuracy is an *upper bound*: the best that the attacks tried have left. So run several
# of different kinds and count, **for each picture**, the one that did best. ``worst_case`` does
# that, and each attack gets only the pictures that the ones before it left standing.

battery = {
    "FGSM": partial(adversarial.fgsm, eps=EPS),
    "PGD": partial(adversarial.pgd, eps=EPS),
    "APGD, margin": partial(adversarial.apgd, eps=EPS, steps=50, loss="margin"),
    "APGD, targeted": partial(
        adversarial.apgd, eps=EPS, steps=30, loss="dlr", n_target_classes=9
    ),
    "Square": partial(adversarial.square, eps=EPS, steps=300),
}
print(f"{'':<22}{'clean':>8}{'FGSM':>8}{'PGD':>8}{'worst':>8}")
worst = {}
for name, model in models.items():
    worst[name] = adversarial.worst_case(model, x, y, battery)
    alone = [battery[attack](model, x, y).robust_accuracy for attack in ("FGSM", "PGD")]
    numbers = [1 - worst[name].clean_wrong.mean(), *alone, worst[name].robust_accuracy]
    print(f"{name:<22}" + "".join(f"{number:>8.1%}" for number in numbers))
print("\nadversarially trained: pictures by the first attack that broke them")
found_by = list(worst["adversarially trained"].found_by)
for key, label in {
    "clean": "wrong before",
    **{k: k for k in battery},
    "": "still right",
}.items():
    print(f"  {label:<16}{found_by.count(key):>4}")
if trained:
    stands = {name: result.robust_accuracy for name, result in worst.items()}
    assert stands["adversarially trained"] > max(0.4, 2 * stands["plain"])

# %%
# Always print the two side by side: robustness is paid for with clean accuracy, here with a
# few points. About half of the pictures now stand at this radius. That is
# progress, and it is far from solved.
#
# Look at how the least perturbations of this network differ from those of the plain one: they are
# larger, and where they succeed, the picture begins to look like the other digit to us, too.

least = adversarial.deepfool(robust, x[:few], y[:few])
for name, result in (("plain", quick), ("adversarially trained", least)):
    turned = result.success & ~result.clean_wrong
    print(f"DeepFool on {name}: median L2 {np.median(result.norm['l2'][turned]):.2f}")
rows = shown(least)
panel(robust, x[:few][rows], least.x_adv[rows])
plt.show()

# %%
# Can we believe it?
# ------------------
# Most defences that were ever published broke soon after, because they had been tested with attacks
# that could not see. ``sanity_report`` asks the questions of Carlini et al. (2019). Each line
# says what should hold, what was measured, and, where it does not hold, what to do.

report = adversarial.sanity_report(
    robust, x[:150], y[:150], eps=EPS, substitute=other, undefended=plain
)
print(report.table())
if trained:
    assert report.passed

# %%
# Read line by line, it says:
#
# - **model**: it classifies, gives the same answer twice, returns logits; its gradients exist, and
#   a step along one changes the loss as the gradient says. If this fails, no attack that follows
#   gradients measures anything.
# - **convergence**: many steps beat one; more steps and more restarts do not change the figure any
#   more; a larger ball is worse; and with no limit at all the accuracy falls to 0, as it must. An
#   attack for which this fails has not finished.
# - **strength**: other losses, targets, scores alone, labels alone, noise and the other network
#   find next to nothing that the attacks with gradients had missed. If one who knows less finds
#   more, gradients are hidden. (The line that is skipped is about random models.)
# - **outcome**: something is left, and more than without the defence.
# - **beyond the ball**: rotations, shifts and noise are another matter; robustness in one ball says
#   little about them. The warning is earned: turned by at most 30 degrees and shifted by less than
#   a pixel, every one of the pictures can be made to fail.
#
# For contrast, a "defence" that is none: the plain network with its logits times 100. It gives the
# same answers, and every picture that fooled it still does.


class Louder(nn.Module):
    """A model whose logits are multiplied by a hundred."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 100 * self.model(x)


loud = Louder(plain)
print(
    f"FGSM leaves {adversarial.fgsm(loud, x, y, eps=EPS).robust_accuracy:.1%}", end=", "
)
print(f"PGD leaves {adversarial.pgd(loud, x, y, eps=EPS).robust_accuracy:.1%}")
report = adversarial.sanity_report(loud, x[:60], y[:60], eps=EPS)
for line in report.lines:
    if line.status == "fail":
        print(f"{line.question}:\n    {line.figure}\n    -> {line.advice}")
if trained:
    assert {"gradients_exist", "losses_agree"} <= set(report.failures)

# %%
# Two attacks said that it is robust. It is not, and the report says why: the probabilities are
# exactly 1 in floating point, so the cross-entropy has no slope left to follow. The next page shows
# a famous defence that was this, in good faith.
#
# Exercises
# ---------
# 1. Attack towards a class: ``pgd(..., targeted=True)`` with ``y`` the class to go to. Which digits
#    are easily made a 1, and which a 0?
# 2. Train with ``FastTraining(eps=EPS)``, one step from a random start. What do you save, what do
#    you lose? Give the trainer a validation set and watch the column ``collapsed``.
# 3. Train with ``TradesTraining(eps=EPS, beta=...)`` for several ``beta``, and draw robust against
#    clean accuracy.
# 4. Measure the network trained in :math:`L_\infty` within balls of ``norm="l2"``. Is it
#    robust there, too?
# 5. Put ``adversarial.BitDepthReduction(2, bpda=None)`` in front of the plain network and ask for
#    a report. Which lines fail? Do they with ``bpda="identity"``?
#
# .. dropdown:: The same in PyTorch
#
#    The model and its training change as on the first page. For the attacks PyTorch has no module
#    of its own; Foolbox, ART, torchattacks and AutoAttack have them, each with its own conventions
#    for bounds, labels and failed samples. The three lines of FGSM by hand run as they stand.
#
# References
# ----------
# - C. Szegedy et al., *Intriguing properties of neural networks*, ICLR 2014.
# - I. J. Goodfellow, J. Shlens and C. Szegedy, *Explaining and harnessing adversarial examples*,
#   ICLR 2015 (arXiv 1412.6572).
# - S.-M. Moosavi-Dezfooli, A. Fawzi and P. Frossard, *DeepFool: a simple and accurate method to
#   fool deep neural networks*, CVPR 2016 (arXiv 1511.04599).
# - N. Carlini and D. Wagner, *Towards evaluating the robustness of neural networks*, IEEE S&P 2017
#   (arXiv 1608.04644).
# - A. Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018
#   (arXiv 1706.06083).
# - N. Carlini et al., *On evaluating adversarial robustness*, 2019 (arXiv 1902.06705).
# - M. Andriushchenko et al., *Square attack*, ECCV 2020 (arXiv 1912.00049); J. Chen, M. I. Jordan
#   and M. J. Wainwright, *HopSkipJumpAttack*, IEEE S&P 2020 (arXiv 1904.02144).
