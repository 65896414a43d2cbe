"""Exact top-1 and top-5 of a model on RecordIO shards or folders of images; horovodrun -np N shares the images out."""
from resnest.commands.verify import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
