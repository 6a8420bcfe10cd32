"""Draw the contact sheets of this folder: body shapes, realignment and cleaning of the committed clips.

python docs/epi_sheets.py        from the repository's root, with the package installed
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from animatex_core.pose.clean import clean
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.epi import PRESETS, on_canvas, realign, rescale
from animatex_core.pose.head import HEAD
from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import PoseSequence

HERE = Path(__file__).parent
POSES = HERE.parent / "tests" / "data" / "poses"
CELL_HEIGHT, LABEL = 160, 92
DANCE_FRAMES, FASHION_FRAMES = np.array([0, 12, 24, 44, 58]), np.array([0, 14, 24, 36, 43])

Row = tuple[str, list[np.ndarray]]


def pictures(poses: PoseSequence, frames: np.ndarray | None = None) -> list[np.ndarray]:
    """The chosen frames, drawn at half size and shrunk to a cell."""
    chosen = poses if frames is None else poses.frames(frames)
    drawn = draw_poses(chosen, poses.width // 2, poses.height // 2, palette="openpose", stick="trained")
    width = round(CELL_HEIGHT * poses.width / poses.height)
    return [np.asarray(Image.fromarray(p).resize((width, CELL_HEIGHT), Image.Resampling.LANCZOS)) for p in drawn]


def sheet(rows: list[Row], columns: int, path: Path) -> None:
    """Rows of labelled pictures, in so many columns of rows."""
    depth = -(-len(rows) // columns)
    block = LABEL + max(sum(p.shape[1] + 2 for p in row) for _, row in rows)
    canvas = Image.new("RGB", (block * columns, depth * (CELL_HEIGHT + 2)), (56, 56, 56))
    ink = ImageDraw.Draw(canvas)
    for i, (label, row) in enumerate(rows):
        x, y = i // depth * block, i % depth * (CELL_HEIGHT + 2)
        ink.text((x + 4, y + CELL_HEIGHT // 2 - 12), label.replace("|", "\n"), fill="white")
        x += LABEL
        for picture in row:
            canvas.paste(Image.fromarray(picture), (x, y))
            x += picture.shape[1] + 2
    canvas.quantize(64).save(path, optimize=True)


def shapes(dance: PoseSequence, fashion: PoseSequence) -> list[Row]:
    """Every preset on both clips."""
    rows = [("driver", pictures(dance, DANCE_FRAMES) + pictures(fashion, FASHION_FRAMES))]
    for name, shape in PRESETS.items():
        both = rescale(dance, shape).poses, rescale(fashion, shape).poses
        rows.append((name, pictures(both[0], DANCE_FRAMES) + pictures(both[1], FASHION_FRAMES)))
    return rows


def realigned(dance: PoseSequence, fashion: PoseSequence) -> list[Row]:
    """The dance on single frames of other bodies; the first picture of a row is the anchor."""
    front, side = fashion.frames(np.array([0])), fashion.frames(np.array([24]))
    bust = replace(front, scores=np.where(np.isin(np.arange(130), [0, 1, 2, 5, 14, 15, 16, 17]), front.scores, 0))
    rows = [("driver", [np.zeros_like(pictures(dance, DANCE_FRAMES[:1])[0]), *pictures(dance)[::7]])]
    anchors = [("adult", front), ("seen from|the side", side), ("head and|shoulders", bust)]
    anchors += [(name, rescale(front, PRESETS[name]).poses) for name in ("chibi", "egg", "long legs", "child")]
    for name, anchor in anchors:
        result = realign(dance, anchor, drop_absent=name == "egg")
        label = f"{name}||{result.modes[0]}|{result.confidence[0]:.2f}"
        rows.append((label, pictures(anchor) + pictures(result.poses)[::7]))
    chibi = anchors[3][1]
    for name, anchor, mode in (
        ("chibi", chibi, "similarity"), ("chibi", chibi, "character"),
        ("face on|the body", _faced(front), "full"), ("face on|the body", _faced(front), "character"),
    ):  # fmt: skip
        rows.append((f"{name}||{mode}", pictures(anchor) + pictures(realign(dance, anchor, mode=mode).poses)[::7]))
    return rows


def _faced(poses: PoseSequence) -> PoseSequence:
    """A character whose face is on its body, as an object's is."""
    points = poses.points.copy()
    head = points[..., HEAD, :]
    hips = points[..., [8, 11], :].mean(-2, keepdims=True)
    points[..., HEAD, :] = head - head.mean(-2, keepdims=True) + points[..., 1:2, :] * 0.6 + hips * 0.4
    return replace(poses, points=points)


def cleaned(dance: PoseSequence) -> list[Row]:
    """A clip, the same clip broken on purpose, and what cleaning makes of it."""
    rng = np.random.default_rng(3)
    points, scores = dance.points.copy(), dance.scores.copy()
    points += np.where(dance.present[..., None], rng.normal(0, 2, points.shape), 0).astype(np.float32)
    right, left = np.r_[2:5, 41:62], np.r_[5:8, 20:41]
    both, other = np.concatenate([right, left]), np.concatenate([left, right])
    points[22:25, :, both], scores[22:25, :, both] = points[22:25, :, other], scores[22:25, :, other]
    points[26, 0, 4] += (140, 120)
    scores[28:30, 0, [9, 12]] = 0
    scores[31:33] = 0
    broken = replace(dance, points=points, scores=scores)
    frames = np.arange(21, 34)
    rows = (("clip", dance), ("broken on|purpose", broken), ("cleaned", clean(broken).poses))
    return [(name, pictures(poses, frames)) for name, poses in rows]


def main() -> None:
    """Write the three sheets beside this file."""
    dance, fashion = load_openpose(POSES / "dance_60.json"), load_openpose(POSES / "fashion_76.json")
    fashion = on_canvas(fashion, dance.width, dance.height)
    sheet(shapes(dance, fashion), 2, HERE / "epi_presets.png")
    sheet(realigned(dance, fashion), 1, HERE / "epi_realign.png")
    sheet(cleaned(dance), 1, HERE / "epi_clean.png")


if __name__ == "__main__":
    main()
