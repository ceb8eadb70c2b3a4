"""The words around the tables of the speed page."""

SCORE = """\
50,000 rows of 30 columns, fitted on 10,000; {runs} runs in turn, one thread each. IsolationForest has 100 trees. One
row: the median of 100 calls with a row each.

{table}
![Rows a CPU second](speed/score.png)

One fitted detector scored from several Python threads at once, 10,000 rows each, seconds by the clock:

{threads}"""

TABLES = """\
Both at their defaults, fitted on up to 10,000 rows, scoring the rows of the table repeated up to 20,000, in one process
and in turn; ratios are of the same turn. VAEDetector takes the table as it is, and reading and encoding it count.
IsolationForest takes numbers alone: levels are given to it as codes, made beforehand. A ratio of 1 is the same rate.

{table}"""

FIT = """\
30 columns in float64; 5 % of the rows are anomalies, half of them far out, half torn from several rows. AUROC is that
of 10,000 other rows. All at their defaults, each method in a process of its own that waits while the others work; the
methods take turns, and ratios are medians of the ratios within a run. First calls are not timed. An asterisk marks 3 of
PyOD's 30 epochs, run once: time times ten, AUROC of 3 epochs. † marks seconds by the clock, measured earlier.

{table}
![Seconds of a fit](speed/fit.png)
"""

START = """\
Whole programs, one thread, {runs} runs in turn. The file has 500 rows of 10 columns; without a model `score` also fits
one.

{table}"""

SCALING = """\
Exponents: the slope of the logarithms over the upper half of the values; 0 does not grow, 1 is proportional. 30 columns
and 5,000 rows where they are not what grows; float32 data. A cell is a process of its own, measured {runs}.
A process that has imported everything and made a first small fit has had {idle:,.0f} MiB.

{slopes}
![How it grows](speed/scaling.png)

{table}"""

FILES = """\
`vae-anomaly score FILE -o OUT --model m.vae`, 30 float64 columns, whole programs from start to end, beside a program
that reads the same file by the batch with pyarrow and writes it again. Peak memory is the largest of all runs.

{table}"""

SEARCH = """\
`GridSearchCV(VAEDetector(), {{"latent_dim": [2, 4, 8, 16]}}, cv=3, refit=False)` on {rows:,} rows of 30 columns:
{runs} runs in turn, the processes started before.

{table}
Efficiency t1 / (2 t2): {gained}, a loss of {lost}. {same}
"""

GPU = """\
Measured on an {gpu}, and on the CPU of the same machine ({cpu}),
with PyTorch {torch}, by
`--rows {plain_rows} --members {members} --runs {runs}`. Large fit: {members} members on {rows:,} rows of 100 columns.
Default fit: 10,000 rows of 30 columns; it scores 200,000 rows at once, and single ones. Medians of {runs} runs in turn,
the least and the most. What is timed was done once before: the first fit of a process on CUDA takes 2 to 4 s longer.
Differences are those of fits on the two devices, which draw other random numbers. One fitted model has the same scores
on both but for rounding: 2e-6 nats on tables, up to 1e-3 nats of 33 on images (`tests/test_cuda.py`).

{table}
In float32, CUDA against the CPU: the large fit is {faster[0]} as fast, the default fit {faster[1]}, scoring
{faster[2]}. A step is recorded once and replayed; taken eagerly, the default fit takes 3.6 s instead of 0.5 (three runs
of each). What is left of a step, 0.37 ms, is some 130 kernels of 1 to 5 µs one after the other, says PyTorch's
profiler: 64 members take three times as long as 4, and TF32 gains nothing. Of the scoring of many rows, reading them
takes the most time, and is the CPU's: the network scores 4.5 to 6.7 million rows a second.
"""

NO_GPU = """\
There was no CUDA device to measure on. The command fits 64 members on 1,000,000 rows of 100 columns on the device and
on the CPU, with products in float32 and in TF32, and scores 200,000 rows; without a device it says so and ends.
"""
