"""What the tests in a real ComfyUI share."""

from __future__ import annotations

import pytest

from tests.comfy.real_host import RealHost
from tests.comfy.report import Recorder


def pytest_addoption(parser):
    parser.addoption("--comfy-report", action="store_true", help="keep what passed in tests/comfy/report.json")


def pytest_configure(config):
    if config.getoption("--comfy-report", default=False):
        config.pluginmanager.register(Recorder())


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """One ComfyUI with this pack for all tests; its folders are under `host.base`."""
    with RealHost(tmp_path_factory.mktemp("comfy")) as running:
        yield running
