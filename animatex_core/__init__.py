"""Animate-X (arXiv 2410.10306) without a framework: network, weights, diffusion, poses and the whole job."""
