"""What a command reads: files found by name, tables of every format, and what they share with images."""

import lazy_loader

# Each name is imported when it is first asked for: the formats are named in the help, which loads no Arrow.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
