"""Forecast what many GPUs gain by a model of a training step; --measure compares it with ranks of this machine."""
from resnest.commands.foretelling.scaling import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
