"""Where the data is from and what it may be used for."""

LICENSE = "CC0-1.0"
SOURCE = (
    "rendered by animatex_training.synthetic; bodies: Anny (Apache-2.0, shapes of MakeHuman, CC0) and figures of our "
    "own; motions: CMU (free for all uses, cgspeed's conversion) and DeepMimic's (as in PyBullet, zlib)"
)
CONSENT = "nobody is shown: bodies and clothes are made up, and motions were recorded for free use"
