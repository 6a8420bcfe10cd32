"""What runs of the benchmark on the synthetic set say: small records of them, bars, tables, a leak test, pictures.

The runs themselves are made by `animate-x-bench run`; here they become the numbers of `docs/evidence.md`.
"""
