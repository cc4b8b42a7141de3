"""Banks that are cut off while they are made, and asked for anew."""

import numpy as np
import pytest

from server.starter.training.filling import fill


def write(bank: np.ndarray, row: int) -> None:
    if bank.shape[0] == 30 and row == 5:
        raise OSError("cut off")
    bank[row] = row + 1


@pytest.mark.parametrize("rows", [3, 30, 40])
def test_a_bank_has_as_many_rows_as_were_asked_for_last(tmp_path, rows):
    path = tmp_path / "bank.f16"
    with pytest.raises(OSError, match="cut off"):
        fill(path, (30, 4), range(30), write, 1)
    assert not path.exists() and path.with_suffix(".part").exists()
    made = fill(path, (rows, 4), range(rows), finish, 1)
    assert made.shape == (rows, 4)
    assert [int(row[0]) for row in made] == [*range(1, rows + 1)]


def finish(bank: np.ndarray, row: int) -> None:
    bank[row] = row + 1
