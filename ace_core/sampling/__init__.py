"""From noise to latents: seeds and noise, time steps, guidance, solvers and the denoising loop, as plain functions.

Everywhere ``x_t = t * noise + (1 - t) * latents``, the velocity is ``noise - latents`` and t falls from 1 to 0. Latents
are ``[B, T, 64]``; every function treats the items of a batch as if each were alone.
"""
