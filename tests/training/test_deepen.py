"""A stage more on a level: the same predictions, and something new that learns."""

import json

import pytest
import torch
from animatex_training.cli import main
from animatex_training.deepen import deepen
from animatex_training.export import export
from animatex_training.initial import initial_network, weights_sha256
from safetensors.torch import load_file, save_file

from animatex_core.atomic_file import OutputError
from animatex_core.config import TINY, AnimateXConfig, with_unet
from animatex_core.identify import identify
from animatex_core.tensor_files import WeightsError, open_safetensors
from animatex_core.weights import load_model, load_state
from tests.training.fakes import NETWORK
from tests.training.test_export import new_export, trained

SIZE = (2, 3, 16, 8)  # batch, frames, rows, columns of latents


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    tensors, metadata = new_export(folder)
    fill(tensors)
    tensors["vae.a"] = torch.ones(2, dtype=torch.float16)
    tensors["clip_vision.b"] = torch.ones(2, dtype=torch.int8)
    save_file(tensors, folder / "network.safetensors", metadata)
    return folder / "network.safetensors"


def fill(tensors):
    """A new network's branches end in zeros, add nothing, and would hide what is lost."""
    random = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.startswith("unet.") and not tensor.any():
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=random))


def of_other_stages(file, **changes):
    """A file of random weights whose network has other stages than the tiny one."""
    config = with_unet(TINY, **changes)
    state = initial_network(config, "", 3).state_dict()
    fill(state)
    save_file(state, file, {"config": config.to_json()})


def predicted(file, learning=False):
    """What the UNet says of random inputs, and the UNet."""
    unet = load_model(file, dtype=torch.float32).unet.requires_grad_(learning)
    random = torch.Generator().manual_seed(1)
    batch, frames, *sides = SIZE
    config, context = unet.config, unet.config.context_width
    beside = unet.entrance.weight.shape[1] - config.in_channels

    def some(*shape):
        return torch.randn(*shape, generator=random)

    v = unet(
        some(batch, config.in_channels, frames, *sides), torch.tensor([3, 900]), some(batch, beside, frames, *sides),
        some(batch, beside + config.in_channels, 1, *sides), some(batch, 5, context),
        some(batch * (frames + 1), 4, context),
    )  # fmt: skip
    return v, unet


@pytest.mark.parametrize("level, blocks", [(0, "[2, 1]"), (1, "[1, 2]")])
def test_a_stage_more_says_the_same_to_the_bit_and_learns(network, tmp_path, capsys, level, blocks):
    out = tmp_path / "deeper.safetensors"
    assert main(["deepen", str(network), "--level", str(level), "--out", str(out)]) == 0
    assert f"--set 'model.unet.blocks_per_level={blocks}'" in capsys.readouterr().out
    wanted, before = predicted(network)
    found, after = predicted(out, learning=True)
    assert torch.equal(found, wanted) and wanted.std() > 0
    assert len(after.encoder) == len(before.encoder) + 1 and len(after.decoder) == len(before.decoder) + 1
    found.square().mean().backward()
    new = [n for n, p in after.named_parameters() if n.endswith(("conv2.weight", "leave.weight")) and not p.any()]
    gradients = dict(after.named_parameters())
    assert new and all(gradients[n].grad.any() for n in new)


@pytest.mark.parametrize(
    "level, changes",
    [
        (1, {"multipliers": (1, 2, 3), "blocks_per_level": (2, 1, 3), "attention_levels": 2}),
        (2, {"multipliers": (1, 2, 3), "blocks_per_level": 2, "attention_levels": 2}),
        (0, {"temporal": "mamba"}),
        (0, {"multipliers": (1,), "motion_attention": "parallel"}),
    ],
)
def test_networks_of_other_stages_say_the_same(tmp_path, level, changes):
    of_other_stages(tmp_path / "before.safetensors", **changes)
    before = load_state(tmp_path / "before.safetensors").config.unet.blocks
    after = deepen(tmp_path / "before.safetensors", tmp_path / "after.safetensors", level).unet.blocks
    assert [a - b for a, b in zip(after, before, strict=True)] == [at == level for at in range(len(before))]
    wanted, found = (predicted(tmp_path / f"{name}.safetensors")[0] for name in ("before", "after"))
    assert torch.equal(found, wanted) and wanted.std() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_the_new_weights_have_the_dtype_of_the_file_but_for_8_bits(network, tmp_path, dtype):
    tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in load_file(network).items()}
    save_file(tensors, tmp_path / "before.safetensors", open_safetensors(network).metadata)
    deepen(tmp_path / "before.safetensors", tmp_path / "after.safetensors")
    found = open_safetensors(tmp_path / "after.safetensors").tensors
    new = torch.float16 if dtype.itemsize == 1 else dtype
    assert found["unet.encoder.1.res.conv1.weight"].dtype == new and found["unet.out.weight"].dtype == dtype


def test_the_seed_is_that_of_the_new_weights_alone(network, tmp_path):
    for seed in (0, 1):
        deepen(network, tmp_path / f"{seed}.safetensors", seed=seed)
    one, other = (load_file(tmp_path / f"{seed}.safetensors") for seed in (0, 1))
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert changed and all(name.startswith(("unet.encoder.1.", "unet.decoder.3.")) for name in changed)
    with pytest.raises(ValueError, match="seed: expected 0 to 9223372036854775807, got -1"):
        deepen(network, tmp_path / "other.safetensors", seed=-1)


def test_twice_gives_two_and_one_number_where_all_levels_are_alike_again(network, tmp_path):
    first, second, third = (tmp_path / f"{n}.safetensors" for n in "abc")
    deepen(network, first, 0)
    assert deepen(first, second, 0, seed=1).unet.blocks_per_level == (3, 1)
    assert deepen(first, third, 1).unet.blocks_per_level == 2
    wanted = predicted(network)[0]
    for file in (second, third):
        assert torch.equal(predicted(file)[0], wanted)


def test_what_else_is_in_the_file_stays(network, tmp_path):
    out = tmp_path / "deeper.safetensors"
    deepen(network, out, seed=5)
    before, after = open_safetensors(network), open_safetensors(out)
    for name in ("vae.a", "clip_vision.b"):
        assert torch.equal(after.tensors[name], before.tensors[name])
    told = dict(after.metadata)
    assert AnimateXConfig.from_json(told.pop("config")).unet.blocks == (2, 1)
    assert json.loads(told.pop("deepened")) == [{"level": 0, "seed": 5, "sha256": weights_sha256(str(network))}]
    assert told == {name: words for name, words in before.metadata.items() if name != "config"}
    assert "deepened: " in "\n".join(identify(out).lines())
    with pytest.raises(OutputError, match="exists already"):
        deepen(network, out)
    deepen(out, out, overwrite=True)
    assert [item["seed"] for item in json.loads(open_safetensors(out).metadata["deepened"])] == [5, 0]


def test_a_run_goes_on_from_it(network, tmp_path):
    deepen(network, tmp_path / "deeper.safetensors")
    start = {"weights": str(tmp_path / "deeper.safetensors")}
    model = {"unet": NETWORK["unet"] | {"blocks_per_level": [2, 1]}}
    trainer = trained(tmp_path / "run", start=start, model=model)
    assert trainer.module.network.config.unet.blocks == (2, 1)
    export(tmp_path / "run", tmp_path / "out.safetensors", dtype="fp32")
    config = json.loads(open_safetensors(tmp_path / "out.safetensors").metadata["config"])
    assert config["unet"]["blocks_per_level"] == [2, 1]
    with pytest.raises(ValueError, match=r"expected 1 as \[model\] says, found \[2, 1\]; --set 'model.unet"):
        trained(tmp_path / "other", start=start)


@pytest.mark.parametrize("level", [-1, 2])
def test_levels_that_there_are_not(network, tmp_path, level):
    with pytest.raises(ValueError, match=rf"network\.safetensors: level: expected 0 to 1, got {level}"):
        deepen(network, tmp_path / "out.safetensors", level)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_that_is_no_such_model_or_holds_more(network, tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: no converted Animate-X model"):
        deepen(tmp_path / "other.safetensors", tmp_path / "out.safetensors")
    tensors = load_file(network) | {"first_stage_model.a": torch.zeros(2)}
    save_file(tensors, tmp_path / "more.safetensors", open_safetensors(network).metadata)
    with pytest.raises(WeightsError, match=r"more\.safetensors: .*first_stage_model"):
        deepen(tmp_path / "more.safetensors", tmp_path / "out.safetensors")


@pytest.mark.parametrize("words", ["{}", "[", "3"])
def test_a_file_whose_history_cannot_be_read(network, tmp_path, words):
    metadata = open_safetensors(network).metadata | {"deepened": words}
    save_file(load_file(network), tmp_path / "odd.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"odd\.safetensors: deepened: expected a JSON list in the metadata, found"):
        deepen(tmp_path / "odd.safetensors", tmp_path / "out.safetensors")
