"""Methods that any task can train by: schedules, averaged weights, fine-tuning, lower precisions."""
