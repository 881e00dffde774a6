from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pack_sequence

from actviz_tb.outputs import tensors, unrecordable

ONE = torch.ones(1)
Pair = namedtuple("Pair", "left right")


@dataclass
class Output:
    logits: torch.Tensor
    hidden: object = None


def names(output: object) -> list[str]:
    return [name for name, _ in tensors(output)]


def test_parts_are_named_by_index_key_field_and_attribute() -> None:
    assert names(ONE) == [""]
    assert names((ONE, [ONE, ONE])) == ["[0]", "[1][0]", "[1][1]"]
    assert names(OrderedDict(a=ONE, b={"c": ONE})) == [".a", ".b.c"]
    assert names(Pair(ONE, (ONE,))) == [".left", ".right[0]"]
    assert names(Output(ONE, {"x": ONE})) == [".logits", ".hidden.x"]
    assert names(pack_sequence([ONE, ONE])) == [".data"]


def test_what_is_no_tensor_is_passed_over_and_generators_are_not_consumed() -> None:
    generator = (x for x in [ONE])
    assert names([None, 3, "text", generator, ONE]) == ["[4]"]
    assert next(generator) is ONE


def test_a_structure_that_contains_itself_ends() -> None:
    loop: list[object] = [ONE]
    loop.append(loop)
    assert names(loop)[0] == "[0]"


def test_unrecordable_tensors_have_a_reason() -> None:
    assert unrecordable(ONE) is None
    assert unrecordable(torch.ones(2, dtype=torch.int64)) == "dtype torch.int64"
    assert unrecordable(torch.ones(2, dtype=torch.complex64)) == "dtype torch.complex64"
    assert unrecordable(torch.empty(0, 4)) == "no element (shape (0, 4))"
    assert "sparse" in str(unrecordable(torch.eye(2).to_sparse()))
    assert "meta" in str(unrecordable(torch.empty(2, device="meta")))
    assert "nested" in str(unrecordable(torch.nested.nested_tensor([ONE, torch.ones(2)], layout=torch.jagged)))
