"""Which modules are recorded, and under which name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from actviz_tb.errors import ArgumentError, ArgumentTypeError, LayerNotFoundError, nearest

Predicate = Callable[[str, nn.Module], bool]
Layers = str | type[nn.Module] | Predicate | Sequence[str | type[nn.Module]]

_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True, slots=True)
class SelectedModule:
    """A module to hook.

    Attributes:
        name: its path without wrappers' prefixes, after the model's name; a root without one goes by its class's name.
        module: itself.
        always: record each of its outputs; else only those that are not its last child's output as it is.
    """

    name: str
    module: nn.Module
    always: bool


def named_modules(root: nn.Module, name: str = "", *, aliases: bool = False) -> list[tuple[str, nn.Module]]:
    """Return (name, module) of a model and all below it.

    A name is the path without the parts that wrappers (DDP, compile, FSDP) put in, after the model's name::

    >>> [name for name, _ in named_modules(nn.DataParallel(nn.Sequential(nn.ReLU())), "generator")]
    ['generator', 'generator', 'generator.0']

    Args:
        name: the model's; without one its root has the empty name.
        aliases: once for each name that a module has.
    """
    found: dict[str, tuple[str, nn.Module]] = {}
    for path, module in root.named_modules(remove_duplicate=not aliases):
        before, _, own = path.rpartition(".")
        outer, parent = found[before] if path else (name, module)
        unnamed = not path or module is _wrapped(parent)
        found[path] = (outer if unnamed else f"{outer}.{own}" if outer else own, module)
    return list(found.values())


def class_name(module: nn.Module) -> str:
    """Return the name of the class that a module's author wrote, inside wrappers.

    >>> class_name(nn.DataParallel(nn.Linear(2, 3)))
    'Linear'
    """
    while (inner := _wrapped(module)) is not None:
        module = inner
    return own_class(type(module)).__name__


def own_class(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the class from which torch made this one while the program ran (``FSDPLinear``, ``ParametrizedLinear``: ``Linear``)."""
    made = cls.__module__.startswith("torch.") and not hasattr(sys.modules.get(cls.__module__), cls.__name__)
    return next(base for base in cls.__mro__[1:] if issubclass(base, nn.Module)) if made else cls


def is_wrapper(module: nn.Module) -> bool:
    """Say whether a module only passes its calls on to another one (DataParallel, DDP, FSDP, ``torch.compile``, checkpointing)."""
    return _wrapped(module) is not None


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the user's own module inside wrappers; FSDP's stays, because the parameters are whole only during its call."""
    while "_fsdp_wrapped_module" not in model._modules and (inner := _wrapped(model)) is not None:
        model = inner
    return model


def _wrapped(module: nn.Module) -> nn.Module | None:
    if not module._modules:
        return None
    names = ("module",) if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)) else _WRAPPED
    # Not by getattr, which some wrappers hand on to the module inside.
    return next((module._modules[name] for name in names if name in module._modules and module._modules[name] is not None), None)


def is_leaf(module: nn.Module) -> bool:
    """Say whether a module has no children, those aside that make its weights (``torch.nn.utils.parametrize``)."""
    if not module._modules:
        return True
    parametrized = is_parametrized(module)
    return all(parametrized and name == "parametrizations" for name, _ in module.named_children())


def keeps_to_itself(module: nn.Module) -> bool:
    """Say whether a module is a layer that torch computes: what runs inside is its own business, and recorded by its output."""
    return is_leaf(module) and type(module).forward.__module__.startswith(("torch.nn.modules", "torch.ao."))


def select(root: nn.Module, layers: Layers | None, name: str = "") -> list[SelectedModule]:
    """Return the modules to hook.

    Args:
        root: the watched model.
        name: the model's, see `module_name`; patterns and predicates do not see it.
        layers: None for every leaf module, plus blocks whose output differs from their last child's, but nothing that makes weights;
            globs on names (``"encoder.*"``; ``"!*.dropout"`` takes away), module types, or a predicate ``(name, module) -> bool``.

    Raises:
        LayerNotFoundError: a pattern or type matches nothing, or all of them together leave nothing.
        ArgumentTypeError: `layers` is something else.
    """
    if layers is None:
        makers = [cast(nn.Module, module.parametrizations) for module in root.modules() if is_parametrized(module)]
        of_weights = {each for maker in makers for each in maker.modules()}
        return [SelectedModule(own, module, is_leaf(module)) for own, module in _recordable(root, name) if module not in of_weights]
    modules = _recordable(root, aliases=True)  # one that the model has under two names can be chosen by either
    if isinstance(layers, (str, type)) or not callable(layers):
        chosen = _matching(modules, [layers] if isinstance(layers, (str, type)) else layers)
    else:
        chosen = [(own, module) for own, module in modules if layers(own, module)]
        if not chosen:
            raise LayerNotFoundError(f"layers={layers!r} accepts none of the {len(modules)} modules of {type(root).__name__}")
    whole = {own: full for (own, _), (full, _) in zip(modules, _recordable(root, name, aliases=True), strict=True)}
    names: dict[nn.Module, str] = {}
    for own, module in chosen:
        names.setdefault(module, whole[own])
    return [SelectedModule(own, module, always=True) for module, own in names.items()]


def _recordable(root: nn.Module, name: str = "", *, aliases: bool = False) -> list[tuple[str, nn.Module]]:
    """Return (name, module) of all that are neither containers nor wrappers; a root without a name goes by its class's."""
    found = named_modules(root, name, aliases=aliases)
    return [(own or class_name(root), module) for own, module in found if not isinstance(module, _CONTAINERS) and not is_wrapper(module)]


def _matching(modules: list[tuple[str, nn.Module]], rules: object) -> list[tuple[str, nn.Module]]:
    if not isinstance(rules, Sequence):
        raise ArgumentTypeError(
            f"layers={rules!r} is a {type(rules).__name__}; expected a glob such as 'encoder.*', a module type, a sequence of these, "
            "or a predicate (name, module) -> bool"
        )
    if not rules:
        raise ArgumentError("layers is empty; leave it out to record every layer")
    included: set[str] = set()
    excluded: set[str] = set()
    only_exclusions = True
    for rule in rules:
        if isinstance(rule, type) and issubclass(rule, nn.Module):
            matches = {name for name, module in modules if isinstance(module, rule)}
        elif isinstance(rule, str):
            pattern = rule.removeprefix("!")
            matches = {name for name, _ in modules if fnmatchcase(name, pattern)}
        else:
            raise ArgumentTypeError(f"layers has {rule!r} in it; expected globs and module types")
        if not matches:
            raise _no_match(rule, modules)
        if isinstance(rule, str) and rule.startswith("!"):
            excluded |= matches
        else:
            included |= matches
            only_exclusions = False
    chosen = [(name, module) for name, module in modules if (only_exclusions or name in included) and name not in excluded]
    if not chosen:
        raise LayerNotFoundError(f"layers={list(rules)!r} leaves no layer: the patterns with '!' take away all that the others choose")
    return chosen


def _no_match(rule: str | type, modules: list[tuple[str, nn.Module]]) -> LayerNotFoundError:
    if isinstance(rule, str):
        names = nearest(rule.removeprefix("!"), (name for name, _ in modules))
        return LayerNotFoundError(f"layer pattern {rule!r} matches none of the {len(modules)} modules; {names}")
    types = sorted({type(module).__name__ for _, module in modules})
    return LayerNotFoundError(f"no module is a {rule.__name__}; the model has {', '.join(types)}")
