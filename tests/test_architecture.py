"""Who may import whom; see docs/design.md, section 2."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tensorboard_plugin" / "actviz"
LOGGING = ROOT / "actviz_tb"


def imports(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever it does so."""
    found = set()
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [base])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def offending(names: set[str], *forbidden: str) -> set[str]:
    return {name for name in names for each in forbidden if name == each or name.startswith(f"{each}.")}


def test_wire_imports_the_standard_library_numpy_isal_and_tensorboards_protos_only() -> None:
    names = imports(PLUGIN / "wire.py")
    assert top(names) - set(sys.stdlib_module_names) <= {"numpy", "isal", "tensorboard"}
    assert all(name.startswith("tensorboard.compat.proto") for name in names if name.startswith("tensorboard"))


@pytest.mark.parametrize("path", sorted([*PLUGIN.glob("*.py"), *PLUGIN.glob("health/*.py")]), ids=lambda path: path.name)
def test_the_plugin_imports_neither_torch_nor_the_logging_side(path: Path) -> None:
    assert not top(imports(path)) & {"torch", "torchvision", "actviz_tb"}


@pytest.mark.parametrize(
    "name",
    [
        "limits",
        "sources",
        "eventfile",
        "logdir",
        "series",
        "runindex",
        "changes",
        "records",
        "histories",
        "similarity",
        "differences",
        "matching",
        "mirror",
        "store",
    ],
)
def test_what_reads_the_log_knows_nothing_of_http(name: str) -> None:
    path = PLUGIN / f"{name}.py"
    served = ("tensorboard_plugin.actviz.routes", "tensorboard_plugin.actviz.plugin")
    assert not offending(imports(path), "http", "werkzeug", "tensorboard.backend", "tensorboard.plugins", *served)


@pytest.mark.parametrize(
    "name", ["limits", "series", "runindex", "changes", "histories", "similarity", "differences", "matching", "picture"]
)
def test_what_computes_on_records_opens_no_files(name: str) -> None:
    tree = ast.parse((PLUGIN / f"{name}.py").read_text())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "open_source"}


@pytest.mark.parametrize("path", sorted(PLUGIN.glob("health/*.py")), ids=lambda path: path.name)
def test_health_is_of_arrays_alone(path: Path) -> None:
    allowed = {"limits", "series", "store", "wire"} if path.stem == "logged" else set()
    names = imports(path)
    assert top(names) - set(sys.stdlib_module_names) <= {"numpy", "tensorboard_plugin"}
    ours = {name.split(".")[2] for name in names if name.startswith("tensorboard_plugin.actviz.")}
    assert ours <= {"health", *allowed}


@pytest.mark.parametrize("name", ["statistics", "maps"])
def test_statistics_and_maps_know_neither_hooks_nor_wire(name: str) -> None:
    path = LOGGING / f"{name}.py"
    forbidden = ("actviz_tb.hooks", "actviz_tb.logger", "actviz_tb.writer", "tensorboard_plugin", "tensorboard", "tensorboardX")
    assert not offending(imports(path), *forbidden)


@pytest.mark.parametrize("name", ["description", "results", "decode", "lookup", "reading", "__main__"])
def test_reading_imports_only_what_needs_no_torch(name: str) -> None:
    names = imports(LOGGING / f"{name}.py")
    assert "torch" not in top(names)
    ours = {each.split(".")[1] for each in names if each.startswith("actviz_tb.")}
    assert ours <= {"description", "results", "decode", "lookup", "errors", "reading"}


@pytest.mark.parametrize("path", sorted(LOGGING.glob("*.py")), ids=lambda path: path.name)
def test_only_the_logger_composes(path: Path) -> None:
    assert path.stem in ("__init__", "logger", "watching") or not offending(imports(path), "actviz_tb.logger")


@pytest.mark.parametrize("path", sorted(LOGGING.glob("*.py")), ids=lambda path: path.name)
def test_of_the_plugin_the_logging_side_takes_the_format_only(path: Path) -> None:
    taken = {name for name in imports(path) if name.startswith("tensorboard_plugin.actviz.")}
    reading = {f"tensorboard_plugin.actviz.{name}" for name in ("routes", "plugin")}
    assert not {name for name in taken if any(name == each or name.startswith(f"{each}.") for each in reading)}
