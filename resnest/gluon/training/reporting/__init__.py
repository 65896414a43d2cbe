"""What a run shows and writes: progress, log, curves, TensorBoard events, summary."""
