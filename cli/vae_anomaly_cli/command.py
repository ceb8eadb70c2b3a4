"""The command `vae-anomaly`: its parts, and what they say of themselves."""

import importlib.metadata
from typing import Annotated

import typer

from vae_anomaly_cli.commands.compare import compare
from vae_anomaly_cli.commands.explain import explain
from vae_anomaly_cli.commands.fit import fit
from vae_anomaly_cli.commands.info import info
from vae_anomaly_cli.commands.score import score

HELP = """Find the anomalous rows of a table, or the anomalous images of a folder.

\b
[bold]Examples[/bold]
  vae-anomaly score data.csv                  the most anomalous rows, ranked
  vae-anomaly score data.csv -o scored.csv    every row with its score
  vae-anomaly fit orders.csv -o orders.vae    learn once ...
  vae-anomaly score new.csv -m orders.vae     ... and score what comes later
  vae-anomaly score parts/ -m orders.vae -o scored/   files larger than memory, file by file
  vae-anomaly explain new.csv -m orders.vae   why rows are anomalous
  vae-anomaly info orders.vae                 what the model was fitted on
  vae-anomaly fit good/ -o parts.vae          images of parts that are as they should be ...
  vae-anomaly score new/ -m parts.vae --heatmaps maps/   ... and where others are not
  vae-anomaly compare data.csv --label fraud  beside simpler detectors, on known anomalies

The score of a row is its negative ELBO under variational autoencoders, in nats; that of a small image how rare its \
ELBO and two companions are among training images, in nats; that of a large one its oddest spot, in nats per pixel. \
Higher is more anomalous.

\b
[bold]Exit codes[/bold]
  0    done
  1    the work failed: training diverged, output could not be written
  2    options or input that cannot be used
  130  interrupted with Ctrl-C; score --resume goes on. During training, score and explain go on with the best
       model so far and end as if whole, and fit saves it, but not over a file that is there
"""

SCORE_HELP = """Score every row, or every image, of DATA.

\b
[bold]Examples[/bold]
  vae-anomaly score data.csv
  vae-anomaly score data.csv --label outlier --drop comment --top 20
  vae-anomaly score data.csv --explain --column zip=categorical
  vae-anomaly score new.csv -m orders.vae --id order_id -o scored.parquet
  vae-anomaly score big.parquet -m orders.vae -o scored.parquet --resume
  vae-anomaly score 'parts/day=*/*.csv.gz' -m orders.vae -o scored/
  zcat big.csv.gz | vae-anomaly score - --seed 1 > scored.csv
  vae-anomaly score photos/                   the most anomalous images
  vae-anomaly score new/ -m parts.vae -o scores.csv --heatmaps maps/
  vae-anomaly score test/ -m parts.vae --good good --top 50 --sheet s.png
  vae-anomaly score 'line1/**/*.png' line2/ -m parts.vae

Appends anomaly_score (the negative ELBO in nats, higher is more anomalous) and is_anomaly to the columns of the \
input, or to the --id columns alone; rows stay in their order unless --top ranks them. Without -o the table goes \
to standard output: as text in the input's format (CSV for Parquet), or as a short ranking on a terminal.

In CSV and TSV the cells ? NA N/A NULL None NaN and empty ones count as missing, and columns of dates like \
2026-02-28 are read as dates; --column says otherwise. Columns anomaly_score and is_anomaly of an earlier run \
are replaced.

DATA may be larger than memory: it is read, scored and written batch by batch. Without --model a first pass draws \
the rows to fit on. Several files need the same columns. Text becomes typed Parquet, JSON Lines or --json in one more \
pass, because all rows decide what a column is.

A file takes its name when it is whole. With --model the scores so far are kept beside it: after Ctrl-C, a kill or a \
full disk the same command with --resume goes on where it stopped, if model and input are as they were.

With --explain each row that is shown comes with its most anomalous cells and what the other cells of the row let \
expect in their place. A table gets a column of reasons, filled for the rows that are flagged, or for all with \
--top: explaining takes a pass for each column.

[bold]Images[/bold]

Images of up to 4096 pixels, or with a side below 16, are looked at as wholes, others through overlapping windows, \
for odd spots: each window's middle is predicted from what surrounds it. --look says otherwise.

DATA holds images if its names say so; where folders hold tables, too, a pattern such as 'folder/*.png' chooses. \
Without --model the images are their own training data. The output has the columns path (in the folder given, or in \
the one that several arguments share), folder (the part before the name), anomaly_score, is_anomaly and problem: why a \
file could not be used, where score and flag are empty. Such files are warned of, and the others scored.

Pages of --heatmaps show the image, what the model expects, and the nats by which each pixel is less likely than it \
could be, all on the scale of the model, so that pages can be compared. They keep names and sub-folders. With --top N \
only the N most anomalous get one, and are the ones on the --sheet.

With --good NAME, images in that sub-folder are the normal ones, and AUROC and average precision say how well the \
scores tell the others from them, as with --label for tables.

Exit codes: see vae-anomaly --help.
"""

FIT_HELP = """Fit on the rows, or the images, of DATA and save the model.

\b
[bold]Examples[/bold]
  vae-anomaly fit orders.parquet -o orders.vae --id order_id
  vae-anomaly fit data.csv -o data.vae --contamination 0.02 --seed 1
  vae-anomaly fit data.csv -o data.vae --column zip=categorical --column visits=count
  vae-anomaly fit parts/ -o orders.vae --passes 3
  vae-anomaly fit good/ -o parts.vae                  images of one size
  vae-anomaly fit good/ -o parts.vae --size 128x128   images of any size, all resized
  vae-anomaly fit logos/ -o logos.vae --look whole    for odd images, rather than odd spots in them

Where DATA has more than --sample-rows rows, one pass draws a uniform sample of them, the same for the same --seed, \
and each further pass another one.

Images should be normal ones; a few anomalous ones do little harm. They are colour if any is, and have 8 bits unless \
all have more or are black and white. Files that cannot be used are warned of and left out.

The model file holds numbers and a description, no code. After Ctrl-C it holds the best model so far, and the exit \
code is 130; a file that is there stays as it is then. Exit codes: see vae-anomaly --help.
"""

EXPLAIN_HELP = """Say why rows of DATA are anomalous.

\b
[bold]Examples[/bold]
  vae-anomaly explain data.csv                         five rows, the most anomalous
  vae-anomaly explain new.csv -m orders.vae --row 41   one row, by its number
  vae-anomaly explain data.csv --top 100 -o cells.csv  a line for each cell
  vae-anomaly explain data.csv --top 100 --repair repaired.csv

For each row: its score, what the combination of its cells costs as a whole (KL), and its most anomalous cells, with \
what the other cells of the row let expect in their place, the range that holds 95 % of that, what the cell adds \
to the score above that of a typical row, and the share of the training cells that lie as far out. The numbers of \
rows are those of vae-anomaly score, and go through all files if there are several. DATA is read into memory.

DATA is a table: of images, vae-anomaly score --heatmaps says where they are anomalous.

With --repair, cells of the explained rows that are rarer, given the other cells, than one in a thousand are \
replaced by what is expected there: proposals, to be looked at. The other cells stay as they are.

Exit codes: see vae-anomaly --help.
"""

COMPARE_HELP = """Lay VAEDetector beside simpler detectors on rows of DATA whose anomalies are known.

\b
[bold]Examples[/bold]
  vae-anomaly compare data.csv --label fraud
  vae-anomaly compare data.csv --label class --anomalous sick --train clean
  vae-anomaly compare data.csv --label fraud --splits 5 -o measured.csv

The others are scikit-learn's: IsolationForest, LOF (20 neighbours), kNN (mean distance to 5), PCA (log-likelihood, \
components with 90 % of the variance) and GaussianMixture (components by BIC). VAEDetector takes the table as it is, \
with defaults or the options below; the others get medians for missing values, standardised numbers, and text one-hot \
with levels in fewer than 10 rows together; --column holds for both. No detector is shown the labels.

--train clean fits on a random half of the normal rows, anew in each split, and scores the other half and all \
anomalies; --train all fits on all rows and scores the same ones, as vae-anomaly score does, where splits differ by \
the seed alone. A scored training row is not its own neighbour. Rows without a label are left out.

Shown are means and standard deviations over the splits of AUROC, average precision, and precision among as many \
rows as there are anomalies; and the AUROC less that of VAEDetector, with intervals that hold together at 95 %: \
DeLong's for paired AUROCs, each row counted once however many splits score it, plus the variance between splits \
(Student's t, Bonferroni). Of two detectors one is called better only if the interval leaves out 0 and it is ahead in \
every split; with fewer than 8 anomalies, or normal rows, there is no verdict. Ctrl-C ends the comparison and writes \
nothing.

Exit codes: see vae-anomaly --help.
"""

INFO_HELP = """Show what a model was fitted on and how, without building it.

\b
[bold]Examples[/bold]
  vae-anomaly info orders.vae
  vae-anomaly info orders.vae --json | jq .offset
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("score", help=SCORE_HELP)(score)
app.command("explain", help=EXPLAIN_HELP)(explain)
app.command("fit", help=FIT_HELP)(fit)
app.command("info", help=INFO_HELP)(info)
app.command("compare", help=COMPARE_HELP)(compare)


def _show_version(wanted: bool) -> None:
    if wanted:
        # Asked of the installation: importing the library would load PyTorch.
        typer.echo(f"vae-anomaly {importlib.metadata.version('vae-anomaly')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
