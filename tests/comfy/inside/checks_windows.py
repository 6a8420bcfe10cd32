"""Windows of frames: every one is predicted as in a separate run on its frames."""

import torch
from checks_conds import run
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from kit import Encodings, Recorder, relative

FRAMES = 20
MANUAL = {
    "context_length": 8, "context_overlap": 3, "context_schedule": "standard_static", "context_stride": 1,
    "closed_loop": False, "fuse_method": "pyramid", "dim": 0, "freenoise": False, "causal_window_fix": True,
}  # fmt: skip
CASES = {
    "anchored": {},
    "not anchored": {"causal_window_fix": False},
    "stride 2": {"context_schedule": "standard_uniform", "context_stride": 2},
    "closed loop": {"context_schedule": "looped_uniform", "closed_loop": True, "causal_window_fix": False},
    "closed loop, anchored": {"context_schedule": "looped_uniform", "closed_loop": True},
    "shared noise": {"freenoise": True},
}


def frames_in(window):
    """The frames a window of the host holds, the one put in front included."""
    return window.get_tensor(torch.arange(FRAMES), dim=0).tolist()


def separate(kit, frames, **changes):
    """positive and negative of a run on these frames alone."""
    whole = kit.clip_of(FRAMES)
    clip = {
        "driving_pose": [whole["driving_pose"][i] for i in frames],
        "driving_images": whole["driving_images"][frames],
        "reference": whole["reference"],
    }
    return kit.conditioning(**clip, **changes)


def compare_windows(kit, calls):
    """The largest relative distance between a window's prediction and that of a separate run, and the windows."""
    module, model = kit.pack("nodes.comfy_model"), kit.model.model
    worst, windows = 0.0, set()
    for x, timesteps, _, out, window, order in calls:
        frames = frames_in(window)
        windows.add(tuple(frames))
        sides = separate(kit, frames)
        numbers = [module.FrameNumbers(torch.arange(len(frames)), sides[side][0][1]["animatex"]) for side in order]
        expected = model.diffusion_model(x, timesteps, **model._conditions(numbers, x))
        worst = max(worst, relative(out, expected))
        model.clear_encoded()
    return worst, windows


def check_context_windows_of_the_host(kit):
    figures = {}
    for name, changes in CASES.items():
        model = ContextWindowsManualNode.execute(kit.model, **(MANUAL | changes))[0]
        recorder = Recorder(model)
        with Encodings(kit.model) as counted:
            run(kit, kit.conditioning(FRAMES), steps=3, model=recorder.model)
        worst, compared = compare_windows(kit, recorder.calls[-4:])
        every = {tuple(frames_in(call[4])) for call in recorder.calls}
        assert counted.with_inputs == len(every), (name, counted.with_inputs, len(every))
        assert counted.without == len({len(window) for window in every}), name
        assert worst < 1e-5, (name, worst)
        anchored = changes.get("causal_window_fix", True)
        assert any(len(window) == 9 for window in compared) == anchored, name
        figures[name] = {"distance": worst, "distinct windows": len(every), "calls": len(recorder.calls)}
    return figures


def check_windows_of_our_sampler(kit):
    figures = {}
    for closed in (False, True):
        recorder = Recorder(kit.model)
        positive, negative, latent = kit.conditioning(FRAMES)
        with Encodings(kit.model) as counted:
            kit.call(
                "Sampler", model=recorder.model, positive=positive, negative=negative, latent=latent, seed=1, steps=5,
                cfg=2.5, window_length=8, window_overlap=3, closed_loop=closed,
            )  # fmt: skip
        worst, _ = compare_windows(kit, recorder.calls[-5:])
        every = {tuple(frames_in(call[4])) for call in recorder.calls}
        assert worst < 1e-5, worst
        assert (counted.with_inputs, counted.without) == (len(every), 1)
        figures["closed loop" if closed else "open"] = {"distance": worst, "distinct windows": len(every)}
    return figures


def check_every_frame_is_in_a_window(kit):
    recorder = Recorder(kit.model)
    positive, negative, latent = kit.conditioning(FRAMES)
    kit.call(
        "Sampler", model=recorder.model, positive=positive, negative=negative, latent=latent, seed=1, steps=3, cfg=1.0,
        window_length=8, window_overlap=3,
    )  # fmt: skip
    assert set(range(FRAMES)) == {frame for call in recorder.calls for frame in call[4].index_list}
    assert all(call[0].shape[0] == 8 for call in recorder.calls)  # guidance 1 runs one side only


def border_jumps(latents, borders):
    """The largest frame-to-frame difference at a border over the median of all."""
    steps = (latents[1:] - latents[:-1]).flatten(1).norm(dim=1)
    return float(steps[[b - 1 for b in borders]].max() / steps.median())


def check_seams_do_not_show(kit):
    """On a steady motion; without fusing (no overlap, windows that stay) the same measure fails."""
    frames = 32
    still = {"driving_pose": [kit.poses[0]] * frames, "driving_images": torch.full((frames, 30, 20, 3), 0.5)}
    return fused_and_cut(kit, kit.model, kit.conditioning(frames, **still), frames, length=8)


def check_seams_do_not_show_with_the_mini_model(kit):
    """The same on trained weights: an included character that stands."""
    frames = 32
    model, clip, _ = kit.call("LoadModel", model_name=kit.pack("nodes.folders").MINI, weight_dtype="default")
    image, pose = kit.call("SampleCharacter", character="bear")
    still = {"driving_pose": pose * frames, "reference": image, "reference_pose": pose, "driving_images": None}
    conditioning = kit.conditioning(frames, clip_vision=clip, width=128, height=192, **still)
    return fused_and_cut(kit, model, conditioning, frames, length=16)


def fused_and_cut(kit, model, conditioning, frames, length):
    """Jumps at the borders of windows that overlap by half and move, and of windows that do neither."""
    positive, negative, latent = conditioning
    one, each = (torch.Generator().manual_seed(seed) for seed in (3, 4))
    shape = latent["samples"].shape[1:]
    noise = torch.randn(1, *shape, generator=one).repeat(frames, 1, 1, 1)
    noise += 0.02 * torch.randn(frames, *shape, generator=each)
    sampler, windows = kit.pack("nodes.comfy_sampler"), kit.pack("animatex_core.windows")

    class Fixed(windows.WindowPlan):
        def windows(self, frames, step):
            return super().windows(frames, 0)

    def jumps(plan, borders):
        out = sampler.run(model, positive, negative, noise, steps=8, guidance=2.5, seed=1, plan=plan, known=None)
        return border_jumps(out, borders)

    half = length // 2
    fused = jumps(windows.WindowPlan(length=length, overlap=half), range(length, len(noise) - length + 1, half))
    cut = jumps(Fixed(length=length, overlap=0), range(length, len(noise), length))
    assert fused < 1.5, (fused, cut)
    assert cut > 1.5, (fused, cut)
    return {"fused": fused, "not fused": cut}
