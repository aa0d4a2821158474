"""Grading: ``python -m tools.grading 01_rnn submissions.zip --roster roster.csv``.

The tests of an exercise run here; the answer runs in another process, which gets arguments and sends back values. What
a test knows (its references, its helpers, the numpy it compares with) is never where a student's code could reach it,
so no trick that changes or reads them earns a point. A process that dies, hangs, prints or eats memory takes one
exercise with it and nothing else.

Why not a library: nbgrader 0.9 and Otter-Grader 7 were tried. Both run answers and tests in one process. nbgrader paid
for `return expected`, for hidden tests read from the notebook's history and for a replaced
`np.testing.assert_allclose`. Otter hides a test's variables, but paid for the last, too. With both an `os._exit` costs
the whole notebook, and each notebook costs seconds for a kernel. Otter keeps students apart from each other in Docker,
which a teacher would have to set up, and still not tests from answers. So nbgrader keeps what it does well, the buttons
in JupyterLab with which students fetch, check and hand in an assignment on a JupyterHub. It no longer grades.

    collect.py   whose is which file
    answers.py   the process of an answer
    wire.py      what passes between the two
    marks.py     tests, points, verdicts
    report.py    grades.csv, the feedback pages, the questions that a person grades
"""
