"""A study's rows and scores, which are read and written here alone. Never loads torch."""

from bench.results.reading import Results, read, read_rows, studies_in
from bench.results.store import Store, model_file, write_whole

__all__ = ["Results", "Store", "model_file", "read", "read_rows", "studies_in", "write_whole"]
