"""Anomaly detection with variational autoencoders whose score is the negative ELBO, in nats."""

import lazy_loader

# The public names are those of the stub beside this file, each imported when it is first asked for: naming the package
# does not load PyTorch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
