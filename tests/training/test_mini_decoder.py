"""The decoder learns from what a network makes; everything else of the file stays as it is."""

import json

import pytest
import torch
from animatex_training import mini_vae_data
from animatex_training.mini_decoder_train import DecoderTraining, main, train_step
from animatex_training.mini_predicted import Predicted, Sampling, facts_of, joined, load_predicted, save_predicted
from animatex_training.mini_predicted import main as predict
from animatex_training.mini_vae import MiniVAE, VAEShape, save_mini_vae
from animatex_training.mini_vae_data import drawn
from animatex_training.mini_vae_run import Run
from animatex_training.shards import DatasetError
from safetensors import safe_open
from safetensors.torch import load_file

from animatex_core.atomic_file import OutputError
from tests.training import chain

SMALL = {"widths": (4, 8, 8, 8), "encoder_blocks": (0, 1, 1, 1), "decoder_blocks": (0, 1, 1, 1), "bf16": False}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Files of a model trained for one step, its data, and what it makes of them."""
    root = tmp_path_factory.mktemp("sampled")
    data = chain.prepare(root, 2, "--references", "3")
    model = chain.export_bundle(chain.train(data, root / "run", 1), root / "model.safetensors")
    out = root / "predicted.safetensors"
    command = ["--model", str(model), "--data", str(data), "--out", str(out), "--clips", "2", "--frames", "8"]
    predict(command)
    return command, out


def test_predicted_latents_lie_beside_their_pictures(sampled):
    command, out = sampled
    found = load_predicted([out])
    assert found.latents.shape == found.clean.shape == (6, 4, 12, 8)  # three of eight frames of two clips
    assert found.pictures.shape == (len(found), 96, 64, 3) and found.pictures.dtype == torch.uint8
    assert torch.isfinite(found.latents).all() and not torch.equal(found.latents, found.clean)
    vae = chain.load_vae(chain.ASSETS / "mini_vae.safetensors")
    encoded = vae.encode(found.pictures.permute(0, 3, 1, 2).float() / 255)
    assert (encoded - found.clean.float()).abs().max() < 0.02
    assert found.details.shape == (6, 12, 8) and 0.5 < float(found.details.max()) <= 1
    told = facts_of(out)
    assert told["model"] == "model.safetensors" and told["sampling"]["frames"] == 8 and len(told["licences"]) == 1
    with pytest.raises(OutputError, match="exists already"):
        predict(command)


def test_the_same_seed_makes_the_same_latents(sampled, tmp_path):
    command, out = sampled
    again = tmp_path / "again.safetensors"
    predict([str(again) if word == str(out) else word for word in command])
    assert torch.equal(load_predicted([again]).latents, load_predicted([out]).latents)
    other = tmp_path / "other.safetensors"
    predict([str(other) if word == str(out) else word for word in command] + ["--seed", "1"])
    assert not torch.equal(load_predicted([other]).latents, load_predicted([out]).latents)
    both = load_predicted([out, again])
    assert len(both) == 2 * len(load_predicted([out]))


def test_clips_longer_than_the_window_are_refused(sampled, tmp_path):
    command, _ = sampled
    out = str(tmp_path / "short.safetensors")
    shorter = [*command[:4], "--out", out, "--clips", "2", "--frames", "4"]
    with pytest.raises(DatasetError, match=r"--frames 4: its clips have \[8\] frames"):
        predict(shorter)


def some(size=(32, 24), count=4):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 4, size[0] // 8, size[1] // 8, generator=generator).half()
    pictures = torch.randint(0, 256, (count, *size, 3), generator=generator, dtype=torch.uint8)
    return Predicted(latents, latents + 0.1, pictures, torch.zeros(latents[:, 0].shape))


def test_files_of_two_sizes_are_named(tmp_path):
    for name, size in (("a", (32, 24)), ("b", (24, 32))):
        save_predicted(tmp_path / f"{name}.safetensors", some(size), Sampling(), "m")
    with pytest.raises(ValueError, match=r"b\.safetensors: its pictures are \[24, 32\].*those of .*a\.safetensors"):
        load_predicted([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])
    with pytest.raises(ValueError, match=r"mini_vae\.safetensors: expected latents, clean, pictures, details"):
        load_predicted([chain.ASSETS / "mini_vae.safetensors"])
    (tmp_path / "c.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"c\.safetensors: "):
        load_predicted([tmp_path / "c.safetensors"])


def test_only_the_decoder_learns():
    settings = DecoderTraining(**SMALL, steps=60, batch=4, rate=4e-3)
    run, predicted = Run(settings, "decoder"), some()
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    losses = [train_step(run, settings, predicted) for _ in range(60)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    for name, tensor in run.averaged().state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("encoder.")


def test_where_latents_leave_it_open_the_likelier_picture_wins():
    """Three pictures of four are black, the latents tell nothing: the squared error would end at a dark grey."""
    latents = torch.zeros(4, 4, 2, 2).half()
    pictures = torch.zeros(4, 16, 16, 3, dtype=torch.uint8)
    pictures[0] = 255
    settings = DecoderTraining(**SMALL, steps=200, batch=8, rate=1e-2, edges=0.0, ema=0.9)
    run, predicted = Run(settings, "decoder"), Predicted(latents, latents, pictures, torch.zeros(4, 2, 2))
    for _ in range(200):
        train_step(run, settings, predicted)
    assert float(run.averaged().decode(latents.float()).detach().mean()) < -0.9  # -1 is black, -0.5 the mean


def test_details_weigh_where_they_are_and_nowhere_else():
    plain, marked = some(), some()
    marked.details[:, 0, 0] = 1
    chosen = {"steps": 9, "edges": 0.0, **SMALL}
    runs = [Run(DecoderTraining(**chosen, details=d), "decoder") for d in (0.0, 4.0, 0.0, 4.0)]
    losses = [train_step(run, run.settings, p) for run, p in zip(runs, (plain, plain, marked, marked), strict=True)]
    assert losses[0] == losses[1] == losses[2]
    assert losses[0] < losses[3] < 2 * losses[0]  # one cell of twelve, five times


def test_the_file_keeps_its_facts_and_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_vae_data, "drawn", lambda seed, count: drawn(seed, 1))  # measured on one, not on 64
    start, out, predicted = (tmp_path / f"{name}.safetensors" for name in ("start", "out", "predicted"))
    shape = VAEShape(SMALL["widths"], SMALL["encoder_blocks"], SMALL["decoder_blocks"])
    save_mini_vae(start, MiniVAE(shape).state_dict(), {"training": vars(shape), "license": "CC0-1.0", "psnr_old": 1})
    save_predicted(predicted, joined([some(), some()]), Sampling(), "m", ["CC0-1.0"])
    command = ["--start", str(start), "--predicted", str(predicted), "--out", str(out), "--batch", "1"]
    main([*command, "--steps", "2"])
    main([*command, "--steps", "3"])
    with safe_open(out, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
    assert facts["license"] == "CC0-1.0" and "psnr_old" not in facts and "psnr_drawn" in facts
    (told,) = facts["decoder"]
    assert told["steps_done"] == 3 and [leg.get("from_step") for leg in told["legs"]] == [None, 0, 2]
    assert told["predicted"][0]["licences"] == ["CC0-1.0"]
    before, after = load_file(start), load_file(out)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if "encoder" in name)
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items() if "decoder" in name)
    predicted.unlink()
    save_predicted(predicted, some(), Sampling(), "m")
    with pytest.raises(ValueError, match=r"begun with another predicted\.safetensors"):
        main([*command, "--steps", "4"])
    out.with_suffix(".checkpoint.safetensors").unlink()
    with pytest.raises(OutputError, match="exists already"):
        main([*command, "--steps", "4"])
