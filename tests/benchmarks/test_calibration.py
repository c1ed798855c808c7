import calibration
import numpy as np
import pytest
from calibration import Users, moves, table


def day(ids, segments, causes):
    return Users(np.array(ids, object), {}, np.array(segments, object), np.array(causes, object), np.zeros(len(ids)))


def test_who_moved_and_why():
    before = day(["a", "b", "c", "d"], ["s-1", "s-1", "s-2", "s-2"], ["first_seen"] * 4)
    after = day(["d", "b", "a", "e"], ["s-1", "s-2", "s-1", "s-1"], ["model", "behavior", "first_seen", "first_seen"])
    there, by_model, at_all = moves(before, after)
    assert there.tolist() == [True, True, False, True]
    assert by_model.tolist() == [0, 0, 1] and at_all.tolist() == [0, 1, 1]


def test_the_table_counts_by_how_sure_the_model_was(monkeypatch):
    monkeypatch.setitem(calibration.GROUPS, "confidence", (0.5, 0.75, 1.01))
    monkeypatch.setitem(calibration.TITLES, "confidence", ("low", "high"))
    sureness = np.array([0.5, 0.6, 0.9, 1.0])
    lines = table("confidence", sureness, [np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.5] * 4)]).splitlines()
    assert lines[2:] == ["| low | 2 | 100.0% | 50.0% |", "| high | 2 | 0.0% | 50.0% |", "| AUC | 4 | 1.00 | 0.50 |"]


def test_the_area_weighs_users_who_moved_in_part():
    assert calibration._area(np.array([0.5, 1.0]), np.array([0.5, 0.0])) == pytest.approx(5 / 6)
