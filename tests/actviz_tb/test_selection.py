from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from actviz_tb import selection
from actviz_tb.errors import ArgumentError, ArgumentTypeError, LayerNotFoundError


def model() -> nn.Module:
    encoder = nn.Sequential()
    encoder.add_module("linear", nn.Linear(2, 2))
    encoder.add_module("dropout", nn.Dropout())
    root = nn.Module()
    root.encoder = encoder
    root.heads = nn.ModuleList([nn.Linear(2, 1), nn.ReLU()])
    return root


def names(layers: selection.Layers | None) -> list[str]:
    return [each.name for each in selection.select(model(), layers)]


def test_by_default_all_modules_are_hooked_and_only_leaves_are_always_recorded() -> None:
    chosen = selection.select(model(), None)
    assert [each.name for each in chosen] == ["Module", "encoder", "encoder.linear", "encoder.dropout", "heads.0", "heads.1"]
    assert [each.name for each in chosen if each.always] == ["encoder.linear", "encoder.dropout", "heads.0", "heads.1"]


def test_globs_types_and_predicates() -> None:
    assert names("encoder.*") == ["encoder.linear", "encoder.dropout"]
    assert names(["encoder*", "!*.dropout"]) == ["encoder", "encoder.linear"]
    assert names("!*.dropout") == ["Module", "encoder", "encoder.linear", "heads.0", "heads.1"]
    assert names(nn.Linear) == ["encoder.linear", "heads.0"]
    assert names([nn.Linear, "!encoder.*"]) == ["heads.0"]
    assert names(lambda name, module: isinstance(module, nn.ReLU)) == ["heads.1"]


def test_a_module_with_two_names_can_be_chosen_by_either_and_is_hooked_once() -> None:
    root = model()
    root.tied = root.encoder.linear
    for layers, expected in (("tied", ["tied"]), ("*", 6), (nn.Linear, ["encoder.linear", "heads.0"]), ("!encoder.linear", 6)):
        chosen = [each.name for each in selection.select(root, layers)]
        assert (len(chosen) if isinstance(expected, int) else chosen) == expected
    assert [each.name for each in selection.select(root, "tied", "generator")] == ["generator.tied"]
    assert [each.name for each in selection.select(root, "Module", "generator")] == ["generator"]


def test_where_no_name_is_near_the_first_are_listed() -> None:
    with pytest.raises(LayerNotFoundError) as raised:
        selection.select(nn.Sequential(*(nn.ReLU() for _ in range(40))), "xyz")
    listed = ", ".join(f"'{number}'" for number in range(9))
    assert str(raised.value) == f"layer pattern 'xyz' matches none of the 41 modules; there are: 'Sequential', {listed} and 31 more"


def test_a_pattern_that_matches_nothing_lists_the_nearest_names() -> None:
    with pytest.raises(LayerNotFoundError, match=r"'encoder.liner' matches none of the 6 modules; the nearest names: 'encoder.linear'"):
        names("encoder.liner")
    with pytest.raises(LayerNotFoundError, match="no module is a Conv2d; the model has Dropout, Linear"):
        names(nn.Conv2d)
    with pytest.raises(LayerNotFoundError, match="leaves no layer"):
        names(["heads.*", "!heads*"])
    with pytest.raises(LayerNotFoundError, match="accepts none"):
        names(lambda name, module: False)


def test_other_arguments_are_refused_with_what_was_expected() -> None:
    with pytest.raises(ArgumentTypeError, match="layers=3 is a int; expected a glob"):
        names(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="has 3 in it"):
        names([3])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="layers is empty"):
        names([])


def in_place_of(name: str, inner: nn.Module) -> nn.Module:
    """A wrapper as FSDP and checkpointing make them."""
    outer = nn.Module()
    outer.add_module(name, inner)
    return outer


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        checkpoint_wrapper,
        lambda block: torch.compile(nn.DataParallel(block)),
        lambda block: in_place_of("_fsdp_wrapped_module", block),
    ],
)
def test_names_lose_the_parts_that_wrappers_put_in(wrap: Callable[[nn.Module], nn.Module]) -> None:
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 1, 1)))
    assert [name for name, _ in selection.named_modules(wrap(block))][-2:] == ["", "conv"]
    outer = nn.ModuleDict({"block": wrap(block)})
    assert [name for name, _ in selection.named_modules(outer)][-2:] == ["block", "block.conv"]
    assert [each.name for each in selection.select(wrap(block), None, "generator")] == ["generator", "generator.conv"]


def test_a_child_called_module_keeps_its_name_in_a_class_that_is_no_wrapper() -> None:
    model = nn.ModuleDict({"block": in_place_of("module", nn.ReLU()), "module": nn.Tanh()})
    assert [each.name for each in selection.select(model, None)] == ["block", "block.module", "module"]
