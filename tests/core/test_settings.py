"""Settings are checked before anything is loaded, each by its name."""

import pytest

from animatex_core.settings import Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 500}, "width must be a multiple of 8 up to 4096, got 500; the nearest is 496"),
        ({"height": 0}, "height"),
        ({"width": 8192}, "nearest is 4096"),
        ({"frames": 0}, "frames must be 1 to 4096, got 0"),
        ({"start": -1}, "start must be at least 0"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"steps": 0}, "steps must be 1 to 1000, got 0"),
        ({"steps": 1001}, "steps"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"guidance": float("nan")}, "cfg"),
        ({"guidance": -1}, "cfg"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("inf")}, "fps"),
        ({"fit": "squash"}, "fit must be"),
        ({"reference_mode": "x"}, "reference mode must be released, paper or both"),
        ({"ipi_source": "x"}, "IPI source must be video, poses, reference or off"),
        ({"drop_absent": True}, "drop_absent (--drop-absent): aligning finds"),
        ({"window": 0}, "window"),
        ({"window": 8, "overlap": 8}, "overlap must be 0 to 7, got 8"),
        ({"window": 8, "overlap": -1}, "overlap must be 0 to 7, got -1"),
        ({"overlap": 4}, "give a window too, got overlap 4 alone"),
    ],
)
def test_what_is_off_is_named(change, message):
    with pytest.raises(ValueError) as error:
        Settings(**change)
    assert message in str(error.value)


def test_the_defaults_are_those_of_the_released_program_but_for_the_fit():
    settings = Settings()
    assert (settings.width, settings.height, settings.frames, settings.steps) == (512, 768, 32, 30)
    assert (settings.guidance, settings.reference_mode, settings.fit) == (2.5, "released", "pad")
    assert Settings(seed=2**64 - 1).as_metadata()["seed"] == 2**64 - 1
