"""nbgrader's commands, one after the other: ``python -m tools.grading "autograde 01_rnn" ...``, in a course.

For tests. nbgrader takes seconds to start, and so does the first cell of each submission, with its imports. Here one
process runs all commands, and the kernels are forked from another that has imported what every chapter begins with.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time

IMPORTS = ["ipykernel.kernelapp", "matplotlib.pyplot", "rnnbook.plots", "torch"]
FORKED = multiprocessing.get_context("forkserver")


class Kernel:
    """A kernel as jupyter_client starts it, which expects a `subprocess.Popen`."""

    stdin = stdout = stderr = None  # the same as here

    def __init__(self, command, env=None, cwd=None, **options):
        options = command[command.index("-f"):]
        self.process = FORKED.Process(target=begin, args=(options, env or dict(os.environ), cwd or os.getcwd()))
        self.process.start()
        self.pid = self.process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid:  # signals go to the group
            time.sleep(0.01)

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum):
        os.kill(self.pid, signum)

    def kill(self):
        self.process.kill()

    def terminate(self):
        self.process.terminate()


def begin(options, env, cwd):
    """What ``python -m ipykernel_launcher`` does."""
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    launch_new_instance(argv=options)


def main(commands):
    from jupyter_client.provisioning import local_provisioner
    from nbgrader.apps.nbgraderapp import NbGraderApp

    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # a kernel says so before its imports
    FORKED.set_forkserver_preload(IMPORTS)
    local_provisioner.launch_kernel = Kernel
    for command in commands:
        NbGraderApp.clear_instance()
        NbGraderApp.launch_instance(command.split())


if __name__ == "__main__":
    main(sys.argv[1:])
