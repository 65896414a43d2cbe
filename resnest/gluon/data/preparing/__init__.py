"""From a data set as it is published to shards; a run that was stopped goes on."""
