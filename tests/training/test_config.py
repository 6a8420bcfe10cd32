"""Configurations: presets, files, changes of the command line, and what is wrong with them."""

import pytest
from animatex_training.cli import main
from animatex_training.config_file import network_config, preset_names, read_config
from animatex_training.plan import plan_of, traced

from tests.training.fakes import small_config


def test_presets():
    mini = ["mini", "mini-1-characters", "mini-2-poses", "mini-3-pairs"]
    assert preset_names() == ["fashion", "finetune-24gb", "lora", *mini, "paper", "tiny"]
    for name in preset_names():
        network_config(read_config(name).model)
    paper, fashion, lora = (read_config(name) for name in ("paper", "fashion", "lora"))
    assert (paper.optimiser.rate, paper.optimiser.ipi_rate, paper.data.frames) == (5e-5, 5e-7, 32)
    o = paper.objective
    assert (o.drop_each, o.drop_all, o.keep_all, o.offset_noise, o.min_snr) == (0.5, 0.1, 0.1, 0.1, 0.0)
    assert fashion.run.checkpoint_levels == paper.run.checkpoint_levels and fashion.optimiser.rate == 1e-5
    assert lora.trainable.lora_rank == 16
    needing = {name for name in preset_names() if read_config(name).start.required}
    assert needing == {"fashion", "finetune-24gb", "lora", "mini", "mini-2-poses", "mini-3-pairs"}


def test_a_file_over_its_preset_and_the_command_line_over_both(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "tiny"\n[optimiser]\nrate = 1e-3\n[model.unet]\nmotion_attention = "parallel"\n')
    config = read_config(path, ["run.steps=7", "data.folder=some/where", "objective.min_snr=5"])
    assert (config.optimiser.rate, config.optimiser.ema, config.run.steps) == (1e-3, 0.99, 7)
    assert config.data.folder == "some/where" and config.objective.min_snr == 5.0
    assert network_config(config.model).unet.motion_attention == "parallel"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[optimiser]\nrates = 1", r"mine\.toml: optimiser: unknown key rates; known are kind, rate"),
        ("[optimizer]\nrate = 1.0", r"unknown key optimizer"),
        ("[optimiser]\nrate = 'fast'", r"optimiser\.rate: expected a number, got 'fast'"),
        ("[run]\nsteps = 1.5", r"run\.steps: expected a whole number, got 1\.5"),
        ("[run]\nsteps = true", r"run\.steps: expected a whole number, got True"),
        ("[run]\nsteps = 0", r"run\.steps: expected at least 1, got 0"),
        ("[run]\nprecision = 'fp8'", r"run\.precision: expected fp32, bf16 or fp16, got 'fp8'"),
        ("[optimiser]\nkind = 'muon'\n[run]\nsharding = 'fully_shard'", r"\"muon\" does not go with .*use \"adamw\""),
        ("[run]\nprecision = 'fp16'\nsharding = 'fully_shard'", r"\"fp16\" does not go with .*use \"bf16\""),
        ("[run]\nprecision = 'fp32'\nfrozen_precision = 'bf16'", r"frozen_precision: \"bf16\" does not go with"),
        ("[run]\ncheckpoint_levels = 'all'", r"run\.checkpoint_levels: expected a list"),
        ("[objective]\ndrop_all = 0.7\nkeep_all = 0.7", r"add up to 1\.4"),
        ("[data.settings]\nlamda = 0.9", r"mine\.toml: .*lamda: unknown"),
        ("[model.unet]\nwidht = 3", r"unknown fields widht"),
        ("[model.unet]\nwidth = 33", r"33 channels must be a multiple"),
        ("model = 3", r"model: expected a section, got 3"),
        ("preset = 'lora'\ndata = 'folder'", r"mine\.toml: data: expected a section, got 'folder'"),
        ("preset = 'huge'", r"preset: expected one of fashion"),
        ("[run", r"not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, named):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=named):
        read_config(path)


def test_no_such_file():
    with pytest.raises(ValueError, match=r"nowhere\.toml: no such file, and none of the presets fashion"):
        read_config("nowhere.toml")


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ({"base": "tiny", "ipi": {"query": "learned"}}, "learned"),
        ({"base": "tiny", "ipi": {"query": "pose"}}, "pose"),
        ({"base": "tiny", "ipi": {"query": "clip"}}, "clip"),
    ],
)
def test_ablations_of_the_network_are_values(model, kind):
    config = network_config(small_config(model={"unet": {}, "conditions": {}, **model}).model)
    assert config.ipi.query == kind


def test_no_ipi_at_all():
    assert network_config(read_config("tiny", ['model.unet.motion_attention="none"']).model).ipi is None


@pytest.fixture(scope="module")
def paper():
    """Plans of the paper's training, by checkpointed levels."""
    found = traced(read_config("paper"), 768, 512)
    levels = ([0, 1], [], [0, 1, 2, 3])
    return {len(some): plan_of(read_config("paper", [f"run.checkpoint_levels={some}"]), found, 8) for some in levels}


def test_the_plan_of_the_paper_has_the_known_work(paper):
    told = "\n".join(paper[2].lines(read_config("paper"), "h200", 8))
    assert "1,817,708,556" in told and "89.2" in told and "it fits into 141 GB" in told
    assert abs(paper[0].forward / 89.3e12 - 1) < 0.01  # measured on the released network
    assert abs(paper[0].work / 268e12 - 1) < 0.01 and paper[0].again == 0
    assert abs(paper[4].work / 357e12 - 1) < 0.02 and paper[4].activations < 0.5 * paper[0].activations
    assert paper[4].activations < paper[2].activations < paper[0].activations
    assert "does NOT fit into 24 GB" in "\n".join(paper[2].lines(read_config("paper"), "rtx4090", 8))


def test_the_plans_of_the_small_presets_fit_24_gb(capsys):
    for preset in ("finetune-24gb", "lora"):
        assert main(["plan", preset, "--gpu", "rtx4090"]) == 0
        assert "it fits into 24 GB" in capsys.readouterr().out
    assert main(["plan", "paper", "--size", "511x768"]) == 1
