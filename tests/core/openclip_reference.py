"""OpenCLIP's network in plain torch, small, with the names of its files: what our towers are compared with."""

from collections import OrderedDict

import torch
from torch import nn

VOCABULARY = 49408


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x, mask=None):
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers, heads):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))


class Visual(nn.Module):
    def __init__(self, width, layers, heads, size, patch, projection):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((size // patch) ** 2 + 1, width))
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, projection))

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    def __init__(self, text=64, text_layers=3, vision=64, vision_layers=2, size=28, patch=14, projection=48, seed=0):
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, text)
        self.positional_embedding = nn.Parameter(torch.empty(77, text))
        self.transformer = Transformer(text, text_layers, max(1, text // 64))
        self.ln_final = nn.LayerNorm(text)
        self.text_projection = nn.Parameter(torch.empty(text, projection))
        self.logit_scale = nn.Parameter(torch.empty([]))
        self.visual = Visual(vision, vision_layers, max(1, vision // 64), size, patch, projection)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)
        self.requires_grad_(False).train(False)

    def context(self, tokens):
        """After all blocks but the last, and the final norm: what Stable Diffusion 2.x and Animate-X read."""
        x = self.token_embedding(tokens) + self.positional_embedding
        mask = torch.full((77, 77), float("-inf")).triu(1)
        for block in self.transformer.resblocks[:-1]:
            x = block(x, mask)
        return self.ln_final(x)


def names(model):
    """The state dict of the file."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
