"""The command line, run as a user runs it."""

import csv
import os
import signal
import subprocess
import sys

import pytest

import tinyconv as tc
from tinyconv.cli import main

pytest.importorskip("sklearn")


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Run in an empty folder, two steps an epoch."""
    monkeypatch.chdir(tmp_path)
    with tc.config.override(max_steps=2, progress="0"):
        yield tmp_path


def test_train_predict_and_their_files(quick, capsys):
    assert main(["train", "lenet5", "--epochs", "2"]) == 0
    out = quick / "runs" / "lenet5-digits"
    assert {p.name for p in out.iterdir()} == {
        "best.safetensors", "last.safetensors", "history.csv", "curves.png", "confusion.png",
    }  # fmt: skip
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    text = capsys.readouterr().out
    assert "61,706" in text
    assert "test accuracy" in text
    assert main(["predict", "--count", "5"]) == 0
    assert (out / "predictions.png").exists()
    assert "of 5 correct" in capsys.readouterr().out


def test_resume_refuses_other_settings(quick, capsys):
    assert main(["train", "lenet5", "--epochs", "1", "--out", "r"]) == 0
    assert main(["train", "lenet5", "--epochs", "1", "--out", "r", "--lr", "1", "--resume"]) == 2
    assert "--lr" in capsys.readouterr().err


def test_resume_without_a_run(quick, capsys):
    assert main(["train", "--resume", "--out", "nothing"]) == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_unwritable_folder_stops_before_training(quick, capsys):
    (quick / "file").write_text("")
    assert main(["train", "--out", "file/run"]) == 2
    captured = capsys.readouterr()
    assert "cannot write to the output folder file/run" in captured.err
    assert "epoch" not in captured.out


def test_device_that_cannot_be_had(quick, capsys):
    assert main(["train", "--device", "cuda"]) == 2
    assert "cuda" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--epochs", "0"], ["--lr", "-1"], ["--lr", "nan"], ["--batch-size", "x"]]
)
def test_bad_numbers(arguments, quick, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_predict_on_a_foreign_file(quick, capsys):
    tc.save({"a": tc.zeros(2)}, quick / "x.safetensors")
    assert main(["predict", "x.safetensors"]) == 2
    assert "not a classifier" in capsys.readouterr().err
    assert main(["predict"]) == 2
    assert "no checkpoint under runs/" in capsys.readouterr().err


def test_truncated_checkpoint(quick, capsys):
    assert main(["train", "lenet5", "--epochs", "1", "--out", "runs/a"]) == 0
    path = quick / "runs" / "a" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert main(["predict", str(path)]) == 2
    assert "best.safetensors" in capsys.readouterr().err


def test_without_matplotlib_a_hint_and_no_failure(quick, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", "lenet5", "--epochs", "1"]) == 0
    assert "tinyconv[viz]" in capsys.readouterr().err
    assert not (quick / "runs" / "lenet5-digits" / "curves.png").exists()


def test_ctrl_c_saves_and_resume_ends_where_a_straight_run_does(tmp_path):
    command = [sys.executable, "-m", "tinyconv", "train", "lenet5", "--epochs", "3"]
    environment = {**os.environ, "TINYCONV_PROGRESS": "0", "TINYCONV_MAX_STEPS": "5"}
    common = {"cwd": tmp_path, "env": environment, "text": True}
    subprocess.run([*command, "--out", "straight"], check=True, capture_output=True, **common)
    with subprocess.Popen([*command, "--out", "stopped"], stdout=subprocess.PIPE, **common) as run:
        for line in run.stdout:
            if line.startswith("epoch"):
                run.send_signal(signal.SIGINT)
                break
        rest = run.stdout.read()
    assert run.returncode == 130
    assert "stopped by a signal" in rest
    subprocess.run(
        [*command, "--out", "stopped", "--resume"], check=True, capture_output=True, **common
    )
    straight = tc.load(tmp_path / "straight" / "last.safetensors")["trainer"]["model"]
    resumed = tc.load(tmp_path / "stopped" / "last.safetensors")["trainer"]["model"]
    for name, value in straight.items():
        assert value.equal(resumed[name]), name


def test_info_prints_versions_devices_and_settings(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in (tc.__version__, "numpy", "cpu", "TINYCONV_SEED", "threads"):
        assert word in text
