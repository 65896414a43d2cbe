"""Building Horovod for the MXNet that is installed: ``python -m resnest.building``."""
