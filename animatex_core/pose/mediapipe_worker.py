"""MediaPipe's side of `mediapipe_backend`: raw frames come in, a line of OpenPose JSON goes out for each.

This file is run as a script by the interpreter of another environment, so it imports that environment's mediapipe and
numpy and the standard library, nothing of this package, and keeps to Python 3.9.

In:  width and height (two little-endian 32-bit numbers), then frames of height * width * 3 bytes, RGB, up to the end.
Out: {"mediapipe": version}, or {"error": cause} when it is not there; then a frame of OpenPose JSON for every frame.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

SIZE = struct.Struct("<II")
NO_MEDIAPIPE = 3  # exit codes
CUT_FRAME = 4

# MediaPipe's point of each of OpenPose's 18; the neck (1) is made of the shoulders.
BODY = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
NECK, SHOULDERS = 1, (2, 5)
# Left big toe, small toe, heel, then right: MediaPipe has one point at the tip of a foot.
FEET = (31, 31, 29, 32, 32, 30)
HAND_SCORE = 1.0  # a hand that MediaPipe is not sure of is left out, and its points carry no score of their own
ABSENT = [0.0, 0.0, 0.0]


def main() -> int:
    """Answer frames until there are no more; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    frames, answers = sys.stdin.buffer, _claim_stdout()
    try:
        import mediapipe  # pyright: ignore[reportMissingImports]
        import numpy as np

        holistic = mediapipe.solutions.holistic.Holistic(model_complexity=1)
    except (ImportError, AttributeError) as error:
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return NO_MEDIAPIPE
    _say(answers, {"mediapipe": mediapipe.__version__})
    width, height = SIZE.unpack(frames.read(SIZE.size))
    while True:
        data = frames.read(width * height * 3)
        if not data:
            return 0
        if len(data) < width * height * 3:
            return CUT_FRAME
        results = holistic.process(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        _say(answers, to_openpose(results, width, height))


def to_openpose(results: Any, width: int, height: int) -> dict:
    """One frame of OpenPose JSON of Holistic's results: pixels, MediaPipe's visibility as the score, one or no person.

    Hands are the person's own left and right, as Holistic names them.
    """
    person = None if results.pose_landmarks is None else _person(results, width, height)
    return {"people": [person] if person else [], "canvas_width": width, "canvas_height": height}


def _person(results: Any, width: int, height: int) -> dict:
    landmarks = results.pose_landmarks.landmark
    body = [ABSENT if index is None else _triple(landmarks[index], width, height) for index in BODY]
    right, left = (body[index] for index in SHOULDERS)
    if min(right[2], left[2]) > 0:
        body[NECK] = [(right[0] + left[0]) / 2, (right[1] + left[1]) / 2, min(right[2], left[2])]
    return {
        "pose_keypoints_2d": _flat(body),
        "foot_keypoints_2d": _flat([_triple(landmarks[index], width, height) for index in FEET]),
        "hand_left_keypoints_2d": _hand(results.left_hand_landmarks, width, height),
        "hand_right_keypoints_2d": _hand(results.right_hand_landmarks, width, height),
    }


def _hand(hand: Any, width: int, height: int) -> list | None:
    if hand is None:
        return None
    return _flat([_triple(landmark, width, height, HAND_SCORE) for landmark in hand.landmark])


def _triple(landmark: Any, width: int, height: int, score: float | None = None) -> list:
    """x and y in pixels, and the score; absent when one of them is no number."""
    certain = landmark.visibility if score is None else score
    x, y = landmark.x * width, landmark.y * height
    if not all(map(math.isfinite, (x, y, certain))):
        return ABSENT
    return [round(x, 2), round(y, 2), round(min(max(certain, 0.0), 1.0), 3)]


def _flat(triples: list) -> list:
    return [number for triple in triples for number in triple]


def _claim_stdout() -> BinaryIO:
    """The standard output for answers alone; whatever MediaPipe's C++ prints goes to the standard error instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _say(answers: BinaryIO, document: dict) -> None:
    answers.write(json.dumps(document, allow_nan=False, separators=(",", ":")).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
