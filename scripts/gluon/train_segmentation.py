"""Train a segmentation network, in one process or in several: horovodrun -np N resnest train-segmentation …"""
from resnest.commands.segmentation.train import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
