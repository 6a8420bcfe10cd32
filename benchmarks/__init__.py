"""Benchmarks: seeded, warmed up, interleaved, medians."""
