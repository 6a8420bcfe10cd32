"""Sampling: what is encoded how often, windows, frames to continue from."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from animatex_core.model import Inputs
from animatex_core.sampling import GuidedDenoiser, hold, sample
from animatex_core.windows import WindowPlan, fuse, plan_windows, shared_noise, start_noise
from tests.core.networks import random_inputs, relative, tiny_model


def count_calls(module, log, name):
    module.register_forward_pre_hook(lambda *_: log.append(name))


def watched_model():
    model, calls = tiny_model(), []
    for name in ("pose", "reference", "reference_pose", "reference_latent", "image_tokens", "ipi", "unet"):
        count_calls(getattr(model, name), calls, name)
    return model, calls


def noise(frames=5, seed=0):
    return torch.randn(1, 4, frames, 12, 8, generator=torch.Generator().manual_seed(seed))


def test_conditions_are_encoded_once_a_run():
    model, calls = watched_model()
    sample(GuidedDenoiser(model, random_inputs()), noise(), steps=4)
    once = ("pose", "reference", "reference_pose", "reference_latent", "image_tokens")
    assert {name: calls.count(name) for name in once} == dict.fromkeys(once, 1)
    assert calls.count("ipi") == 2  # with and without conditions
    assert calls.count("unet") == 2 * 4


def test_each_distinct_window_is_encoded_once():
    model, calls = watched_model()
    plan = WindowPlan(length=4, overlap=2)
    sample(GuidedDenoiser(model, random_inputs(9)), noise(9), steps=8, plan=plan)
    steps = [plan.windows(9, step) for step in range(8)]
    distinct = {window for windows in steps for window in windows}
    assert calls.count("pose") == len(distinct) < sum(map(len, steps))
    assert calls.count("ipi") == len(distinct) + 1
    assert calls.count("unet") == 2 * sum(map(len, steps))


def test_without_guidance_the_unconditional_pass_is_not_run():
    model, calls = watched_model()
    sample(GuidedDenoiser(model, random_inputs(), guidance=1), noise(), steps=3)
    assert calls.count("unet") == 4 and calls.count("ipi") == 1  # 3 steps make 4 evaluations


@torch.inference_mode()
@pytest.mark.parametrize("anchored", [True, False])
def test_a_window_equals_a_run_on_its_frames(anchored):
    model, inputs, x = tiny_model(), random_inputs(9), noise(9)
    if not anchored:
        inputs = replace(inputs, reference_keypoints=None)
    window = (3, 4, 5, 6)
    found = GuidedDenoiser(model, inputs)(x[:, :, 3:7], 500, window)
    alone = Inputs(
        pose=inputs.pose[:, :, 3:7],
        keypoints=inputs.keypoints[:, 3:7],
        features=inputs.features[:, 3:7],
        reference_keypoints=inputs.reference_keypoints if anchored else inputs.keypoints[:, 0],
        **{n: getattr(inputs, n) for n in ("reference", "reference_pose", "reference_latent", "image_feature")},
    )
    assert relative(found, GuidedDenoiser(model, alone)(x[:, :, 3:7], 500, (0, 1, 2, 3))) < 1e-5


@pytest.mark.parametrize("closed_loop", [False, True])
@pytest.mark.parametrize(("length", "overlap"), [(32, 8), (16, 4), (8, 0), (5, 4), (1, 0)])
def test_windows_cover_every_frame_at_every_step(length, overlap, closed_loop):
    plan = WindowPlan(length=length, overlap=overlap, closed_loop=closed_loop)
    for frames in (1, 5, 31, 32, 33, 47, 96, 100):
        for step in range(5):
            windows = plan.windows(frames, step)
            assert {frame for window in windows for frame in window} == set(range(frames))
            assert {len(window) for window in windows} == {min(frames, length)}
            assert all(len(set(window)) == len(window) for window in windows)
        assert (plan.weights(min(frames, length)) > 0).all()


def test_seams_move_from_step_to_step_and_come_back():
    plan = WindowPlan(length=16, overlap=4)
    starts = [tuple(window[0] for window in plan.windows(96, step)) for step in range(8)]
    assert len(set(starts[:4])) == 4 and starts[:4] == starts[4:]


def test_a_closed_loop_joins_end_and_start():
    windows = WindowPlan(length=16, overlap=4, closed_loop=True).windows(48, 1)
    assert any(0 in window and 47 in window for window in windows)


def test_a_closed_loop_of_one_window_starts_it_elsewhere_at_every_step():
    for frames in (9, 16):
        windows = [WindowPlan(length=16, overlap=4, closed_loop=True).windows(frames, step) for step in range(4)]
        assert all(len(of_step) == 1 and sorted(of_step[0]) == list(range(frames)) for of_step in windows)
        assert len({of_step[0][0] for of_step in windows}) == 4 and windows[0][0] == tuple(range(frames))
        assert any((frames - 1, 0) in pairwise(window) for (window,) in windows[1:])


def test_which_clips_go_in_one_piece():
    assert plan_windows(32, None) is None and plan_windows(32, 32) is None and plan_windows(20, 32, 8) is None
    assert plan_windows(33, 32) == WindowPlan(length=32, overlap=8) and plan_windows(9, 6) == WindowPlan(
        length=6, overlap=1
    )
    assert plan_windows(40, 32, 0).overlap == 0
    looped = plan_windows(20, None, closed_loop=True)
    assert looped.closed_loop and len(looped.windows(20, 0)) == 1 and plan_windows(20, 32, closed_loop=True).closed_loop


def test_the_start_noise_of_windows_is_shared_unless_told_otherwise():
    shape, plan = (1, 4, 20, 3, 2), WindowPlan(length=8, overlap=2)
    whole = start_noise(shape, 5, None)
    assert torch.equal(start_noise(shape, 5, plan, shared=False), whole)
    shared = start_noise(shape, 5, plan)
    assert torch.equal(shared[:, :, :8], whole[:, :, :8]) and not torch.equal(shared, whole)
    assert torch.equal(start_noise(shape, 5, WindowPlan(length=20, overlap=2)), whole)
    assert not torch.equal(start_noise(shape, 5, None, offset=0), whole)


@pytest.mark.parametrize(("length", "overlap"), [(0, 0), (8, 8), (8, -1)])
def test_impossible_windows_are_refused(length, overlap):
    with pytest.raises(ValueError):
        WindowPlan(length=length, overlap=overlap)


def test_fusing_equal_predictions_gives_them_back():
    plan, video = WindowPlan(length=8, overlap=3), torch.randn(1, 4, 20, 3, 2)
    windows = plan.windows(20, 2)
    fused = fuse([(w, video[:, :, list(w)]) for w in windows], plan.weights(8), 20)
    assert torch.allclose(fused, video, atol=1e-6)


def test_fusing_is_smooth_across_a_seam():
    plan = WindowPlan(length=8, overlap=4)
    windows = plan.windows(12, 0)
    flat = [(w, torch.full((1, 1, 8, 1, 1), float(i))) for i, w in enumerate(windows)]
    fused = fuse(flat, plan.weights(8), 12).flatten()
    assert (fused.diff() >= -1e-6).all() and fused.diff().max() < 0.6
    assert fused[0] == 0 and fused[-1] == 1


def test_shared_noise_reuses_the_first_window():
    start = noise(20)
    shared = shared_noise(start, 8, torch.Generator().manual_seed(3))
    assert torch.equal(shared[:, :, :8], start[:, :, :8])
    for later in (shared[:, :, 8:16], shared[:, :, 16:]):
        assert all(any(torch.equal(later[:, :, i], start[:, :, j]) for j in range(8)) for i in range(later.shape[2]))


def test_known_frames_are_held():
    model, known = tiny_model(), torch.randn(1, 4, 2, 12, 8)
    latents = sample(GuidedDenoiser(model, random_inputs()), noise(), steps=3, known=known)
    assert torch.equal(latents[:, :, :2], known) and latents.shape == (1, 4, 5, 12, 8)
    free = sample(GuidedDenoiser(model, random_inputs()), noise(), steps=3)
    assert relative(latents[:, :, 2:], free[:, :, 2:]) > 1e-3  # the others follow them
    x = noise(seed=9)
    assert torch.equal(hold(x, known, noise(), 999)[:, :, :2], noise()[:, :, :2])


@pytest.mark.parametrize("shape", [(1, 4, 5, 12, 8), (1, 4, 2, 12, 9), (4, 2, 12, 8)])
def test_known_frames_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="continue from"):
        sample(lambda x, t, w: x, noise(), known=torch.zeros(shape))


def test_same_seed_same_result():
    runs = [sample(GuidedDenoiser(tiny_model(), random_inputs()), noise(), steps=3) for _ in range(2)]
    assert torch.equal(*runs)


class HalfNetwork:
    """Stands in for a network in bfloat16 that predicts exactly, but for its precision."""

    empty_prompt = torch.zeros(1, dtype=torch.bfloat16)

    def encode(self, *_, **__):
        return None

    def __call__(self, x, timesteps, conditions):
        assert x.dtype == torch.bfloat16
        return 0.9 * x + 0.1


def test_only_the_network_runs_in_half_precision():
    start = noise()
    found = sample(GuidedDenoiser(HalfNetwork(), Inputs(), guidance=2.5), start, steps=30)
    exact = sample(lambda x, *_: 0.9 * x + 0.1, start, steps=30)
    in_half = sample(lambda x, *_: 0.9 * x + 0.1, start.bfloat16(), steps=30)
    assert found.dtype == torch.float32
    assert relative(found, exact) < 0.3 * relative(in_half, exact)
