"""Images of a batch mixed with each other: mixup and CutMix."""
