"""nbval without a second execution: ``pytest -p tools.recorded book/notebooks``.

A committed notebook holds the cells of its page, and `tools.book` has executed these already, for the HTML. So nbval
need not run them again: it gets the outputs of that execution, cell by cell, where it would ask a kernel, and compares
them with the committed ones as it always does.
"""

from __future__ import annotations

from functools import cache

from nbval.plugin import IPyNbFile

from tools import book, lower


class Recording:
    """Answers nbval as its `RunningKernel` would; `outputs` are {source of a cell: its outputs}."""

    def __init__(self, outputs):
        self.outputs, self.messages = outputs, iter(())

    def is_alive(self):
        return True

    def execute_cell_input(self, source, allow_stdin):
        if source not in self.outputs:
            raise LookupError("the page has no such cell: run `make notebooks` and commit the result")
        self.messages = iter([*((output.output_type, output) for output in self.outputs[source]),
                              ("status", {"execution_state": "idle"})])
        return "recorded"

    def await_reply(self, request, timeout):
        pass

    await_idle = await_reply

    def get_message(self, stream, timeout):
        kind, content = next(self.messages)
        return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "recorded"}}

    def stop(self):
        pass


class Notebook(IPyNbFile):
    """A committed notebook, whose cells nbval tests."""

    def setup(self):
        self.setup_sanitize_files()
        cells = [cell for cell in executed()[self.path.stem].cells if cell.cell_type == "code"]
        # Colab's cell, the first one, is not the page's; a test of its own runs it.
        outputs = {cell.source: lower.code_cell(cell, count=None).outputs for cell in cells}
        self.kernel = Recording({lower.SETUP: [], **outputs})


@cache
def executed():
    return {page.stem: notebook for page, notebook in book.executions().items()}


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb":
        return Notebook.from_parent(parent, path=file_path)
