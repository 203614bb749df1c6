r"""
Defensive distillation, and how it breaks
=========================================

In 2015 a simple recipe seemed to end adversarial examples: teach a network the softened answers of
another one. The success of the best known attack fell from 96 % to less than 1 %. A year later
every such network was broken. We do both here: first the defence, then the break, and then we look
for what the defence really did.

.. admonition:: At a glance

   | **You will learn** what a temperature does to a network, how a gradient can vanish without a
     network getting robust, and how to notice
   | **Before this page** :doc:`01_adversarial_examples`
   | **Papers** Papernot, McDaniel, Wu, Jha and Swami (2016), *Distillation as a defense to
     adversarial perturbations*; Carlini and Wagner (2017), *Towards evaluating the robustness of
     neural networks*
   | **Network** two convolutions, 13,706 parameters; trained fifteen times
   | **Time** about two minutes on two CPU cores
"""

# %%
# The recipe
# ----------
# A network gives logits :math:`z`, and softmax turns them into probabilities. With a *temperature*
# :math:`T` in between,
#
# .. math:: p_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}} ,
#
# a large :math:`T` makes the answer soft: the classes that came second and third are seen, too.
# Defensive distillation has three steps.
#
# 1. Train a *teacher* at temperature :math:`T` on the true labels.
# 2. Ask it, still at :math:`T`, about the training pictures. Its answers are the *soft labels*.
# 3. Train a *student*, a network of the same kind, on the soft labels at temperature :math:`T`.
#
# The student is then used at temperature 1. Nothing in it was made for speed, as in distillation
# for compression: teacher and student are equally large. The hope was that soft labels keep the
# network from being too sure, and so make it smooth around the pictures.
#
# ``defensive_distillation`` does the three steps. As Carlini and Wagner did, we start teacher and
# student from the same weights, those of one epoch of plain training; at a high temperature the
# first steps from random weights are slow. One thing differs: we use Adam in place of gradient
# descent with a fixed rate. The gradients get :math:`T` times smaller, and on our few pictures
# plain descent learns nothing at :math:`T \ge 20`. (On MNIST there are forty times as many steps.)

import matplotlib.pyplot as plt
import numpy as np

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.nn import functional as F

known, test = tc.datasets.Digits(train=True), tc.datasets.Digits(train=False)
trained = tc.config.max_steps.get() is None and tc.config.max_epochs.get() is None
count = 200 if trained else 16  # a test of this page runs it in brief
x, y = tc.as_tensor(test.images)[:count], tc.as_tensor(test.targets)[:count]
training = tc.data.TensorDataset(tc.as_tensor(known.images), tc.as_tensor(known.targets))
print(f"{len(training)} pictures of 8 x 8 pixels to learn from; {count} to attack")


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


def make_optimizer(parameters):
    return tc.optim.Adam(parameters, lr=0.01)


def loader():
    return tc.data.DataLoader(training, batch_size=64, shuffle=True)


tc.manual_seed(0)
plain = make_model()
epochs = 20
tc.train.Trainer(plain, make_optimizer(plain.parameters())).fit(loader(), epochs=epochs)
students = {}
for temperature in (1, 2, 5, 10, 20, 50, 100):
    tc.manual_seed(0)
    students[temperature] = adversarial.defensive_distillation(
        make_model,
        loader(),
        temperature=temperature,
        epochs=epochs,
        common_epochs=1,
        optimizer=make_optimizer,
    ).student.eval()
models = {"plain": plain.eval(), **students}
assert sum(p.numel() for p in plain.parameters()) == 13_706

# %%
# The claim
# ---------
# The paper attacks with what was then the strongest known attack, JSMA: it looks up, in the slopes
# of the *softmax output*, which pair of pixels brings a picture closest to another class, makes
# both white, and goes on until the class changes or 14.5 % of the pixels are used up. That is 9 of
# our 64. The paper goes for each of the nine other classes and counts each attempt by itself.
# Beside that figure ("each class") we also count a picture as turned if any of the nine works ("any
# class"). And there is the attack of the page before, FGSM: one step of 0.2 along the sign of the
# gradient of the cross-entropy.
#
# A success counts only on pictures that were right before, so that a network which gets more
# pictures wrong does not look more fragile for it.

EPS, PIXELS = 0.2, 9


def success(result):
    """Share of pictures that an attack turned, of those that were right before."""
    right = ~result.clean_wrong
    return result.success[right].mean() if right.any() else np.nan


def accuracy(model):
    return (model(x).argmax(1) == y).float().mean().item()


def attempts(model):
    """Success of JSMA towards each other class, as the paper counts it."""
    right, rates = (model(x).argmax(1) == y).numpy(), []
    for shift in range(1, 10):
        towards = adversarial.jsma(
            model, x, (y + shift) % 10, output="softmax", max_pixels=PIXELS, targeted=True
        )
        rates.append(towards.success[right].mean() if right.any() else np.nan)
    return np.mean(rates)


claim = {}
for name, model in models.items():
    any_class = adversarial.jsma(model, x, y, output="softmax", max_pixels=PIXELS)
    claim[name] = {
        "accuracy": accuracy(model),
        "JSMA each class": attempts(model),
        "JSMA any class": success(any_class),
        "FGSM": success(adversarial.fgsm(model, x, y, eps=EPS)),
    }


def print_table(columns):
    print("T".rjust(5) + "".join(f"{name:>16}" for name in next(iter(columns.values()))))
    for name, row in columns.items():
        print(f"{name:>5}" + "".join(f"{value:>16.1%}" for value in row.values()))


print_table(claim)
if trained:
    assert claim[1]["JSMA each class"] > 0.5 > 0.03 > claim[100]["JSMA each class"]
    assert claim[1]["JSMA any class"] > 0.9 > 0.15 > claim[100]["JSMA any class"]
    assert claim[1]["FGSM"] > 0.7 > 0.15 > claim[100]["FGSM"]

# %%
# This is the result of the paper. There, on MNIST, JSMA succeeds in 91 % of its attempts at
# :math:`T = 1`, in 25 % at 5, 7 % at 10, 1.3 % at 20 and 0.45 % at 100. Our first column of JSMA
# starts lower, as nine coarse pixels do not make every digit into every other one, and falls a
# little later; but it falls in the same way. The accuracy on clean pictures suffers a little (in
# the paper by about a percent at most; we have forty times fewer pictures to learn from).
#
# A defence that costs almost nothing and stops 19 attacks of 20: should we believe it?
#
# The break
# ---------
# Now the attacker knows about the defence. Five ways, each on all networks:
#
# - **C&W**: the attack of Carlini and Wagner looks for the *least* perturbation and takes its
#   gradient from the logits, not from the softmax.
# - **PGD, margin**: steps of gradient ascent within 0.2, on the largest wrong logit minus the right
#   one. It is the same attack as PGD on the cross-entropy, beside it for comparison, with another
#   loss.
# - **FGSM, z / T**: FGSM as above, but with the logits divided by the temperature at which the
#   student was trained.
# - **JSMA, z / T**: the attack of the paper, its one change the same division.
# - **transfer**: pictures made on the *plain* network. The defended one is not looked at at all.


class AtTemperature(nn.Module):
    """A model whose logits are divided by a temperature."""

    def __init__(self, model, temperature):
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, x):
        return self.model(x) / self.temperature


made_on_plain = adversarial.pgd(plain, x, y, eps=EPS, loss="margin", stop="never").x_adv
broken, distances = {}, {}
few = 60  # C&W is thorough, and slow
for name, model in models.items():
    cooled = AtTemperature(model, 1 if name == "plain" else name)
    right = model(x).argmax(1) == y
    fooled = model(made_on_plain).argmax(1) != y
    least = adversarial.carlini_wagner(
        model, x[:few], y[:few], steps=100, binary_search_steps=6, lr=0.05,
        n_target_classes=None,  # the attack of the paper alone
    )  # fmt: skip
    distances[name] = least.norm["l2"][least.success & ~least.clean_wrong]
    jsma = adversarial.jsma(cooled, x, y, output="softmax", max_pixels=PIXELS)
    broken[name] = {
        "PGD, CE": success(adversarial.pgd(model, x, y, eps=EPS)),
        "PGD, margin": success(adversarial.pgd(model, x, y, eps=EPS, loss="margin")),
        "FGSM, z / T": success(adversarial.fgsm(cooled, x, y, eps=EPS)),
        "JSMA, z / T": success(jsma),
        "transfer": fooled[right].float().mean().item(),
        "C&W": success(least),
    }
print_table(broken)
for name, found in distances.items():
    print(
        f"C&W on {name:>5}: median L2 distance {np.median(found) if len(found) else 0:.2f}"
    )
if trained:
    for row in broken.values():
        assert row["C&W"] == 1
        assert min(row["PGD, margin"], row["JSMA, z / T"]) > 0.9
        assert row["transfer"] > 0.6
    assert broken[100]["PGD, CE"] < 0.2

# %%
# Every network is broken, at every temperature, by every one of the five. C&W turns every picture;
# the distance it needs does not grow with :math:`T`. One number in the attack of the paper, the
# divisor, brings it back to where it was without a defence. And even an attacker who has never seen
# the student gets most of its pictures wrong.
#
# (Carlini and Wagner write that the division did not help FGSM on their MNIST networks. On our
# small pictures it does. That is another experiment: other pictures, other networks.)

OLD, NEW = ("#0072B2", "#56B4E9", "#000000"), ("#D55E00", "#E69F00", "#009E73", "#CC79A7")
curves = {
    "JSMA, any class": ([claim[t]["JSMA any class"] for t in students], OLD[0], "o-"),
    "FGSM": ([claim[t]["FGSM"] for t in students], OLD[1], "s-"),
    "PGD, cross-entropy": ([broken[t]["PGD, CE"] for t in students], OLD[2], "^-"),
    "C&W": ([broken[t]["C&W"] for t in students], NEW[0], "D--"),
    "PGD, margin": ([broken[t]["PGD, margin"] for t in students], NEW[1], "v--"),
    "JSMA, z / T": ([broken[t]["JSMA, z / T"] for t in students], NEW[2], "P--"),
    "transfer": ([broken[t]["transfer"] for t in students], NEW[3], "X--"),
}
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
for name, (rates, colour, style) in curves.items():
    look = {"ms": 11, "mfc": "none"} if name == "C&W" else {}  # it lies under others
    axes.plot(list(students), rates, style, color=colour, label=name, **look)
axes.set_xscale("log")
axes.set_xticks(list(students), [str(t) for t in students])
axes.minorticks_off()
axes.set(
    xlabel="temperature T of the training",
    ylabel="share of pictures turned",
    ylim=(-0.03, 1.05),
    title="the same students: what seemed to fail (solid), what works (dashed)",
)
axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
axes.grid(alpha=0.3)
axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %%
# What the temperature did
# ------------------------
# In training, the student has to give the soft labels with :math:`z / T` in the softmax, so its
# logits grow to :math:`T` times what they would be. At the test the divisor is gone. The softmax
# then gets differences of hundreds, and :math:`e^{-100}` is less than what a float32 can add to 1
# (about :math:`10^{-7}`): the probability of the true class is exactly 1.
#
# The slope of the cross-entropy is :math:`\partial \ell / \partial z_i = p_i - [i = y]`. With
# :math:`p_y = 1` and all others 0 it is 0, or so small that it vanishes on its way back through the
# network. So is the slope of each softmax output, which JSMA reads. Such
# an attack does not run into a wall; it stands in the dark.

figures = {}
for name, model in models.items():
    clean = x.clone().requires_grad_(True)
    logits = model(clean)
    F.cross_entropy(logits, y, reduction="sum").backward()
    right = (logits.argmax(1) == y).numpy()
    slopes = clean.grad.reshape(count, -1).numpy()[right]
    certain = logits.softmax(1).amax(1).detach().numpy()[right] == 1
    figures[name] = {
        "mean |logit|": logits.abs().mean().item(),
        "probability 1": certain.mean(),
        "slope exactly 0": (slopes == 0).all(1).mean(),
    }
print("    T   mean |logit|   probability 1   slope exactly 0")
for name, (size, certain, dead) in ((n, f.values()) for n, f in figures.items()):
    print(f"{name:>5}{size:>15.1f}{certain:>16.1%}{dead:>18.1%}")
if trained:
    assert figures[100]["mean |logit|"] > 50 * figures[1]["mean |logit|"]
    assert figures[100]["slope exactly 0"] > 0.7
    assert figures[1]["slope exactly 0"] == 0

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
sizes = [figures[t]["mean |logit|"] for t in students]
left.loglog(list(students), sizes, "o-", color="#0072B2", label="students")
left.loglog(
    list(students),
    [sizes[0] * t for t in students],
    ":",
    color="grey",
    label="T times that at 1",
)
left.axhline(
    figures["plain"]["mean |logit|"], color="#D55E00", ls="--", label="plain network"
)
left.set(title="mean size of the logits", xlabel="temperature T")
left.legend()
for key, colour, style in (
    ("probability 1", "#56B4E9", "s-"),
    ("slope exactly 0", "#0072B2", "o-"),
):
    right.plot(
        list(students),
        [figures[t][key] for t in students],
        style,
        color=colour,
        label=key,
    )
survivors = [1 - claim[t]["FGSM"] for t in students]
right.plot(list(students), survivors, "D--", color="#D55E00", label="survives FGSM")
right.set_xscale("log")
right.set(title="share of right pictures", xlabel="temperature T", ylim=(-0.03, 1.03))
right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
right.legend()
for axes in (left, right):
    axes.set_xticks(list(students), [str(t) for t in students])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
plt.show()

# %%
# Notice the gap between the two blue curves: at :math:`T = 5` nine of ten probabilities are already
# 1, and still no slope is 0. The other classes have probabilities of :math:`10^{-20}`, which is
# nothing beside 1, but a number. FGSM and PGD take only its sign, so for them a tiny slope is
# as good as a large one (if a less exact guide). They are lost where float32 ends, at about
# :math:`10^{-45}`. From :math:`T = 20` on, what survives FGSM is what has no slope.
#
# The logits of the students grow about in proportion to :math:`T`, and with them the share of
# pictures on which the slope is lost. But the pictures are as near to the border of their class
# as before: C&W measures the same distance on every network. (Carlini and Wagner saw the same on
# MNIST: logits of 5.8 on average without the defence and 482 at :math:`T = 100`, and a mean L2
# distance of 1.36 without and 1.7 with it.)
#
# Here is the student of :math:`T = 100` on eight pictures. The attack of the paper stops before its
# first pixel, or after few. With the logits divided by 100 it goes all the way.

student = students[100]
tries = {
    "clean": x,
    "JSMA": adversarial.jsma(student, x, y, output="softmax", max_pixels=PIXELS).x_adv,
    "JSMA, z / T": adversarial.jsma(
        AtTemperature(student, 100), x, y, output="softmax", max_pixels=PIXELS
    ).x_adv,
}
rows = np.flatnonzero((student(x).argmax(1) == y).numpy())[:8]
figure, grid = plt.subplots(3, 8, figsize=(9, 3.9), layout="constrained")
for line, (name, images) in zip(grid, tries.items()):
    said = student(images).argmax(1)
    line[0].set_ylabel(name)
    for axes, row in zip(line, rows):
        digit, true = said[int(row)].item(), y[int(row)].item()
        axes.imshow(images[int(row), 0].numpy(), cmap="gray", vmin=0, vmax=1)
        style = {} if digit == true else {"color": "#B34700", "weight": "bold"}
        axes.set_title(f"says {digit}", fontsize=9, **style)
for axes in grid.flat:
    axes.set(xticks=[], yticks=[])
plt.show()

# %%
# Would we have noticed?
# ----------------------
# The report of the page before asks questions that need no knowledge of the defence.

report = adversarial.sanity_report(
    student, x, y, eps=EPS, substitute=plain, undefended=plain
)
print(report.table())
if trained:
    assert not report.passed
    masked = {"gradients_exist", "probabilities_do_not_saturate", "losses_agree"}
    assert masked <= set(report.failures)

# %%
# It fails, and for the right reasons:
#
# - Most gradients of the cross-entropy do not exist, and the probability of the true class is
#   exactly 1 on most pictures. The size of the logits gives a warning.
# - One step seems to leave nearly everything, all attacks together leave nearly nothing.
# - The cross-entropy finds a fraction of what the margin and the DLR loss find: two losses that do
#   not change when the logits are multiplied by a number.
# - Against an attack that knows it, the defence adds nothing to the plain network.
#
# The paper was no fraud and no blunder. It stated its attack, and against that attack the defence
# works. What was missing is the question what an attacker does who *knows* the defence. Since then
# it is the first question of a reviewer.
#
# What remains of the temperature? Distillation with a temperature is a fine way to make small
# networks from large ones (``tc.train.DistillationTrainer``). And :math:`z / T` with a
# :math:`T` fitted after training makes probabilities honest. It never was a way to move a border.
#
# Exercises
# ---------
# 1. Cast a student and the pictures to float64 (``student.double()``, ``x.double()``) and run FGSM
#    again. At which temperatures does it come back, and why not at all?
# 2. Multiply the logits of the *plain* network by 100. Which columns of the two tables does that
#    reproduce, without any distillation?
# 3. Give C&W a ``confidence`` and show what it finds on the plain network to the student of
#    :math:`T = 100`. How much confidence makes nine of ten pictures transfer?
# 4. Train the students with ``common_epochs=0`` or with ``tc.optim.SGD``. Which still learn?
# 5. Distil the *adversarially trained* network of the last page. Is its student robust?
#
# .. dropdown:: The same in PyTorch
#
#    The training of a student is four lines in any loop:
#
#    .. code-block:: python
#
#       with torch.no_grad():
#           soft = F.softmax(teacher(images) / T, dim=1)
#       loss = -(soft * F.log_softmax(student(images) / T, dim=1)).sum(1).mean()
#       loss.backward()
#
#    Mind that there is no factor :math:`T^2`, other than in distillation for compression.
#
# References
# ----------
# - N. Papernot, P. McDaniel, X. Wu, S. Jha and A. Swami, *Distillation as a defense to adversarial
#   perturbations against deep neural networks*, IEEE S&P 2016 (arXiv 1511.04508).
# - N. Papernot et al., *The limitations of deep learning in adversarial settings*, EuroS&P 2016
#   (arXiv 1511.07528): JSMA.
# - N. Carlini and D. Wagner, *Defensive distillation is not robust to adversarial examples*, 2016
#   (arXiv 1607.04311).
# - N. Carlini and D. Wagner, *Towards evaluating the robustness of neural networks*, IEEE S&P 2017
#   (arXiv 1608.04644).
# - A. Athalye, N. Carlini and D. Wagner, *Obfuscated gradients give a false sense of security*,
#   ICML 2018 (arXiv 1802.00420).
