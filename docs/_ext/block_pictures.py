"""Pictures of the blocks of tinyconv.nn: boxes, arrows, and at each arrow what shape it carries.

The shapes are those of a call of the block that the picture names, so that a picture cannot say
what the block does not do. Colours are in the middle between light and dark, for either theme.

    python docs/_ext/block_pictures.py FOLDER png
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

import tinyconv as tc
from tinyconv import config, nn

#: Fill of a box by what it does.
KINDS = {"conv": "#3f74ad", "rest": "#6f7783", "pool": "#b0662a", "join": "#3d8a5f"}
LINE, TEXT = "#868e99", "#7b838e"
STYLE = {"font.family": "DejaVu Sans", "svg.hashsalt": "blocks", "svg.fonttype": "path"}


class Node:
    """A box or circle, by its centre and size."""

    def __init__(self, x, y, width, height):
        self.x, self.y = x, y
        self.left, self.right = (x - width / 2, y), (x + width / 2, y)
        self.top, self.bottom = (x, y - height / 2), (x, y + height / 2)


def size_of(words):
    """Return width and height of a box around words."""
    lines = words.split("\n")
    return 6.4 * max(map(len, lines)) + 20, 14 * len(lines) + 12


class Picture:
    """A drawing whose coordinates are pixels, from the upper left corner."""

    def __init__(self, width, height):
        self.figure = Figure((width / 96, height / 96), dpi=96)
        self.figure.patch.set_alpha(0)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def text(self, x, y, words, size=8.5, align="center", color=TEXT, **options):
        options = {"va": "center", "zorder": 4, **options}
        self.axes.text(x, y, words, fontsize=size, ha=align, color=color, **options)

    def title(self, y, code):
        self.text(12, y, code, 9.5, "left", family="DejaVu Sans Mono")

    def box(self, x, y, words, kind="conv"):
        """Draw a box around words, centred at x."""
        width, height = size_of(words)
        corner = (x - width / 2 + 4, y - height / 2 + 4)
        self.axes.add_patch(FancyBboxPatch(
            corner, width - 8, height - 8, boxstyle="round,pad=4,rounding_size=6",
            facecolor=KINDS[kind], edgecolor="none", zorder=3,
        ))  # fmt: skip
        self.text(x, y, words, color="white", linespacing=1.25)
        return Node(x, y, width, height)

    def join(self, x, y, symbol):
        """Draw where several arrows become one: a sum, a product, or channels side by side."""
        radius = 15 if len(symbol) > 1 else 12
        self.axes.add_patch(Circle((x, y), radius, facecolor=KINDS["join"], zorder=3))
        size = 8.5 if len(symbol) > 1 else 13
        self.text(x, y, symbol, size, color="white", va="center_baseline")
        return Node(x, y, 2 * radius, 2 * radius)

    def end(self, x, y, name):
        """Draw the input or the output."""
        self.text(x, y, name, 12, style="italic")
        return Node(x, y, 20, 20)

    def fork(self, x, y):
        """Draw where one arrow becomes several."""
        self.axes.add_patch(Circle((x, y), 3, facecolor=LINE, edgecolor="none", zorder=2))
        return Node(x, y, 0, 0)

    def arrow(self, *points, label="", at=None, beside=False, head=True):
        """Draw an arrow along points; the label stands above ``at``, default the first piece."""
        xs, ys = zip(*points, strict=True)
        (x0, y0), (x1, y1) = points[-2:]
        length = max(abs(x1 - x0) + abs(y1 - y0), 1)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        ends = (x1 - 6 * dx, y1 - 6 * dy) if head else (x1, y1)
        self.axes.add_line(Line2D((*xs[:-1], ends[0]), (*ys[:-1], ends[1]), color=LINE, lw=1.4,
                                  solid_joinstyle="round", zorder=1))  # fmt: skip
        if head:
            corners = [(x1, y1), (x1 - 8 * dx + 4 * dy, y1 - 8 * dy + 4 * dx),
                       (x1 - 8 * dx - 4 * dy, y1 - 8 * dy - 4 * dx)]  # fmt: skip
            self.axes.add_patch(Polygon(corners, facecolor=LINE, edgecolor="none", zorder=2))
        if label:
            x, y = at or ((xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2)
            if beside:
                self.text(x + 6, y, label, 8.5, "left")
            else:
                self.text(x, y - 4, label, 8.5, va="bottom")

    def save(self, path):
        with mpl.rc_context(STYLE):
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            self.figure.savefig(path, dpi=192, metadata=metadata)


class Shapes:
    """The shapes, without the batch, of what the parts of a module are given and return."""

    def __init__(self, module, *size):
        self.before, self.after = {}, {}
        for name, part in module.named_modules():
            part.register_forward_hook(self._note(name))
        with config.backend.override("numpy"), tc.no_grad():
            module.eval()(tc.zeros(1, *size))

    def _note(self, name):
        def hook(module, args, result):
            self.before[name] = args[0].shape[1:]
            self.after.setdefault(name, []).append(result.shape[1:])

        return hook

    def given(self, name=""):
        return self.words(self.before[name])

    def __call__(self, name="", call=0):
        return self.words(self.after[name][call])

    @staticmethod
    def words(shape):
        return " × ".join(map(str, shape))


def words_wide(label):
    """Return how long an arrow has to be for its label."""
    return 6.1 * len(label) + 16


def row(picture, x, y, label, parts):
    """Draw arrows and boxes from left to right; a part is (words, kind, label of what comes out).

    Return where the last box ends, and the label of the arrow to come.
    """
    for words, kind, after in parts:
        box = picture.box(x + words_wide(label) + size_of(words)[0] / 2, y, words, kind)
        picture.arrow((x, y), box.left, label=label)
        x, label = box.right[0], after
    return x, label


def output(picture, x, y, label):
    """Draw the arrow to the output."""
    end = x + words_wide(label)
    picture.arrow((x, y), (end, y), label=label)
    picture.end(end + 12, y, "y")


# -- the blocks -----------------------------------------------------------------------------------


def residual_block():
    picture = Picture(890, 450)
    shapes = Shapes(nn.ResidualBlock(64), 64, 56, 56)
    picture.title(18, "nn.ResidualBlock(64)")
    _residual(picture, 62, shapes, [
        ("3×3\nnorm, ReLU", "conv", shapes("branch.2")), ("3×3\nnorm", "conv", shapes("branch.4")),
    ])  # fmt: skip
    shapes = Shapes(nn.ResidualBlock(64, version=2), 64, 56, 56)
    picture.title(160, "nn.ResidualBlock(64, version=2)")
    _residual(picture, 204, shapes, [
        ("norm, ReLU", "rest", shapes("before")), ("3×3\nnorm, ReLU", "conv", shapes("branch.2")),
        ("3×3", "conv", shapes("branch.3")),
    ], relu=False)  # fmt: skip
    block = nn.ResidualBlock(64, 256, stride=2, bottleneck=True)
    shapes = Shapes(block, 64, 56, 56)
    picture.title(302, "nn.ResidualBlock(64, 256, stride=2, bottleneck=True)")
    _residual(picture, 346, shapes, [
        ("1×1\nnorm, ReLU", "conv", shapes("branch.2")),
        ("3×3, stride 2\nnorm, ReLU", "conv", shapes("branch.5")),
        ("1×1\nnorm", "conv", shapes("branch.7")),
    ], projection="1×1, stride 2\nnorm")  # fmt: skip
    return picture


def _residual(picture, y, shapes, parts, projection="", relu=True):
    picture.end(18, y, "x")
    fork, below = picture.fork(36, y), y + (72 if projection else 52)
    picture.arrow((28, y), fork.left, head=False)
    x, label = row(picture, fork.x, y, shapes.given(), parts)
    plus = picture.join(x + words_wide(label) + 12, y, "+")
    picture.arrow((x, y), plus.left, label=label)
    middle = ((fork.x + plus.x) / 2, below)
    if projection:
        box = picture.box(*middle, projection)
        picture.arrow((fork.x, y), (fork.x, below), box.left, label=shapes.given(),
                      at=((fork.x + box.left[0]) / 2, below))  # fmt: skip
        picture.arrow(box.right, (plus.x, below), plus.bottom, label=shapes("shortcut"))
    else:
        picture.arrow((fork.x, y), (fork.x, below), (plus.x, below), plus.bottom,
                      label=shapes("shortcut"), at=middle)  # fmt: skip
    x = plus.right[0]
    if relu:
        x, _ = row(picture, x, y, "", [("ReLU", "rest", "")])
    output(picture, x, y, shapes())


def inception_cell():
    cell = nn.InceptionCell(192, 64, 128, 32, 32, reduce_3x3=96, reduce_5x5=16)
    picture, shapes = Picture(770, 330), Shapes(cell, 192, 28, 28)
    picture.title(18, "nn.InceptionCell(192, 64, 128, 32, 32, reduce_3x3=96, reduce_5x5=16)")
    picture.end(18, 180, "x")
    fork, cat = picture.fork(130, 180), picture.join(610, 180, "cat")
    picture.arrow((28, 180), fork.left, label=shapes.given(), head=False)
    conv = "{}\nnorm, ReLU".format
    branches = [
        (60, None, (conv("1×1"), "branches.0")),
        (140, (conv("1×1"), "conv", "branches.1.2"), (conv("3×3"), "branches.1")),
        (220, (conv("1×1"), "conv", "branches.2.2"), (conv("5×5"), "branches.2")),
        (300, ("max pool 3×3\nstride 1", "pool", "branches.3.0"), (conv("1×1"), "branches.3")),
    ]
    for y, before, (words, name) in branches:
        box = picture.box(430, y, words)
        if before:
            first = picture.box(225, y, *before[:2])
            picture.arrow(fork.right, (fork.x, y), first.left)
            picture.arrow(first.right, box.left, label=shapes(before[2]))
        else:
            picture.arrow(fork.right, (fork.x, y), box.left, label=shapes.given(name),
                          at=((fork.x + box.left[0]) / 2, y))  # fmt: skip
        if y in (60, 300):
            way = (cat.x, y), cat.top if y == 60 else cat.bottom
        else:
            side = 174 if y == 140 else 186
            way = (575, y), (575, side), (cat.left[0] + 1, side)
        picture.arrow(box.right, *way, label=shapes(name), at=(528, y))
    output(picture, cat.right[0], 180, shapes())
    return picture


def dense_block():
    block = nn.DenseBlock(16, 3, growth_rate=12)
    picture, shapes = Picture(900, 250), Shapes(block, 16, 8, 8)
    picture.title(18, "nn.DenseBlock(16, 3, growth_rate=12)")
    x, y, below = 28, 62, 112
    picture.end(18, y, "x")
    for number in range(3):
        name = f"layers.{number}"
        fork = picture.fork(x + 8, y)
        picture.arrow((x, y), fork.left, head=False)
        given = shapes.given(name)
        x, label = row(picture, fork.x, y, given, [(f"layer {number + 1}", "conv", shapes(name))])
        cat = picture.join(x + words_wide(label) + 15, y, "cat")
        picture.arrow((x, y), cat.left, label=label)
        picture.arrow(fork.left, (fork.x, below), (cat.x, below), cat.bottom, label=given,
                      at=((fork.x + cat.x) / 2, below))  # fmt: skip
        x = cat.right[0]
    output(picture, x, y, shapes())
    picture.text(12, 160, "inside of layer 1", 9.5, "left")
    first = "layers.0"
    x, label = row(picture, 28, 205, shapes.given(first), [
        ("norm, ReLU", "rest", shapes(f"{first}.1")), ("1×1", "conv", shapes(f"{first}.2")),
        ("norm, ReLU", "rest", shapes(f"{first}.4")), ("3×3", "conv", shapes(f"{first}.5")),
    ])  # fmt: skip
    picture.arrow((x, 205), (x + words_wide(label), 205), label=label)
    return picture


def _line(code, module, size, parts):
    """Return the picture of a block without forks; a part is (words, kind, name of the layer)."""
    picture, shapes = Picture(760, 100), Shapes(module, *size)
    picture.title(18, code)
    picture.end(18, 62, "x")
    parts = [(words, kind, shapes(name)) for words, kind, name in parts]
    x, label = row(picture, 28, 62, shapes.given(), parts)
    output(picture, x, 62, label)
    return picture


def dense_transition():
    return _line("nn.DenseTransition(52)", nn.DenseTransition(52), (52, 8, 8), [
        ("norm, ReLU", "rest", "1"), ("1×1", "conv", "2"), ("average pool 2×2", "pool", "3"),
    ])  # fmt: skip


def depthwise_separable_conv2d():
    block = nn.DepthwiseSeparableConv2d(32, 64, stride=2)
    code = "nn.DepthwiseSeparableConv2d(32, 64, stride=2)"
    return _line(code, block, (32, 112, 112), [
        ("depthwise 3×3, stride 2\nnorm, ReLU", "conv", "2"), ("1×1\nnorm, ReLU", "conv", "5"),
    ])  # fmt: skip


def squeeze_excitation():
    picture, shapes = Picture(890, 140), Shapes(nn.SqueezeExcitation(64), 64, 7, 7)
    picture.title(18, "nn.SqueezeExcitation(64)")
    y, below = 62, 112
    picture.end(18, y, "x")
    fork = picture.fork(36, y)
    picture.arrow((28, y), fork.left, head=False)
    x, label = row(picture, fork.x, y, shapes.given(), [
        ("mean of each\nchannel", "pool", shapes("avgpool")),
        ("1×1\nReLU", "conv", shapes("activation")),
        ("1×1\nsigmoid", "conv", shapes("scale_activation")),
    ])  # fmt: skip
    times = picture.join(x + words_wide(label) + 12, y, "×")
    picture.arrow((x, y), times.left, label=label)
    picture.arrow(fork.left, (fork.x, below), (times.x, below), times.bottom, label=shapes.given(),
                  at=((fork.x + times.x) / 2, below))  # fmt: skip
    output(picture, times.right[0], y, shapes())
    return picture


def inverted_residual():
    picture, shapes = Picture(800, 140), Shapes(nn.InvertedResidual(16, 16), 16, 28, 28)
    picture.title(18, "nn.InvertedResidual(16, 16)")
    y, below = 62, 112
    picture.end(18, y, "x")
    fork = picture.fork(36, y)
    picture.arrow((28, y), fork.left, head=False)
    x, label = row(picture, fork.x, y, shapes.given(), [
        ("1×1\nnorm, ReLU6", "conv", shapes("conv.2")),
        ("depthwise 3×3\nnorm, ReLU6", "conv", shapes("conv.5")),
        ("1×1\nnorm", "conv", shapes("conv.7")),
    ])  # fmt: skip
    plus = picture.join(x + words_wide(label) + 12, y, "+")
    picture.arrow((x, y), plus.left, label=label)
    picture.arrow(fork.left, (fork.x, below), (plus.x, below), plus.bottom, label=shapes.given(),
                  at=((fork.x + plus.x) / 2, below))  # fmt: skip
    output(picture, plus.right[0], y, shapes())
    return picture


def unet():
    net = nn.UNet(3, 2, depth=2, base_width=16)
    picture, shapes = Picture(870, 420), Shapes(net, 3, 64, 64)
    picture.title(18, "nn.UNet(3, 2, depth=2, base_width=16)")
    levels, two = [62, 217, 372], "two 3×3\nnorm, ReLU"
    picture.end(18, levels[0], "x")
    down = [picture.box(156, levels[0], two), picture.box(256, levels[1], two)]
    before = picture.box(366, levels[2], two)
    picture.arrow((28, levels[0]), down[0].left, label=shapes.given())
    for level, (box, below) in enumerate(zip(down, (down[1], before), strict=True)):
        pool = picture.box(box.x, box.y + 68, "max pool 2×2", "pool")
        picture.arrow(box.bottom, pool.top, label=shapes(f"down.{level}"), beside=True)
        picture.arrow(pool.bottom, (box.x, below.y), below.left, label=shapes("pool", level),
                      at=(box.x, below.y - 38), beside=True)  # fmt: skip
    came = shapes("bottom")
    for number, (box, x) in enumerate(zip(reversed(down), (480, 660), strict=True)):
        up = picture.box(x, box.y + 72, "transposed 2×2\nstride 2")
        picture.arrow(before.right, (x, before.y), up.bottom, label=came,
                      at=(x, before.y - 34), beside=True)  # fmt: skip
        cat = picture.join(x, box.y, "cat")
        picture.arrow(up.top, cat.bottom, label=shapes(f"up.{number}"), beside=True)
        middle = (box.right[0] + cat.left[0]) / 2
        picture.arrow(box.right, cat.left, label=shapes(f"down.{1 - number}"), at=(middle, box.y))
        picture.text(middle, box.y + 9, "skip")
        before = picture.box(x + 118, box.y, two)
        picture.arrow(cat.right, before.left,
                      label=shapes.given(f"join.{number}").replace("× ", "×\n", 1))  # fmt: skip
        came = shapes(f"join.{number}")
    head = picture.box(before.x, 147, "1×1")
    picture.arrow(before.bottom, head.top, label=came, beside=True)
    picture.arrow(head.bottom, (head.x, 217), label=shapes(), beside=True)
    picture.end(head.x, 228, "y")
    return picture


PICTURES = (
    residual_block, inception_cell, dense_block, dense_transition, unet, squeeze_excitation,
    inverted_residual, depthwise_separable_conv2d,
)  # fmt: skip


def draw(folder, kind="svg"):
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for make in PICTURES:
            make().save(folder / f"{make.__name__}.{kind}")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), *sys.argv[2:])
