"""int8 networks: ranges of activations, quantization, and the layers that int8 harms."""
