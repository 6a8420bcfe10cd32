"""Animate-X training package, installed as ``animatex_training``; depends on ``animatex_core``, never the other way round."""
