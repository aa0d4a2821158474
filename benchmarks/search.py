"""The settings that an arm of a comparison tries."""

import math
import random
from itertools import product


def draws(arm, space, n):
    """n settings drawn from a space, the defaults first; all that there are, if there are no more than n.

    Parameters
    ----------
    arm : str, which seeds the draws: an arm tries the same list every time
    space : dict of name to list of values
        A name with a single value has it in every draw.
    n : int

    Returns
    -------
    list of dict

    Examples
    --------
    >>> draws("ridge", {"penalty": [1, 2], "biased": [True]}, n=20)
    [{'penalty': 1, 'biased': True}, {'penalty': 2, 'biased': True}]
    >>> some = draws("ridge", {"penalty": list(range(9)), "biased": [True]}, n=3)
    >>> some[0], len(some), some == draws("ridge", {"penalty": list(range(9)), "biased": [True]}, n=3)
    ({'biased': True}, 3, True)
    """
    if math.prod(map(len, space.values())) <= n:
        return [dict(zip(space, values)) for values in product(*space.values())]
    rng, found = random.Random(f"search {arm}"), [{name: v[0] for name, v in space.items() if len(v) == 1}]
    while len(found) < n:
        drawn = {name: rng.choice(values) for name, values in space.items()}
        if drawn not in found:
            found.append(drawn)
    return found
