"""Where each data set comes from, and where it is here."""
