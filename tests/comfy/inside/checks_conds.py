"""What conditioning carries and the model makes of it."""

import comfy.sample
import torch
from kit import Encodings, Recorder, relative


def run(kit, conditioning, steps=2, model=None, cfg=2.5, sampler="euler", scheduler="normal", noise=None):
    """A KSampler run; latents."""
    positive, negative, latent = conditioning
    if noise is None:
        noise = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample(
        model or kit.model, noise, steps, cfg, sampler, scheduler, positive, negative, latent["samples"],
        disable_pbar=True, seed=1,
    )  # fmt: skip


def check_conditions_are_encoded_once_a_run_and_forgotten(kit):
    conditioning = kit.conditioning()
    with Encodings(kit.model) as counted:
        run(kit, conditioning, steps=4)
    assert (counted.with_inputs, counted.without) == (1, 1)
    assert not kit.model.model.encoded
    return {"encodings": counted.with_inputs + counted.without}


def check_positive_and_negative_share_a_call(kit):
    recorder = Recorder(kit.model)
    run(kit, kit.conditioning(), steps=2, model=recorder.model)
    assert [sorted(call[5]) for call in recorder.calls] == [[0, 1]] * 2


def check_negative_is_exact_zeros(kit):
    recorder = Recorder(kit.model)
    run(kit, kit.conditioning(setting="both", vae=kit.vae), steps=1, model=recorder.model)
    conditions, order = recorder.calls[0][2], recorder.calls[0][5]
    without, given = order.index(1), order.index(0)
    tokens = kit.model.model.config.conditions.image_tokens
    assert conditions["pixels"][without].abs().max() == 0 < conditions["pixels"][given].abs().max()
    assert conditions["reference"][without].abs().max() == 0 < conditions["reference"][given].abs().max()
    assert conditions["tokens"][without, -tokens:].abs().max() == 0 < conditions["tokens"][given, -tokens:].abs().max()
    network = kit.model.model.diffusion_model
    inputs = kit.pack("animatex_core.model").Inputs()
    motion = network.encode(inputs, 8, 12, 8, like=torch.zeros(1)).motion
    assert relative(conditions["motion"].chunk(2)[without], motion) < 1e-6


def check_settings_feed_what_they_say(kit):
    carried = {}
    for setting in ("released", "paper", "both"):
        carried[setting] = kit.conditioning(setting=setting, vae=kit.vae)[0][0][1]["animatex"]
    assert carried["released"].reference is not None and carried["released"].reference_latent is None
    assert carried["paper"].reference is None and carried["paper"].reference_latent is not None
    assert carried["both"].reference is not None and carried["both"].reference_pose is not None
    assert carried["both"].pose.rows([0]).dtype == carried["both"].reference.dtype == torch.uint8


def check_latent_of_the_reference_is_scaled(kit):
    carried = kit.conditioning(setting="both", vae=kit.vae)[0][0][1]["animatex"]
    inputs = carried.inputs(tuple(range(8)), torch.zeros(1), kit.model.model.latent_format.scale_factor)
    assert relative(inputs.reference_latent, carried.reference_latent * 0.18215) < 1e-6


def check_strength_one_changes_nothing_and_others_do(kit):
    plain = run(kit, kit.conditioning())
    figures = {}
    for name in ("pose_strength", "reference_strength", "motion_strength"):
        assert torch.equal(plain, run(kit, kit.conditioning(**{name: 1.0}))), name
        figures[name] = relative(run(kit, kit.conditioning(**{name: 0.5})), plain)
        assert figures[name] > 1e-5, figures
    return figures


def check_strength_zero_is_the_unconditional_side(kit):
    recorder = Recorder(kit.model)
    conditioning = kit.conditioning(pose_strength=0.0, reference_strength=0.0, setting="both", vae=kit.vae)
    run(kit, conditioning, steps=1, model=recorder.model)
    conditions = recorder.calls[0][2]
    for name in ("pixels", "reference", "tokens"):
        first, second = conditions[name]
        assert torch.equal(first, second), name


def check_strengths_follow_timestep_ranges(kit):
    import nodes as core_nodes

    part = core_nodes.ConditioningSetTimestepRange()
    strong, negative, latent = kit.conditioning()
    weak = kit.conditioning(pose_strength=0.3)[0]
    both = part.set_range(strong, 0.0, 0.5)[0] + part.set_range(weak, 0.5, 1.0)[0]
    recorder = Recorder(kit.model)
    run(kit, (both, negative, latent), steps=6, model=recorder.model)
    norms = [float(c[2]["pixels"][c[5].index(0)].norm()) for c in recorder.calls]
    assert max(norms) > 1.2 * min(norms) and norms[0] == norms[1] and norms[-1] == norms[-2] != norms[0]
    return {"norms": [round(norm, 2) for norm in norms]}


def check_works_without_motion_reference_pose_and_vae(kit):
    clip = kit.clip_of(6)
    out = run(kit, kit.conditioning(6, driving_images=None, reference_pose=None))
    motion = kit.call("EncodeIPI", clip_vision=kit.clip, **clip)[0]
    same = kit.conditioning(6, driving_images=None, motion=motion, reference_pose=None)
    inside = kit.conditioning(6, reference_pose=None)
    assert torch.isfinite(out).all()
    assert torch.equal(run(kit, same), run(kit, inside))


def check_motion_sources(kit):
    clip = kit.clip_of(4)
    found = {
        source: kit.call("EncodeIPI", clip_vision=kit.clip, **clip, source=source)[0]
        for source in ("auto", "video", "poses", "reference", "off")
    }
    assert torch.equal(found["auto"].features, found["video"].features)
    assert torch.equal(found["reference"].features, found["video"].reference_feature.repeat(4, 1))
    assert not torch.equal(found["poses"].features, found["video"].features)
    assert found["off"].features is None and found["off"].keypoints is None
    outs = [run(kit, kit.conditioning(4, motion_source=source)) for source in ("video", "poses", "reference", "off")]
    assert all(relative(a, b) > 1e-6 for i, a in enumerate(outs) for b in outs[:i])


def check_fits_apply_alike_to_reference_and_poses(kit):
    tall = torch.zeros(1, 200, 50, 3)
    tall[:, :100] = 1
    pictures = {
        fit: kit.conditioning(2, reference=tall, fit=fit)[0][0][1]["animatex"] for fit in ("pad", "crop", "stretch")
    }
    assert len({bytes(carried.reference.numpy()) for carried in pictures.values()}) == 3
    assert len({bytes(carried.pose.rows([0, 1]).numpy()) for carried in pictures.values()}) == 3


def check_aligned_poses_are_warned_of(kit):
    import logging

    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        clip = kit.clip_of(2)
        aligned = [frame | {"animatex_aligned": True} for frame in clip["driving_pose"]]
        kit.call("EncodeIPI", clip_vision=kit.clip, **(clip | {"driving_pose": aligned}))
    finally:
        logging.getLogger().removeHandler(handler)
    assert any("before the alignment" in line for line in said), said
