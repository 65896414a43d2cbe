"""What is done with boxes and masks: functions of NumPy arrays, free of networks and of MXNet."""
