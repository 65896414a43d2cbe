"""The commands, ``resnest NAME`` and the scripts: each module parses and makes one call; importing one does nothing."""
