"""Time training steps on 1, 2 and 4 ranks of this machine, fit the model of docs/scaling.md, and forecast GPUs."""
from resnest.commands.scaling import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
