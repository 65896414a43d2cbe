"""A network made fast for a CPU, in float32, bfloat16 or int8; called, written to files and read back."""
