"""Train a detector, in one process or in several: horovodrun -np N resnest train-detection …"""
from resnest.commands.detection.train import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
