"""Small real networks with the inputs and outputs of yolox_l and dw-ll_ucoco_384, for tests and benchmarks.

The detector sees planted boxes as long as the picture is bright enough; the pose network puts its 133 points on a grid
that moves with the mean of its input, so that frames which get mixed up are noticed. Both come as ONNX files, with any
batch or a fixed one, and as TorchScript files. `layers` adds convolutions whose answer does not count, for the time.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.parity.dwpose import plant_boxes

DARK = 60.0  # mean of the detector's input below which it sees nobody
DRIFT = 40.0  # steps of 1/2 pixel that the points move by when the input's mean changes by one deviation
SCORE = 0.9


def point_grid():
    """Where the pose network puts its points for an input with mean 0: steps along x and y, [133, 1] each."""
    number = np.arange(133, dtype=np.float32)[:, None]
    return 150 + 25 * (number % 12), 100 + 50 * (number // 12)


def planted_answer(boxes, width, height):
    """The detector's answer to a bright picture; boxes: rows x1, y1, x2, y2, objectness, class, level."""
    return plant_boxes(np.array(boxes, float).reshape(-1, 7), width, height)


def write_detector(path, boxes, width, height, batch="N", layers=0, half=False):
    """An .onnx of a detector that sees these boxes in pictures of width x height."""
    answer = planted_answer(boxes, width, height)
    seen = np.zeros_like(answer)
    seen[..., 4] = answer[..., 4] > 0
    constants = {"answer": answer, "seen": seen, "dark": np.float32(DARK), "low": np.float32(-1), "high": np.float32(0)}
    nodes = [
        helper.make_node("Sub", ["mean", "dark"], ["light"]),
        helper.make_node("Clip", ["light", "low", "high"], ["gone"]),
        helper.make_node("Mul", ["gone", "seen"], ["less"]),
        helper.make_node("Add", ["answer", "less"], ["output"]),
    ]
    outputs = [("output", [batch, 8400, 85])]
    _save(path, [batch, 3, 640, 640], nodes, constants, outputs, layers, half)


def write_pose(path, batch="N", layers=0, half=False, score=SCORE):
    """An .onnx of a pose network."""
    x, y = point_grid()
    constants = {"drift": np.float32(DRIFT), "slope": np.float32(0.001), "score": np.float32(score)}
    nodes = [helper.make_node("Mul", ["mean", "drift"], ["shift"])]
    outputs = []
    for axis, places, steps in (("x", x, 576), ("y", y, 768)):
        constants |= {f"places_{axis}": places[None], f"steps_{axis}": np.arange(steps, dtype=np.float32)[None, None]}
        nodes += [
            helper.make_node("Add", [f"places_{axis}", "shift"], [f"at_{axis}"]),
            helper.make_node("Sub", [f"steps_{axis}", f"at_{axis}"], [f"off_{axis}"]),
            helper.make_node("Abs", [f"off_{axis}"], [f"away_{axis}"]),
            helper.make_node("Mul", [f"away_{axis}", "slope"], [f"loss_{axis}"]),
            helper.make_node("Sub", ["score", f"loss_{axis}"], [f"simcc_{axis}"]),
        ]
        outputs.append((f"simcc_{axis}", [batch, 133, steps]))
    _save(path, [batch, 3, 384, 288], nodes, constants, outputs, layers, half)


def _save(path, shape, nodes, constants, outputs, layers, half):
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    begin, more = _head(layers, half)
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants | more).items()]
    graph = helper.make_graph(
        begin + nodes,
        "planted",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _head(layers, half):
    """Nodes from `input` to `mean` [N, 1, 1], with convolutions between that add nothing but work."""
    rng = np.random.default_rng(7)
    nodes = [helper.make_node("Cast", ["input"], ["picture"], to=TensorProto.FLOAT)]
    constants = {"zero": np.float32(0), "one_a_picture": np.array([-1, 1, 1])}
    last, width = "picture", 3
    for i in range(layers):
        constants[f"kernel{i}"] = (rng.normal(size=(32, width, 3, 3)) / np.sqrt(9 * width)).astype(np.float32)
        stride = 2 if i < 2 else 1
        convolution = [last, f"kernel{i}"]
        nodes.append(helper.make_node("Conv", convolution, [f"conv{i}"], strides=[stride] * 2, pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"layer{i}"]))
        last, width = f"layer{i}", 32
    for source, mean in (("picture", "brightness"), (last, "work")):
        nodes.append(helper.make_node("ReduceMean", [source], [mean], axes=[1, 2, 3], keepdims=0))
    nodes.append(helper.make_node("Mul", ["work", "zero"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["brightness", "nothing"], ["sum"]))
    nodes.append(helper.make_node("Reshape", ["sum", "one_a_picture"], ["mean"]))
    return nodes, constants


class Detector(torch.nn.Module):
    """The same detector for TorchScript."""

    def __init__(self, boxes, width, height):
        super().__init__()
        self.answer = torch.from_numpy(planted_answer(boxes, width, height))
        self.seen = torch.zeros_like(self.answer)
        self.seen[..., 4] = (self.answer[..., 4] > 0).float()

    def forward(self, pictures):
        light = (pictures.mean((1, 2, 3))[:, None, None] - DARK).clamp(-1, 0)
        return self.answer + light * self.seen


class Pose(torch.nn.Module):
    """The same pose network for TorchScript; with `batch` it takes that many pictures only."""

    def __init__(self, batch=None):
        super().__init__()
        self.batch = batch
        self.x, self.y = (torch.from_numpy(places[None]) for places in point_grid())

    def forward(self, pictures):
        if self.batch is not None:
            pictures = pictures.reshape(self.batch, 3, 384, 288)
        shift = pictures.mean((1, 2, 3))[:, None, None] * DRIFT
        along_x = SCORE - 0.001 * (torch.arange(576) - self.x - shift).abs()
        return along_x, SCORE - 0.001 * (torch.arange(768) - self.y - shift).abs()


def write_torchscript(path, module, size):
    """Save a traced network; size: (pictures, height, width) of the example."""
    torch.jit.trace(module.eval(), torch.rand(size[0], 3, *size[1:])).save(str(path))
