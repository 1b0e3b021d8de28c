"""Reading published weights in any layout: what a path holds, its networks, silence latent and tokenizer.

model = inspection.inspect_model(Path("models/ace_step/acestep-v15-turbo"))     # headers only
dit = loading.build_network(model.dit, ops=torch.nn, dtype=model.dit.dtype)
"""
