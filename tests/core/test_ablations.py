"""Each switch of tables 4 and 5 and figure 13 changes what it says and nothing else."""

import functools
from dataclasses import replace

import pytest
import torch

from animatex_core.config import TINY, UNIANIMATE, AnimateXConfig, with_unet
from animatex_core.identify import identify
from animatex_core.infer import infer_config
from animatex_core.layers import Layers
from animatex_core.model import AnimateX
from animatex_core.tensor_files import WeightsError
from animatex_core.weights import load_model
from tests.core.networks import random_inputs, relative, tiny_model
from tests.core.small_files import SMALL, our_state, save_ours

pytestmark = pytest.mark.usefixtures("no_gradients")
LEARNED = "ipi.reader.learned_query"


@pytest.fixture
def no_gradients():
    with torch.inference_mode():
        yield


def query(kind, config=TINY):
    return replace(config, ipi=replace(config.ipi, query=kind))


ABLATIONS = {
    "without IPI": replace(TINY, unet=replace(TINY.unet, motion_attention="none"), ipi=None),
    "without learned query": query("pose"),
    "without DWPose query": query("learned"),
    "CLIP as query": query("clip"),
    "parallel attention": with_unet(TINY, motion_attention="parallel"),
    "alpha": replace(TINY, alpha=0.25),
}


@functools.cache
def names(config):
    return frozenset(AnimateX(config, Layers(device="meta")).state_dict())


def with_weights_of(full, config):
    """A variant with the whole model's weights, as far as it has a place for them."""
    model = AnimateX(config).train(False)
    state = full.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return model


def encode(model, inputs=None):
    return model.encode(inputs or random_inputs(), 5, 12, 8)


def predict(model, conditions):
    x = torch.randn(1, 4, 5, 12, 8, generator=torch.Generator().manual_seed(3))
    return model(x, torch.tensor([500]), conditions)


def calls_of(module, run):
    """The arguments of every call of a module, and what it returned."""
    seen = []

    def note(_, given, out):
        seen.append((*(t.clone() for t in given if isinstance(t, torch.Tensor)), out.clone()))

    handle = module.register_forward_hook(note)
    run()
    handle.remove()
    return seen


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_switch_changes_the_prediction_and_no_condition_but_the_motion(name):
    full = tiny_model()
    variant = with_weights_of(full, ABLATIONS[name])
    whole, found = encode(full), encode(variant)
    for kept in ("pixels", "reference", "context"):
        assert torch.equal(getattr(found, kept), getattr(whole, kept)), kept
    assert relative(predict(variant, found), predict(full, whole)) > 1e-3


def test_without_ipi_nothing_of_it_is_there():
    gone = names(TINY) - names(ABLATIONS["without IPI"])
    assert gone == {n for n in names(TINY) if n.startswith("ipi.") or ".motion." in n}
    assert ABLATIONS["without IPI"].ipi == UNIANIMATE.ipi is None


def test_without_the_learned_query_poses_ask_alone():
    full = tiny_model()
    variant = with_weights_of(full, query("pose"))
    assert names(TINY) - names(variant.config) == {LEARNED} and names(variant.config) < names(TINY)
    full.ipi.reader.learned_query.zero_()
    assert torch.equal(encode(variant).motion, encode(full).motion)


def test_without_the_pose_query_keypoints_do_not_matter():
    full, inputs = tiny_model(), random_inputs()
    variant = with_weights_of(full, query("learned"))
    gone = names(TINY) - names(variant.config)
    assert gone == {n for n in names(TINY) if n.startswith("ipi.query.")} and names(variant.config) < names(TINY)
    for tensor in full.ipi.query.leave.state_dict().values():
        tensor.zero_()
    motion = encode(variant).motion
    assert torch.allclose(motion, encode(full).motion, atol=1e-6)
    assert torch.equal(encode(variant, replace(inputs, keypoints=random_inputs(seed=2).keypoints)).motion, motion)
    others = replace(inputs, features=random_inputs(seed=2).features)
    assert relative(encode(variant, others).motion, motion) > 1e-2


@pytest.mark.parametrize("kind", ["merged", "clip"])
def test_clip_as_query_exchanges_who_asks_and_who_is_read(kind):
    model = with_weights_of(tiny_model(), query(kind))
    assert names(query(kind)) == names(TINY)
    ipi = model.ipi
    ((*_, poses),) = calls_of(ipi.query, lambda: encode(model))
    ((*_, features),) = calls_of(ipi.reader.enter, lambda: encode(model))
    ((asking, read, _),) = calls_of(ipi.reader.layers[0], lambda: encode(model))
    asks, source = (features, poses) if kind == "clip" else (poses, features)
    assert torch.equal(asking, (asks + ipi.reader.learned_query).expand_as(asking)) and torch.equal(read, source)
    assert encode(model).motion.shape == (6, TINY.ipi.tokens, TINY.unet.context_width)


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_parallel_attention_reads_what_the_spatial_attention_read(kind):
    config = with_unet(TINY, motion_attention=kind)
    assert names(config) == names(TINY)
    model = with_weights_of(tiny_model(), config)
    conditions, stage = encode(model), model.unet.encoder[0]

    def run():
        predict(model, conditions)

    ((_, _, spatial),) = calls_of(stage.spatial, run)
    ((_, _, entering),) = calls_of(stage.res, run)
    ((read, _, moved),) = calls_of(stage.motion, run)
    ((leaving, _),) = calls_of(stage.temporal, run)
    assert torch.equal(read, entering if kind == "parallel" else entering + spatial)
    assert torch.allclose(leaving, entering + spatial + moved, atol=1e-5)
    assert torch.equal(encode(model).motion, encode(tiny_model()).motion)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_alpha_weighs_the_residual_and_the_learned_query(alpha):
    full, config = tiny_model(), replace(TINY, alpha=alpha)
    assert names(config) == names(TINY)
    variant = with_weights_of(full, config)
    motion = encode(variant).motion
    conditions = replace(encode(full), motion=motion)
    x, t = torch.randn(1, 4, 5, 12, 8), torch.tensor([500])
    assert torch.equal(variant(x, t, conditions), full(x, t, conditions, motion_scale=alpha))
    full.ipi.reader.learned_query.mul_(alpha)
    assert torch.allclose(encode(full).motion, motion, atol=1e-6)


@pytest.mark.parametrize("kind", ["pose", "learned", "clip"])
def test_a_file_says_which_it_is_and_is_not_guessed(tmp_path, kind):
    config = query(kind, SMALL)
    state = {name: tensor for name, tensor in our_state().items() if name in names(config)}
    model = load_model(save_ours(tmp_path / "m.safetensors", state, config))
    assert model.config == config == AnimateXConfig.from_json(config.to_json())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if kind == "clip":
        assert infer_config(shapes) == SMALL
        return
    with pytest.raises(WeightsError, match="is missing"):
        infer_config(shapes)


def test_an_unknown_query_is_named():
    with pytest.raises(ValueError, match=r"ipi\.query must be merged, pose, learned or clip, got 'both'"):
        query("both")


def test_inspection_says_what_is_unusual(tmp_path):
    plain = identify(save_ours(tmp_path / "plain.safetensors", our_state())).lines()
    assert not [line for line in plain if "query" in line]
    config = replace(query("clip", SMALL), alpha=0.5)
    lines = identify(save_ours(tmp_path / "clip.safetensors", our_state(), config)).lines()
    assert any("IPI 64 x 2 layers (query: clip, motion attention: serial, alpha: 0.5)" in line for line in lines)
