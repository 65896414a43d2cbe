"""Train a pose network, in one process or in several: horovodrun -np N resnest train-pose …"""
from resnest.commands.pose.train import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
