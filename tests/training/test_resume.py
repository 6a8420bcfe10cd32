"""Interrupted and resumed runs are the same as one that was not, bit for bit."""

import json
import os
import signal

import pytest
import torch
from animatex_training.checkpoint import Checkpoints
from animatex_training.fingerprint import check_same, fingerprint
from animatex_training.sharding import Ranks
from animatex_training.snapshot import Snapshot
from animatex_training.stopping import StopRequest, stop_on_signals
from animatex_training.trainer import CHECKPOINTS, Trainer

from tests.training.fakes import fake_data, small_config

STEPS = 5
CPU = torch.device("cpu")


def config(**sections):
    data = {"accumulate": 2} | sections.pop("data", {})
    return small_config(data=data, run={"steps": STEPS} | sections.pop("run", {}), **sections)


def trainer(folder, settings, data=None, **options):
    return Trainer(settings, data or fake_data(), folder, Ranks(), CPU, **options)


def final(folder, step=STEPS):
    found, saved = Checkpoints(folder / CHECKPOINTS, 3).newest()
    assert found == step
    return saved


def losses(folder):
    lines = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return [(line["step"], line["train/loss"], line["train/gradient_norm"]) for line in lines if "train/loss" in line]


def assert_same(found, wanted):
    assert found.tensors.keys() == wanted.tensors.keys() >= {"model", "ema", "optimiser-exp_avg", "random"}
    for group, tensors in wanted.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(found.tensors[group][name], tensor), (group, name)
    assert found.state == wanted.state


class StopAt:
    """Asks for the end once a trainer has done so many steps."""

    def __init__(self, step):
        self.left = step

    @property
    def signal(self):
        self.left -= 1
        return signal.SIGTERM if self.left <= 0 else 0


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    assert trainer(folder, config()).run() == 0
    return folder


@pytest.mark.parametrize(
    "stops", [(2,), (1, 1, 1, 1), *(pytest.param((k,), marks=pytest.mark.slow) for k in (1, 3, 4))]
)
def test_interrupted_equals_straight(straight, tmp_path, stops):
    for number, after in enumerate(stops):
        torch.manual_seed(number)  # a new process knows nothing of the old one's generator
        assert trainer(tmp_path, config(), resume=number > 0).run(StopAt(after)) == signal.SIGTERM
        torch.manual_seed(99)
    last = trainer(tmp_path, config(), resume=True)
    assert last.run() == 0
    found, wanted = final(tmp_path), final(straight)
    wanted.tensors["random"] = found.tensors["random"]  # seeded differently above, and nothing draws from it
    assert_same(found, wanted)
    assert losses(tmp_path) == losses(straight)
    # The stops were in the middle of an epoch of three batches, and of six passes.
    assert final(straight).state["position"] == [3, 1]


def test_what_the_log_and_the_guard_count_goes_on(tmp_path):
    settings = config(data={"accumulate": 1}, watch={"log_every": 3, "bad_steps": 2})
    trainer(tmp_path / "straight", settings).run()
    stopped = trainer(tmp_path / "stopped", settings)
    stopped.run(StopAt(2))
    assert len(stopped.seen) == 2
    trainer(tmp_path / "stopped", settings, resume=True).run()
    assert [step for step, *_ in losses(tmp_path / "straight")] == [3, STEPS]
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")

    poisoned = fake_data(poison=range(6))
    assert trainer(tmp_path / "bad", settings, poisoned).run(StopAt(1)) == signal.SIGTERM
    again = trainer(tmp_path / "bad", settings, poisoned, resume=True)
    with pytest.raises(FloatingPointError, match=r"step 2: .* 2 such steps in a row"):
        again.run()


def test_a_checkpoint_without_what_the_log_and_the_guard_count(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        take = Snapshot.take

        def before(snapshot, state):
            return take(snapshot, {key: value for key, value in state.items() if key not in ("seen", "bad")})

        patch.setattr(Snapshot, "take", before)
        trainer(tmp_path, config()).run(StopAt(2))
    assert not final(tmp_path, 2).state.keys() & {"seen", "bad"}
    again = trainer(tmp_path, config(), resume=True)
    assert (again.step, again.seen, again.guard.bad) == (2, [], 0)


def test_all_processes_have_read_before_any_takes_over(begun, monkeypatch):
    """What takes over is a collective of the steps' own group, which waits for `run.timeout` only."""
    order = []
    for kind, name in ((Checkpoints, "read"), (Ranks, "wait"), (Snapshot, "put")):
        call = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *given, call=call, name=name: (order.append(name), call(*given))[1])
    trainer(begun, config(), resume=True)
    assert order == ["wait", "read", "wait", "put"]


@pytest.mark.parametrize("later", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_change_nothing(straight, tmp_path, later):
    with_workers, settings = (config(data={"accumulate": 2, "workers": count}) for count in (2, later))
    assert trainer(tmp_path, with_workers).run(StopAt(2)) == signal.SIGTERM
    trainer(tmp_path, settings, resume=True).run()
    found, wanted = final(tmp_path), final(straight)
    for group in ("model", "ema", "optimiser-exp_avg", "optimiser-exp_avg_sq"):
        assert all(torch.equal(found.tensors[group][name], t) for name, t in wanted.tensors[group].items())
    assert losses(tmp_path) == losses(straight)


def test_muon_is_resumed_exactly(tmp_path):
    settings = config(optimiser={"kind": "muon", "rate": 1e-3, "ipi_rate": 1e-3})
    straight = trainer(tmp_path / "straight", settings)
    straight.run()
    assert trainer(tmp_path / "stopped", settings).run(StopAt(2)) == signal.SIGTERM
    trainer(tmp_path / "stopped", settings, resume=True).run()
    found, wanted = final(tmp_path / "stopped"), final(tmp_path / "straight")
    wanted.tensors["random"] = found.tensors["random"]  # the second run began where the first had left it
    assert "unet.encoder.0.res.conv1.weight" in wanted.tensors["optimiser-momentum"]
    assert "unet.encoder.0.res.conv1.bias" in wanted.tensors["optimiser-exp_avg"]
    assert_same(found, wanted)


@pytest.mark.slow
def test_eight_bit_adamw_is_resumed_exactly(tmp_path):
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    wide = {"unet": {"width": 64, "head_width": 16, "groups": 4, "context_width": 32}}  # small tensors stay in float32
    settings = config(model=wide, optimiser={"kind": "adamw8bit", "rate": 1e-3, "ipi_rate": 1e-3})
    straight = trainer(tmp_path / "straight", settings)
    straight.run()
    assert trainer(tmp_path / "stopped", settings).run(StopAt(2)) == signal.SIGTERM
    trainer(tmp_path / "stopped", settings, resume=True).run()
    found, wanted = final(tmp_path / "stopped"), final(tmp_path / "straight")
    assert any(t.dtype == torch.uint8 for t in wanted.tensors["optimiser-state1"].values())
    del wanted.tensors["random"]  # nothing draws from it; the second run began where the first had left it
    for group, tensors in wanted.tensors.items():
        assert all(torch.equal(found.tensors[group][name], t) for name, t in tensors.items()), group


def test_the_generator_of_torch_is_taken_up_again(tmp_path):
    torch.manual_seed(5)
    first = trainer(tmp_path, config())
    first.save()
    wanted = torch.rand(3)
    torch.manual_seed(6)
    trainer(tmp_path, config(), resume=True)
    assert torch.equal(torch.rand(3), wanted)


def test_a_signal_saves_and_leaves(tmp_path):
    request = StopRequest()
    request.ask(signal.SIGTERM)
    assert trainer(tmp_path, config()).run(request) == signal.SIGTERM
    assert final(tmp_path, 1).state["step"] == 1


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run with a checkpoint of step 0."""
    folder = tmp_path_factory.mktemp("begun")
    trainer(folder, config()).save()
    return folder


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": {"accumulate": 1}}, r"data\.accumulate: the run has 1, the checkpoint 2"),
        ({"optimiser": {"rate": 0.5}}, r"optimiser\.rate: the run has 0\.5"),
        ({"objective": {"min_snr": 5.0}}, r"objective\.min_snr"),
        ({"data": {"settings": {"still": 0.5}}}, r"data\.settings: the run has \{'still': 0\.5\}, the checkpoint \{\}"),
        ({"run": {"seed": 3}}, r"run\.seed"),
        ({"run": {"checkpoint_levels": [0]}}, r"run\.checkpoint_levels: the run has \[0\], the checkpoint \[\]"),
    ],
)
def test_another_configuration_is_refused(begun, changes, named):
    with pytest.raises(ValueError, match=named):
        trainer(begun, config(**changes), resume=True)


def test_files_of_the_data_settings_may_lie_elsewhere(begun):
    """What is in them is in the data set's fingerprint."""
    elsewhere = config(data={"settings": {"vae": "elsewhere/vae.safetensors", "pool": "elsewhere/pool.json"}})
    assert trainer(begun, elsewhere, resume=True).step == 0


def test_another_data_set_is_refused(begun):
    with pytest.raises(ValueError, match="data set: the run has 'others', the checkpoint 'clips'"):
        trainer(begun, config(), fake_data(fingerprint="others"), resume=True)


def test_another_number_of_processes_is_refused(begun):
    wanted = fingerprint(config(), fake_data(), 2)
    with pytest.raises(ValueError, match="processes: the run has 2, the checkpoint 1"):
        check_same(wanted, Checkpoints(begun / CHECKPOINTS, 3).newest()[1].state["facts"], begun)


def test_more_steps_are_the_same_run(begun):
    assert trainer(begun, config(run={"steps": STEPS + 1}), resume=True).step == 0


def test_a_schedule_that_depends_on_the_steps_is_not(tmp_path):
    cosine = {"optimiser": {"rate": 1e-3, "schedule": "cosine"}}
    trainer(tmp_path, config(**cosine)).save()
    with pytest.raises(ValueError, match=r"run\.steps.*schedule"):
        trainer(tmp_path, config(**cosine, run={"steps": 9}), resume=True)


def test_a_run_is_not_overwritten(begun):
    with pytest.raises(ValueError, match="holds a run already"):
        trainer(begun, config())


def test_a_broken_newest_checkpoint_is_passed_over(tmp_path):
    settings = config(save={"every": 2, "keep": 3})
    trainer(tmp_path, settings).run(StopAt(4))
    path = Checkpoints(tmp_path / CHECKPOINTS, 3).path(4) / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    again = trainer(tmp_path, settings, resume=True)
    assert again.step == 2


def test_a_resume_from_nothing_is_said_and_one_from_broken_ones_refused_once(tmp_path, caplog):
    trainer(tmp_path, config(), resume=True).save()
    assert "no checkpoint to go on from" in caplog.text
    (Checkpoints(tmp_path / CHECKPOINTS, 3).path(0) / "ema.safetensors").unlink()
    with pytest.raises(ValueError, match="is missing; no complete checkpoint is left"):
        trainer(tmp_path, config(), resume=True)
    assert trainer(tmp_path, config(), resume=True).step == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_heard_and_given_back(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.signal == number
        if number == signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):  # whoever presses Ctrl-C twice does not want to wait
                os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_settings_for_trained_weights_refuse_random_ones(tmp_path):
    config = small_config(start={"required": True})
    with pytest.raises(ValueError, match=r"start\.weights: none given.*--start FILE.*required=false"):
        trainer(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    trainer(tmp_path / "run", small_config(start={"required": False}))
