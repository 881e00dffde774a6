"""What reading gives as pandas' and xarray's own, and what is said where they are missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import synthetic_log
import torch
import xarray
from torch import nn

import actviz_tb
from tensorboard_plugin.actviz.series import COLUMNS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> actviz_tb.Run:
    directory = tmp_path_factory.mktemp("log")
    synthetic_log.write_log(directory, steps=4)
    return actviz_tb.read(directory)["lr-0.1"]


def test_statistics_become_a_frame_with_a_row_a_step(run: actviz_tb.Run) -> None:
    stats = run.stats("conv1")
    frame = stats.to_pandas()
    assert list(frame.columns) == ["wall_time", *COLUMNS]
    assert (frame.index.name, frame.index.tolist()) == ("step", [0, 5, 10, 15])
    for name in COLUMNS:
        np.testing.assert_array_equal(frame[name], getattr(stats, name))
    assert frame["count"].dtype == np.int64
    assert frame["wall_time"].iloc[0] == pandas.Timestamp(synthetic_log.START_S + 1, unit="s", tz="UTC")


def test_a_table_becomes_a_frame_with_a_column_a_layer(run: actviz_tb.Run) -> None:
    frame = run.table("rms").to_pandas()
    assert list(frame.columns) == list(run.layers)
    assert frame.loc[10, "fc1"] == run.stats("fc1").rms[2]


def test_maps_become_an_array_with_the_axes_of_their_layout(run: actviz_tb.Run) -> None:
    maps = run.maps("conv1", 5)
    array = maps.to_xarray()
    assert (array.dims, array.name) == (("sample", "channel", "y", "x"), "conv1")
    np.testing.assert_array_equal(array.sel(sample=2, channel=3), maps.values[2, 3])
    assert array.attrs == {"step": 5, "source": "probe", "pool": (1, 1)}
    vector = run.maps("fc1", 5)
    assert vector.to_xarray().dims == ("sample", "unit")
    assert float(vector.to_xarray().sel(sample=1, unit=100)) == vector.values[1, 100]


def test_sequences_and_attention_become_arrays_with_their_own_axes(tmp_path: Path) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
            return out

    model = Attending()
    with actviz_tb.watch(model, tmp_path, every=1):
        model(torch.randn(3, 5, 4))
    (run,) = actviz_tb.read(tmp_path).runs
    assert run.maps("attention[0]").to_xarray().sizes == {"sample": 3, "row": 5, "column": 4}
    attention = run.attention(*run.layers_with("attention"))
    array = attention.to_xarray()
    assert array.sizes == {"sample": 3, "head": 2, "query": 5, "key": 5}
    np.testing.assert_array_equal(array.sel(sample=2, head=1, query=4), attention.values[2, 1, 4])


def test_histograms_and_channels_become_arrays_over_steps(run: actviz_tb.Run) -> None:
    histograms = run.histograms("conv1")
    array = histograms.to_xarray()
    assert array.dims == ("step", "bin")
    np.testing.assert_array_equal(array.sel(step=10), histograms.shares[2])
    np.testing.assert_array_equal(array["right"], histograms.right)
    channels = run.channels("relu1")
    data = channels.to_xarray()
    assert isinstance(data, xarray.Dataset)
    assert data.sizes == {"step": 4, "channel": 16}
    for name in ("mean", "max", "zero"):
        np.testing.assert_array_equal(data[name].sel(step=15), getattr(channels, name)[3])


@pytest.mark.parametrize(
    ("package", "convert"),
    [
        ("pandas", lambda run: run.stats("conv1").to_pandas()),
        ("pandas", lambda run: run.table("rms").to_pandas()),
        ("xarray", lambda run: run.maps("conv1").to_xarray()),
        ("xarray", lambda run: run.histograms("conv1").to_xarray()),
        ("xarray", lambda run: run.channels("conv1").to_xarray()),
    ],
)
def test_a_missing_package_is_named(
    run: actviz_tb.Run, monkeypatch: pytest.MonkeyPatch, package: str, convert: Callable[[actviz_tb.Run], object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"to_{package}\(\) needs {package}: pip install {package}"):
        convert(run)
