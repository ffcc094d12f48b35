"""One training run under one protocol: its data, epochs, checkpoints and audit."""
