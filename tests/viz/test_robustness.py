"""Pictures of attacks: what is in them, that they are the same each time, and bad arguments."""

import sys
from io import BytesIO

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv import nn, viz
from tinyconv.errors import ArgumentError, MissingDependencyError, ShapeError

pytest.importorskip("matplotlib")


def linear_model(shape, classes=3, seed=0):
    tc.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def attacked(shape=(1, 6, 6), n=7, eps=0.1, **arguments):
    """Return a model, images, and a result with one image that was wrong before."""
    model = linear_model(shape)
    x = tc.tensor(np.random.default_rng(0).uniform(size=(n, *shape)).astype(np.float32))
    y = model(x).argmax(1).detach()
    y[2] = (y[2] + 1) % 3
    return model, x, adv.fgsm(model, x, y, eps=eps, **arguments)


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def png(figure):
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


# -- images ---------------------------------------------------------------------------------------


def order_of(result):
    """Return rows: turned, standing, wrong before."""
    kind = np.where(result.clean_wrong, 2, np.where(result.success, 0, 1))
    return np.argsort(kind, kind="stable")


def test_panel_shows_clean_change_and_sum_of_each_image():
    model, x, result = attacked()
    figure = viz.adversarial_panel(result, x, model, count=7)
    assert 0 < (result.success & ~result.clean_wrong).sum() < 6
    order = order_of(result)
    cells = np.array([axes for axes in figure.axes if axes.get_visible()]).reshape(3, 7)
    for column, row in enumerate(order):
        clean, changed = x[int(row), 0].numpy(), result.x_adv[int(row), 0].numpy()
        assert shown(cells[0, column]) == pytest.approx(clean)
        assert shown(cells[2, column]) == pytest.approx(changed)
        title = cells[1, column].get_title()
        if row == 2:  # wrong before: left as it was
            assert title == "no change"
            assert not shown(cells[1, column]).any()
        else:
            assert title == "10 × change\nlinf 0.1"
            assert shown(cells[1, column]) == pytest.approx(10 * (changed - clean), abs=1e-5)
            assert cells[1, column].images[0].get_clim() == (-1, 1)


def test_panel_titles_are_classes_and_confidence_before_and_after():
    model, x, result = attacked()
    names = ["ant", "bee", "cat"]
    figure = viz.adversarial_panel(result, x, model, names, count=7)
    cells = np.array([axes for axes in figure.axes if axes.get_visible()]).reshape(3, 7)
    for column, row in enumerate(order_of(result)):
        for images, line, wrong in ((x, 0, result.clean_wrong), (result.x_adv, 2, result.success)):
            with tc.no_grad():
                shares = nn.functional.softmax(model(images[int(row)][None]), dim=1)[0].numpy()
            title = cells[line, column].title
            assert title.get_text() == f"{names[shares.argmax()]}: {100 * shares.max():.0f} %"
            assert (title.get_weight() == "bold") == bool(wrong[row])


def test_panel_from_predictions_is_that_from_the_model():
    model, x, result = attacked()
    pair = [viz.robustness.probabilities(model, images) for images in (x, result.x_adv)]
    one, two = (viz.adversarial_panel(result, x, p) for p in (model, pair))
    assert [a.get_title() for a in one.axes] == [a.get_title() for a in two.axes]
    assert png(one) == png(two)


def test_panel_of_colour_images_in_other_bounds():
    model = linear_model((3, 5, 5))
    x = tc.tensor(np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 5)).astype(np.float32))
    result = adv.fgsm(model, x, model(x).argmax(1), eps=0.1, bounds=(-1, 1))
    clean, change, _ = viz.adversarial_panel(result, x, model, count=1).axes
    row = int(order_of(result)[0])
    assert shown(clean) == pytest.approx((np.moveaxis(x.numpy()[row], 0, -1) + 1) / 2)
    assert change.get_title() == "20 × change\nlinf 0.1"  # 0.1 is a twentieth of the range
    difference = np.moveaxis((result.x_adv - x).numpy()[row], 0, -1) / 2
    assert shown(change) == pytest.approx((1 + 20 * difference) / 2, abs=1e-5)


def test_panel_breaks_into_blocks_of_eight():
    model, x, result = attacked(n=10)
    figure = viz.adversarial_panel(result, x, model, count=99)
    assert sum(axes.get_visible() for axes in figure.axes) == 30
    assert len(figure.axes) == 48


def test_panel_prints_the_norm_of_the_attack_and_takes_another():
    model, x, result = attacked(norm="l2", eps=0.5)
    assert (
        viz.adversarial_panel(result, x, model)
        .axes[6]
        .get_title()
        .endswith(f"\nl2 {result.norm['l2'][order_of(result)[0]]:.3g}")
    )
    title = viz.adversarial_panel(result, x, model, norm="l0").axes[6].get_title()
    assert title.endswith(f"\nl0 {result.norm['l0'][order_of(result)[0]]:.3g}")


@pytest.mark.parametrize(
    ("largest", "factor"), [(1.0, 1), (0.1, 10), (8 / 255, 30), (0.3, 3), (0.09, 10), (1e-3, 1000)]
)
def test_factor_is_round_and_fits(largest, factor):
    change = np.array([0.0, -largest, largest / 2])
    assert viz.robustness._magnification(change) == pytest.approx(factor)


def test_factor_follows_the_many_and_not_the_few():
    change = np.full(1000, 0.01)
    change[0] = 0.9
    assert viz.robustness._magnification(change) == pytest.approx(100)


def test_panel_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.Dropout(0.5)).train()
    _, x, result = attacked()
    one, two = (png(viz.adversarial_panel(result, x, model)) for _ in range(2))
    assert one == two  # dropout is off meanwhile
    assert model.training
    assert model[2].training


def test_panel_with_bad_arguments():
    model, x, result = attacked()
    with pytest.raises(ShapeError, match=r"\(7, 2, 6, 6\)"):
        viz.adversarial_panel(result, tc.zeros(7, 2, 6, 6), model)
    with pytest.raises(ShapeError, match="the attack returned"):
        viz.adversarial_panel(result, x[:3], model)
    with pytest.raises(ShapeError, match="predictions"):
        viz.adversarial_panel(result, x, (np.zeros((7, 3)), np.zeros((6, 3))))
    with pytest.raises(ArgumentError, match="at least one image"):
        viz.adversarial_panel(result, x, model, count=0)


# -- figures --------------------------------------------------------------------------------------


def curve(accuracy):
    accuracy = np.array(accuracy)
    return adv.AccuracyCurve(np.array([0.0, 0.1, 0.2]), accuracy, accuracy - 0.1, accuracy + 0.05,
                             np.zeros(4))  # fmt: skip


def test_curves_with_their_intervals():
    curves = {"plain": curve([0.9, 0.5, 0.2]), "robust": curve([0.8, 0.7, 0.6])}
    axes = viz.robustness_curve(curves, "l2").axes[0]
    assert axes.get_xlabel() == "radius eps (l2)"
    for line, band, (name, data) in zip(axes.lines, axes.collections, curves.items(), strict=True):
        assert line.get_label() == name
        assert line.get_xdata().tolist() == [0, 0.1, 0.2]
        assert line.get_ydata().tolist() == data.accuracy.tolist()
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].min() == pytest.approx(data.low.min())
        assert corners[:, 1].max() == pytest.approx(data.high.max())
    one, two = axes.lines
    assert one.get_color() != two.get_color()
    assert one.get_marker() != two.get_marker()
    assert one.get_linestyle() != two.get_linestyle()
    with pytest.raises(ArgumentError, match="at least one curve"):
        viz.robustness_curve({})


def test_transfer_shows_each_rate_and_a_dash_for_none():
    matrix = adv.TransferMatrix(["cnn", "lenet5"], np.array([[0.97, 0.125], [np.nan, 1.0]]))
    axes = viz.transfer_heatmap(matrix).axes[0]
    assert [t.get_text() for t in axes.texts] == ["97%", "12%", "–", "100%"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("made on", "shown to")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cnn", "lenet5"]
    assert shown(axes)[0].tolist() == [0.97, 0.125]


def test_bars_count_each_image_once():
    result = adv.worst_of({"fgsm": attacked()[2]})
    turned = int((result.found_by == "fgsm").sum())
    axes = viz.found_by_bars(result, ["fgsm", "pgd"]).axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["wrong before any attack", "fgsm", "pgd", "still right"]
    assert [bar.get_width() for bar in axes.patches] == [1, turned, 0, 6 - turned]
    assert axes.texts[0].get_text() == "1 (14.3%)"
    names = viz.found_by_bars(result).axes[0].get_yticklabels()
    assert [t.get_text() for t in names] == ["wrong before any attack", "fgsm", "still right"]


# -- slices ---------------------------------------------------------------------------------------


def halves(shape=(1, 4, 4)):
    """Return a model that sees class 1 where the first value is above one half, and an image."""
    model = linear_model(shape, classes=2)
    weight = np.zeros((2, 16), np.float32)
    weight[1, 0] = 20
    model[1].weight.data.copy_(tc.tensor(weight))
    model[1].bias.data.copy_(tc.tensor([10.0, 0.0]))
    return model, tc.full(shape, 0.4)


def test_slice_border_is_where_the_model_changes_its_mind():
    model, x = halves()
    direction = np.zeros((1, 4, 4))
    direction[0, 0, 0] = 0.2
    figure = viz.decision_slice(model, x, direction, eps=0.2, norm="l2", reach=0.3,
                                resolution=31, classes=["low", "high"])  # fmt: skip
    axes = figure.axes[0]
    picture = shown(axes)
    assert picture.shape == (31, 31, 3)
    columns = np.linspace(-0.3, 0.3, 31)
    blue = picture[..., 2] > picture[..., 0]  # the colours of class 0 and class 1
    assert (blue == (columns < 0.1 - 1e-9)).mean() > 0.96
    border = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert border[:, 0] == pytest.approx(0.1, abs=0.005)
    assert {t.get_text() for t in axes.texts} == {"low", "high"}
    clean, moved = axes.lines[:2]
    assert (clean.get_xdata()[0], moved.get_xdata()[0]) == (0, pytest.approx(0.2))


@pytest.mark.parametrize(("norm", "power"), [("linf", np.inf), ("l2", 2), ("l1", 1)])
def test_slice_outline_is_the_ball(norm, power):
    model, x = halves()
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 1, 4, 4)) * 0.1
    axes = viz.decision_slice(model, x, first, second, eps=0.3, norm=norm, resolution=5).axes[0]
    u = first.ravel() / np.linalg.norm(first.ravel(), power)
    v = second.ravel() - u * (second.ravel() @ u) / (u @ u)
    v /= np.linalg.norm(v, power)
    assert abs(u @ v) < 1e-12
    a, b = axes.lines[2].get_data()
    points = np.outer(a, u) + np.outer(b, v)
    assert np.linalg.norm(points, power, axis=1) == pytest.approx(0.3)
    assert axes.lines[2].get_label() == f"{norm} ball, eps 0.3"


def test_slice_looks_at_legal_images_only():
    seen = []

    def model(x):
        seen.append((float(x.min()), float(x.max())))
        return x.reshape(len(x), -1)[:, :2]

    viz.decision_slice(model, tc.full((1, 2, 2), 0.9), tc.full((1, 2, 2), 0.5), resolution=5)
    assert min(low for low, _ in seen) >= 0
    assert max(high for _, high in seen) == 1


def test_slice_is_the_same_each_time_and_leaves_the_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.BatchNorm1d(3)).train()
    x, direction = tc.rand(1, 4, 4), tc.rand(1, 4, 4) - 0.5
    before = model[2].running_mean.numpy().copy()
    pictures = [
        png(viz.decision_slice(model, x, direction, resolution=9, seed=seed)) for seed in (0, 0, 1)
    ]
    assert pictures[0] == pictures[1] != pictures[2]
    assert model.training
    assert np.array_equal(model[2].running_mean.numpy(), before)


def test_slice_text_stays_off_the_marks():
    model, x = halves()
    axes = viz.decision_slice(model, x, tc.full((1, 4, 4), 0.01), norm="l2").axes[0]
    (text,) = axes.texts
    assert max(abs(value) for value in text.get_position()) > 0.05 * axes.get_xlim()[1]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"direction": np.zeros((1, 4, 4))}, ArgumentError, "must not be zero"),
        ({"other": np.full((1, 4, 4), -2.0)}, ArgumentError, "parallel"),
        ({"direction": np.ones((4, 4))}, ShapeError, "'direction'"),
        ({"other": np.ones(3)}, ShapeError, "'other'"),
        ({"resolution": 1}, ArgumentError, "resolution"),
        ({"norm": "l7"}, ArgumentError, "norm"),
    ],
)
def test_slice_with_bad_arguments(changes, error, words):
    model, x = halves()
    with pytest.raises(error, match=words):
        viz.decision_slice(model, x, **{"direction": np.ones((1, 4, 4)), **changes})


def test_without_matplotlib_each_names_the_extra(monkeypatch):
    model, x, result = attacked()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (
        lambda: viz.adversarial_panel(result, x, model),
        lambda: viz.robustness_curve({"a": curve([1.0, 1.0, 1.0])}),
        lambda: viz.found_by_bars(result),
        lambda: viz.transfer_heatmap(adv.TransferMatrix(["a"], np.ones((1, 1)))),
        lambda: viz.decision_slice(model, x[0], tc.ones(1, 6, 6), resolution=3),
    ):
        with pytest.raises(MissingDependencyError, match=r"tinyconv\[viz\]"):
            draw()
