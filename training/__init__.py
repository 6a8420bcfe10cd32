"""The training package, installed as `animatex_training`; it depends on `animatex_core`, never the other way round."""
