"""What a manifest leads to in memory, computed before it is allocated and compared with what the file holds.

A file may lead to a small multiple of its own size and a fixed amount beside, in loading and in scoring a row; whoever
writes a small number into a manifest gets no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from vae_anomaly.columns import Column
from vae_anomaly.detectors import MAX_IMAGE_VALUES, Windows
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import Backbone

# Numbers, of four bytes as a rule, that a file may lead to beside a multiple of those in it.
FREE_NUMBERS, FREE_NUMBERS_OF_A_ROW, MULTIPLE = 1 << 24, 1 << 26, 4
# Products of weights that scoring a row may take: some minutes.
MAX_PRODUCTS_OF_A_ROW = 1 << 41
MAX_PADDING = 16
ENCODER, DECODER = "vae.encoder.", "vae.decoder."
# One for each component of the prior: of exemplars, of mixtures.
NUMBERS_OF_COMPONENTS = ("vae.prior.fingerprints", "vae.prior.log_weight")


def check_columns(columns: Sequence[Column], tensors: Mapping[str, Tensor]) -> None:
    """Compare cells and decoder outputs of the columns that are modelled with those in the file.

    Raises
    ------
    LookupError or ValueError
        If they do not agree, or what is known of each cell takes much more than the file.
    """
    held = tensors["vae.floor"].numel(), tensors["vae.start"].numel()
    n_outputs = sum(part.n_cells * likelihood_of(part).n_parameters(part.width) for part in columns)
    if (sum(part.n_cells for part in columns), n_outputs) != held:
        raise ValueError(f"the manifest has other columns or decoder outputs than the file, which has {held}")
    known = sum(part.n_cells * (part.width + likelihood_of(part).n_features(part.width)) for part in columns)
    _check_proportion("facts of cells", known, FREE_NUMBERS, tensors)


def check_network(
    columns: Sequence[Column],
    tensors: Mapping[str, Tensor],
    *,
    backbone: Backbone,
    hidden_layer_sizes: Sequence[int],
    latent_dim: int,
    n_members: int,
    n_draws: int,
    n_components: int,
    n_steps: int,
    mask_input: bool,
    grid: tuple[int, int] | None,
) -> None:
    """Compare the numbers of encoder, decoder and prior with those in the file, and bound those of a row.

    Parameters
    ----------
    columns : sequence of Column
        Those that are modelled.
    tensors : dict of Tensor
        Of the model.
    backbone, hidden_layer_sizes, latent_dim, n_members, n_components, mask_input, grid
        What the network would be made with.
    n_draws, n_steps : int
        Draws for a row, and how often the network is gone through for each.

    Raises
    ------
    LookupError or ValueError
        If they do not agree, or scoring a row would take much more than the file.
    """
    n_inputs = sum(part.n_cells * likelihood_of(part).n_features(part.width) for part in columns)
    n_inputs += sum(part.n_cells for part in columns if not part.is_constant) if mask_input else 0
    n_outputs = tensors["vae.start"].numel()
    n_wanted = n_members * backbone.n_weights(n_inputs, latent_dim, n_outputs, hidden_layer_sizes, grid)
    n_held = sum(part.numel() for name, part in tensors.items() if name.startswith((ENCODER, DECODER)))
    if n_wanted != n_held:
        raise ValueError(f"the manifest asks for {n_wanted:,} weights, the file holds {n_held:,}")
    n_wanted_components = n_members * n_components
    n_held_components = sum(tensors[name].numel() for name in NUMBERS_OF_COMPONENTS if name in tensors)
    if n_wanted_components != n_held_components:
        raise ValueError(
            f"the manifest asks for {n_wanted_components:,} components of the prior, the file holds "
            f"{n_held_components:,}"
        )
    largest = max(backbone.n_activations(n_inputs, n_outputs, hidden_layer_sizes, grid), n_components, 2 * latent_dim)
    of_a_row = n_members * n_draws * max(largest, sum(part.n_cells for part in columns))
    _check_proportion("numbers for each row", of_a_row, FREE_NUMBERS_OF_A_ROW, tensors)
    n_products = n_steps * max(n_draws * n_wanted, of_a_row)
    if n_products > MAX_PRODUCTS_OF_A_ROW:
        raise ValueError(f"scoring a row takes {n_products:,} products; expected at most {MAX_PRODUCTS_OF_A_ROW:,}")


def check_images(height: int, width: int, n_channels: int) -> None:
    """Refuse images of more pixels than a fit takes.

    Raises
    ------
    ValueError
        If there are more.
    """
    if height * width * n_channels > MAX_IMAGE_VALUES:
        raise ValueError(
            f"images of {height:,} x {width:,} pixels and {n_channels} channels; expected at most "
            f"{MAX_IMAGE_VALUES:,} numbers"
        )


def check_windows(windows: Windows, stride: int, columns: Sequence[Column], shape: tuple[int, int, int]) -> None:
    """Refuse squares with other numbers of pixels than the columns, and margins out of proportion to the images.

    Parameters
    ----------
    windows : Windows
    stride : int
        Pixels between them.
    columns : sequence of Column
        Of the windows.
    shape : (channels, height, width)
        Of the images.

    Raises
    ------
    ValueError
        If they do not agree.
    """
    n_channels, height, width = shape
    ordered = windows.target <= min(windows.near, height, width) and windows.near <= windows.far
    if not ordered or not stride <= windows.target:
        raise ValueError(f"{windows}, {stride} apart, for images of {height} x {width}")
    n_given = windows.n_given
    wanted = [windows.n_target] * n_channels + ([n_given] * n_channels if n_given else [])
    if [column.n_cells for column in columns] != wanted:
        raise ValueError(f"the columns do not fit {windows}")
    beyond = 2 * windows.margin + windows.cell
    padded, pixels = n_channels * (height + beyond) * (width + beyond), n_channels * height * width
    if padded > MAX_PADDING * pixels + FREE_NUMBERS or padded > 2 * MAX_IMAGE_VALUES:
        raise ValueError(f"{windows} have margins of {windows.margin:,} pixels, and images {height} x {width}")


def likelihood_of(column: Column) -> Likelihood:
    """The likelihood of a column that is modelled.

    Raises
    ------
    ValueError
        If it has none.
    """
    if column.likelihood is None:
        raise ValueError(f"column {column.name!r} has no likelihood")
    return column.likelihood


def _check_proportion(what: str, n_wanted: int, n_free: int, tensors: Mapping[str, Tensor]) -> None:
    n_held = sum(part.numel() for part in tensors.values())
    if n_wanted > n_free + MULTIPLE * n_held:
        raise ValueError(f"the manifest leads to {n_wanted:,} {what}, and the file holds {n_held:,} numbers in all")
