"""The frozen diffusion model in parts: conditioning, training objective and sampling."""
