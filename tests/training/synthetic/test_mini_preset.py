"""The mini configuration stays within its budget."""

from animatex_training.cli_prepare import ASSETS
from animatex_training.config_file import read_config
from animatex_training.plan import make_plan

CAP = 32_000_000  # bytes of a file with VAE and image encoder


def test_the_mini_model_fits_into_its_budget_with_both_networks_inside():
    planned = make_plan(read_config("mini"), 192, 128)
    inside = sum((ASSETS / name).stat().st_size for name in ("mini_vae.safetensors", "mini_vision.safetensors"))
    assert 20_000_000 < 2 * planned.parameters + inside < CAP
