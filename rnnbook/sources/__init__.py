"""The source and licence of each data set, and the place of its files on this machine.

The package contains no real data set, because their licences forbid it. A data set is searched in the folder named by
the environment variable ``RNNBOOK_DATA``, then in the cache. If it is in neither, it is downloaded from its official
address. MovieLens 100K can also be taken from a Python package that contains it.
"""

from rnnbook.sources.catalogue import CATEGORY, SOURCES, Source, Wheel, get_source
from rnnbook.sources.download import cache_dir, find, folders, locate
from rnnbook.sources.shapes import SHAPES, Shape, recognise

__all__ = ["CATEGORY", "SHAPES", "SOURCES", "Shape", "Source", "Wheel", "cache_dir", "find", "folders", "get_source",
           "locate", "recognise"]
