"""Poses: keypoints, their files, drawing, extraction, cleaning and the Explicit Pose Indicator."""
