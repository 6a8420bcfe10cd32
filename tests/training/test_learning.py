"""What learns: adapters, freezing, learning rates, EMA, accumulation, activation checkpointing, starts."""

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from animatex_training.activation import checkpoint_levels, stages_by_level
from animatex_training.config import OptimiserSettings, RunSettings, TrainableSettings
from animatex_training.config_file import network_config, read_config
from animatex_training.ema import EMA
from animatex_training.guard import Outcome
from animatex_training.initial import initial_network
from animatex_training.lora import add_lora, merged
from animatex_training.network import TrainedNetwork
from animatex_training.objective import noise_batch, sample_losses
from animatex_training.optimiser import choose_trainable, make_optimiser, set_rates, trainable
from animatex_training.sharding import Ranks
from animatex_training.trainer import Trainer
from safetensors.torch import save_file

import animatex_core
from animatex_core.config import AnimateXConfig
from animatex_core.model import AnimateX
from animatex_core.weights import load_state
from tests.training.fakes import NETWORK, Clips, Draw, collate, fake_data, small_config

SETTINGS = small_config()
BATCH = [Draw(i, i) for i in range(4)]


def network(seed=3):
    """Weights of a sane scale everywhere: a new network's branches end in zeros and hide what is inside."""
    made = initial_network(network_config(SETTINGS.model), "", seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        if not parameter.any():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 400
            parameter.data.normal_(0, fan_in**-0.5, generator=generator)
    return made


def predict(made, draws=BATCH):
    batch = collate([Clips()[draw] for draw in draws])
    noised = noise_batch(batch.latents, [d.seed for d in draws], SETTINGS.objective)
    v = TrainedNetwork(made)(noised.x, noised.timesteps, batch.inputs, noised.keep)
    return sample_losses(v, noised, batch.weight, 0.0), v


def gradients(made):
    return {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}


def close(found, wanted, tolerance=1e-5):
    assert found.keys() == wanted.keys()
    worst = max(float((found[n] - w).norm() / (w.norm() + 1e-8)) for n, w in wanted.items())
    assert worst < tolerance, worst


@pytest.fixture(scope="module")
def plain():
    made = network()
    losses, _ = predict(made)
    losses.mean().backward()
    return gradients(made)


@pytest.mark.parametrize("levels", [(0,), (1,), (0, 1)])
def test_checkpointed_levels_have_the_same_gradients(plain, levels):
    made = network()
    wanted = sum(level in levels for level, _ in stages_by_level(made.unet))
    assert checkpoint_levels(made.unet, levels) == wanted > 0
    runs = []
    made.unet.middle.res.register_forward_hook(lambda *_: runs.append(1))
    predict(made)[0].mean().backward()
    assert len(runs) == (2 if 1 in levels else 1)  # really computed again
    close(gradients(made), plain, 1e-6)


def test_levels_that_there_are_not():
    with pytest.raises(ValueError, match=r"expected 0 to 1, got \[5\]"):
        checkpoint_levels(network().unet, (5,))


def test_accumulation_of_k_batches_equals_one_large_one(plain):
    made = network()
    for part in (BATCH[:2], BATCH[2:]):
        (predict(made, part)[0].sum() / len(BATCH)).backward()
    close(gradients(made), plain)


def test_two_learning_rates_and_warm_up():
    made = network()
    settings = OptimiserSettings(rate=1.0, ipi_rate=0.01, warmup=4)
    optimiser = make_optimiser(made, settings)
    names = {id(p): name for name, p in made.named_parameters()}
    rest, ipi = [[names[id(p)] for p in group["params"]] for group in optimiser.param_groups]
    assert all(name.startswith("ipi.") for name in ipi) and not any(name.startswith("ipi.") for name in rest)
    assert len(rest) + len(ipi) == len(names)
    set_rates(optimiser, settings, 1, 100)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.005]
    set_rates(optimiser, settings, 50, 100)
    assert [group["lr"] for group in optimiser.param_groups] == [1.0, 0.01]
    cosine = OptimiserSettings(rate=1.0, schedule="cosine")
    assert math.isclose(set_rates(optimiser, cosine, 50, 100), 0.5) and set_rates(optimiser, cosine, 0, 100) == 1


def test_freezing_by_patterns():
    made = network()
    choose_trainable(made, TrainableSettings(train=("unet.*.motion.*", "ipi.*"), freeze=("*norm*",)), RunSettings())
    learning = trainable(made)
    assert learning and all((".motion." in n or n.startswith("ipi.")) and "norm" not in n for n in learning)
    predict(made)[0].mean().backward()
    assert gradients(made).keys() <= learning.keys()
    with pytest.raises(ValueError, match=r"trainable\.train: 'nothing\*' matches no parameter"):
        choose_trainable(made, TrainableSettings(train=("nothing*",)), RunSettings())


def test_frozen_matrices_take_another_precision():
    made = network()
    run = RunSettings(frozen_precision="bf16")
    choose_trainable(made, TrainableSettings(train=("ipi.*",)), run)
    assert made.unet.entrance.weight.dtype == torch.bfloat16 and made.ipi.query.lift1.weight.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        predict(made)[0].mean().backward()
    assert all(torch.isfinite(g).all() for g in gradients(made).values())


def test_ema():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = EMA({"a": weight}, 0.5)
    weight.data.fill_(1.0)
    average.update(1)  # an early average forgets faster: 2/11 of it stays
    assert torch.allclose(average.averages["a"], torch.full((2,), 9 / 11))
    average.update(100)
    assert torch.allclose(average.averages["a"], torch.full((2,), 0.5 * 9 / 11 + 0.5))
    with average.in_place():
        assert not torch.equal(weight, torch.ones(2))
    assert torch.equal(weight, torch.ones(2))


@pytest.mark.parametrize("pattern", ["*attention*", "unet.encoder.0.res.conv1", "ipi.reader.*", "pose.conv2", "*"])
def test_adapters_start_as_nothing_and_merge_exactly(pattern):
    made = network()
    _, before = predict(made)
    plain_state = {name: t.clone() for name, t in made.state_dict().items()}
    names = add_lora(made, [pattern], 3, 6.0, seed=1)
    assert names and torch.equal(predict(made)[1], before)
    learning = trainable(made)
    assert {n.rpartition(".")[0] for n in learning} == set(names) and len(learning) == 2 * len(names)
    for parameter in learning.values():
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    _, adapted = predict(made)
    assert float((adapted - before).detach().norm()) > 1e-3
    merged_state = merged(plain_state, {n: p.detach() for n, p in learning.items()}, 6.0)
    other = network(9)
    other.load_state_dict(merged_state)
    assert torch.allclose(predict(other)[1], adapted, atol=2e-5)


def test_an_adapter_pattern_that_matches_nothing():
    with pytest.raises(ValueError, match="'nowhere' matches no layer"):
        add_lora(network(), ["nowhere"], 2, 2, 0)


def model_file(path, made):
    config = made.config
    save_file(made.state_dict(), path, {"format": "animate-x", "format_version": "1", "config": config.to_json()})
    return str(path)


def test_starting_from_animate_x_takes_every_number(tmp_path):
    source = network(5)
    started = initial_network(source.config, model_file(tmp_path / "a.safetensors", source), 1)
    for name, tensor in source.state_dict().items():
        assert torch.equal(started.state_dict()[name], tensor), name


def test_starting_from_uni_animate_predicts_what_it_predicts(tmp_path):
    full = network_config(SETTINGS.model)
    values = json.loads(full.to_json())
    values["ipi"], values["unet"]["motion_attention"] = None, "none"
    lesser = AnimateX(AnimateXConfig.from_json(json.dumps(values)))
    for parameter in lesser.parameters():
        parameter.data.normal_(0, 0.1 if parameter.ndim > 1 else 0.3, generator=torch.Generator().manual_seed(1))
    started = initial_network(full, model_file(tmp_path / "u.safetensors", lesser), 1)
    found, wanted = predict(started)[1], predict(lesser)[1]
    assert torch.allclose(found, wanted, atol=1e-5) and float(wanted.norm()) > 0.1
    predict(started)[0].mean().backward()
    assert started.unet.middle.motion.leave.weight.grad.any()  # and the new branches learn


def test_starting_from_another_network_is_refused(tmp_path):
    path = model_file(tmp_path / "a.safetensors", network())
    other = network_config(
        small_config(model={"unet": {"width": 32, "head_width": 8, "groups": 4, "context_width": 32}}).model
    )
    with pytest.raises(ValueError, match=r"a\.safetensors: .*expected \[.*as \[model\] says, found"):
        initial_network(other, path, 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"unet": {"head_width": 16, "entrance_heads": 1}},
            r"unet\.head_width: expected 16 as \[model\] says, found 8 in",
        ),
        ({"unet": {"groups": 8}}, r"unet\.groups: expected 8 as \[model\] says, found 4 in"),
        (
            {"unet": {"multipliers": [1, 2, 2]}},
            r"unet\.multipliers: expected \[1, 2, 2\] as \[model\] says, found \[1, 2\];",
        ),
        ({"ipi": {"query_heads": 4}}, r"ipi\.query_heads: expected 4 .*found 2"),
        ({"ipi": {"reader_heads": 4, "reader_head_width": 4}}, r"ipi\.reader_heads: expected 4 .*found 2"),
    ],
)
def test_weights_that_are_cut_otherwise_are_refused(tmp_path, changes, named):
    sections = {name: NETWORK.get(name, {}) | changes.get(name, {}) for name in ("unet", "ipi")}
    other = network_config(small_config(model=sections).model)
    with pytest.raises(ValueError, match=rf"a\.safetensors: {named}"):
        initial_network(other, model_file(tmp_path / "a.safetensors", network()), 1)


def test_a_file_without_a_configuration_tells_no_heads(tmp_path):
    """It is read as if it were cut like the released network, which is a guess."""
    unet = {"width": 32, "head_width": 2, "entrance_heads": 16, "groups": 16, "context_width": 32}
    ipi = NETWORK["ipi"] | {"query_heads": 16, "reader_heads": 4, "reader_head_width": 16}
    source = initial_network(network_config(small_config(model={"unet": unet, "ipi": ipi}).model), "", 3)
    path = str(tmp_path / "a.safetensors")
    save_file(source.state_dict(), path)
    assert load_state(path).config.unet.head_width != source.config.unet.head_width
    started = initial_network(source.config, path, 1)
    assert torch.equal(started.unet.entrance.weight, source.unet.entrance.weight)


def test_an_ablation_may_begin_with_other_weights_and_says_so(tmp_path, caplog):
    path = model_file(tmp_path / "a.safetensors", network())
    initial_network(network_config(SETTINGS.model), path, 1)
    assert not caplog.records
    changed = small_config(model={"alpha": 0.5, "unet": NETWORK["unet"] | {"motion_attention": "parallel"}})
    initial_network(network_config(changed.model), path, 1)
    first, second = (record.getMessage() for record in caplog.records)
    assert "alpha is 1.0 in its configuration and 0.5 in [model]" in first
    assert "unet.motion_attention is serial in its configuration and parallel in [model]" in second


@pytest.mark.parametrize("preset", ["mini", "mini-3-pairs"])
def test_the_included_model_is_a_start_of_its_presets(preset, caplog):
    path = Path(animatex_core.__file__).parent / "assets" / "animatex_mini.safetensors"
    caplog.set_level(logging.WARNING, logger="animatex_training")  # other tests leave it lower
    initial_network(network_config(read_config(preset).model), str(path), 0)
    assert not caplog.records


def test_from_nothing_the_seed_says_everything_and_v_starts_at_zero():
    config = network_config(SETTINGS.model)
    torch.manual_seed(1)
    one = initial_network(config, "", 4)
    torch.manual_seed(2)
    two = initial_network(config, "", 4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not predict(one)[1].any()
    assert not torch.equal(initial_network(config, "", 5).unet.entrance.weight, one.unet.entrance.weight)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_like_float32(tmp_path, precision):
    losses = []
    for name in ("fp32", precision):
        settings = small_config(run={"steps": 6, "precision": name})
        trainer = Trainer(settings, fake_data(), tmp_path / name, Ranks(), torch.device("cpu"))
        batches = trainer.feed.batches()
        losses.append([trainer._train_step(batches).loss for _ in range(6)])
    assert all(abs(a - b) < 0.02 * a for a, b in zip(*losses, strict=True)), losses


def test_a_batch_that_is_not_finite_is_named_and_a_few_end_the_run(tmp_path):
    settings = small_config(run={"steps": 20}, watch={"bad_steps": 2, "sample_every": 0})
    trainer = Trainer(settings, fake_data(poison=range(6)), tmp_path, Ranks(), torch.device("cpu"))
    before = {n: p.detach().clone() for n, p in trainer.parameters.items()}
    with pytest.raises(FloatingPointError, match=r"step 2: the loss is not finite; clips: clip-\d, clip-\d\. 2 such"):
        trainer.run()
    assert all(torch.equal(p, before[n]) for n, p in trainer.parameters.items())
    assert len((tmp_path / "bad_steps-0.jsonl").read_text().splitlines()) == 2


def test_one_bad_batch_is_skipped(tmp_path, caplog):
    settings = small_config(run={"steps": 4})
    trainer = Trainer(settings, fake_data(poison=[0]), tmp_path, Ranks(), torch.device("cpu"))
    trainer.run()
    assert trainer.step == 4 and all(torch.isfinite(p).all() for p in trainer.parameters.values())
    assert any("clip-0" in record.message and "skipped" in record.message for record in caplog.records)


@pytest.mark.parametrize(("seen", "wanted"), [([float("nan")], None), ([float("inf"), 2.0], 2.0), ([1.0, 3.0], 2.0)])
def test_a_loss_that_is_no_number_is_not_averaged_and_not_zero(tmp_path, seen, wanted):
    trainer = Trainer(small_config(), fake_data(), tmp_path, Ranks(), torch.device("cpu"))
    trainer._log(seen, Outcome(seen[-1], 1.0), None)
    assert json.loads((tmp_path / "scalars.jsonl").read_text())["train/loss"] == wanted


def test_gradients_are_clipped(tmp_path):
    settings = small_config(optimiser={"clip": 1e-3})
    trainer = Trainer(settings, fake_data(), tmp_path, Ranks(), torch.device("cpu"))
    outcome = trainer._train_step(trainer.feed.batches())
    total = torch.nn.utils.get_total_norm([p.grad for p in trainer.parameters.values() if p.grad is not None])
    assert outcome.norm > 1e-2 and abs(float(total) - 1e-3) < 1e-5
