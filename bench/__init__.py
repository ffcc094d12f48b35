"""The benchmark harness: datasets, protocols, training, selection, tuning and reporting."""
