"""Metrics of clips and of sets of clips, in two presets that are never mixed: `disco` and `clean`."""
