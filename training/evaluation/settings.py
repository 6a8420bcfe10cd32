"""What a method is given and what its result is held against: settings, and protocols that pin one.

| setting  | drives                                  | the IPI reads             | truth                               |
|----------|-----------------------------------------|---------------------------|-------------------------------------|
| self     | the case's own poses                    | the case's own video      | the case's video                    |
| rescaled | its poses on the body of a random human | its own video, by default | the case's video                    |
| cross    | another case's poses, or its own driver | the driver's video        | only where the case brings a driver |
| omitted  | its poses without some limbs            | its own video             | the case's video                    |
| long     | as self, 96 frames or more              | its own video             | the case's video                    |

`rescaled` is the paper's comparison setting (section 4.2 and figure 4): the case's pose is aligned to that of a random
human. The paper does not say what its IPI was fed; by default it is the case's own video, which shows the answer, so
`ipi` is part of every result. In the other settings it follows the driver. `omitted` is figure 12, `long` figure 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, get_args

from animatex_core.choices import FitMode, IPISource
from animatex_core.pose.realign import MODES
from animatex_core.pose.skeleton import part_points

SETTINGS = ("self", "rescaled", "cross", "omitted", "long")
LONG = 96  # frames from which on a video counts as long
# Parts of which one is drawn for a case in `omitted`: what figure 12 of the paper leaves out.
OMITTED = ("right arm", "left arm", "right forearm", "left forearm", "right leg", "left leg", "right shin", "left shin")
# How the driver's poses are brought to a character's body, and what a perfect alignment would give.
ALIGNMENTS = (*MODES, "truth")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides what methods are given. Raises ValueError naming the option that is off.

    width, height: of the compared frames. frames: of every case, 0 for all it has. start, stride: of the driver.
    fit: how pictures become that size; `stretch` is what the authors and this lineage of benchmarks do.
    seed: draws anchors, drivers and omitted parts, each case its own, whatever the other cases are.
    ipi: what the IPI reads (video, poses, reference, off). pool: anchors of `rescaled` (see `anchors.open_anchors`).
    driver: the case that drives all others in `cross`; empty draws one for every case. align: the driver's poses are
    brought to the body of the character before they drive, in `cross` and `rescaled`; `truth` draws the true poses of a
    case with a driver of its own in their place. drop_absent: without parts that the pose of its picture lacks. omit:
    parts to leave out in `omitted`; empty draws one. omit_share: of the frames, in a row, the place drawn. skip_first:
    the first frame, which often is the reference itself, is not compared.
    """

    setting: str = "self"
    width: int = 512
    height: int = 768
    frames: int = 32
    start: int = 0
    stride: int = 1
    fit: FitMode = "stretch"
    seed: int = 0
    ipi: IPISource = "video"
    hands: bool = True
    pool: str = ""
    driver: str = ""
    align: str = "off"
    drop_absent: bool = False
    omit: tuple[str, ...] = ()
    omit_share: float = 1.0
    skip_first: bool = False

    def __post_init__(self) -> None:
        _one_of("setting", self.setting, SETTINGS)
        _one_of("fit", self.fit, get_args(FitMode))
        _one_of("ipi", self.ipi, get_args(IPISource))
        _one_of("align", self.align, ALIGNMENTS)
        for name in ("width", "height"):
            if not 8 <= getattr(self, name) <= 4096 or getattr(self, name) % 8:
                raise ValueError(f"{name}: expected a multiple of 8 up to 4096, got {getattr(self, name)}")
        for name, least in (("frames", 0), ("start", 0), ("stride", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if not 0 < self.omit_share <= 1:
            raise ValueError(f"omit_share: expected above 0 and at most 1, got {self.omit_share}")
        if self.skip_first and self.frames == 1:
            raise ValueError("skip_first: with 1 frame nothing would be left to compare")
        part_points(self.omit)
        self._check_setting()

    def _check_setting(self) -> None:
        if self.setting == "rescaled" and not self.pool:
            raise ValueError(
                "pool: `rescaled` aligns every case to a random human and needs a pool of poses to draw from: the "
                "index of a pose pool, a folder of animate-x-train prepare, or a folder of OpenPose JSON files"
            )
        if self.setting == "long" and 0 < self.frames < LONG:
            raise ValueError(
                f"frames: a long video has at least {LONG}, got {self.frames}; 0 takes all that a case has"
            )
        for name, setting in (("pool", "rescaled"), ("driver", "cross"), ("omit", "omitted")):
            if getattr(self, name) and self.setting != setting:
                raise ValueError(f"{name}: belongs to the setting {setting!r}, not to {self.setting!r}")
        if self.align != "off" and self.setting not in ("cross", "rescaled"):
            raise ValueError(f"align: belongs to the settings 'cross' and 'rescaled', not to {self.setting!r}")
        if self.align == "truth" and (self.setting != "cross" or self.driver):
            raise ValueError("align: `truth` belongs to the setting 'cross' and to drivers that the cases bring")
        if self.drop_absent and self.align in ("off", "truth"):
            raise ValueError(
                "drop_absent (--drop-absent): aligning finds what is lacking; "
                "it needs align character, full or similarity"
            )

    def facts(self) -> dict[str, Any]:
        """All of it as JSON. `pool` is told by its content elsewhere: where it lies changes nothing.

        `drop_absent` is told where it is used, so that runs of before it was there can go on.
        """
        values = asdict(self) | {"omit": list(self.omit)}
        del values["pool"]
        if not self.drop_absent:
            del values["drop_absent"]
        return values


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A setting whose options and cases are pinned under a name.

    options: pinned values. cases: names that the set has to have, or how many (0: any number). note: what comparing
    with published numbers is worth; kept with every result.
    """

    setting: str
    options: Mapping[str, Any]
    cases: tuple[str, ...] = ()
    count: int = 0
    note: str = ""


_TIKTOK = (
    "not comparable with published TikTok numbers: the videos behind them were never published, nor was the number of "
    "frames of each"
)
_FASHION = "100 test videos of UBC Fashion are expected; which frames of them the paper compared is not published"
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "tiktok-335-340": Protocol(
            setting="self",
            options={},
            cases=tuple(f"{number:05d}" for number in range(335, 341)),
            note=f"videos 335 to 340 of the TikTok data set alone; {_TIKTOK}",
        ),
        "tiktok-disco-val": Protocol(
            setting="self",
            options={"width": 256, "height": 256},
            count=10,
            note=f"ten videos at 256x256 as in DisCo, chosen by whoever made this set; {_TIKTOK}",
        ),
        "tiktok-ten-folders": Protocol(
            setting="self",
            options={},
            count=10,
            note=f"ten folders of frames chosen by whoever made this set; {_TIKTOK}",
        ),
        "fashion": Protocol(setting="self", options={}, count=100, note=f"no method saw Fashion videos; {_FASHION}"),
        "fashion-finetuned": Protocol(
            setting="self",
            options={},
            count=100,
            note=f"methods were fine-tuned on Fashion's training part; {_FASHION}",
        ),
    }
)


def choose(name: str, given: Mapping[str, Any]) -> tuple[Options, str]:
    """Options of a setting or protocol with what was given, and the protocol's note.

    Raises ValueError for an unknown name, or a value that the protocol pins otherwise.
    """
    if name in SETTINGS:
        frames = {"frames": LONG} if name == "long" and "frames" not in given else {}
        return Options(**{"setting": name, **frames, **given}), ""
    if name not in PROTOCOLS:
        raise ValueError(f"setting: expected one of {', '.join((*SETTINGS, *PROTOCOLS))}, got {name!r}")
    protocol = PROTOCOLS[name]
    for option, value in protocol.options.items():
        if given.get(option, value) != value:
            raise ValueError(
                f"{option}: {name} pins {value}, got {given[option]}; use the setting {protocol.setting!r}"
            )
    return Options(**{"setting": protocol.setting, **given, **protocol.options}), protocol.note


def check_cases(name: str, cases: tuple[str, ...]) -> None:
    """Raises ValueError when a protocol does not have the cases it is named after."""
    protocol = PROTOCOLS.get(name)
    if protocol is None:
        return
    if protocol.cases and cases != protocol.cases:
        raise ValueError(f"{name}: expected the cases {', '.join(protocol.cases)}, got {', '.join(cases) or 'none'}")
    if protocol.count and len(cases) != protocol.count:
        raise ValueError(
            f"{name}: expected {protocol.count} cases, got {len(cases)}; use the setting 'self' for others"
        )


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
