"""Whatever goes wrong in the logging, and whatever the model does, the training is what it would have been without."""

from pathlib import Path
from typing import Any

import pytest
import torch
from logged import of_tag
from odd_models import Around, Function, batch
from torch import Tensor, nn

import actviz_tb
from actviz_tb import attention, encode, maps, outputs, recording, selection, statistics
from actviz_tb.gradients import GradientRecording


def test_an_output_is_the_very_object_that_the_module_made(tmp_path: Path) -> None:
    made: list[Any] = []
    got: list[Any] = []
    model = Around(lambda x: made.append([x, {"x": x}]) or made[-1], use=lambda output: got.append(output) or output[0])
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        model(batch())
    assert got[0] is made[0]


PLACES: dict[str, tuple[Any, str]] = {
    "selection": (selection, "select"),
    "outputs": (outputs, "tensors"),
    "readable": (outputs, "readable"),
    "statistics": (statistics, "summarise"),
    "maps": (maps, "extract"),
    "gram": (recording, "centred_gram"),
    "attention": (attention, "of_call"),
    "transfer": (recording, "Transfer"),
    "gradient": (GradientRecording, "_summarise"),
    "encoding": (encode, "step_events"),
    "encoding gradients": (encode, "gradient_events"),
    "model record": (encode, "model_event"),
}


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.attention = nn.Linear(4, 4), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x[:, None]).relu_()
        return self.attention(x, x, x)[0].softmax(-1)


def losses_of(model: nn.Module, steps: int = 3) -> list[float]:
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    for step in range(steps):
        loss = model(batch(seed=step)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.filterwarnings("ignore::actviz_tb.ActvizWarning")
@pytest.mark.parametrize(("module", "name"), PLACES.values(), ids=PLACES.keys())
def test_no_fault_anywhere_in_the_logging_changes_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken")

    torch.manual_seed(0)
    model = Attends()
    initial = {key: value.clone() for key, value in model.state_dict().items()}
    expected = losses_of(model)
    model.load_state_dict(initial)
    logger = actviz_tb.watch(model, tmp_path, every=1, gradients=True, probe=batch(3))
    with monkeypatch.context() as patch:
        patch.setattr(module, name, broken)
        assert losses_of(model) == expected
        logger.flush()
    assert sum(logger.report().faults.values()) > 0
    losses_of(model, 1)
    logger.close()
    assert "linear" in of_tag(tmp_path, "actviz/step")[3].header["layers"]  # recorded again, once what was broken works


def test_training_goes_on_after_an_evaluation_in_inference_mode(tmp_path: Path) -> None:
    with torch.inference_mode():
        probe = batch(3)
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4), nn.ReLU(inplace=True))
    with torch.inference_mode():
        logger = actviz_tb.watch(model, tmp_path, every=1, gradients=True, probe=probe, on_error="raise")
    for _ in range(2):
        losses_of(model, 1)
        with torch.inference_mode():
            model(batch())  # in training mode, but not a step
            model.eval()(batch())
        model.train()
    logger.close()
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]
    assert list(of_tag(tmp_path, "actviz/gradients")) == [0, 1]


def test_a_model_that_changes_its_input_in_place_sees_the_same_probe_at_every_step(tmp_path: Path) -> None:
    model = nn.Sequential(Function(lambda x: x.mul_(2)), nn.Linear(4, 4))
    with actviz_tb.watch(model, tmp_path, every=1, probe=batch(3)):
        for _ in range(3):
            model(batch())
    shown = of_tag(tmp_path, "actviz/inputs")
    assert [record.arrays["high"].tolist() for record in shown.values()] == [shown[0].arrays["high"].tolist()] * 3


@pytest.mark.usefixtures("implementation")
def test_the_users_default_device_is_not_that_of_what_is_recorded(tmp_path: Path) -> None:
    model, x = Attends(), batch()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, probe=batch(3), on_error="raise"), torch.device("meta"):
        torch.autograd.backward(model(x).square().sum())  # no function that the context sees
    for kind in ("step", "gradients"):
        assert {"linear", "attention[0]", "softmax"} <= set(of_tag(tmp_path, f"actviz/{kind}")[0].header["layers"])
