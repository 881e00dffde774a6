"""`watch` in real training loops, read back by TensorBoard's own reader."""

import copy
import io
import math
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from logged import assert_goes, ending, hooks_of, of_tag, records
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import summary_pb2
from tensorboard.util import tensor_util
from tensorboardX import SummaryWriter as TensorboardXWriter
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb
from tensorboard_plugin.actviz import wire


class SmallCNN(nn.Module):
    """In-place ReLU, used twice, and a reshape in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.3)
        self.norm = nn.BatchNorm1d(6 * 5 * 5)
        self.fc1 = nn.Linear(6 * 5 * 5, 20)
        self.fc2 = nn.Linear(20, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.conv1(x))).reshape(len(x), -1)
        return self.fc2(self.dropout(self.relu(self.fc1(self.norm(x)))))


LAYERS = ["conv1", "relu", "pool", "norm", "fc1", "relu:1", "dropout", "fc2"]


def batch(size: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def train(model: nn.Module, steps: int) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(steps):
        x = batch(seed=step)
        loss = nn.functional.cross_entropy(model(x), torch.arange(8) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def reference_outputs(model: SmallCNN, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """An independent forward, written out by hand."""
    outputs = {"conv1": nn.functional.conv2d(x, model.conv1.weight, model.conv1.bias)}
    outputs["relu"] = outputs["conv1"].clamp(min=0)
    outputs["pool"] = nn.functional.max_pool2d(outputs["relu"], 2)
    flat = outputs["pool"].reshape(len(x), -1)
    outputs["norm"] = nn.functional.batch_norm(
        flat, model.norm.running_mean, model.norm.running_var, model.norm.weight, model.norm.bias, model.norm.training
    )
    outputs["fc1"] = outputs["norm"] @ model.fc1.weight.T + model.fc1.bias
    outputs["relu:1"] = outputs["fc1"].clamp(min=0)
    return {name: tensor.detach() for name, tensor in outputs.items()}


def assert_maps_show(record: wire.Record, expected: torch.Tensor) -> None:
    """The dequantised maps are within half a quantisation step of `expected` [S, ...]."""
    shown = wire.dequantise(record.arrays["data"], record.arrays["low"], record.arrays["high"])
    half_step = (record.arrays["high"] - record.arrays["low"])[..., None, None] / wire.MAP_LEVELS / 2
    assert (np.abs(shown - expected.numpy().reshape(shown.shape)) <= half_step + 1e-5 * np.abs(shown)).all(), record.header


def test_one_call_logs_every_layer_in_execution_order(tmp_path: Path) -> None:
    model = SmallCNN()
    ended = ending(actviz_tb.watch(model, tmp_path / "run", every=1))
    train(model, 3)
    del model
    ended()
    steps = of_tag(tmp_path / "run", "actviz/step")
    assert list(steps) == [0, 1, 2]
    assert all(record.header["layers"] == LAYERS for record in steps.values())
    tags = {tag for tag, _, _ in records(tmp_path / "run")}
    assert tags >= {f"actviz/{kind}/{layer}" for kind in ("layer", "maps") for layer in LAYERS}
    described = of_tag(tmp_path / "run", "actviz/model")[0].header
    assert [layer["name"] for layer in described["layers"]] == LAYERS
    assert described["layers"][0]["shape"] == [8, 6, 10, 10]
    assert described["layers"][0]["type"] == "Conv2d"
    assert described["layers"][0]["parameters"] == 60
    assert {"path": "fc1", "type": "Linear", "parameters": 3020} in described["modules"]


def test_recorded_numbers_are_those_of_the_training_forward(tmp_path: Path) -> None:
    model, x = SmallCNN(), batch()
    model.dropout.p = 0.0
    expected = reference_outputs(copy.deepcopy(model).train(), x)
    with actviz_tb.watch(model, tmp_path, every=1):
        model(x)
    step = of_tag(tmp_path, "actviz/step")[0]
    for layer, tensor in expected.items():
        row = step.header["layers"].index(layer)
        values = tensor.numpy().astype(np.float64)
        moments = dict(zip(wire.MOMENTS, step.arrays["moments"][row].tolist(), strict=True))
        counts = dict(zip(wire.COUNTS, step.arrays["counts"][row].tolist(), strict=True))
        scale = np.sqrt((values**2).mean())
        assert moments["mean"] == pytest.approx(values.mean(), rel=1e-5, abs=1e-5 * scale), layer
        assert moments["std"] == pytest.approx(values.std(), rel=1e-5), layer
        assert moments["rms"] == pytest.approx(scale, rel=1e-5), layer
        assert (counts["count"], counts["zero"]) == (values.size, (values == 0).sum()), layer


def test_inplace_relu_does_not_change_the_recorded_conv_output(tmp_path: Path) -> None:
    model, x = SmallCNN(), batch()
    expected = reference_outputs(model, x)["conv1"]
    with actviz_tb.watch(model, tmp_path, every=1):
        model(x)
    record = of_tag(tmp_path, "actviz/maps/conv1")[0]
    assert record.arrays["low"].min() < 0
    assert_maps_show(record, expected[:4])


def test_maps_are_of_the_probe_at_every_step_and_statistics_of_the_training_batch(tmp_path: Path) -> None:
    model, probe = SmallCNN(), batch(5, seed=99)
    logger = actviz_tb.watch(model, tmp_path, every=1, probe=probe, probe_labels=["a", "b", "c", "d", "e"], samples=5)
    for step in range(3):
        expected = reference_outputs(copy.deepcopy(model).eval(), probe)
        train(model, 1)
        logger.flush()
        for layer in ("conv1", "norm", "relu:1"):
            record = of_tag(tmp_path, f"actviz/maps/{layer}")[step]
            assert record.header["source"] == "probe"
            assert_maps_show(record, expected[layer])
    counts = of_tag(tmp_path, "actviz/step")[0].arrays["counts"]
    assert counts[0, 0] == 8 * 6 * 10 * 10
    inputs = of_tag(tmp_path, "actviz/inputs")[0]
    assert inputs.header["labels"] == ["a", "b", "c", "d", "e"]
    assert_maps_show(inputs, probe)
    logger.close()


@pytest.mark.parametrize("with_probe", [False, True])
def test_training_is_the_same_to_the_last_bit_with_and_without_watch(tmp_path: Path, with_probe: bool) -> None:
    results = []
    for watched in (False, True):
        torch.manual_seed(3)
        model = SmallCNN()
        if watched:
            actviz_tb.watch(model, tmp_path, every=2, probe=batch(3, seed=5) if with_probe else None)
        losses = train(model, 6)
        results.append((losses, {name: tensor.clone() for name, tensor in model.state_dict().items()}))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(results[0][1][name], tensor) for name, tensor in results[1][1].items())
    assert all(module.training for module in model.modules())


def test_only_training_forwards_are_counted_and_recorded(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        model(batch())
        model.eval()
        model(batch())
        model.train()
        with torch.no_grad():
            model(batch())
        model(batch())
        assert logger.step == 1
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]


def test_schedule_pause_log_and_step_numbers(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=4, step=100) as logger:
        train(model, 6)  # 100, 104
        logger.pause()
        train(model, 4)  # 108 passes by
        logger.resume()
        logger.log()
        train(model, 1)  # 110
        logger.log(7)
        train(model, 2)  # 7, 112
        logger.mark("epoch 1")
    assert list(of_tag(tmp_path, "actviz/step")) == [100, 104, 110, 7, 112]
    assert {step: record.header["text"] for step, record in of_tag(tmp_path, "actviz/mark").items()} == {113: "epoch 1"}


def test_a_callable_gives_the_step_numbers(tmp_path: Path) -> None:
    model, clock = SmallCNN(), {"step": 30}
    with actviz_tb.watch(model, tmp_path, every=10, step=lambda: clock["step"]):
        for clock["step"] in (30, 35, 40):
            train(model, 1)
    assert list(of_tag(tmp_path, "actviz/step")) == [30, 40]


class Structured(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        out, _ = self.lstm(x)
        return {"logits": self.head(out), "probabilities": self.head(out).softmax(-1)}


def test_parts_of_structured_outputs_and_repeated_calls_are_kept_apart(tmp_path: Path) -> None:
    model = Structured()
    with actviz_tb.watch(model, tmp_path, every=1):
        model(torch.randn(2, 5, 3))
    expected = ["lstm[0]", "lstm[1][0]", "lstm[1][1]", "head", "head:1", "softmax", "Structured.logits"]
    assert of_tag(tmp_path, "actviz/step")[0].header["layers"] == expected


def test_a_block_is_recorded_only_where_it_differs_from_its_last_child(tmp_path: Path) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.linear(x)

    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), Residual())
    with actviz_tb.watch(model, tmp_path, every=1, functional=False):
        model(torch.randn(2, 3))
    assert of_tag(tmp_path, "actviz/step")[0].header["layers"] == ["0.0", "0.1", "1.linear", "1"]


@pytest.mark.parametrize("writer_class", [SummaryWriter, TensorboardXWriter])
def test_the_users_own_writer_gets_the_records_and_the_directory_one_event_file(tmp_path: Path, writer_class: Any) -> None:
    model = SmallCNN()
    with writer_class(str(tmp_path)) as writer:
        actviz_tb.watch(model, writer, every=1)
        for step in range(5):
            writer.add_scalar("loss", train(model, 1)[0], step)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1, 2, 3, 4]
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()
    assert "loss" in accumulator.Tags()["scalars"] + accumulator.Tags()["tensors"]


def test_a_writer_closed_in_mid_training_is_told_once_and_stays_closed(tmp_path: Path) -> None:
    model, writer = SmallCNN(), SummaryWriter(str(tmp_path))
    logger = actviz_tb.watch(model, writer, every=1)
    train(model, 2)
    writer.close()
    train(model, 1)
    with pytest.warns(actviz_tb.ActvizWarning, match="the SummaryWriter is closed"):
        logger.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", actviz_tb.CostWarning)
        train(model, 2)
        logger.close()
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_stock_readers_see_histograms_and_images(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=1):
        train(model, 5)
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()
    relu = [tensor_util.make_ndarray(event.tensor_proto) for event in accumulator.Tensors("activations/relu")]
    assert len(relu) == 5
    assert relu[0].shape[1] == 3
    assert relu[0][:, 2].sum() == 8 * 6 * 10 * 10
    assert (relu[0][1:, 0] == relu[0][:-1, 1]).all()  # without a gap
    assert [event.step for event in accumulator.Tensors("activation_maps/conv1")] == [0, 1, 3]
    width, height, png = accumulator.Tensors("activation_maps/conv1")[0].tensor_proto.string_val
    from PIL import Image

    assert Image.open(io.BytesIO(png)).size == (int(width), int(height))
    assert accumulator.SummaryMetadata("activations/relu").plugin_data.plugin_name == "histograms"
    assert accumulator.SummaryMetadata("actviz/step").data_class == summary_pb2.DATA_CLASS_BLOB_SEQUENCE
    assert accumulator.SummaryMetadata("activation_maps/conv1").plugin_data.plugin_name == "images"


def test_inputs_that_cannot_be_drawn_still_have_their_labels(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    tokens = torch.randint(0, 9, (3, 5))
    with actviz_tb.watch(model, tmp_path, every=1, probe=tokens, probe_labels=["a", "b", "c"]):
        model(tokens)
    record = of_tag(tmp_path, "actviz/inputs")[0]
    assert (record.header["labels"], record.header["layout"], record.arrays) == (["a", "b", "c"], None, {})


def test_a_label_that_is_a_list_of_tokens_is_recorded_as_tokens(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    tokens = torch.tensor([[0, 1], [2, 3], [4, 0]])
    with actviz_tb.watch(model, tmp_path, every=1, probe=tokens, probe_labels=[["a", "b"], "plain", ("c", " a")]):
        model(tokens)
    record = of_tag(tmp_path, "actviz/inputs")[0]
    assert record.header["labels"] == ["ab", "plain", "c a"]
    assert record.header["tokens"] == [["a", "b"], None, ["c", " a"]]


def test_stock_tabs_can_be_left_out(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=1, stock_tabs=False):
        train(model, 1)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert all(tag.startswith("actviz/") for tag in accumulator.Tags()["tensors"])


class Halfway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.broken = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if self.broken:
            raise RuntimeError("half way")
        return self.second(x)


def test_a_forward_that_raises_leaves_no_hook_and_its_own_exception(tmp_path: Path) -> None:
    model = Halfway()
    with actviz_tb.watch(model, tmp_path, every=1):
        with pytest.raises(RuntimeError, match=r"^half way$") as caught:
            model(torch.ones(1, 2))
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert hooks_of(model) == 1  # the gate
        model.broken = False
        model(torch.ones(1, 2))
        assert hooks_of(model) == 1
    assert hooks_of(model) == 0
    steps = of_tag(tmp_path, "actviz/step")
    assert steps[0].header["layers"] == ["first"]
    assert steps[1].header["layers"] == ["first", "second"]


def test_an_interrupt_leaves_hooks_only_until_the_next_forward(tmp_path: Path) -> None:
    model = Halfway()
    model.broken = False
    with actviz_tb.watch(model, tmp_path, every=lambda step: step == 0):
        handle = model.second.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            model(torch.ones(1, 2))
        handle.remove()
        model(torch.ones(1, 2))
        assert hooks_of(model) == 1


def test_a_fault_in_recording_is_told_once_a_layer_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actviz_tb import statistics

    original = statistics.summarise

    def broken(activation: torch.Tensor, *rest: Any) -> Any:
        if activation.shape[-1] == 20:
            raise RuntimeError("no memory")
        return original(activation, *rest)

    monkeypatch.setattr(statistics, "summarise", broken)
    model = SmallCNN()
    with warnings.catch_warnings(record=True) as caught, actviz_tb.watch(model, tmp_path, every=1) as logger:
        warnings.simplefilter("always")
        train(model, 3)
        report = logger.report()
    told = [str(warning.message) for warning in caught if issubclass(warning.category, actviz_tb.ActvizWarning)]
    assert len(told) == 3
    assert "recording layer 'fc1' failed, training goes on: RuntimeError: no memory" in told[0]
    assert report.faults == {"fc1": 3, "relu": 3, "dropout": 3}
    assert of_tag(tmp_path, "actviz/step")[2].header["layers"] == ["conv1", "relu", "pool", "norm", "fc2"]


def test_on_error_raise_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actviz_tb import statistics

    monkeypatch.setattr(statistics, "summarise", lambda *_: 1 / 0)
    model = SmallCNN()
    with (
        actviz_tb.watch(model, tmp_path, every=1, on_error="raise"),
        pytest.raises(actviz_tb.LoggingError, match=r"'conv1'.*ZeroDivisionError"),
    ):
        model(batch())


def test_a_probe_of_the_wrong_shape_is_told_once_and_maps_come_from_the_training_batch(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=1, probe=torch.randn(4, 3, 12, 12)):
        with pytest.warns(actviz_tb.ActvizWarning, match=r"does not take the probe of shape \(4, 3, 12, 12\).*training batch instead"):
            train(model, 1)
        forwards: list[bool] = []
        model.register_forward_pre_hook(lambda module, args: forwards.append(module.training))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(model, 1)
        assert forwards == [True]  # the probe is not tried again
    maps = of_tag(tmp_path, "actviz/maps/conv1")
    assert [record.header["source"] for record in maps.values()] == ["train", "train"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, actviz_tb.ArgumentTypeError, "model is a int; expected a torch.nn.Module"),
        ({"target": 3}, actviz_tb.ArgumentTypeError, "target=3 is a int; expected a log directory"),
        ({"every": 0}, actviz_tb.ArgumentError, "every=0; expected 1"),
        ({"every": "often"}, actviz_tb.ArgumentTypeError, "every='often' is a str"),
        ({"model": "runs", "target": nn.ReLU()}, actviz_tb.ArgumentTypeError, r"look swapped: expected watch\(model, 'runs'\)"),
        ({"layers": "conv9"}, actviz_tb.LayerNotFoundError, "the nearest names: 'conv1'"),
        ({"layers": "xyz*"}, actviz_tb.LayerNotFoundError, "matches none of the 8 modules; there are: 'SmallCNN', 'conv1', 'relu'"),
        ({"samples": -1}, actviz_tb.ArgumentError, "samples=-1; expected 0 or more"),
        ({"max_size": 2.5}, actviz_tb.ArgumentTypeError, "max_size=2.5 is a float"),
        ({"step": -1}, actviz_tb.ArgumentTypeError, "step=-1; expected"),
        ({"on_error": "ignore"}, actviz_tb.ArgumentError, "on_error='ignore'; expected 'warn' or 'raise'"),
        ({"probe": "image.png"}, actviz_tb.ArgumentTypeError, "probe=str has no tensor"),
        ({"probe": torch.ones(0, 3)}, actviz_tb.ArgumentError, r"the probe has shape \(0, 3\)"),
        ({"probe": torch.ones(2, 1, 12, 12), "probe_labels": [1]}, actviz_tb.ArgumentError, "1 probe_labels for a probe of 2 samples"),
        ({"probe_labels": [1]}, actviz_tb.ArgumentError, "probe_labels without a probe"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"model": SmallCNN(), "target": tmp_path / "run", **arguments}
    with pytest.raises(error, match=message):
        actviz_tb.watch(given.pop("model"), given.pop("target"), **given)
    assert not (tmp_path / "run").exists()


def test_an_unusable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(actviz_tb.ArgumentError, match=r"cannot make the log directory .*give one that can be written to"):
        actviz_tb.watch(SmallCNN(), tmp_path / "file" / "run")
    with pytest.raises(actviz_tb.ArgumentError, match="/proc") as raised:
        actviz_tb.watch(SmallCNN(), "/proc/run")
    assert raised.value.__suppress_context__  # the message tells the cause
    with pytest.raises(actviz_tb.ArgumentError, match="file' is a file; give a log directory"):
        actviz_tb.watch(SmallCNN(), tmp_path / "file")


def test_a_closed_writer_is_refused(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    writer.close()
    with pytest.raises(actviz_tb.ArgumentError, match="the SummaryWriter is closed; watch with an open one"):
        actviz_tb.watch(SmallCNN(), writer)


def test_a_lightning_like_logger_is_told_what_to_give(tmp_path: Path) -> None:
    class Logger:
        experiment = SummaryWriter(str(tmp_path))

    with pytest.raises(actviz_tb.ArgumentTypeError, match=r"watch\(model, logger.experiment\)"):
        actviz_tb.watch(SmallCNN(), Logger())
    Logger.experiment.close()


def test_a_directory_in_which_this_process_already_writes_is_warned_of(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    with pytest.warns(actviz_tb.ActvizWarning, match="pass that SummaryWriter to watch"):
        actviz_tb.watch(SmallCNN(), tmp_path)
    writer.close()


def test_a_second_model_needs_a_directory_of_its_own(tmp_path: Path) -> None:
    first, second = SmallCNN(), SmallCNN()
    with SummaryWriter(str(tmp_path / "shared")) as writer:
        actviz_tb.watch(first, writer, every=1)
        with pytest.raises(actviz_tb.ArgumentError, match=r"already takes the activations of a SmallCNN; close that logger first, give"):
            actviz_tb.watch(second, writer)
        actviz_tb.watch(second, tmp_path / "own", every=1)
        train(first, 1)
        train(second, 2)
    assert list(of_tag(tmp_path / "shared", "actviz/step")) == [0]


def test_watching_again_as_in_a_notebook_takes_over(tmp_path: Path) -> None:
    logger = actviz_tb.watch(SmallCNN(), tmp_path, every=1)  # the model is gone at once, its logger is kept
    model = SmallCNN()
    logger = actviz_tb.watch(model, tmp_path, every=1)
    logger = actviz_tb.watch(model, tmp_path, every=1)
    train(model, 2)
    logger.close()
    assert hooks_of(model) == 0
    assert sum(tag == "actviz/step" for tag, _, _ in records(tmp_path)) == 2


def test_sequences_of_other_lengths_do_not_write_the_model_record_again(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    with actviz_tb.watch(model, tmp_path, every=1):
        for length in (5, 7, 6):
            model(torch.ones(2, length, 3))
        model.append(nn.ReLU())
        model(torch.ones(2, 5, 3))
    assert list(of_tag(tmp_path, "actviz/model")) == [0, 3]


def test_a_step_in_which_no_layer_was_called_is_told(tmp_path: Path) -> None:
    class Bypass(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = nn.Sequential(Bypass(2, 2))
    with actviz_tb.watch(model, tmp_path, every=1, layers=lambda name, module: isinstance(module, Bypass)):
        model.forward = lambda x: x  # type: ignore[method-assign]
        with pytest.warns(actviz_tb.ActvizWarning, match="no layer was called in a logged step"):
            model(torch.ones(1, 2))


HOSTILE = ["<script>alert(1)<_script>", "with spaces", "a/b//c", "x" * 300, "naïve ☃", "%2e%2e", "quote\"'&"]


def test_any_layer_name_survives(tmp_path: Path) -> None:
    model = nn.Sequential()
    for name in HOSTILE:
        model.add_module(name, nn.Linear(2, 2))
    with actviz_tb.watch(model, tmp_path, every=1):
        model(torch.ones(1, 2))
    assert of_tag(tmp_path, "actviz/step")[0].header["layers"] == HOSTILE
    assert of_tag(tmp_path, f"actviz/maps/{HOSTILE[0]}")[0].header["layer"] == HOSTILE[0]


def test_a_watched_model_can_be_copied_and_pickled_and_the_copy_is_not_watched(tmp_path: Path) -> None:
    model = SmallCNN()
    with actviz_tb.watch(model, tmp_path, every=1):
        for duplicate in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            train(duplicate, 2)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        train(model, 1)
    assert list(of_tag(tmp_path, "actviz/step")) == [0]


def test_the_logger_keeps_no_model_alive(tmp_path: Path) -> None:
    model = SmallCNN()
    logger = actviz_tb.watch(model, tmp_path, every=1)
    train(model, 1)
    gone = weakref.ref(model)
    del model
    assert_goes(gone)
    logger.close()
    logger.close()


def test_outputs_that_cannot_be_summarised_are_listed_with_the_reason(tmp_path: Path) -> None:
    class Argmax(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(-1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.argmax, self.unused = nn.Linear(2, 2), Argmax(), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.argmax(x)
            return self.linear(x)

    model = Model()
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        model(torch.ones(1, 2))
        report = logger.report()
    assert list(report.layers) == ["linear"]
    assert report.layers["linear"].size_bytes > 0
    assert report.size_bytes > report.layers["linear"].size_bytes
    assert report.skipped == {"argmax": "dtype torch.int64"}
    assert report.never_fired == ["unused"]
    assert "never called: unused" in str(report)
    assert "not recorded: argmax: dtype torch.int64" in str(report)


def script(body: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import torch, actviz_tb, os, sys\nfrom torch import nn\n" + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def test_everything_is_written_when_the_interpreter_exits(tmp_path: Path) -> None:
    body = """
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        actviz_tb.watch(model, sys.argv[1], every=1)
        for _ in range(50): model(torch.ones(2, 4))
        if sys.argv[2] == "raise": raise SystemExit(3)
    """
    assert script(body, str(tmp_path / "end"), "").returncode == 0
    assert script(body, str(tmp_path / "raise"), "raise").returncode == 3
    for name in ("end", "raise"):
        assert list(of_tag(tmp_path / name, "actviz/step")) == list(range(50))


def test_the_schedule_is_asked_once_a_step(tmp_path: Path) -> None:
    asked: list[int] = []

    def due(step: int) -> bool:
        asked.append(step)
        return step % 3 == 0

    model = nn.Sequential(nn.Linear(4, 4))
    with actviz_tb.watch(model, tmp_path, every=due):
        for _ in range(10):
            model(torch.ones(2, 4))
    assert asked == list(range(10))
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 3, 6, 9]


def test_a_forked_child_writes_nothing_and_does_not_hang(tmp_path: Path) -> None:
    body = """
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        logger = actviz_tb.watch(model, sys.argv[1], every=1)
        model(torch.ones(2, 4))
        child = os.fork()
        for _ in range(20): model(torch.ones(2, 4))
        if not child: sys.exit(logger.report().steps != 1)
        else: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    result = script(body, str(tmp_path))
    assert result.returncode == 0, result.stderr
    steps = [step for tag, step, _ in records(tmp_path) if tag == "actviz/step"]
    assert steps == list(range(21))


def test_a_full_disk_is_told_once_the_log_stays_readable_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    body = """
        import resource, warnings
        warnings.simplefilter("always")
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        logger = actviz_tb.watch(model, sys.argv[1], every=1)
        for step in range(30):
            path = os.path.join(sys.argv[1], os.listdir(sys.argv[1])[0])
            if step == 10: resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + 5000, resource.RLIM_INFINITY))
            if step == 20: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            model(torch.randn(64, 64))
            logger.flush()
            data, end = open(path, "rb").read(), 0
            while end < len(data): end += 16 + int.from_bytes(data[end : end + 8], "little")
            assert end == len(data), "half a record at the end"
    """
    result = script(body, str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("recording a step failed, training goes on: OSError") == 1, result.stderr
    steps = list(of_tag(tmp_path, "actviz/step"))
    assert steps[:10] == list(range(10))
    assert steps[-10:] == list(range(20, 30))
    assert len(steps) < 30


def test_nan_and_infinity_are_recorded_not_dropped(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with torch.no_grad():
        model[0].bias[1], model[0].bias[2] = math.nan, math.inf
    with actviz_tb.watch(model, tmp_path, every=1):
        model(torch.zeros(3, 4))
    step = of_tag(tmp_path, "actviz/step")[0]
    counts = dict(zip(wire.COUNTS, step.arrays["counts"][0].tolist(), strict=True))
    assert (counts["nan"], counts["posinf"], counts["neginf"]) == (3, 3, 0)
    maps = of_tag(tmp_path, "actviz/maps/0")[0].arrays["data"][0, 0, 0]
    assert (maps == wire.MAP_NONFINITE).tolist() == [False, True, True, False]
