"""The examples run as they are, and the README's code does what it says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

ROOT = Path(__file__).parent.parent


def example(name: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


def test_one_forward_pass_saves_a_picture_a_layer(tmp_path: Path) -> None:
    said = example("one_forward_pass.py", "--output", str(tmp_path))
    pictures = {path.name for path in tmp_path.iterdir()}
    assert pictures == {"layer-0.png", "propagation.png", *(f"{layer}.png" for layer in ("conv1", "relu1", "pool1", "fc1", "relu2", "fc2"))}
    assert "layer 0 puts out (1, 16, 26, 26)" in said


def test_an_existing_writer_needs_one_line_and_keeps_one_event_file(tmp_path: Path) -> None:
    example("existing_writer.py", "--logdir", str(tmp_path), "--steps", "12")
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    code = (ROOT / "examples" / "existing_writer.py").read_text()
    assert [line for line in code.splitlines() if "actviz_tb" in line and "import" not in line] == [
        "    actviz_tb.watch(model, writer)  # the one line"
    ]


def test_a_gan_logs_both_models_each_with_its_own_inputs(tmp_path: Path) -> None:
    example("gan.py", "--logdir", str(tmp_path), "--steps", "21")
    (run,) = actviz_tb.read(tmp_path).runs
    assert run.steps.tolist() == [0, 10, 20]
    assert [layer.partition(".")[0] for layer in run.layers] == ["generator"] * 9 + ["discriminator"] * 6
    assert run.inputs(model="generator").maps.values.shape[:2] == (8, 16)
    assert run.inputs(model="discriminator").labels == tuple("01234567")


def test_the_demo_says_how_to_see_it(tmp_path: Path) -> None:
    arguments = ("--logdir", str(tmp_path / "my runs"), "--epochs", "1", "--learning-rates", "0.05")
    said = example("digits_cnn.py", *arguments).splitlines()
    assert "#actviz, the tab Activations" in said[-1]
    command = shlex.split(said[-2].removeprefix("To see it: "))
    assert command[-2:] == ["--logdir", str(tmp_path / "my runs")]
    subprocess.run([*command, "--version_tb"], check=True, capture_output=True, timeout=240, cwd=ROOT)
    assert "To see it" not in example("digits_cnn.py", *arguments, "--no-hint")


class MyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, 8))
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Sequential()
        self.dropout.add_module("dropout", nn.Dropout())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.relu(self.encoder(x)))


def code_of(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def test_the_readmes_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = code_of("README.md")
    assert len(blocks) == 3
    images = torch.randn(10, 1, 6, 6)
    with SummaryWriter("runs/writer") as writer:
        names = {
            "MyNetwork": MyNetwork,
            "train": lambda model: model(images),
            "writer": writer,
            "images": images,
            "labels": range(10),
            "optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1),
        }
        for block in blocks:
            exec(block, names)
    assert list(Path("runs/exp1").glob("events.out.tfevents.*"))
    for picture in ("relu.png", "propagation.png", "conv1.png"):
        assert Path(picture).stat().st_size > 0


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.relu1 = nn.ReLU()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = self.relu1(self.conv1(x)).flatten(2).transpose(1, 2)
        attended: torch.Tensor = self.attention(pixels, pixels, pixels, need_weights=False)[0]
        return attended


def test_the_code_of_the_page_on_reading_runs_on_the_demos_log(tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/digits").symlink_to(demo)
    blocks = code_of("docs/reading.md")
    lacking = [block for block in blocks if 'of="gradients"' in block or "run.attention(" in block]
    assert len(lacking) == 2
    names: dict[str, object] = {}
    for block in blocks:
        if block not in lacking:
            exec(block, names)
    assert 0 < names["cka"] <= 1.0001  # type: ignore[operator]


def test_the_code_of_the_page_on_reading_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    model, images = Attending(), torch.randn(4, 1, 6, 6)
    # As the demo's log, with attention and gradients in addition.
    with actviz_tb.watch(model, "runs/digits/lr-0.2", every=1, probe=images, probe_labels=range(4), gradients=True) as logger:
        for step in range(5):
            logger.mark(f"epoch {step}")
            model(images if step < 3 else images / 0).sum().backward()
    names: dict[str, object] = {}
    for block in code_of("docs/reading.md"):
        exec(block, names)
    assert names["first"] == (3, "attention[0]")
    assert 0 < names["cka"] <= 1.0001  # type: ignore[operator]
    assert "conv1 Conv2d (4, 4, 4, 4) takes ('input',)" in capsys.readouterr().out


def test_the_readme_names_only_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
        assert named
        assert named <= targets, document
