"""Our sampler, the core's, the command line's, and ComfyUI's own."""

import json

import comfy.samplers
import latent_preview
import torch
from checks_conds import run
from comfy_extras import nodes_custom_sampler as custom
from kit import HEIGHT, POSES, WIDTH, Recorder, relative

SAME = 1e-5
PAIRS = (
    ("euler", "normal"), ("dpmpp_2m", "karras"), ("uni_pc", "simple"), ("dpmpp_2m_sde", "exponential"),
    ("lcm", "sgm_uniform"), ("euler_ancestral", "beta"), ("res_multistep", "kl_optimal"), ("heun", "ddim_uniform"),
    ("ddim", "ddim_uniform"), ("dpmpp_sde", "linear_quadratic"),
)  # fmt: skip


def released(kit, conditioning, **changes):
    """Latents of our sampler."""
    positive, negative, latent = conditioning
    inputs = {"seed": 7, "steps": 10, "cfg": 2.5} | changes
    return kit.call("Sampler", model=kit.model, positive=positive, negative=negative, latent=latent, **inputs)[0][
        "samples"
    ]


def of_core(kit, conditioning, seed=7, steps=10, plan=None, frames=8):
    """The same by the core alone."""
    weights, sampling = kit.pack("animatex_core.weights"), kit.pack("animatex_core.sampling")
    diffusion = kit.pack("animatex_core.diffusion")
    carried = conditioning[0][0][1]["animatex"]
    inputs = carried.inputs(tuple(range(frames)), torch.zeros(1), 0.18215)
    generator = torch.Generator().manual_seed(seed)
    noise = diffusion.offset_noise((1, 4, frames, HEIGHT // 8, WIDTH // 8), generator)
    denoise = sampling.GuidedDenoiser(weights.load_model(kit.model_path), inputs)
    return sampling.sample(denoise, noise, steps=steps, plan=plan)[0].transpose(0, 1) / 0.18215


def check_our_sampler_equals_the_core(kit):
    plan = kit.pack("animatex_core.windows").WindowPlan
    figures = {}
    for steps in (10, 27):  # 27 visits the time step without any signal
        conditioning = kit.conditioning()
        figures[f"{steps} steps"] = relative(
            released(kit, conditioning, steps=steps), of_core(kit, conditioning, steps=steps)
        )
    for name, frames, closed in (("windows", 20, False), ("closed loop", 20, True), ("loop in one window", 6, True)):
        conditioning = kit.conditioning(frames)
        ours = released(
            kit, conditioning, steps=5, window_length=8, window_overlap=3, closed_loop=closed, shared_noise=False
        )
        theirs = of_core(kit, conditioning, 7, 5, plan(length=8, overlap=3, closed_loop=closed), frames)
        figures[name] = relative(ours, theirs)
    in_one_go = released(kit, conditioning, steps=5, window_length=0, shared_noise=False)
    assert relative(ours, in_one_go) > 1e-4, "the loop starts at the same frame at every step"
    assert max(figures.values()) < SAME, figures
    return figures


def write_video(path, pictures, rate):
    """uint8 RGB [F, H, W, 3] without loss."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "bgr0"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr0")))
        out.mux(stream.encode())


def of_the_command_line(kit, **files):
    """Latents of the program without ComfyUI: its own CLIP, pictures, poses, video and sampler."""
    pipeline, settings = kit.pack("animatex_core.pipeline"), kit.pack("animatex_core.settings")
    chosen = settings.Settings(width=WIDTH, height=HEIGHT, frames=8, steps=10, seed=2**64 - 1)
    models = {name: kit.model_path for name in ("model", "clip", "vae")}
    job = pipeline.Job(poses=POSES, settings=chosen, **models, **files)
    files, motion = kit.pack("animatex_core.job_files"), kit.pack("animatex_core.motion")
    check_vae, readers = files.check_vae, (motion.open_video, motion.read_frames)
    files.check_vae = lambda path: None  # it needs diffusers, and decodes nothing here
    # Decoding in this process: a child would have to import the pack by ComfyUI's name for it.
    motion.open_video, motion.read_frames = (
        lambda path, _read=read, **given: _read(path, **(given | {"isolated": False})) for read in readers
    )
    try:
        return pipeline.denoise(job, pipeline.prepare(job)) / 0.18215
    finally:
        files.check_vae = check_vae
        motion.open_video, motion.read_frames = readers


def check_our_sampler_equals_the_command_line(kit):
    """The whole job, with the motion of poses alone and with that of a driving video."""
    from PIL import Image

    clip = kit.clip_of(8)
    picture, driving = ((clip[name] * 255).round().to(torch.uint8) for name in ("reference", "driving_images"))
    reference, video = kit.base / "reference.png", kit.base / "driver.mkv"
    Image.fromarray(picture[0].numpy()).save(reference)
    write_video(video, driving.numpy(), rate=24)
    ours, figures = {}, {}
    for name, files, images in (("poses", {}, None), ("video", {"video": video}, driving / 255)):
        conditioning = kit.conditioning(
            driving_pose=kit.poses[:8], driving_images=images, reference=picture / 255, reference_pose=None
        )
        ours[name] = released(kit, conditioning, seed=2**64 - 1)
        figures[name] = relative(ours[name], of_the_command_line(kit, reference=reference, **files))
    assert max(figures.values()) < SAME, figures
    assert relative(ours["video"], ours["poses"]) > 100 * SAME
    return figures


def check_ksampler_on_the_released_grid(kit):
    """Sigmas that end as released, start noise and result scaled: the released sampler on ComfyUI's DDIM.

    Beside it plain ddim_uniform, which ends without noise: finite, and how far from the released result.
    """
    start_noise = kit.pack("nodes.comfy_sampler").start_noise
    share = kit.pack("animatex_core.diffusion").alphas_cumprod()[0].sqrt()
    positive, negative, latent = conditioning = kit.conditioning(2)
    figures, plain = {}, {}
    for steps in (10, 20, 30, 50):
        ours = released(kit, conditioning, steps=steps)
        noise = start_noise(tuple(ours.shape), 7, 0.1, None, False)
        sigmas = kit.call("Sigmas", steps=steps, end="as released")[0]
        found = comfy.samplers.sample(
            kit.model, noise * (1 + 1 / sigmas[0] ** 2) ** 0.5, positive, negative, 2.5, kit.model.load_device,
            comfy.samplers.sampler_object("ddim"), sigmas, kit.model.model_options, latent["samples"],
            disable_pbar=True, seed=1,
        )  # fmt: skip
        figures[f"{steps} steps"] = relative(found * share, ours)
        uniform = run(kit, conditioning, steps=steps, sampler="ddim", scheduler="ddim_uniform", noise=noise)
        assert torch.isfinite(uniform).all()
        plain[f"{steps} steps"] = round(relative(uniform, ours), 4)
    assert max(figures.values()) < 1e-4, figures
    return {"released grid": figures, "plain ddim_uniform": plain}


def check_pairs_of_sampler_and_scheduler(kit):
    conditioning = kit.conditioning(4)
    figures = {}
    for sampler, scheduler in PAIRS:
        found = run(kit, conditioning, steps=6, sampler=sampler, scheduler=scheduler)
        assert torch.isfinite(found).all(), (sampler, scheduler)
        figures[f"{sampler} {scheduler}"] = round(float(found.std()), 3)
    return figures


def check_sampler_custom_advanced(kit):
    positive, negative, latent = kit.conditioning(4)
    guider = custom.CFGGuider.execute(kit.model, positive, negative, 2.5)[0]
    sampler = custom.KSamplerSelect.execute("ddim")[0]
    noise = custom.RandomNoise.execute(5)[0]
    sigmas = kit.call("Sigmas", steps=5)[0]
    assert len(sigmas) == 6 and sigmas[-1] == 0
    outs = [
        custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent)[0]["samples"] for _ in range(2)
    ]
    assert torch.equal(*outs) and torch.isfinite(outs[0]).all()
    assert not kit.model.model.encoded


def check_seeds(kit):
    conditioning = kit.conditioning(4)
    outs = [released(kit, conditioning, seed=seed, steps=2) for seed in (0, 1, 2**31, 2**64 - 1, 2**64 - 1)]
    assert torch.equal(outs[3], outs[4])
    assert all(not torch.equal(a, b) for i, a in enumerate(outs[:4]) for b in outs[:i])


def check_continue_from_holds_the_frames(kit):
    first = released(kit, kit.conditioning(8), steps=4)
    second = released(kit, kit.conditioning(10), steps=4, continue_from={"samples": first}, continue_frames=3)
    assert relative(second[:3], first[-3:]) < 1e-6
    assert torch.isfinite(second).all() and relative(second[3:6], first[-3:]) > 1e-3


def check_shared_noise_matters_beyond_a_window_only(kit):
    short, long = kit.conditioning(6), kit.conditioning(12)
    pairs = [
        [released(kit, c, steps=2, window_length=6, window_overlap=2, shared_noise=s) for s in (False, True)]
        for c in (short, long)
    ]
    assert torch.equal(*pairs[0]) and not torch.equal(*pairs[1])


def check_nothing_is_written_into_inputs(kit):
    positive, negative, latent = conditioning = kit.conditioning(4)
    before = json.dumps([sorted(positive[0][1]), sorted(negative[0][1]), sorted(latent)])
    copies = [positive[0][0].clone(), latent["samples"].clone()]
    options = dict(kit.model.model_options)
    released(kit, conditioning, steps=2)
    assert before == json.dumps([sorted(positive[0][1]), sorted(negative[0][1]), sorted(latent)])
    assert all(
        map(torch.equal, copies, [positive[0][0], latent["samples"], positive[0][1]["animatex"].pose.rows(range(4))])
    )
    assert options == kit.model.model_options


def check_half_precision_stays_inside_the_network(kit):
    """In bf16 the network reads and gives 8 bits of mantissa; latents, guidance and steps keep float32."""
    name = kit.model_path.name
    half = kit.call("LoadModel", model_name=name, weight_dtype="bf16")[0]
    half.set_model_compute_dtype(torch.bfloat16)
    recorder, steps = Recorder(half), []
    positive, negative, latent = conditioning = kit.conditioning(4)
    sampler, plain = kit.pack("nodes.comfy_sampler"), released(kit, conditioning, steps=10)
    noise = sampler.start_noise(tuple(latent["samples"].shape), 7, 0.1, None, False)
    prepare = latent_preview.prepare_callback
    latent_preview.prepare_callback = lambda *_: lambda step, clean, x, total: steps.append(x.clone())
    try:
        found = sampler.run(
            recorder.model, positive, negative, noise, steps=10, guidance=2.5, seed=7, plan=None, known=None
        )
    finally:
        latent_preview.prepare_callback = prepare
    assert {(call[0].dtype, call[3].dtype) for call in recorder.calls} == {(torch.bfloat16, torch.bfloat16)}
    assert {x.dtype for x in (*steps, found)} == {torch.float32} and len(steps) == 10
    assert all(relative(x.bfloat16(), x) > 1e-4 for x in steps), "latents were rounded to bf16"
    distance = relative(found, plain)
    assert 1e-5 < distance < 0.05, distance
    return {"distance": distance}
