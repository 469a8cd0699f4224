"""What counts as the same rows: tools/eval_questions.py."""
from __future__ import annotations

import pytest

import eval_questions as e


@pytest.mark.parametrize("ours,gold,alike", [
    ([[1, "a"], [2, "b"]], [["b", 2.0], ["a", 1]], True),                  # in any order, of rows and of columns
    ([[1], [1]], [[1]], False),                                           # as often
    ([[1], [1], [2]], [[1], [2], [2]], False),
    ([[1, 2], [2, 1]], [[1, 1], [2, 2]], False),                           # what stands beside what
    ([["2025", None]], [[2025, None]], True),                              # a year as a text
    ([["", "0x1"]], [["", "1"]], False),
    ([[0.1 + 0.2]], [[0.3]], True),
    ([[True]], [[1]], True),
    ([[-0.0]], [[0]], True),
    ([[1.00000001]], [[1]], False),
])
def test_rows_are_compared_as_values(ours, gold, alike):
    assert e.same(ours, gold, len(ours[0]), len(gold[0])) == alike


def test_as_many_columns_also_where_there_are_no_rows():
    assert e.same([], [], 2, 2) and not e.same([], [], 1, 2)


def test_a_share_of_the_questions_is_spread():
    rows = [{"id": i} for i in range(10)]
    assert [q["id"] for q in e.spread(rows, 4)] == [0, 2, 5, 7] and len(e.spread(rows, 99)) == 10


def test_a_time_far_up_the_list_is_the_ninety_fifth():
    assert e.percentile([1.0] * 95 + [9.0] * 5, 0.95) == 9.0 and e.percentile([], 0.5) is None
