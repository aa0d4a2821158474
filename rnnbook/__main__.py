"""``python -m rnnbook`` is the command ``rnnbook``."""

from rnnbook.cli import run

if __name__ == "__main__":
    run()
