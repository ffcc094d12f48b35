"""The folder of a study: its rows, scores and models, written and read here alone. Never loads torch."""

from bench.results.store import Results, Store, model_file, read, read_rows, write_whole

__all__ = ["Results", "Store", "model_file", "read", "read_rows", "write_whole"]
