"""The frozen diffusion model in parts, and how it is conditioned, trained against and sampled."""
