"""TensorBoard: live curves, reconstructions and score histograms."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from bench.choices.errors import UserError
from bench.choices.names import UNDECODED

PICTURE = "images/input_reconstruction_difference"  # of normal validation images, then of abnormal ones


class Board:
    """TensorBoard on this machine's loopback while the command runs; the curves stay in the study's folder."""

    def __init__(self, study: Path):
        from tensorboard import program  # it takes a second, and few commands need it
        from torch.utils.tensorboard import SummaryWriter

        self.folder = study / "tensorboard"
        if UNDECODED.search(str(self.folder)):
            raise UserError(f"--display: TensorBoard cannot write to {study}, whose name is no UTF-8 (--results_dir)")
        self.writer_type = SummaryWriter
        self.writers: dict[str, Any] = {}
        server = program.TensorBoard()
        quiet = ["--load_fast", "false"]  # TensorBoard announces its faster loader in five lines
        server.configure(argv=[None, "--logdir", str(self.folder), "--host", "127.0.0.1", "--port", "0", *quiet])
        later = shlex.join(["tensorboard", "--logdir", str(self.folder)])
        print(f"TensorBoard: {server.launch()} (later: {later})")

    def add(self, trial: str, record: dict[str, Any], shown: dict[str, np.ndarray]) -> None:
        """One epoch of one trial: its figures, and what `Run.shown` gives."""
        if trial not in self.writers:
            self.writers[trial] = self.writer_type(str(self.folder / trial))
        writer, epoch = self.writers[trial], record["epoch"]
        for name, value in record.items():
            if name != "epoch" and value is not None:
                group, _, rest = name.partition("_")
                writer.add_scalar(f"{group}/{rest or group}", value, epoch)
        for name, array in shown.items():
            if name == "picture":
                writer.add_image(PICTURE, array, epoch)
            else:
                writer.add_histogram(f"scores/{name}", array, epoch)
        writer.flush()

    def close(self, trial: str) -> None:
        """A trial's end: its file and thread are given up, of which a long study would have too many."""
        if trial in self.writers:
            self.writers.pop(trial).close()
