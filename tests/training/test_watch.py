"""What a run shows: scalars, sample videos from step 0 on, TensorBoard; and nothing twice after a resume."""

import json
import logging
import signal

import pytest
import torch
from animatex_training.checkpoint import Checkpoints
from animatex_training.sharding import Ranks
from animatex_training.trainer import CHECKPOINTS, Trainer
from animatex_training.watch import Watch

from animatex_core.video import open_video
from tests.training.fakes import HEIGHT, WIDTH, fake_data, small_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = small_config(run={"steps": 2}, watch={"sample_every": 2, "samples": 2, "sampling_steps": 2})
    told = []
    Trainer(settings, fake_data(), folder, Ranks(), CPU).run(advance=lambda *what: told.append(what))
    assert [(done, total) for done, total, _ in told] == [(2, 4), (4, 4)]
    assert told[0][2].startswith("step 1 loss 0.")
    return folder


def test_videos_of_the_same_clips_at_step_0_and_at_the_end(run):
    names = [sorted(path.name for path in (run / "samples" / f"step-{step:08d}").iterdir()) for step in (0, 2)]
    assert names[0] == names[1] == ["0-clip-0.mp4", "1-clip-1.mp4"]
    info = open_video(run / "samples/step-00000000/0-clip-0.mp4")
    assert (info.width, info.height) == (3 * 8 * WIDTH, 8 * HEIGHT)  # target, pose, result


def test_tensorboard_has_scalars_and_moving_pictures(run):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/gradient_norm", "validation/loss"} <= set(tags["scalars"])
    assert [event.step for event in events.Images("samples/0-clip-0")] == [0, 2]
    assert events.Images("samples/0-clip-0")[0].encoded_image_string[:4] == b"GIF8"


def test_lines_of_steps_that_were_not_kept_are_cut(tmp_path):
    lines = [json.dumps({"step": step, "train/loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / "scalars.jsonl").write_text("\n".join(lines) + '\n{"step": 4, "tr')
    Watch(tmp_path, 2).close()
    kept = (tmp_path / "scalars.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in kept] == [1, 2]


def test_a_run_that_died_before_its_first_checkpoint_leaves_no_numbers(tmp_path):
    dead = small_config(watch={"sample_every": 2, "samples": 1, "sampling_steps": 1})
    first = Trainer(dead, fake_data(), tmp_path, Ranks(), CPU)
    first._validate(None)
    first.watch.scalars(1, {"train/loss": 5.0})
    first.watch.close()
    other = small_config(
        model={"alpha": 0.5}, run={"steps": 2, "seed": 7}, watch={"sample_every": 2, "samples": 1, "sampling_steps": 1}
    )
    Trainer(other, fake_data(), tmp_path, Ranks(), CPU, resume=True).run()
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 2] and all(line.get("train/loss") != 5 for line in lines)
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation/loss")] == [0, 2]
    assert [event.value == 5 for event in events.Scalars("train/loss")] == [False, False]


def test_numbers_of_a_checkpoint_of_step_0_are_kept(tmp_path):
    settings = small_config(run={"steps": 2}, watch={"sample_every": 2, "samples": 1, "sampling_steps": 1})
    first = Trainer(settings, fake_data(), tmp_path, Ranks(), CPU)
    first._validate(None)
    first.save()
    before = (tmp_path / "scalars.jsonl").read_text()
    first.watch.scalars(1, {"train/loss": 5.0})
    first.watch.close()
    again = Trainer(settings, fake_data(), tmp_path, Ranks(), CPU, resume=True)
    assert "validation/loss" in before and (tmp_path / "scalars.jsonl").read_text() == before
    assert not again._validation_is_due()
    again.watch.close()


def test_validation_is_the_same_every_time_and_disturbs_nothing(tmp_path):
    settings = small_config(watch={"sample_every": 1, "sampling_steps": 1})
    trainer = Trainer(settings, fake_data(), tmp_path, Ranks(), CPU)
    state, weights = torch.get_rng_state(), {n: p.detach().clone() for n, p in trainer.parameters.items()}
    assert trainer.validation.loss(trainer.module) == trainer.validation.loss(trainer.module)
    assert torch.equal(trainer.validation.sample(trainer.module, 0), trainer.validation.sample(trainer.module, 0))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, weights[n]) for n, p in trainer.parameters.items())


class StopAt:
    """Asks for the end from the question with this number on."""

    def __init__(self, question):
        self.left = question

    @property
    def signal(self):
        self.left -= 1
        return signal.SIGTERM if self.left <= 0 else 0


@pytest.mark.parametrize(
    ("question", "step", "samples"),
    [
        (1, 0, 0),  # before anything is computed
        (3, 0, 1),  # between the clips of step 0
        (4, 1, 2),  # during step 1
        (8, 2, 3),  # between the clips of step 2
    ],
)
def test_who_asks_for_the_end_does_not_wait_for_the_videos(tmp_path, monkeypatch, question, step, samples):
    settings = small_config(run={"steps": 4}, watch={"sample_every": 2, "samples": 2, "sampling_steps": 1})
    trainer = Trainer(settings, fake_data(), tmp_path, Ranks(), CPU)
    sampled, sample = [], trainer.validation.sample
    monkeypatch.setattr(trainer.validation, "sample", lambda *given: sampled.append(1) or sample(*given))
    assert trainer.run(StopAt(question)) == signal.SIGTERM
    assert len(sampled) == samples and Checkpoints(tmp_path / CHECKPOINTS, 3).steps()[0] == step
    # What was not shown is shown by the run that goes on, and nothing twice.
    assert Trainer(settings, fake_data(), tmp_path, Ranks(), CPU, resume=True).run() == 0
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation/loss" in line] == [0, 2, 4]


def test_a_video_that_cannot_be_written_does_not_end_the_run(tmp_path, caplog):
    (tmp_path / "samples").write_text("in the way")
    settings = small_config(run={"steps": 1}, watch={"sample_every": 2, "samples": 1, "sampling_steps": 1})
    with caplog.at_level(logging.WARNING):
        assert Trainer(settings, fake_data(), tmp_path, Ranks(), CPU).run() == 0
    assert "step 1: the sample video 0-clip-0 is left out" in caplog.text
    assert "validation/loss" in (tmp_path / "scalars.jsonl").read_text()


def test_a_video_that_is_not_finite_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    settings = small_config(run={"steps": 1}, watch={"sample_every": 1, "samples": 2, "sampling_steps": 1})
    trainer = Trainer(settings, fake_data(), tmp_path, Ranks(), CPU)
    sample = trainer.validation.sample

    def fails(module, number):
        if number == 0 and trainer.step == 1:
            raise FloatingPointError("step 1 of 1: the network's output is not finite")
        return sample(module, number)

    monkeypatch.setattr(trainer.validation, "sample", fails)
    with caplog.at_level(logging.WARNING):
        assert trainer.run() == 0
    assert "step 1: the sample video 0-clip-0 is left out: step 1 of 1" in caplog.text
    assert [path.name for path in (tmp_path / "samples/step-00000001").iterdir()] == ["1-clip-1.mp4"]
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation/loss" in line] == [0, 1]
