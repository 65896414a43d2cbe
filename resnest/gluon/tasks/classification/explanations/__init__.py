"""Where a network looked, and which splits it listened to."""
