"""Write scikit-learn's 1,797 scanned handwritten digits as RecordIO shards: 1,500 to train on, 297 to verify on."""
from resnest.commands.prepare_digits import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
