"""What train_tune.py prints when a study ends: its winners, and the commands to go on with."""

import shlex
from pathlib import Path

import pandas as pd
from studies import edit, make_study

import train_tune
from bench.commands.tune import print_winners, summary
from bench.results.store import JOURNAL


def test_one_configuration_for_all_classes_is_shown_with_their_mean(capsys):
    """A seed that one class lacks, in a study that was stopped, is in no figure."""
    row = {"model": "gan", "variant": "", "kind": "final", "status": "done"}
    rows = [
        row | {"class": cls, "role": role, "number": number, "seed": seed, "test_auroc": area}
        for cls, role, number, seed, area in (
            *(("a", "winner", 1, 1, 0.9), ("a", "winner", 1, 2, 0.8), ("a", "winner", 1, 3, 0.1)),
            *(("b", "winner", 1, 1, 0.7), ("b", "winner", 1, 2, 0.6)),
            *(("a", "default", 0, 1, 0.5), ("b", "default", 0, 1, 0.4), ("b", "default", 0, 3, 1)),
        )
    ]
    print_winners(pd.DataFrame(rows), together=True)
    assert capsys.readouterr().out.splitlines() == [
        "",
        "gan: the default configuration (no search)",
        "  test AUROC: 0.750 +- 0.071 over 2 seed(s), mean of 2 class(es)",
        "  test AUROC of the default: 0.450, 2 of the same 4 runs",
    ]
    apart = [run for run in rows if (run["class"], run["seed"]) in (("a", 1), ("b", 2))]
    print_winners(pd.DataFrame(apart), together=True)
    assert "0.900 over 1 seed(s), mean of 1 class(es)" in capsys.readouterr().out


def test_winner_and_default_are_compared_on_the_seeds_that_both_have(capsys):
    """Of the winner's two final runs one failed."""
    row = {"model": "gan", "class": "a", "variant": "", "config_nz": 8, "kind": "final"}
    rows = [
        row
        | {"role": role, "number": number, "seed": seed, "test_auroc": area, "status": status}
        | {"config_lr": number / 10}
        for role, number, seed, area, status in (
            *(("winner", 1, 1, 0.9, "done"), ("winner", 1, 2, None, "error")),
            *(("default", 0, 1, 0.95, "done"), ("default", 0, 2, 0.55, "done")),
        )
    ]
    tuned = [row | {"kind": "tuning", "number": number, "role": ""} for number in (0, 1)]
    print_winners(pd.DataFrame([*tuned, *rows]), together=False)
    out = capsys.readouterr().out
    assert "\ngan, a: configuration 1 won: lr 0.1\n" in out
    assert "test AUROC of the default: 0.950, same seeds" in out


def test_the_printed_commands_can_be_given_to_a_shell(capsys, tmp_path: Path) -> None:
    study = make_study(tmp_path / "my results" / "it's", models=("pca",))
    (study / JOURNAL).touch()
    assert summary(study, "interrupted", 99, 3).status == 0
    lines = capsys.readouterr().out.splitlines()
    script, *flags = next(shlex.split(line)[1:] for line in lines if "--resume" in line)
    assert script == "train_tune.py"
    given = train_tune.parser().parse_args(flags)
    assert Path(given.results_dir) / given.name == study
    assert shlex.split(lines[-1])[-1] == str(study)
    (dashboard,) = (line for line in lines if "optuna-dashboard" in line)
    assert shlex.split(dashboard.split(": ")[1])[1:] == [str(study / JOURNAL)]


def test_a_failed_model_of_ones_own_can_only_be_mended_in_a_new_study(
    capsys, tmp_path: Path
) -> None:
    def failed(row: dict) -> dict:
        return row | {"status": "error", "error": "no such attribute", "sha256_model": "1"}

    study = edit(make_study(tmp_path / "s", models=("pca",)), failed)
    assert summary(study, "the first 3 trials all failed", 99, 3).status == 1
    assert "--resume\n(only with pca.py unchanged: a change needs" in capsys.readouterr().out
