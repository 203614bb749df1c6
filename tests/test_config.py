"""Settings: precedence, legality, and that an override ends with its block."""

import contextlib
import threading

import pytest

from tinyconv import config
from tinyconv.errors import ConfigError


def test_override_beats_setter_beats_default():
    assert config.dtype.get() == "float32"
    try:
        config.dtype.set("float64")
        assert config.dtype.get() == "float64"
        with config.dtype.override("float32"):
            assert config.dtype.get() == "float32"
        assert config.dtype.get() == "float64"
    finally:
        config.dtype.set("float32")


def test_environment_beats_default(monkeypatch):
    monkeypatch.setenv("TINYCONV_NUM_THREADS", "3")
    setting = config.Setting("num_threads", None, config._optional_integer(1), "", "")
    assert setting.get() == 3


def test_override_ends_after_an_exception():
    with contextlib.suppress(KeyError), config.override(backend="numpy", debug=2):
        assert (config.backend.get(), config.debug.get()) == ("numpy", 2)
        raise KeyError
    assert (config.backend.get(), config.debug.get()) == ("auto", 0)


def test_override_is_seen_by_its_thread_only():
    seen = []
    with config.backend.override("numpy"):
        thread = threading.Thread(target=lambda: seen.append(config.backend.get()))
        thread.start()
        thread.join()
    assert seen == ["auto"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "gpu"), ("device", "cuda:x"), ("device", "auto:1"), ("backend", "torch"),
        ("dtype", "int64"), ("seed", -1), ("seed", 2**64), ("seed", 1.5), ("num_threads", 0),
        ("debug", 4), ("deterministic", 2), ("offline", "yes"), ("progress", "maybe"),
        ("max_epochs", 0), ("max_steps", "many"), ("float32_precision", "low"),
    ],
)  # fmt: skip
def test_illegal_value_raises_names_the_legal_ones_and_changes_nothing(name, value):
    setting = config.SETTINGS[name]
    before = setting.get()
    with pytest.raises(ConfigError, match=name) as caught:
        setting.set(value)
    assert setting.legal in str(caught.value)
    assert setting.get() == before


def test_unknown_setting_in_override():
    with pytest.raises(ConfigError, match="unknown setting 'devise'"), config.override(devise=1):
        pass


def test_data_folder_follows_cache_folder(tmp_path):
    with config.cache_dir.override(tmp_path):
        assert config.data_dir.get() == tmp_path / "data"


def test_table_has_every_setting():
    assert [row[0] for row in config.table()] == [
        "TINYCONV_" + name.upper() for name in config.SETTINGS
    ]
