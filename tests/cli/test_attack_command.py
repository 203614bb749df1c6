"""``python -m tinyconv attack`` on a small trained checkpoint."""

import re
import shutil
import sys

import pytest

import tinyconv as tc
from tinyconv import adversarial
from tinyconv.cli import attack, main

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a short run."""
    folder = tmp_path_factory.mktemp("trained") / "lenet5-digits"
    with tc.config.override(max_steps=12, progress="0"):
        assert main(["train", "lenet5", "--epochs", "2", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def quick(monkeypatch, tmp_path, trained):
    """Run in a folder that holds one checkpoint."""
    run = tmp_path / "runs" / "lenet5-digits"
    run.mkdir(parents=True)
    shutil.copy(trained / "best.safetensors", run)
    monkeypatch.chdir(tmp_path)
    with tc.config.override(progress="0"):
        yield run


def rows(text):
    """Return the lines of the table, split at two blanks."""
    lines = text.split("-----")[-1].splitlines()[1:]
    table = [re.split(r" {2,}", line) for line in lines if re.search(r"\d%", line)]
    return {row[0]: row[1:] for row in table}


def test_one_attack_prints_a_table_and_draws(quick, capsys):
    pytest.importorskip("matplotlib")
    assert main(["attack", "--count", "12", "--steps", "3"]) == 0
    text = capsys.readouterr().out
    assert "lenet5, 12 test images of digits" in text
    assert "changes of at most 0.1 in the linf norm" in text
    assert "clean accuracy" in text
    assert re.search(r"attack +robust accuracy +median linf +median l2 +forward +backward", text)
    assert set(rows(text)) == {"pgd"}
    assert (quick / "adversarial.png").stat().st_size > 5000


def test_figures_are_those_of_the_attacks(quick, capsys):
    command = ["attack", "--attack", "fgsm", "pgd", "--count", "15", "--steps", "4",
               "--eps", "0.05", "--seed", "3"]  # fmt: skip
    assert main(command) == 0
    text = capsys.readouterr().out
    model, _ = attack.load_model(quick / "best.safetensors")
    test = tc.datasets.Digits(train=False, size=28)
    x, y = tc.as_tensor(test.images)[:15], tc.as_tensor(test.targets)[:15]
    fgsm = adversarial.fgsm(model, x, y, eps=0.05, seed=3)
    pgd = adversarial.pgd(model, x, y, eps=0.05, steps=4, seed=3)
    table = rows(text)
    assert table["fgsm"][0] == f"{fgsm.robust_accuracy:.2%}"
    assert table["pgd"][0] == f"{pgd.robust_accuracy:.2%}"
    assert table["pgd"][3] == f"{pgd.queries[:, 0].mean():.1f}"
    both = 1 - (fgsm.success | pgd.success).mean()
    assert table["worst for each image"][0] == f"{both:.2%}"
    assert f"clean accuracy {1 - pgd.clean_wrong.mean():.2%}" in text


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_report(name, quick, capsys):
    pytest.importorskip("matplotlib")
    command = ["attack", "--attack", "fgsm", "bim", "--count", "8", "--norm", "l2",
               "--report", name, "--out", "here.png"]  # fmt: skip
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "1.5 in the l2 norm" in text
    assert "wrote here.png" in text
    assert f"wrote {name}" in text
    report = (quick.parent.parent / name).read_text()
    assert "Robustness of lenet5 on digits" in report
    assert "worst for each image" in report


def test_all_attacks_are_known_by_name():
    known = attack.attacks()
    assert {"fgsm", "bim", "pgd", "apgd", "mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm"} <= set(known)
    assert not {"worst_case", "worst_of", "at_radius", "accuracy_curve", "transfer_matrix", "run",
                "smallest_eps", "isolated"} & set(known)  # fmt: skip


def test_attacks_without_a_radius(quick, capsys, monkeypatch):
    def nearest(model, x, y, *, bounds=(0, 1), seed=0, index=None) -> adversarial.AttackResult:
        return adversarial.fgsm(model, x, y, eps=1.0, bounds=bounds, seed=seed, index=index)

    def spatial(model, x, y, *, bounds=(0, 1), seed=0, index=None) -> adversarial.AttackResult:
        return adversarial.fgsm(model, x, y, eps=1.0, bounds=bounds, seed=seed, index=index)

    monkeypatch.setattr(adversarial, "nearest", nearest, raising=False)
    monkeypatch.setattr(adversarial, "spatial", spatial, raising=False)
    monkeypatch.setattr(adversarial, "__all__", ["fgsm", "nearest", "spatial"])
    names = ["fgsm", "nearest", "spatial"]
    assert main(["attack", "--attack", *names, "--count", "20", "--eps", "0.15"]) == 0
    text = capsys.readouterr().out
    table = rows(text)
    share = {name: float(row[0].rstrip("%")) for name, row in table.items()}
    assert share["spatial *"] < share["nearest"]  # limited by the radius, unlike the other one
    assert float(table["nearest"][1]) <= 0.15
    assert share["worst for each image"] == min(share["fgsm"], share["nearest"])
    assert "* limited in its own way" in text
    assert main(["attack", "--attack", "spatial", "--report", "r.html"]) == 2
    assert "has no radius" in capsys.readouterr().err
    assert main(["attack", "--attack", "spatial", "--count", "4"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.safetensors"], "train one with `python -m tinyconv train`"),
        (["--attack", "fgsm", "--steps", "3"], "fgsm has no steps"),
        (["--report", "r.pdf"], ".html"),
        (["--report", "no/r.html"], "no folder"),
        (["--count", "2", "--steps", "1", "--out", "no/a.png"], "cannot write no/a.png"),
        (["--count", "2", "--steps", "1", "--out", "a.xyz"], "cannot write a.xyz"),
        (["--attack", "mi_fgsm", "--norm", "l1", "--count", "2"], "norm"),
    ],
)
def test_what_cannot_be_done_says_why(arguments, words, quick, capsys):
    assert main(["attack", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("tinyconv attack: error: ")
    assert words in captured.err


def test_no_checkpoint_at_all(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["attack"]) == 2
    assert "train one with `python -m tinyconv train`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--eps", "0"], ["--eps", "inf"], ["--count", "0"], ["--steps", "-1"],
                  ["--attack", "nix"], ["--norm", "l3"]]
)  # fmt: skip
def test_bad_options(arguments, quick, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["attack", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_matplotlib(quick, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["attack", "--count", "4", "--steps", "1"]) == 0
    captured = capsys.readouterr()
    assert "robust accuracy" in captured.out
    assert "tinyconv[viz]" in captured.err
    assert not (quick / "adversarial.png").exists()
    for asked in (["--report", "r.html"], ["--out", "a.png"]):
        assert main(["attack", "--count", "4", *asked]) == 2
        captured = capsys.readouterr()
        assert "tinyconv[viz]" in captured.err
        assert "robust accuracy" not in captured.out
