"""Pictures of meshes by moderngl, without a display: flat background, one light, edges smoothed by supersampling."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from .missing import explain

_SUPER = 3  # pixels are the mean of so many squared
_VERTEX = """
#version 330
uniform mat4 view;
in vec3 place;
in vec3 paint;
out vec3 colour;
out vec3 world;
void main() { colour = paint; world = place; gl_Position = view * vec4(place, 1.0); }
"""
_FRAGMENT = """
#version 330
in vec3 colour;
in vec3 world;
out vec4 pixel;
void main() {
    vec3 normal = normalize(cross(dFdx(world), dFdy(world)));
    float light = dot(normal, normalize(vec3(-0.35, -0.75, 0.55)));
    pixel = vec4(colour * (0.72 + 0.28 * clamp(light, -0.6, 1.0)), 1.0);
}
"""


class Renderer:
    """Draws meshes of `width` x `height` pixels; a context manager, since it holds a graphics context."""

    def __init__(self, width: int, height: int):
        try:
            import moderngl  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(explain("moderngl")) from error
        self.width, self.height = width, height
        self.size = (width * _SUPER, height * _SUPER)
        try:
            self._context: Any = moderngl.create_context(standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
        except Exception as error:  # whatever the driver raises
            raise RuntimeError(f"no OpenGL without a display (EGL): {error}; Debian has it in libegl-mesa0") from error
        self._program = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._frame = self._context.framebuffer(
            [self._context.renderbuffer(self.size, 4)], self._context.depth_renderbuffer(self.size)
        )
        self._context.enable(moderngl.DEPTH_TEST)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._context.release()

    def draw(
        self, vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, view: np.ndarray, background: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A mesh in F poses: vertices [F, V, 3], faces [T, 3], colours [V, 3] and background [3] in 0..1.

        view [F, 4, 4] takes world to clip coordinates. Returns RGB uint8 [F, H, W, 3], and how much of every pixel the
        mesh covers, [F, H, W] in 0..1.
        """
        places = self._context.buffer(reserve=vertices.shape[1] * 12)
        paint = self._context.buffer(np.ascontiguousarray(colours, "f4").tobytes())
        order = self._context.buffer(np.ascontiguousarray(faces, "i4").tobytes())
        mesh = self._context.vertex_array(self._program, [(places, "3f", "place"), (paint, "3f", "paint")], order)
        self._frame.use()
        found = []
        for at, matrix in zip(vertices, view, strict=True):
            places.write(np.ascontiguousarray(at, "f4").tobytes())
            self._program["view"].write(np.ascontiguousarray(matrix.T, "f4").tobytes())
            self._frame.clear(*background, 0.0)
            mesh.render()
            found.append(self._read())
        for used in (mesh, order, paint, places):
            used.release()
        pictures = np.stack(found)
        return np.round(pictures[..., :3]).astype(np.uint8), pictures[..., 3] / 255

    def _read(self) -> np.ndarray:
        width, height = self.size
        raw = np.frombuffer(self._frame.read(components=4), np.uint8).reshape(height, width, 4)[::-1]
        cells = raw.reshape(height // _SUPER, _SUPER, width // _SUPER, _SUPER, 4)
        return cells.mean((1, 3), dtype=np.float32)
