"""What a trial's row in trials.jsonl holds, whoever ran the trial."""

from typing import Any


def start(
    trial: str,
    kind: str,
    *,
    model: str,
    cls: str,
    number: int,
    seed: int,
    config: dict[str, Any],
    common: dict[str, Any],
) -> dict[str, Any]:
    """The columns that are known before a trial runs."""
    row = {"trial": trial, "kind": kind, "status": "done", "error": None, "model": model, "class": cls}
    return row | {"number": number, "seed": seed} | common | {f"config_{name}": value for name, value in config.items()}


def outcome(best: dict[str, Any], epochs: int) -> dict[str, Any]:
    """The chosen epoch's columns, from its record: figures, and where it ran."""
    ran = ("family", "device", "hardware", "precision")
    seen = {name: value for name, value in best.items() if name.startswith("val_") or name in ran}
    return seen | {"epoch": best["epoch"], "epochs": epochs, "objective": best["objective"]}
