"""Small networks as files, made once for all tests."""

import pytest


@pytest.fixture(scope="session")
def small_files(tmp_path_factory):
    """A job with networks of random weights, the banana and the dance that come with the package."""
    pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
    from tests.core.small_job import small_job

    return small_job(tmp_path_factory.mktemp("networks"))
