"""How fast models train and score, and what the harness costs: `python -m bench.speed`."""
