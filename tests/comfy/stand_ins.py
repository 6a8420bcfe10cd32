"""Nodes for the tests' ComfyUI: what other packs might send, and what is too large to make."""

import torch

PICTURES = ("plain", "no frames", "three frames", "four channels", "five channels", "not a number", "float64")


class Picture:
    """A picture of noise, and what could be wrong with one."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"kind": (list(PICTURES),)}}

    def make(self, kind):
        picture = torch.rand(1, 96, 64, 3, generator=torch.Generator().manual_seed(0))
        made = {
            "no frames": picture[:0],
            "three frames": picture.repeat(3, 1, 1, 1),
            "four channels": torch.cat([picture, torch.ones_like(picture[..., :1])], -1),
            "five channels": picture[..., :1].repeat(1, 1, 1, 5),
            "not a number": picture.log().sqrt(),
            "float64": picture.double(),
        }
        return (made.get(kind, picture),)


class Nobody:
    """Poses in which nobody is."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("POSE_KEYPOINT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return ([{"people": [], "canvas_width": 64, "canvas_height": 96}] * 8,)


class OtherModels:
    """A CLIP vision whose features are too wide, and a VAE of 16 channels."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("CLIP_VISION", "VAE")
    image_size = 224

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return self, self

    def encode_image(self, image, crop=True):
        return {"image_embeds": torch.zeros(len(image), 96)}

    def encode(self, pixels):
        return torch.zeros(1, 16, pixels.shape[1] // 8, pixels.shape[2] // 8)


class Text:
    """What a text encoder of 11 GB would give."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "make", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return ([[torch.zeros(1, 8, 4096), {}]],)


NODE_CLASS_MAPPINGS = {
    "TestsPicture": Picture,
    "TestsNobody": Nobody,
    "TestsOtherModels": OtherModels,
    "TestsText": Text,
}
