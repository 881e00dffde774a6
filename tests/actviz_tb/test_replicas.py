"""DataParallel: in place of several GPUs, on replicas that are made as torch makes them, one with values and one without."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from logged import counts_and_moments, hooks_of, layers_of, of_tag
from torch import nn

import actviz_tb

DEVICES = ("cpu", "meta")


def replica_of(module: nn.Module, device: str) -> nn.Module:
    """As `torch.nn.parallel.replicate` makes it."""
    replica = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        replica._modules[name] = replica_of(child, device)
    for name, parameter in module._parameters.items():
        setattr(replica, name, parameter.to(device))
    return replica


class Overtaking(nn.Identity):
    """In replicas, has the second begin its rest once the first is here, and the first only once the second has ended."""

    turns: tuple[Event, Event] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.turns is not None:
            is_first_here, has_second_ended = self.turns
            if x.device.type == DEVICES[0]:
                is_first_here.set()
                assert has_second_ended.wait(60)
            else:
                assert is_first_here.wait(60)
        return x


class OnTwoDevices(nn.DataParallel):
    """The first half of a batch on the one device, the second at the same time on the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        replicas = [replica_of(self.module, device) for device in DEVICES]
        shares = [share.to(device) for share, device in zip(x.chunk(len(DEVICES)), DEVICES, strict=True)]
        turns = replicas[0][1].turns = replicas[1][1].turns = (Event(), Event())
        with ThreadPoolExecutor() as pool:
            first, second = (pool.submit(replica, share) for replica, share in zip(replicas, shares, strict=True))
            absent = torch.empty_like(second.result(), device="cpu")
            turns[1].set()
        return torch.cat([first.result(), absent])


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Overtaking(), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(4, 4), nn.Tanh()))


LAYERS = ["0", "1", "2", "3.0", "3.1"]


@pytest.mark.parametrize("watched", ["wrapper", "module"])
def test_of_the_replicas_the_first_one_is_recorded_once(tmp_path: Path, watched: str) -> None:
    module, x = net(), torch.randn(8, 3)
    model = OnTwoDevices(module)
    expected = copy.deepcopy(module)(x[:4])
    with actviz_tb.watch(model if watched == "wrapper" else module, tmp_path, every=2, probe=x[:2], gradients=True) as logger:
        for _ in range(4):
            output = model(x)
            output[:4].sum().backward()
        assert logger.step == 3
    assert torch.equal(output[:4], expected)
    assert list(of_tag(tmp_path, "actviz/step")) == list(of_tag(tmp_path, "actviz/gradients")) == [0, 2]
    assert logger.report().faults == {}
    for step in (0, 2):
        assert layers_of(tmp_path, step) == LAYERS
        counts, moments = counts_and_moments(tmp_path, "3.1", step)
        assert counts["count"] == 16
        assert moments["mean"] == pytest.approx(expected.mean().item(), rel=1e-5)
    assert hooks_of(model) == 0


def test_without_gpus_data_parallel_passes_its_calls_on(tmp_path: Path) -> None:
    model = nn.DataParallel(net())
    with actviz_tb.watch(model, tmp_path, every=1):
        model(torch.randn(8, 3))
    assert layers_of(tmp_path) == LAYERS
    described = of_tag(tmp_path, "actviz/model")[0].header
    assert described["model"] == "Sequential"
    assert [module["path"] for module in described["modules"]] == ["", "0", "1", "2", "3", "3.0", "3.1"]
