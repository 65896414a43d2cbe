"""RecordIO shards: their format, and how they are read, written and described."""
