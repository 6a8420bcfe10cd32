"""Synthetic data with exact ground truth: characters of many shapes in recorded motion, rendered with known joints.

**The rule that makes a target right.** A character follows a driver when, at every frame,

1. every body segment has the driver's rotation, relative to the same rest pose (T pose, facing the viewer);
2. the path of the hips over the ground, divided by the length of the leg (thigh and shin), is the driver's;
3. the lowest point of the feet is as far above the ground, divided by the length of the leg, as the driver's: what
   stands on the ground stands on it in both;
4. a part that the character lacks is left out and changes nothing else: without arms, the same motion without arms;
5. the camera is placed by the character's own standing height, and follows the smoothed path of the hips;
6. in the benchmark it is shifted sideways and up or down, by the same for all frames, so that the feet rest (as
   `animatex_core.pose.placement` has it) where they are in the character's picture: a driver does not say where in the
   frame somebody else shall stand.

So the lengths are the character's and the motion is the driver's, and both pictures follow from one seed. The modules:
`motion` (what is handed on; read by `bvh` and `deepmimic`), `variety` (motions made of motions), `body` (a human of any
shape), `proportions` (and of lengths that people do not have), `costumes` (and dressed up), `mascots` (and in a suit,
or with a very large head), `figures` (characters of our own: big heads, no arms, short legs, objects with limbs),
`render` and `stage` (pictures, joints and silhouettes), `cast` (who there is and which motions are held out),
`__main__` (the commands).

Nothing here is needed to animate or to train; its packages are the extra "synthetic".
"""

# Raised when the same seed gives another picture, also by a change of `placement`: VERSION in the benchmark,
# CLIPS_VERSION in clips and stills.
VERSION = 2
CLIPS_VERSION = 4
