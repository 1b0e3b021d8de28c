"""ACE Composer's engine: the ACE-Step 1.5 music system in plain PyTorch.

Nothing here imports ComfyUI; every module works in any Python program. Waveforms are ``[batch, channels, samples]`` at
48 kHz, latents ``[batch, frames, 64]`` at 25 frames a second, audio codes five integers a second.
"""
