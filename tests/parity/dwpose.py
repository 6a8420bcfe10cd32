"""Prove the pose extraction and drawing against recorded numbers of the released program.

    python -m tests.parity.dwpose FILE.npz [FILE.npz ...]

A file holds a synthetic frame, what the released program's networks were fed and answered for it, and what came out.
The same answers are planted here behind `DWPose`, so the whole road from frame to pose picture runs. Exit code 0 when
every figure is within its bound, 1 when one is not, 2 when a file is no such record.
"""

import sys
import zipfile
from dataclasses import dataclass

import numpy as np

from animatex_core.pose.detector import STRIDES, count_cells
from animatex_core.pose.draw import DIMMED, LIMBS, RAINBOW, draw_poses
from animatex_core.pose.dwpose import DWPose
from animatex_core.pose.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, TOES, PoseSequence
from animatex_core.pose.wholebody import STD

GREY_LEVELS, PIXELS, SAME, MEAN_IOU, WORST_IOU = 0.5, 1e-3, 0.995, 0.94, 0.9
SHORT_LIMB = 20  # pixels; a shorter limb's overlap hangs on single pixels

# entry -> kind and shape (None: any length)
ENTRIES = {
    "width": ("iu", ()),
    "height": ("iu", ()),
    "frame_lowres": ("u", (None, None, 3)),
    "detector_raw": ("f", (None, 7)),
    "detector_input": ("f", (1, 3, 640, 640)),
    "boxes": ("f", (None, 4)),
    "crop": ("f", (1, 3, 384, 288)),
    "crop0_input": ("f", (1, 3, 384, 288)),
    "simcc_x": ("f", (1, 133, 576)),
    "simcc_y": ("f", (1, 133, 768)),
    "keypoints": ("f", (None, 134, 2)),
    "scores": ("f", (None, 134)),
    "bodies": ("f", (20, 2)),
    "subset": ("f", (1, 20)),
    "hands": ("f", (2, 21, 2)),
    "faces": ("f", (1, 68, 2)),
    "drawn_without_face": ("u", (None, None, 3)),
    "drawn_with_face": ("u", (None, None, 3)),
}


class NotACase(ValueError):
    """The file does not hold what a record must hold."""


@dataclass
class Figure:
    """One measured number and what it must keep."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def holds(self):
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self):
        sign = ">=" if self.at_least else "<="
        return f"{'ok  ' if self.holds else 'FAIL'}  {self.name:<58} {self.value:<12.6g} {sign} {self.bound:g}"


class Planted:
    """A network whose answer is given; it keeps what it was fed."""

    size, batch, parallel, backend = None, None, False, "recorded answers"

    def __init__(self, name, *answers):
        self.name, self.answers, self.fed = name, answers, []

    def run(self, pictures):
        self.fed.append(pictures.copy())
        return [np.repeat(answer, len(pictures), 0) for answer in self.answers]


def load_case(path):
    """The entries of a record, each checked for kind and shape."""
    try:
        with np.load(path, allow_pickle=False) as file:
            case = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise NotACase(f"{path}: not an .npz of plain arrays: {error}") from error
    if missing := sorted(ENTRIES.keys() - case.keys()):
        raise NotACase(f"{path}: missing entries: {', '.join(missing)}")
    for name in ("boxes", "detector_raw"):
        if case[name].size == 0:
            case[name] = np.zeros((0, ENTRIES[name][1][1]))
    for name, (kinds, shape) in ENTRIES.items():
        found = case[name]
        fits = len(found.shape) == len(shape) and all(b in (None, a) for a, b in zip(found.shape, shape, strict=True))
        if found.dtype.kind not in kinds or not fits:
            wanted = "x".join("any" if side is None else str(side) for side in shape) or "a single number"
            raise NotACase(f"{path}: {name}: expected {wanted} of kind {kinds}, found {found.dtype} {found.shape}")
    check_sizes(path, case)
    return case


def check_sizes(path, case):
    width, height = int(case["width"]), int(case["height"])
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise NotACase(f"{path}: width, height: expected 1 to 16384 pixels, found {width}x{height}")
    for name in ("drawn_without_face", "drawn_with_face"):
        if case[name].shape[:2] != (height, width):
            raise NotACase(f"{path}: {name}: expected {height}x{width} pixels, found {case[name].shape}")
    if len(case["keypoints"]) != len(case["scores"]) or not len(case["keypoints"]):
        raise NotACase(f"{path}: keypoints, scores: expected one row or more, and as many of both")


def enlarge_cubic(picture, width, height, a=-0.75):
    """Cubic convolution with pixel centers at the half and repeated edges, as cv2.INTER_CUBIC enlarges."""

    def taps(source, target):
        place = (np.arange(target) + 0.5) * (source / target) - 0.5
        first = np.floor(place).astype(int)
        t = place - first
        outer = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
        inner = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
        weight = np.stack([outer[0], inner[0], inner[1], outer[1]], 1)
        return np.clip(first[:, None] + np.arange(-1, 3), 0, source - 1), weight

    column, across = taps(picture.shape[1], width)
    row, down = taps(picture.shape[0], height)
    wide = np.einsum("ywkc,wk->ywc", picture.astype(float)[:, column], across)
    return np.clip(np.rint(np.einsum("hkwc,hk->hwc", wide[row], down)), 0, 255).astype(np.uint8)


def plant_boxes(detector_raw, width, height):
    """The answer of a YOLOX that sees exactly these boxes."""
    size = (640, 640)
    ratio = min(size[0] / height, size[1] / width)
    answer = np.zeros((1, count_cells(size), 85), np.float32)
    answer[..., :4] = -3
    first = np.cumsum([0] + [(size[0] // stride) * (size[1] // stride) for stride in STRIDES])
    for x1, y1, x2, y2, objectness, kind, level in detector_raw:
        stride = STRIDES[int(level)]
        center = np.array([x1 + x2, y1 + y2]) / 2 * ratio / stride
        column, row = np.floor(center).astype(int)
        cell = answer[0, first[int(level)] + row * (size[1] // stride) + column]
        cell[:2] = center - [column, row]
        cell[2:4] = np.log(np.array([x2 - x1, y2 - y1]) * ratio / stride)
        cell[4], cell[5 + int(kind)] = objectness, 1
    return answer


def recorded_pose(case):
    """The released program's final pose: [130, 2] in pixels and which points are there."""
    points, present = np.zeros((130, 2)), np.zeros(130, bool)
    points[BODY], points[TOES] = case["bodies"][:18], case["bodies"][18:]
    present[:20] = case["subset"][0] >= 0
    for part, recorded in ((LEFT_HAND, case["hands"][0]), (RIGHT_HAND, case["hands"][1]), (FACE, case["faces"][0])):
        points[part], present[part] = recorded, (recorded != -1).all(-1)
    return points * [int(case["width"]), int(case["height"])], present


def far(ours, theirs):
    """Largest difference, infinite where the shapes differ; 0 for nothing."""
    return float(np.abs(ours - theirs).max(initial=0)) if ours.shape == theirs.shape else float("inf")


def measure_extraction(case):
    """Figures of detector and pose network, and the pose that `DWPose.extract` gives."""
    frame = enlarge_cubic(case["frame_lowres"], int(case["width"]), int(case["height"]))[..., ::-1]
    detector = Planted("detector", plant_boxes(case["detector_raw"], int(case["width"]), int(case["height"])))
    pose = Planted("pose network", case["simcc_x"], case["simcc_y"])
    dwpose = DWPose(detector, pose)
    boxes = dwpose.detect([frame])[0]
    box = boxes[:1] if len(boxes) else np.array([[0, 0, frame.shape[1], frame.shape[0]]], float)
    places, scores = dwpose.estimate([frame], [box])
    poses, _ = dwpose.extract([frame])
    grey = STD[:, None, None]
    figures = [
        Figure(
            "detector input, mean difference, grey levels", np.abs(detector.fed[0] - case["detector_input"]).mean(), 0.5
        ),
        Figure("boxes, largest difference, px", far(boxes, case["boxes"]), PIXELS),
        Figure("pose input, mean difference, grey levels", np.abs((pose.fed[0] - case["crop"]) * grey).mean(), 0.5),
        Figure(
            "first pose input, mean difference, grey levels",
            np.abs((pose.fed[0] - case["crop0_input"]) * grey).mean(),
            0.5,
        ),
        Figure("keypoints, largest difference, px", far(places[0], case["keypoints"][0]), PIXELS),
        Figure("scores, largest difference", far(scores[0], case["scores"][0]), 1e-5),
    ]
    points, present = recorded_pose(case)
    ours = poses.present[0, 0]
    both = present & ours
    figures += [
        Figure("final pose, points present in one of the two only", int((present != ours).sum()), 0),
        Figure("final pose, largest difference, px", far(poses.points[0, 0][both], points[both]), PIXELS),
    ]
    return figures, poses


def measure_drawing(case, poses: PoseSequence):
    """Figures of the drawing of a pose, in the palette and channel order of the record."""
    figures = []
    for name, face in (("drawn_without_face", False), ("drawn_with_face", True)):
        picture = draw_poses(poses, palette="openpose", face=face)[0]
        same = (picture == case[name]).all(-1).mean()
        figures.append(Figure(f"{name}, share of equal pixels", float(same), SAME, at_least=True))
        overlaps = limb_overlaps(picture, case[name], *recorded_pose(case))
        if overlaps:
            mean = float(np.mean([overlap for overlap, _ in overlaps]))
            figures.append(Figure(f"{name}, mean overlap of the limbs", mean, MEAN_IOU, at_least=True))
        worst = min((overlap for overlap, length in overlaps if length > SHORT_LIMB), default=None)
        if worst is not None:
            figures.append(Figure(f"{name}, worst overlap of a limb", worst, WORST_IOU, at_least=True))
    return figures


def limb_overlaps(ours, theirs, points, present):
    """Intersection over union and length in px of each limb that is to be seen in one of the pictures."""
    overlaps = []
    for limb, (a, b) in enumerate(LIMBS):
        colour = (RAINBOW[limb] * DIMMED).astype(np.uint8)
        mine, recorded = (ours == colour).all(-1), (theirs == colour).all(-1)
        union = (mine | recorded).sum()
        if union:
            length = np.linalg.norm(points[a] - points[b]) if present[[a, b]].all() else np.inf
            overlaps.append((float((mine & recorded).sum() / union), float(length)))
    return overlaps


def prove(path):
    """All figures of one record."""
    case = load_case(path)
    figures, poses = measure_extraction(case)
    return figures + measure_drawing(case, poses)


def main(paths):
    if not paths:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    code = 0
    for path in paths:
        try:
            figures = prove(path)
        except NotACase as error:
            print(error, file=sys.stderr)
            return 2
        print(path, *figures, sep="\n")
        failed = sum(not figure.holds for figure in figures)
        print(f"{len(figures) - failed} of {len(figures)} figures hold")
        code = max(code, int(failed > 0))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
