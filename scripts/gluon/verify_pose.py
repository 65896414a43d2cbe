"""Exact average precision of joints (OKS), with and without mirror images; horovodrun -np N shares the people out."""
from resnest.commands.pose.verify import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
