"""What chooses an epoch or a trial; nothing that chooses can see a test column."""

import pytest

from bench.judging.selection import best_number, best_run, improves, objective, without_test


def test_selection_refuses_test_columns() -> None:
    record = {"val_auroc": 0.6, "test_auroc": 0.9}
    with pytest.raises(ValueError, match="test_auroc"):
        objective(record, "val_auroc")
    assert objective(without_test(record), "val_auroc") == 0.6


def test_the_best_epoch_is_chosen_and_the_last_of_equals() -> None:
    values = [0.5, 0.7, 0.7, 0.6]
    for select_on, expected in (("val_auroc", 0.7), ("last_epoch", 0.6)):
        best = None
        for value in values:
            best = value if improves(value, best, select_on) else best
        assert best == expected
    assert improves(0.7, 0.7, "val_auroc"), "the first of equals is trained least"


def test_the_best_number_is_the_first_of_equals_and_no_failed_run() -> None:
    assert best_number({0: 0.5, 1: None, 2: 0.7, 3: 0.7}) == 2
    assert best_number({0: None}) is None


@pytest.mark.parametrize(("select_on", "best"), [("last_epoch", 2), ("val_loss", 1)])
def test_a_run_that_was_stopped_is_not_the_best_where_its_last_epoch_was_to_count(select_on, best):
    rows = [
        {"number": number, "objective": value, "status": status, "select_on": select_on}
        for number, value, status in ((1, 0.9, "stopped"), (2, 0.8, "done"), (3, 0.7, "done"))
    ]
    assert best_run(rows) == best
    assert best_run(rows[:1]) == 1
