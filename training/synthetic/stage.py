"""From a character and a motion to pictures, exact joints and silhouettes, by the rule of this package."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from animatex_core.pose import keypoints
from animatex_core.pose.figure import figure
from animatex_core.pose.placement import FEET, rest, supports

from .motion import Motion
from .puppet import POINTS, Puppet
from .render import Renderer

_FILL = 0.70  # of the picture's height that the standing character takes
_MIDDLE = 0.57  # where in the standing height the camera looks: arms above the head stay in the picture
_DISTANCE = 4.0  # of the camera, in standing heights
_MOVES = 3  # of the camera, until the feet rest where they shall: perspective makes more than one of it
_TURNED = 0.25  # eyes and nose of a face are seen while it looks at most so much away (sine)


@dataclass(frozen=True)
class Clip:
    """frames: uint8 RGB [F, H, W, 3]. silhouettes: bool [F, H, W]. poses: one person, on the same canvas.

    background: colour of what is behind, 0..1.
    """

    frames: np.ndarray
    silhouettes: np.ndarray
    poses: keypoints.PoseSequence
    background: tuple[float, float, float]


@dataclass(frozen=True)
class Placed:
    """A character where the motion puts it: vertices [F, V, 3], points [F, 20, 3], camera [F, 3] (what it looks at)."""

    vertices: np.ndarray
    points: np.ndarray
    camera: np.ndarray
    front: np.ndarray


def place(puppet: Puppet, motion: Motion) -> Placed:
    """Rules 1 to 5: the motion's rotations, path and contact with the ground, in the character's own lengths."""
    posed = puppet.pose(motion.rotations)
    root = np.zeros((len(motion), 1, 3))
    root[:, 0, :2] = motion.path * puppet.leg
    root[:, 0, 2] = motion.clearance * puppet.leg - posed.vertices[:, puppet.soles, 2].min(1)
    camera = np.full((len(motion), 3), _MIDDLE * puppet.standing)
    camera[:, :2] = motion.camera_path() * puppet.leg
    return Placed(posed.vertices + root, posed.points + root, camera, posed.front)


def project(points: np.ndarray, camera: np.ndarray, standing: float, width: int, height: int) -> np.ndarray:
    """World points [F, n, 3] as pixels [F, n, 2] of a camera that looks along +y at `camera` [F, 3]."""
    seen = points - camera[:, None]
    scale = _FILL * height / standing / (1 + seen[..., 1:2] / (_DISTANCE * standing))
    return seen[..., [0, 2]] * scale * (1, -1) + (width / 2, height / 2)


def _views(camera: np.ndarray, standing: float, width: int, height: int) -> np.ndarray:
    """The same as `project`, as matrices [F, 4, 4] to clip coordinates."""
    away = _DISTANCE * standing
    zoom, near, far = 2 * _FILL * _DISTANCE, 0.2 * away, 4 * away
    view = np.zeros((len(camera), 4, 4))
    view[:, 0, 0], view[:, 1, 2], view[:, 3, 1] = zoom * height / width, zoom, 1.0
    view[:, 2, 1] = (far + near) / (far - near)
    moved = np.tile(np.eye(4), (len(camera), 1, 1))
    moved[:, :3, 3] = -camera + (0, away, 0)
    view[:, 2, 3] = -2 * far * near / (far - near)
    return view @ moved


def film(
    renderer: Renderer,
    puppet: Puppet,
    motion: Motion,
    background: tuple[float, float, float],
    picture: keypoints.PoseSequence | None = None,
) -> Clip:
    """The pictures of a character in a motion, at the size of the renderer.

    picture: joints of the character in a picture of that size; the clip is framed like it (rule 6).
    """
    placed = place(puppet, motion)
    width, height = renderer.width, renderer.height
    if picture is not None:
        placed = framed(placed, puppet, picture)
    views = _views(placed.camera, puppet.standing, width, height)
    frames, cover = renderer.draw(placed.vertices, puppet.faces, puppet.colours, views, np.array(background))
    pixels = project(placed.points, placed.camera, puppet.standing, width, height)
    return Clip(frames, cover > 0.5, _poses(pixels, placed.front, width, height, motion.fps), background)


def framed(placed: Placed, puppet: Puppet, picture: keypoints.PoseSequence) -> Placed:
    """Rule 6: the camera moved, the same for all frames, until the feet rest where they are in the picture."""
    width, height = picture.width, picture.height
    scale, camera = _FILL * height / puppet.standing, placed.camera
    goal = _feet(picture, scale * puppet.leg)
    for _ in range(_MOVES):
        pixels = project(placed.points, camera, puppet.standing, width, height)
        off = _feet(_poses(pixels, placed.front, width, height, 1.0), scale * puppet.leg) - goal
        camera = camera + np.array([off.real, 0, -off.imag]) / scale
    return replace(placed, camera=camera)


def _feet(poses: keypoints.PoseSequence, leg: float) -> complex:
    """Where the feet rest, x + iy in pixels, as the alignment of poses has it. leg: in pixels."""
    body = figure(poses)
    return complex(rest(supports(body, np.array([leg], np.float32))[FEET], body)[0])


def _poses(pixels: np.ndarray, front: np.ndarray, width: int, height: int, fps: float) -> keypoints.PoseSequence:
    """Every point has score 1, hidden or not, except what a turned head does not show and what there is not."""
    seen = ~np.isnan(pixels[..., 0])
    # front[1] is -1 towards the viewer, front[0] is 1 towards the right edge of the picture
    seen[:, [0, 14, 15]] &= (front[:, 1] < _TURNED)[:, None]
    seen[:, 16] &= front[:, 0] > -0.8  # the right ear is hidden when the face looks to the picture's left
    seen[:, 17] &= front[:, 0] < 0.8
    points = np.zeros((len(pixels), 1, keypoints.POINTS, 2), np.float32)
    points[:, 0, :POINTS] = np.where(seen[..., None], pixels, 0)
    scores = np.zeros(points.shape[:3], np.float32)
    scores[:, 0, :POINTS] = seen
    return keypoints.PoseSequence(points, scores, width, height, fps)
