"""Pose drawing and pose extraction: seconds, frames a second, and the ratio to a plain loop.

    python -m benchmarks.pose [drawing] [extraction] [--frames 48] [--detector FILE --pose FILE] [--reference FOLDER]

Drawing: 200 whole-body frames of 512x768, no face, as trained. Extraction: `DWPose.extract` against a loop that takes
one frame after the other through the same two files, on the processor. Without files, small networks with the true
input and output sizes are made for the run: they take the road of real ones, with less work on it. With the folder of
the released program (and OpenCV and matplotlib installed) its own loop is timed in the same run, and its keypoints are
compared. Frames are seeded; every contender has a warm-up round and then its turn in each round; the median counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from animatex_core.pose.draw import draw_poses
from animatex_core.pose.dwpose import DWPose
from animatex_core.pose.wholebody import to_pose
from tests.parity.networks import write_detector, write_pose

from .epi import clip
from .timing import Timing, interleave

WIDTH, HEIGHT = 512, 768
DRAWN = 200
DRAWING_TARGET = 2.0  # seconds on two cores
EXTRACTION_TARGET = 1.5  # times the plain loop
PERSON = (96, 60, 420, 740, 0.9, 0, 2)
ROUNDS = 5


def drawing(_: argparse.Namespace) -> None:
    """Time the drawing of a clip."""
    poses = clip(DRAWN)
    timing = interleave({"drawing": lambda: draw_poses(poses, WIDTH, HEIGHT)}, ROUNDS)["drawing"]
    print(f"{timing.line()}  {DRAWN / timing.median:8,.0f} frames/s of {WIDTH}x{HEIGHT}")
    print(f"target: {DRAWN} frames in under {DRAWING_TARGET:g} s")


def extraction(options: argparse.Namespace) -> None:
    """Time the extraction against the plain loop, and against the released program where there is one."""
    pictures = list(moving_pictures(options.frames))
    with tempfile.TemporaryDirectory() as folder:
        files = network_files(options, Path(folder))
        dwpose = DWPose.load(*files, device="cpu")
        contenders: dict[str, Callable[[], object]] = {
            "one frame after the other": lambda: plain_loop(DWPose(*map(PlainNetwork, files)), pictures),
            "DWPose.extract": lambda: dwpose.extract(pictures),
        }
        if options.reference:
            released = released_program(options.reference, files)
            contenders = {"released program": lambda: [released(picture) for picture in pictures]} | contenders
            compare(dwpose, released, pictures)
        timings = interleave(contenders, ROUNDS)
    print_extraction(timings, len(pictures), next(iter(timings)))


def moving_pictures(count: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture that slides, [F, H, W, 3] uint8."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(60, 256, (HEIGHT // 32 + 1, WIDTH // 32 + count, 3))
    wide = np.kron(rough, np.ones((32, 32, 1))).astype(np.uint8)[:HEIGHT]
    return np.stack([np.ascontiguousarray(wide[:, 3 * i : 3 * i + WIDTH]) for i in range(count)])


def network_files(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """The files that were given, or small networks made for the run."""
    if options.detector and options.pose:
        return options.detector, options.pose
    files = folder / "yolox_l.onnx", folder / "dw-ll_ucoco_384.onnx"
    write_detector(files[0], [PERSON], WIDTH, HEIGHT, batch=1, layers=options.layers)
    write_pose(files[1], batch=1, layers=options.layers)
    return files


class PlainNetwork:
    """A file as onnxruntime opens it when nobody says anything."""

    batch, parallel, backend = 1, True, "onnxruntime"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.session = session(path)
        shape = self.session.get_inputs()[0].shape
        self.size: tuple[int, int] | None = (shape[2], shape[3])

    def run(self, pictures: np.ndarray) -> list[np.ndarray]:
        return self.session.run(None, {self.session.get_inputs()[0].name: pictures})


def session(path: Path) -> onnxruntime.InferenceSession:
    """A session on the processor with onnxruntime's own settings."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def plain_loop(dwpose: DWPose, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Detector, then pose network, then the next frame."""
    return [dwpose.estimate([picture], [dwpose.detect([picture])[0][:1]])[0] for picture in pictures]


def released_program(folder: Path, files: tuple[Path, Path]) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The released program's own detection and pose estimation of one RGB frame, on these files."""
    sys.path.insert(0, str(folder))
    from dwpose.wholebody import Wholebody  # type: ignore[import-not-found]

    program = Wholebody.__new__(Wholebody)  # its constructor wants a GPU and fixed paths
    program.session_det, program.session_pose = session(files[0]), session(files[1])
    return lambda picture: program(np.ascontiguousarray(picture[..., ::-1]))


def compare(dwpose: DWPose, released: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], pictures: list) -> None:
    """Print how far the first person's points are from the released program's."""
    poses, _ = dwpose.extract(pictures)
    theirs = [to_pose(places[0], scores[0]) for places, scores in map(released, pictures)]
    points, scores = (np.stack(column) for column in zip(*theirs, strict=True))
    both = poses.present[:, 0] & (scores > 0)
    apart = np.linalg.norm(poses.points[:, 0] - points, axis=-1)[both]
    print(f"points in one of the two only: {(poses.present[:, 0] != (scores > 0)).sum()} of {scores.size}")
    print(f"distance of the points: largest {apart.max(initial=0):.4f} px, mean {apart.mean():.6f} px")


def print_extraction(timings: dict[str, Timing], frames: int, baseline: str) -> None:
    """Print seconds, frames a second and the ratio to the first contender."""
    for timing in timings.values():
        rate = f"{frames / timing.median:7.1f} frames/s"
        print(f"{timing.line()}  {rate}  {timings[baseline].median / timing.median:5.2f}x of the {baseline}")
    print(f"target for DWPose.extract: {EXTRACTION_TARGET:g}x of the released program")


SECTIONS = {"drawing": drawing, "extraction": extraction}


def main() -> None:
    """Run the sections that were asked for, or all."""
    parser = argparse.ArgumentParser(description="pose drawing and extraction")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--frames", type=int, default=48, help="frames of the extraction")
    parser.add_argument("--layers", type=int, default=4, help="convolutions of the networks made for the run")
    parser.add_argument("--detector", type=Path, help="an ONNX file of yolox_l")
    parser.add_argument("--pose", type=Path, help="an ONNX file of dw-ll_ucoco_384")
    parser.add_argument("--reference", type=Path, help="folder of the released program")
    options = parser.parse_args()
    unknown = set(options.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}: expected {', '.join(SECTIONS)}")
    for name in options.sections or SECTIONS:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
