"""The two things that synthetic data needs and not every machine has."""

import os
from pathlib import Path

import pytest
from animatex_training.synthetic.body import AnnyModel
from animatex_training.synthetic.render import Renderer


@pytest.fixture(scope="session")
def body_model():
    pytest.importorskip("anny", reason='pip install "animate-x[synthetic]"')
    cache = Path(os.environ.get("ANNY_CACHE_DIR", Path.home() / ".cache" / "anny"))
    if not cache.is_dir():
        pytest.skip(f"the body model is not in {cache} yet (a minute, 0.8 GB): any command of synthetic makes it")
    return AnnyModel()


@pytest.fixture(scope="session")
def renderer():
    pytest.importorskip("moderngl", reason='pip install "animate-x[synthetic]"')
    try:
        made = Renderer(128, 192)
    except RuntimeError as error:
        pytest.skip(str(error))
    with made:
        yield made
