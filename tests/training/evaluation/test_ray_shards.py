"""Shards as tasks of a Ray cluster; with Ray missing, the command that installs it."""

import sys
import types
from importlib.util import find_spec

import pytest
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.ray_shards import run_by_ray, shard_of
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.runner import Request, run

from tests.training.evaluation.small_set import FRAMES, SIZE, write_small_set
from tests.training.evaluation.test_runner import QUICK, SELF, contents, write_methods


@pytest.fixture
def request_(tmp_path):
    folder, clips = write_small_set(tmp_path / "set")
    methods = write_methods(tmp_path / "results", clips, ["case0", "case1", "case2"])[:2]
    return Request(
        folder=folder, out=tmp_path / "run", setting="self", options=SELF, methods=methods, metrics=QUICK
    )  # fmt: skip


def test_tasks_are_shards(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="pip install"):
        run_by_ray(request_, "auto")
    asked = []

    def remote(*functions, **options):
        asked.append(options)
        if not functions:
            return lambda function: remote(function)
        return types.SimpleNamespace(remote=lambda *arguments: functions[0](*arguments))

    fake = types.SimpleNamespace(
        is_initialized=lambda: False, init=lambda **options: asked.append(options), remote=remote, get=lambda x: x,
        cluster_resources=lambda: {"CPU": 8.0, "GPU": 2.0},
        wait=lambda waiting, num_returns: (waiting[:1], waiting[1:]),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", fake)
    done = run_by_ray(request_, "local")
    assert (done.cases, done.made, done.complete) == (3, 6, ("copy", "noise8"))
    assert {"num_gpus": 1} in asked and {"address": None, "log_to_driver": False} in asked
    alone = Request(**{**vars(request_), "out": tmp_path / "alone"})
    run(alone)
    assert {n: d for n, (d, _) in contents(request_.out).items()} == {n: d for n, (d, _) in contents(alone.out).items()}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason='needs Ray: pip install "ray"')
def test_a_real_cluster(request_):
    done = run_by_ray(request_, "local", workers=2)
    assert done.made == 6 and RunFolder(request_.out).method_scores("noise8").values["psnr"].value > 20


def test_shards_of_the_command_line(request_, capsys):
    methods = [word for spec in request_.methods for word in ("--method", f"{spec.name}={spec.path}")]
    size = ["--width", SIZE[0], "--height", SIZE[1], "--frames", FRAMES, "--metrics", "psnr,mae"]
    given = ["run", request_.folder, "--out", request_.out, *size, *methods, "--quiet"]
    for shard, said in (("1/2", "no method yet"), ("2/2", "complete: copy, noise8")):
        assert main([str(word) for word in [*given, "--shard", shard]]) == 0
        assert said in capsys.readouterr().out
    for text in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(ValueError, match="expected I/N"):
            shard_of(text)
    assert main([str(word) for word in [*given, "--frames", "4"]]) == 1
    assert "do not mix" in capsys.readouterr().err
