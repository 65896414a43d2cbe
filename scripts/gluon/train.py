"""Train a ResNeSt on RecordIO shards, in one process or in several: horovodrun -np N resnest train …"""
from resnest.commands.train import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
