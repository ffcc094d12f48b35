"""Live curves in TensorBoard."""

from pathlib import Path
from typing import Any

from bench.errors import UserError


class Board:
    """TensorBoard on this machine's loopback while the command runs; the curves stay in the study's folder."""

    def __init__(self, study: Path):
        try:
            from tensorboard import program
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("--display needs TensorBoard: pip install tensorboard") from None
        self.folder = study / "tensorboard"
        self.writer_type = SummaryWriter
        self.writers: dict[str, Any] = {}
        server = program.TensorBoard()
        server.configure(argv=[None, "--logdir", str(self.folder), "--host", "127.0.0.1", "--port", "0"])
        print(f"TensorBoard: {server.launch()} (later: tensorboard --logdir {self.folder})")

    def add(self, trial: str, record: dict[str, Any]) -> None:
        """One epoch's figures of one trial."""
        if trial not in self.writers:
            self.writers[trial] = self.writer_type(str(self.folder / trial))
        for name, value in record.items():
            if name != "epoch" and value is not None:
                group, _, rest = name.partition("_")
                self.writers[trial].add_scalar(f"{group}/{rest or group}", value, record["epoch"])
        self.writers[trial].flush()
