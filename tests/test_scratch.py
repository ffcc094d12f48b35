"""Where paused trials lie: a study's next command removes those that a killed one left."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.choices.errors import UserError
from bench.tuning.scratch import scratch


def study(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "place", [None, "{}/shared storage", "file://{}/storage", "file://{}/storage/?x=1"]
)
def test_a_killed_commands_folder_is_cleaned_and_no_other_studys(
    tmp_path: Path, place: str | None
) -> None:
    storage = place and place.format(tmp_path)
    mine, other = study(tmp_path / "one" / "my study"), study(tmp_path / "two" / "my study")
    shared = Path(storage.removeprefix("file://").partition("?")[0]) if storage else mine
    with ExitStack() as killed, scratch(other, storage) as running:
        killed.enter_context(scratch(mine, storage))
        (left,) = [path for path in shared.glob(".ray-*") if path.name not in running]
        (left / "run.pt").touch()
        killed.pop_all()
        with scratch(mine, storage) as path:
            assert not left.exists()
            assert path.startswith((storage or str(mine)).partition("?")[0].rstrip("/"))
            assert len(list(shared.glob(".ray-*"))) == (2 if storage else 1)
        kept = {folder for place in (shared, other) for folder in place.glob(".ray-*")}
        assert [folder.name for folder in kept] == [Path(running.partition("?")[0]).name]
    assert not list(tmp_path.glob("**/.ray-*"))


@pytest.mark.parametrize("storage", ["nowhere://bucket", "{}/a file"])
def test_a_storage_that_cannot_be_is_a_users_error(tmp_path: Path, storage: str) -> None:
    (tmp_path / "a file").touch()
    with (
        pytest.raises(UserError, match="--storage: "),
        scratch(study(tmp_path / "study"), storage.format(tmp_path)),
    ):
        pass
