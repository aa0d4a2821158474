"""The improved RNN for session-based recommendation (Tan, Xu & Liu, DLRS 2016): four ideas, each with a switch."""


def prefixes(items):
    """The training pairs of one session as the paper writes them: ([x_1], x_2), ([x_1, x_2], x_3), …

    The slow, obvious form, for reading and for tests; `ImprovedRNN.session_states` gives all of it in one pass.
    """
    return [(items[:r], items[r]) for r in range(1, len(items))]
