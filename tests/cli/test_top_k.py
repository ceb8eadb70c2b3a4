"""The rows of a stream that rank highest, however it is cut."""

import numpy as np
import pyarrow as pa
import pytest

from vae_anomaly.batches import RowScores
from vae_anomaly_cli.sources import RowBatch
from vae_anomaly_cli.top_k import TopK


def filled(top, scores, size):
    for start in range(0, len(scores), size):
        part = np.asarray(scores[start : start + size], dtype=float)
        cells = pa.RecordBatch.from_pydict({"row": np.arange(start, start + len(part))})
        top.add(RowBatch(cells, 0, start, start, 0), RowScores(part, np.full(len(part), np.nan)))
    return top.ranked(top.k)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("top", "rows"),
    [
        (lambda: TopK(3), [4, 1, 2]),
        (lambda: TopK(3, max_equal=1), [4, 1, 0]),
        (lambda: TopK(5, max_equal=2), [4, 1, 2, 0, 7]),
        (lambda: TopK(9, max_equal=1), [4, 1, 0, 5]),
        (lambda: TopK(2, lambda scores: -np.abs(scores - 2.2)), [0, 7]),
        (lambda: TopK(3, lambda scores: -np.abs(scores - 2.2), 1), [0, 1, 5]),
        (lambda: TopK(0), []),
    ],
)
def test_ranks_do_not_depend_on_batches_and_the_first_of_equal_rows_stay(top, rows, size):
    scores = [2.0, 3.0, 3.0, np.nan, 4.0, 1.0, 3.0, 2.0, 3.0, 1.0]
    ranked = filled(top(), scores, size)
    assert ranked.rows.tolist() == rows
    if rows:
        assert ranked.cells["row"].to_pylist() == rows
        assert ranked.judged.scores.tolist() == [scores[row] for row in rows]
