"""Wrong inputs: a message that names the input and says what to do, in the node it belongs to."""

import torch
from checks_conds import run
from checks_samplers import released
from kit import HEIGHT, WIDTH


def refused(call, *words):
    """The message of the ValueError that a call must raise; it must hold these words."""
    try:
        call()
    except ValueError as error:
        text = str(error)
        missing = [word for word in words if word not in text]
        assert not missing, (missing, text)
        return text
    raise AssertionError(f"nothing was refused; expected {words}")


def check_pictures(kit):
    good = kit.clip_of(4)
    ill = good["driving_images"].clone()
    ill[2, 5, 5, 0] = float("nan")
    refused(lambda: kit.conditioning(4, driving_images=ill), "driving_images", "frame 2", "not finite")
    refused(lambda: kit.conditioning(4, reference=torch.zeros(0, 8, 8, 3)), "reference", "no frames")
    refused(lambda: kit.conditioning(4, reference=torch.zeros(1, 8, 8, 5)), "reference", "IMAGE")
    refused(lambda: kit.conditioning(4, reference=torch.zeros(1, 8, 8, 3, dtype=torch.uint8)), "reference", "255")
    plain = good["reference"]
    exact = kit.conditioning(4, reference=plain)[0][0][1]["animatex"].reference
    for other in (plain.double(), torch.cat([plain, torch.ones_like(plain[..., :1])], -1), plain.repeat(3, 1, 1, 1)):
        assert torch.equal(kit.conditioning(4, reference=other)[0][0][1]["animatex"].reference, exact)


def check_lengths(kit):
    clip = kit.clip_of(4)
    refused(lambda: kit.conditioning(4, driving_images=clip["driving_images"][:3]), "driving_images has 3", "4")
    motion = kit.call("EncodeIPI", clip_vision=kit.clip, **kit.clip_of(3))[0]
    refused(lambda: kit.conditioning(4, motion=motion), "motion has 3 frames", "driving_pose 4")
    pick = {"source_fps": 24.0, "target_fps": 8.0, "skip_first_frames": 0, "frame_load_cap": 0}
    uneven = {"images": clip["driving_images"], "poses": clip["driving_pose"][:2]}
    refused(lambda: kit.call("PickFrames", **pick, **uneven), "images has 4", "poses 2")
    positive, negative, _ = kit.conditioning(4)
    short = {"samples": torch.zeros(3, 4, HEIGHT // 8, WIDTH // 8)}
    wide = {"samples": torch.zeros(4, 4, HEIGHT // 8, WIDTH // 4)}
    for latent in (short, wide):
        refused(lambda latent=latent: run(kit, (positive, negative, latent)), "4 frames", "LATENT")
        refused(lambda latent=latent: released(kit, (positive, negative, latent)), "4 frames", "LATENT")


def check_poses(kit):
    nobody = [{"people": [], "canvas_width": 64, "canvas_height": 96}] * 4
    refused(lambda: kit.conditioning(4, driving_pose=nobody, driving_images=None), "nobody", "driving_pose")
    refused(lambda: kit.conditioning(4, driving_pose=[], driving_images=None), "driving_pose")
    refused(lambda: kit.conditioning(4, driving_pose=[{"people": 3}], driving_images=None), "driving_pose", "people")
    kit.conditioning(4, reference_pose=nobody[:1], setting="both", vae=kit.vae)  # a reference nobody detects goes on
    some = kit.clip_of(4)["driving_pose"][:3] + nobody[:1]
    kit.conditioning(4, driving_pose=some)


def check_pictures_without_a_person_are_said(kit):
    told = kit.pack("nodes.pose")._told_of_nobody
    found = [told(torch.tensor(empty).numpy()) for empty in ([False] * 3, [False, True, False], [True] * 3)]
    assert found == ["found", "nobody in 1 of 3", "nobody found"], found


def check_models(kit):
    import comfy.model_base

    class Other:
        model = comfy.model_base.SVD_img2vid

    positive, negative, latent = kit.conditioning(2)
    refused(lambda: kit.call("Sampler", model=Other(), positive=positive, negative=negative, latent=latent, seed=0,
                             steps=1, cfg=1.0), "not Animate-X", "Load Animate-X Model")  # fmt: skip
    text = [[torch.zeros(1, 77, 768), {}]]
    refused(lambda: run(kit, (text, text, latent)), "Animate-X Conditioning")

    class WideClip:
        image_size = 224

        def encode_image(self, image, crop=True):
            return {"image_embeds": torch.zeros(len(image), 96)}

    refused(lambda: run(kit, kit.conditioning(2, clip_vision=WideClip())), "96 wide", "CLIP")

    class WideVAE:
        def encode(self, pixels):
            return torch.zeros(1, 16, HEIGHT // 8, WIDTH // 8)

    refused(lambda: kit.conditioning(2, setting="paper", vae=WideVAE()), "vae", "SD 1.x")
    refused(lambda: kit.conditioning(2, setting="paper"), "connect a vae")
    refused(lambda: kit.conditioning(2, motion_source="video", driving_images=None), "driving images")


def check_window_and_continuation(kit):
    conditioning = kit.conditioning(6)
    refused(lambda: released(kit, conditioning, window_length=4, window_overlap=4), "overlap")
    previous = {"samples": torch.zeros(4, 4, 2, 2)}
    refused(lambda: released(kit, conditioning, continue_from=previous), "continue_from", "width and height")
    previous = {"samples": torch.zeros(4, 4, HEIGHT // 8, WIDTH // 8)}
    refused(lambda: released(kit, conditioning, continue_from=previous, continue_frames=6), "continue_frames")


def check_windows_of_another_dimension(kit):
    module, model = kit.pack("nodes.comfy_model"), kit.model.model
    numbers = [module.FrameNumbers(torch.arange(4), kit.conditioning(4)[0][0][1]["animatex"])]
    refused(lambda: model._conditions(numbers, torch.zeros(4, 4, 5, WIDTH // 8)), "dimension 0")


def check_network_overflow_is_named(kit):
    def overflow(executor, *rest, **named):
        return executor(*rest, **named) * float("inf")

    model, kit.model = kit.model, kit.model.clone()
    kit.model.add_wrapper_with_key("diffusion_model", "overflow", overflow)
    try:
        released(kit, kit.conditioning(2), steps=3)
        raise AssertionError("went on with infinities")
    except FloatingPointError as error:
        assert "step 1 of 4" in str(error), error
    finally:
        kit.model = model
