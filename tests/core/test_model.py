"""The network on its own terms: batches, sizes, precision, chunks, what is computed how often."""

from dataclasses import fields, replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from animatex_core import layers as layers_module
from animatex_core.config import RELEASED, TINY, UNIANIMATE, AnimateXConfig, with_unet
from animatex_core.ipi import position_table
from animatex_core.layers import Layers, fused_attention
from animatex_core.model import AnimateX, Conditions, Inputs
from animatex_core.unet import pad_to
from tests.core.networks import pick, random_inputs, relative, tiny_model

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def no_gradients():
    with torch.inference_mode():
        yield


def latents(frames=5, height=12, width=8, batch=1, seed=3):
    return torch.randn(batch, 4, frames, height, width, generator=torch.Generator().manual_seed(seed))


def predict(model, inputs, x, timestep=500):
    batch, _, frames, height, width = x.shape
    conditions = model.encode(inputs, frames, height, width, batch=batch)
    return model(x, torch.full((batch,), timestep), conditions)


def test_every_sample_of_a_batch_equals_its_own_run():
    model, inputs, x = tiny_model(), random_inputs(batch=2), latents(batch=2)
    together = predict(model, inputs, x)
    for i in range(2):
        assert relative(together[i : i + 1], predict(model, pick(inputs, i), x[i : i + 1])) < 1e-5
    assert relative(together[:1], together[1:]) > 0.1


def test_every_input_reaches_the_output():
    model, inputs, x = tiny_model(), random_inputs(), latents()
    everything = predict(model, inputs, x)
    others = random_inputs(seed=2)
    for name in (f.name for f in fields(inputs)):
        if name == "reference_feature":
            changed = replace(inputs, reference_feature=torch.ones_like(inputs.image_feature))
        else:
            changed = replace(inputs, **{name: 0.5 if "strength" in name else getattr(others, name)})
        assert relative(predict(model, changed, x), everything) > 1e-4, name


def test_frame_zero_of_the_ipi_defaults_to_the_driver_and_the_reference():
    model, x = tiny_model(), latents()
    bare = replace(random_inputs(), reference_keypoints=None)
    explicit = replace(bare, reference_keypoints=bare.keypoints[:, 0], reference_feature=bare.image_feature)
    assert torch.equal(predict(model, bare, x), predict(model, explicit, x))


def test_the_unconditional_pass_has_zeros_where_conditions_go():
    model = tiny_model()
    encoded = model.encode(Inputs(), 5, 12, 8)
    assert not encoded.pixels.any() and not encoded.reference.any()
    assert torch.equal(encoded.context[:, :77], model.empty_prompt) and not encoded.context[:, 77:].any()
    zeros = torch.zeros(1, 6, 2, 18), torch.zeros(1, 6, TINY.ipi.clip_width)
    assert torch.equal(encoded.motion, model.ipi(*zeros)) and encoded.motion.any()


def test_the_reference_is_the_same_on_one_frame_as_repeated_over_all():
    model, inputs = tiny_model(), random_inputs()
    repeated = model.reference(inputs.reference.unsqueeze(2).repeat(1, 1, 5, 1, 1))
    assert relative(model.reference(inputs.reference.unsqueeze(2)).expand_as(repeated), repeated) < 1e-6


@pytest.mark.parametrize(("height", "width"), [(13, 7), (1, 1), (2, 9), (12, 8)])
@pytest.mark.parametrize("frames", [1, 3])
def test_any_size_and_any_number_of_frames(height, width, frames):
    config = with_unet(TINY, multipliers=(1, 2, 2, 2))
    model = tiny_model(config)
    v = predict(model, random_inputs(frames, height, width), latents(frames, height, width))
    assert v.shape == (1, 4, frames, height, width) and torch.isfinite(v).all()


def test_padding_inside_is_mirroring_outside():
    model, x = tiny_model(with_unet(TINY, multipliers=(1, 2, 2))), latents(height=11, width=6)
    encoded = model.encode(random_inputs(height=11, width=6), 5, 11, 6)

    def mirrored(video):
        return pad_to(4, video.transpose(1, 2).flatten(0, 1)).unflatten(0, (1, -1)).transpose(1, 2)

    padded = Conditions(mirrored(encoded.pixels), mirrored(encoded.reference), encoded.context, encoded.motion)
    t = torch.tensor([500])
    assert torch.equal(model(mirrored(x), t, padded)[..., :11, :6], model(x, t, encoded))


def test_clips_longer_than_the_table_of_positions():
    ipi = replace(TINY.ipi, positions=3)
    short, long = tiny_model(replace(TINY, ipi=ipi)), tiny_model()
    state = {k: v for k, v in long.state_dict().items() if not k.endswith("positions")}
    short.load_state_dict(state, strict=False)
    inputs, x = random_inputs(), latents()
    assert torch.equal(predict(short, inputs, x), predict(long, inputs, x))
    assert torch.allclose(position_table(40, 64)[:, :33], position_table(33, 64))


def test_chunks_change_nothing(monkeypatch):
    model, inputs, x = tiny_model(), random_inputs(), latents()
    monkeypatch.setattr(layers_module, "CHUNK_NUMBERS_CPU", 1 << 40)
    monkeypatch.setattr(layers_module, "MAX_ATTENTION_ROWS", 1 << 40)
    whole = predict(model, inputs, x)
    monkeypatch.setattr(layers_module, "CHUNK_NUMBERS_CPU", 5000)
    monkeypatch.setattr(layers_module, "MAX_ATTENTION_ROWS", 7)
    assert relative(predict(model, inputs, x), whole) < 1e-6


def test_chunks_really_split_the_rows():
    seen = []

    def double(rows):
        seen.append(len(rows))
        return rows * 2

    rows = torch.randn(10, 3)
    numbers = layers_module.CHUNK_NUMBERS_CPU // 4
    assert torch.equal(layers_module.in_chunks(double, rows, numbers), rows * 2)
    assert seen == [4, 4, 2]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_half_precision_stays_near_single(dtype, bound):
    inputs, x = random_inputs(), latents()
    single = predict(tiny_model(), inputs, x)
    half = predict(tiny_model(dtype=dtype), inputs.to("cpu", dtype), x.to(dtype))
    assert half.dtype == dtype
    assert relative(half.float(), single) < bound


def test_motion_attention_serial_parallel_none():
    inputs, x = random_inputs(), latents()
    serial, parallel = tiny_model(), tiny_model(with_unet(TINY, motion_attention="parallel"))
    assert relative(predict(parallel, inputs, x), predict(serial, inputs, x)) > 1e-3
    conditions = serial.encode(inputs, 5, 12, 8)
    silent = serial(x, torch.tensor([500]), conditions, motion_scale=0.0)
    without = replace(TINY, unet=replace(TINY.unet, motion_attention="none"), ipi=None)
    plain = AnimateX(without).train(False)
    plain.load_state_dict({k: v for k, v in serial.state_dict().items() if k in plain.state_dict()})
    assert torch.allclose(silent, predict(plain, inputs, x), atol=1e-5)


def test_alpha_weighs_motion_attention_and_the_learned_query():
    inputs, x = random_inputs(), latents()
    half = tiny_model(replace(TINY, alpha=0.5))
    conditions = half.encode(inputs, 5, 12, 8)
    whole = tiny_model()
    assert relative(conditions.motion, whole.encode(inputs, 5, 12, 8).motion) > 1e-4
    scaled = whole(x, torch.tensor([500]), conditions, motion_scale=0.5)
    assert torch.equal(half(x, torch.tensor([500]), conditions), scaled)


def test_layers_and_attention_are_injected():
    made, calls = [], []

    class Operations:
        def __getattr__(self, name):
            made.append(name)
            return getattr(torch.nn, name)

    def attention(query, key, value):
        calls.append(query.shape)
        return fused_attention(query, key, value)

    model = AnimateX(TINY, Layers(operations=Operations(), attention=attention))
    assert set(made) == {"Linear", "Conv2d", "GroupNorm", "LayerNorm"}
    parameters = sum(1 for m in model.modules() if isinstance(m, tuple(getattr(torch.nn, n) for n in set(made))))
    assert parameters == len(made)
    predict(model, random_inputs(), latents())
    assert len(calls) > 20


def test_flops_of_the_released_size():
    def meta(*shape):
        return torch.empty(*shape, device="meta")

    model = AnimateX(RELEASED, Layers(device="meta"))
    conditions = Conditions(meta(1, 8, 32, 96, 64), meta(1, 12, 1, 96, 64), meta(1, 81, 1024), meta(33, 4, 1024))
    with FlopCounterMode(display=False) as counter:
        model(meta(1, 4, 32, 96, 64), torch.zeros(1, dtype=torch.long, device="meta"), conditions)
    assert counter.get_total_flops() / 1e12 == pytest.approx(89.3, rel=0.02)


def test_wrong_shapes_are_named():
    model, inputs = tiny_model(), random_inputs()
    with pytest.raises(ValueError, match=r"pose: expected a tensor \[1, 3, 4, 96, 64\], got \[1, 3, 5, 96, 64\]"):
        model.encode(inputs, 4, 12, 8)
    with pytest.raises(ValueError, match="reference_latent"):
        model.encode(replace(inputs, reference_latent=torch.zeros(1, 4, 3, 3)), 5, 12, 8)
    for name, shape in (
        ("reference_latent", (1, 8, 12, 8)),
        ("image_feature", (1, 1280)),
        ("keypoints", (1, 5, 2, 17)),
        ("reference_keypoints", (1, 2, 24)),
        ("features", (1, 5, 768)),
        ("reference_feature", (1, 768)),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: expected a tensor \[1, .*, got \[1, "):
            model.encode(replace(inputs, **{name: torch.zeros(shape)}), 5, 12, 8)
    with pytest.raises(ValueError, match="keypoints and features"):
        model.encode(replace(inputs, features=None), 5, 12, 8)
    with pytest.raises(ValueError, match="image_feature"):
        model.encode(replace(inputs, image_feature=None), 5, 12, 8)


@pytest.mark.parametrize("config", [RELEASED, TINY, UNIANIMATE])
def test_configuration_survives_json(config):
    assert AnimateXConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "object"),
        ('{"unet": {"widht": 3}}', "unknown fields widht"),
        (
            '{"unet": {"blocks_per_level": [1, 2]}}',
            r"_level: expected a positive integer, or a list of 4, .*, got \[1, 2\]",
        ),
        (
            '{"unet": {"blocks_per_level": []}}',
            r"_level: expected a positive integer, or a list of positive integers, got \[\]",
        ),
        ('{"unet": {"blocks_per_level": [1, 0, 1, 1]}}', "a positive integer, or a list of positive integers"),
        (
            '{"unet": {"blocks_per_level": true}}',
            "expected a positive integer, or a list of positive integers, got True",
        ),
        ('{"unet": {"width": [320]}}', r"unet.width: expected something like 320, got \[320\]"),
        ('{"unet": {"width": "big"}}', r"unet.width: expected something like 320, got 'big'"),
        ('{"unet": {"multipliers": []}}', "multipliers"),
        ('{"unet": {"width": 100}}', "multiple of"),
        ('{"ipi": null}', "go together"),
        ('{"unet": {"motion_attention": "twice"}}', "serial, parallel or none"),
        ('{"unet": {"temporal": "rnn"}}', "temporal must be attention or mamba, got 'rnn'"),
        ('{"unit": {}, "alfa": 2}', "unknown fields alfa, unit"),
        ('{"alpha": NaN}', "alpha: expected a number, got nan"),
        ('{"alpha": 1e999}', "alpha: expected a number, got inf"),
        pytest.param('{"alpha": ' + "9" * 400 + "}", "alpha: expected a number, got 99999", id="huge"),
        ('{"alpha": true}', "alpha: expected a number, got True"),
        ('{"alpha": "1"}', "alpha: expected a number, got 1"),
        ('{"alpha": null}', "alpha: expected a number, got None"),
        ('{"unet": {"width": NaN}}', "unet.width"),
        (
            '{"ipi": {"width": 1000, "query_heads": 16}}',
            "ipi.width: expected a multiple of ipi.query_heads, 16, got 1000",
        ),
        pytest.param('{"unet":' * 100_000 + "1" + "}" * 100_000, "not JSON: nested too deeply", id="deep"),
        ('{"unet": ', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_bad_configurations_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        AnimateXConfig.from_json(text)
