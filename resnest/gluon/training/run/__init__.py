"""One run: the loop, its steps, its checkpoints, and what interrupts it."""
