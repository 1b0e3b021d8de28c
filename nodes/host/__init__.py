"""ComfyUI's internals: folders, memory, devices, adapters, results and feedback. No other room touches them."""
