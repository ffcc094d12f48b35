"""A study's rows and scores, which are read and written here alone. Never loads torch."""

from bench.results.reading import Results, read, studies_in
from bench.results.rows import epoch_rows
from bench.results.store import Store, model_file, write_whole

__all__ = ["Results", "Store", "epoch_rows", "model_file", "read", "studies_in", "write_whole"]
