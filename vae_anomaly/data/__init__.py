"""What a user gives: tables, images and files, read once."""

import lazy_loader

# Each name is imported when it is first asked for: to tell an image by the name of its file takes no PyTorch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
