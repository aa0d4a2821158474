"""Grading: ``python -m tools.grading 01_rnn submissions.zip --roster roster.csv``.

The tests of an exercise run here; the answer runs in another process, which gets arguments and sends back values. What
a test knows (its references, its helpers, the numpy it compares with) is never where a student's code could reach it,
so no trick that changes or reads them earns a point. A process that dies, hangs, prints or eats memory takes one
exercise with it and nothing else.

Why not the libraries that there are? Both nbgrader 0.9 and Otter-Grader 7 were tried. They run answers and tests in one
namespace of one process: `return expected`, a replaced `np.testing.assert_allclose` and tests read out of the
notebook's history get full marks from nbgrader and from Otter, and one `os._exit` costs a whole notebook. Otter keeps
submissions apart from each other in Docker, which a teacher would have to set up, and still not tests from answers. So
nbgrader keeps what it does well: the buttons in JupyterLab by which students fetch, check and hand in an assignment on
a JupyterHub. It no longer grades.

    collect.py   whose is which file
    answers.py   the process of an answer
    wire.py      what passes between the two
    marks.py     tests, points, verdicts
    report.py    grades.csv, the feedback pages, the questions that a person grades
"""
