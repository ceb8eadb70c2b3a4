"""The words around the tables of the speed page."""

LIMITS = """\
The default on 10,000 rows of 30 continuous columns: 4 members, 64 and 64 hidden units, 16 latents, 2 draws in
scoring, 512 exemplars a member. A row of the training is a row of one member (a step has 4 times 128); a row of the
scoring passes through all members. Operations are counted by PyTorch's `FlopCounterMode` and checked against the
sizes of the layers; scoring fills outputs up to a multiple of 16. Bytes needed: the rows, the weights, and in training
the gradient and both moments there and back. Bytes moved: what every operation reads and writes, mostly in the caches.

{counted}
Possible: the greater of the time of these very products alone, on operands of the same shapes and strides, and of the
needed bytes at the rate of a large copy. With two threads the products of a step have two OpenMP threads, and scoring
has two Python threads with a chunk each, which is what `score_samples` does. `fit` takes one thread at this size
however many there are: the line with two says what it would get from them.

{rates}
A step of 2 rows a member, whose arithmetic is next to nothing, takes {empty:.2f} ms of the {whole:.2f} ms of a whole
one (one thread): this is what Python, autograd and the starting of {operations:.0f} operations cost. The kinds below
are from PyTorch's profiler, scaled to the time without it; the cost of starting an operation is in its kind.

![Where the time goes](speed/shares.png)
"""

FIT = """\
30 columns in float64; 5 % of the rows are anomalies, half of them far out, half torn from several rows. AUROC is that
of 10,000 other rows. All at their defaults, each method in a process of its own that waits while the others work; the
methods take turns, and ratios are medians of the ratios within a run. First calls are not timed. *Before* is
VAEDetector at commit af48de7. An asterisk marks 3 of PyOD's 30 epochs, run once: seconds times ten, AUROC of 3 epochs.

{table}
![Seconds of a fit](speed/fit.png)
"""

SCORE = """\
50,000 rows of 30 columns, fitted on 10,000; {runs} runs in turn. IsolationForest has 100 trees and its default of one
thread. One row: the median of 100 calls with a row each.

{table}
![Rows a second](speed/score.png)

One fitted detector scored from several Python threads at once, 10,000 rows each, products with one thread:

{threads}
Microseconds a row by term, one thread; *a whole chunk* also has the independence model and the cutting into chunks:

{terms}"""

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
