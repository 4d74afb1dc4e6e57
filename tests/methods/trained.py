"""What of a UNet may learn."""

# ``train`` and ``lora_layers`` of a method, and what a weight that then learns is called.
TRAINED = [
    ("attention", "attention", "attn1"),
    ("lora", "attention", "to_q.lora_A"),
    ("lora", "all", "conv1.lora_A"),
    ("all", "attention", "resnets"),
]
