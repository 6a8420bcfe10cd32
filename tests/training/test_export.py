"""What a run leaves: a file that the core loads, with its averaged weights and its settings, and LoRA files."""

import json

import pytest
import torch
from animatex_training import export as export_module
from animatex_training.cli import main
from animatex_training.export import export
from animatex_training.initial import initial_network
from animatex_training.sharding import Ranks
from animatex_training.trainer import Trainer
from safetensors.torch import load_file

from animatex_core.tensor_files import open_safetensors
from animatex_core.weights import load_model, load_state
from tests.training.fakes import fake_data, small_config


def trained(folder, **sections):
    trainer = Trainer(small_config(run={"steps": 2}, **sections), fake_data(), folder, Ranks(), torch.device("cpu"))
    trainer.run()
    return trainer


def test_the_averaged_weights_load_in_the_core(tmp_path):
    trainer = trained(tmp_path / "run")
    out = tmp_path / "model.safetensors"
    told = ["--license", "CC0-1.0", "--note", "what it makes is synthetic"]
    assert main(["export", str(tmp_path / "run"), "--out", str(out), "--dtype", "fp32", *told]) == 0
    state, config, facts = load_state(out)
    for name, average in trainer.ema.averages.items():
        assert torch.equal(state[name], average), name
    assert config == trainer.module.network.config
    told = json.loads(facts["training"])
    assert told["step"] == 2 and told["weights"] == "ema" and told["config"]["optimiser"]["rate"] == 1e-3
    assert (facts["license"], facts["note"]) == ("CC0-1.0", "what it makes is synthetic")
    assert told["data_set"] == "clips"
    load_model(out)
    export(tmp_path / "run", tmp_path / "last.safetensors", dtype="fp32", averaged=False)
    last = load_file(tmp_path / "last.safetensors")
    assert all(torch.equal(last[name], p) for name, p in trainer.parameters.items())
    assert main(["export", str(tmp_path / "run"), "--out", str(out)]) == 1  # never over a file that is there


def new_export(folder):
    """The tensors of an export in float32, as good as untrained, and its metadata."""
    trained(folder / "run")
    export(folder / "run", folder / "fresh.safetensors", dtype="fp32")
    return load_file(folder / "fresh.safetensors"), open_safetensors(folder / "fresh.safetensors").metadata


def lora_run(folder, start):
    sections = {
        "trainable": {
            "lora_rank": 2,
            "lora_alpha": 4.0,
            "lora_layers": ["*attention*", "unet.middle.res.conv1", "ipi.*"],
        },
        "start": {"weights": str(start)},
        "optimiser": {"rate": 0.01, "ipi_rate": 0.01, "ema": 0.9},
    }
    return trained(folder, **sections)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    trained(folder / "run")
    export(folder / "run", folder / "start.safetensors", dtype="fp32")
    return folder / "start.safetensors"


def test_a_lora_file_and_the_merged_network_say_the_same(tmp_path, start):
    trainer = lora_run(tmp_path / "run", start)
    export(tmp_path / "run", tmp_path / "lora.safetensors", dtype="fp32", lora=True)
    export(tmp_path / "run", tmp_path / "merged.safetensors", dtype="fp32")
    lora, merged, plain = (
        load_file(p) for p in (tmp_path / "lora.safetensors", tmp_path / "merged.safetensors", start)
    )
    changed = 0
    for name, weight in plain.items():
        layer = f"diffusion_model.{name.removesuffix('.weight')}"
        if f"{layer}.lora_up.weight" not in lora:
            assert torch.equal(merged[name], weight)
            continue
        up, down = lora[f"{layer}.lora_up.weight"], lora[f"{layer}.lora_down.weight"]
        change = (up.flatten(1) @ down.flatten(1)).view_as(weight) * (lora[f"{layer}.alpha"] / down.shape[0])
        assert torch.allclose(merged[name], weight + change, atol=1e-6)
        changed += 1
    assert 3 * changed == len(lora) and len(trainer.parameters) == 2 * changed
    assert lora["diffusion_model.unet.middle.res.conv1.lora_down.weight"].shape[2:] == (3, 3)


def test_the_wrong_start_is_refused(tmp_path, start):
    lora_run(tmp_path / "run", start)
    other = tmp_path / "other.safetensors"
    other.write_bytes(start.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ValueError, match=r"other\.safetensors: is not what this run started from"):
        export(tmp_path / "run", tmp_path / "m.safetensors", weights=str(other))


def test_runs_without_a_lora_or_a_checkpoint(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no complete checkpoint"):
        export(tmp_path / "empty", tmp_path / "m.safetensors")
    trained(tmp_path / "run")
    with pytest.raises(ValueError, match="trained no LoRA"):
        export(tmp_path / "run", tmp_path / "m.safetensors", lora=True)
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_start_is_what_frozen_weights_come_from(start):
    network = initial_network(load_state(start).config, str(start), 0)
    assert torch.equal(network.unet.entrance.weight, load_file(start)["unet.entrance.weight"])


@pytest.mark.parametrize(("reference", "told"), [("released", 0), ("paper", 1), ("both", 1)])
def test_another_reference_is_said(tmp_path, caplog, reference, told):
    Trainer(
        small_config(data={"reference": reference}), fake_data(), tmp_path / "run", Ranks(), torch.device("cpu")
    ).save()
    caplog.clear()
    export(tmp_path / "run", tmp_path / "m.safetensors")
    assert caplog.text.count(f"--reference-mode {reference}") == told == len(caplog.records)


def test_metadata_name_files_and_not_where_they_lay(tmp_path):
    config = {"start": {"weights": str(tmp_path / "start.safetensors")}, "data": {"folder": "data", "sizes": (1, 2)}}
    kept = export_module._without_places(config)
    assert kept == {"start": {"weights": "start.safetensors"}, "data": {"folder": "data", "sizes": [1, 2]}}
