"""Small networks as files, made once for all tests."""

import pytest

from animatex_core.demo import small_job


@pytest.fixture(scope="session")
def small_files(tmp_path_factory):
    """The demo's job: networks of random weights, its picture and its poses."""
    pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
    return small_job(tmp_path_factory.mktemp("networks"))
