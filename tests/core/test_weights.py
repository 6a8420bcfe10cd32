"""Loading: mapped, strict, whole or not at all."""

import logging
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from animatex_core.config import TINY, with_unet
from animatex_core.inventory import Difference
from animatex_core.ipi import position_table
from animatex_core.layers import GroupNorm, Layers
from animatex_core.model import Inputs
from animatex_core.tensor_files import WeightsError
from animatex_core.weights import MismatchError, extremes, load_model, load_part, load_state
from tests.core.networks import relative
from tests.core.small_files import SMALL, SMALL_MAMBA, SMALL_UNIANIMATE, our_state, released_state, save_ours
from tests.parity.golden import build


@pytest.fixture
def small(tmp_path):
    return save_ours(tmp_path / "small.safetensors", our_state())


def run(model):
    x = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0)).to(model.empty_prompt.dtype)
    with torch.inference_mode():
        return model(x, torch.tensor([500]), model.encode(Inputs(), 2, 8, 8))


@pytest.mark.parametrize("config", [SMALL, SMALL_UNIANIMATE, SMALL_MAMBA, TINY])
def test_loads_what_was_saved_without_a_copy(tmp_path, config):
    state = our_state(config)
    model = load_model(save_ours(tmp_path / "m.safetensors", state, config))
    assert model.config == config
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(p.requires_grad for p in model.parameters()) and not model.training
    assert relative(run(model), run(build(config, 3))) < 1e-5  # kernels round by where the memory lies
    if Path("/proc/self/maps").exists():
        where = model.unet.out.weight.data_ptr()
        ranges = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "m.safetensors" in line]
        assert any(int(r[0].split("-")[0], 16) <= where < int(r[0].split("-")[1], 16) for r in ranges)


def test_another_dtype_casts_weights_and_buffers_alike(small):
    model = load_model(small, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    assert run(model).dtype == torch.bfloat16


def test_injected_layers_make_the_layers(small):
    class Operations:
        class Linear(torch.nn.Linear):
            pass

        Conv2d, GroupNorm, LayerNorm = torch.nn.Conv2d, GroupNorm, torch.nn.LayerNorm

    model = load_model(small, layers=Layers(operations=Operations))
    assert type(model.unet.time_in) is Operations.Linear
    assert torch.equal(run(model), run(load_model(small)))


def test_half_precision_file_keeps_its_dtype_and_a_float32_prompt_follows_it(tmp_path):
    state = our_state(dtype=torch.float16)
    state["empty_prompt"] = state["empty_prompt"].float()
    model = load_model(save_ours(tmp_path / "m.safetensors", state))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float16}
    assert load_state(tmp_path / "m.safetensors").state["empty_prompt"].dtype == torch.float32


def test_eight_bit_files_load_and_keep_their_dtype(tmp_path):
    wide = {"empty_prompt", "ipi.query.positions"}
    state = {n: t if n in wide else t.to(torch.float8_e4m3fn) for n, t in our_state().items()}
    model = load_model(save_ours(tmp_path / "m.safetensors", state))
    assert model.unet.out.weight.dtype == torch.float8_e4m3fn
    assert model.empty_prompt.dtype == torch.float16
    assert load_model(tmp_path / "m.safetensors", dtype=torch.float32).unet.out.weight.dtype == torch.float32


def test_every_missing_unexpected_and_misshapen_name_is_listed(tmp_path):
    state = our_state()
    state["unet.extra.weight"] = state.pop("unet.out_norm.bias")
    state["unet.time_in.weight"] = state["unet.time_in.weight"].T.contiguous()
    with pytest.raises(MismatchError) as caught:
        load_model(save_ours(tmp_path / "m.safetensors", state))
    assert caught.value.difference == Difference(
        ("unet.out_norm.bias",), ("unet.extra.weight",), {"unet.time_in.weight": ((128, 32), (32, 128))}
    )
    message = str(caught.value)
    assert "m.safetensors" in message and "1 missing: unet.out_norm.bias" in message
    assert "1 unexpected: unet.extra.weight" in message
    assert "unet.time_in.weight [128, 32] expected, [32, 128] found" in message


def test_long_lists_are_summed_up_by_family_with_complete_counts(tmp_path):
    state = {n: t for n, t in our_state().items() if ".temporal." not in n}
    gone = len(our_state()) - len(state)
    with pytest.raises(MismatchError, match=f"{gone} missing: ") as caught:
        load_state(save_ours(tmp_path / "m.safetensors", state))
    assert len(caught.value.difference.missing) == gone
    assert "unet.middle.temporal.enter.* (2)" in str(caught.value)
    assert sum(int(count) for count in re.findall(r"\.\* \((\d+)\)", str(caught.value))) == gone
    assert len(str(caught.value)) < 1000


def test_configuration_is_inferred_where_the_metadata_has_none(tmp_path):
    save_file(our_state(), tmp_path / "m.safetensors")
    assert load_state(tmp_path / "m.safetensors").config == SMALL


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model."])
def test_files_of_the_hosts_save_node(tmp_path, prefix):
    state = {prefix + name: tensor for name, tensor in our_state(TINY).items()}
    state[prefix + "animatex_config"] = torch.tensor(list(TINY.to_json().encode()), dtype=torch.uint8)
    state["v_pred"] = torch.tensor([])
    save_file(state, tmp_path / "m.safetensors", {"prompt": "{}"})
    model = load_model(tmp_path / "m.safetensors")
    assert model.config == TINY and torch.equal(run(model), run(build(TINY, 3)))


@pytest.mark.parametrize("value, words", [(float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_numbers_that_are_not_finite_are_found_and_named(tmp_path, value, words, dtype):
    state = {name: tensor.to(dtype) for name, tensor in our_state().items()}
    state["unet.middle.res.conv1.weight"].view(-1)[77] = value
    path = save_ours(tmp_path / "m.safetensors", state)
    with pytest.raises(WeightsError, match=rf"middle\.res\.conv1\.weight: 1 of .* the first is {words} at position 77"):
        load_model(path)
    assert load_model(path, check_finite=False) is not None


def test_a_model_of_zeros_is_refused(tmp_path):
    state = {name: torch.zeros_like(tensor) for name, tensor in our_state().items()}
    with pytest.raises(WeightsError, match="every number of the model is zero"):
        load_model(save_ours(tmp_path / "m.safetensors", state))


def test_integer_weights_are_refused(tmp_path):
    state = our_state() | {"unet.out.bias": torch.zeros(4, dtype=torch.int32)}
    with pytest.raises(WeightsError, match=r"unet\.out\.bias: expected floating-point numbers, found torch\.int32"):
        load_model(save_ours(tmp_path / "m.safetensors", state))


def test_a_table_of_positions_of_another_length_is_rebuilt_with_one_line(tmp_path, caplog):
    state = our_state() | {"ipi.query.positions": position_table(5, 64)}
    with caplog.at_level(logging.INFO):
        model = load_model(save_ours(tmp_path / "m.safetensors", state))
    assert torch.equal(model.ipi.query.positions, position_table(9, 64))
    assert [r.message for r in caplog.records if "positions" in r.message] == [
        f"{tmp_path / 'm.safetensors'}: table of 5 positions rebuilt for 9"
    ]


def test_a_released_file_says_how_to_convert_it(tmp_path):
    save_file(released_state(), tmp_path / "released.safetensors")
    with pytest.raises(WeightsError, match=r"Animate-X, names as released.*animate-x convert"):
        load_model(tmp_path / "released.safetensors")


def test_another_model_is_named(tmp_path):
    save_file({"decoder.mid.block_1.norm1.weight": torch.ones(4)}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"vae\.safetensors: no converted Animate-X model but a VAE"):
        load_model(tmp_path / "vae.safetensors")


def test_an_archive_is_never_opened_by_loading(tmp_path, monkeypatch):
    torch.save(our_state(), tmp_path / "m.pth")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(
        WeightsError, match=r"m\.pth: a PyTorch archive, which only conversion opens: .*animate-x convert"
    ):
        load_model(tmp_path / "m.pth")


def test_a_configuration_that_does_not_fit_is_refused_at_once(tmp_path):
    huge = SMALL.to_json().replace('"reader_layers":2', '"reader_layers":1000000')
    wide = with_unet(SMALL, width=1 << 19).to_json()
    for text, words in (
        (huge, "1,000,003 layers"),
        (SMALL.to_json().replace('"groups":32', '"groups":0'), "configuration"),
        (SMALL.to_json().replace('"positions":9', '"positions":1000000'), "1,000,000 positions"),
        (wide, "of another shape"),
        ("[" * 100_000, "configuration in the metadata is broken"),
        ("[]", "must be an object"),
    ):
        state = our_state()
        save_file(state, tmp_path / "m.safetensors", {"config": text})
        with pytest.raises(WeightsError, match=words):
            load_model(tmp_path / "m.safetensors")


def test_bundled_parts_come_out_by_their_own_names(tmp_path):
    bundled = {"vae.decoder.conv_in.weight": torch.ones(2, 4), "clip_vision.visual_projection.weight": torch.ones(3)}
    path = save_ours(tmp_path / "m.safetensors", our_state() | bundled)
    assert load_model(path).config == SMALL
    assert list(load_part(path, "vae")) == ["decoder.conv_in.weight"]
    assert list(load_part(path, "clip_vision")) == ["visual_projection.weight"]
    with pytest.raises(ValueError, match="part must be one of"):
        load_part(path, "text")


def test_extremes():
    assert extremes("t", torch.tensor([3.0, -2.0])) == (-2.0, 3.0)
    assert extremes("t", torch.zeros(0)) == (0.0, 0.0)
    assert extremes("t", torch.tensor([3.0, -2.0]).to(torch.float8_e4m3fn)) == (-2.0, 3.0)
    with pytest.raises(WeightsError, match="t: 2 of 3"):
        extremes("t", torch.tensor([float("nan"), 1.0, float("inf")]))
