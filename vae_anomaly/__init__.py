"""Anomaly detection with variational autoencoders whose score is the negative ELBO, in nats."""

import lazy_loader

from vae_anomaly.deprecation import with_old_names

# The public names are those of the stub beside this file, each imported when it is first asked for: naming the package
# does not load PyTorch.
_load_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(_load_name, {"PictureExplanation": "ImageExplanation"})
