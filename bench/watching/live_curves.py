"""TensorBoard: live curves, reconstructions and score histograms."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.choices.errors import UserError, note
from bench.choices.names import UNDECODED

PICTURE = "images/input_reconstruction_difference"  # validation images, normal ones first


class Board:
    """A TensorBoard server for this machine alone, and the writer of what it shows.

    The server ends with the command; its files stay in <study>/tensorboard/.
    """

    def __init__(self, study: Path):
        """Starts the server and prints its address. UserError for a folder it cannot write to."""
        from tensorboard import program  # takes a second, and few commands need it
        from torch.utils.tensorboard import SummaryWriter

        self.folder = study / "tensorboard"
        if UNDECODED.search(str(self.folder)):
            reason = "its name is not UTF-8 (give another --results_dir)"
            raise UserError(f"--display: TensorBoard cannot write to {study}: {reason}")
        self.writer_type = SummaryWriter
        self.writers: dict[str, Any] = {}  # trial -> its open SummaryWriter
        self.full = False  # whether a file could not be written
        server = program.TensorBoard()
        logdir = ["--logdir", str(self.folder)]
        local = ["--host", "127.0.0.1", "--port", "0"]  # 0: any free port
        quiet = ["--load_fast", "false"]  # the faster loader announces itself in five lines
        server.configure(argv=[None, *logdir, *local, *quiet])
        later = shlex.join(["tensorboard", *logdir])
        print(f"TensorBoard: {server.launch()} (later: {later})")

    def add(self, trial: str, record: dict[str, Any], curves: dict[str, np.ndarray]) -> None:
        """Writes an epoch of a trial: its figures, score histograms and picture.

        `curves`: what `Run.curves` returns: 1-d scores, and `picture` as uint8 (C, H, W).
        """
        if not self.full:
            with self.noted():
                self.write(trial, record, curves)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Goes on without curves where they cannot be written, and says so once."""
        try:
            yield
        except OSError as error:
            if not self.full:
                reason = f"{self.folder} cannot be written ({error.strerror})"
                note(f"--display: {reason}: no more curves")
            self.full = True

    def write(self, trial: str, record: dict[str, Any], curves: dict[str, np.ndarray]) -> None:
        if trial not in self.writers:
            self.writers[trial] = self.writer_type(str(self.folder / trial))
        writer, epoch = self.writers[trial], record["epoch"]
        for name, value in record.items():
            if name != "epoch" and value is not None:
                group, _, rest = name.partition("_")
                writer.add_scalar(f"{group}/{rest or group}", value, epoch)
        for name, array in curves.items():
            if name == "picture":
                writer.add_image(PICTURE, array, epoch)
            else:
                writer.add_histogram(f"scores/{name}", array, epoch)
        writer.flush()

    def close(self, trial: str) -> None:
        """Closes a finished trial's file and thread: a long study has too many to keep open."""
        if trial in self.writers:
            with self.noted():
                self.writers.pop(trial).close()
