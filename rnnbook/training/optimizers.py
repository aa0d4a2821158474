"""Adagrad and Adam for dense parameters and rows of large tables, and the rows that a step uses.

The state of an optimiser has names, for checkpoints.
"""

from __future__ import annotations

import torch

from rnnbook.training.devices import clear_rounded_weights


class Adagrad:
    """Adagrad with momentum for dense parameters and for single rows of large tables.

    ``acc += g²;  v = momentum · v − lr · g / √(acc + 1e-6);  p += v``. In a table, ``acc`` and ``v`` change only in the
    rows that have a gradient. So the cost of a step does not depend on the size of the catalogue.

    Parameters
    ----------
    parameters : dict of str to Tensor
        All parameters by name, including the tables.
    lr : float
    momentum : float

    Examples
    --------
    The first step of a parameter has the size of the learning rate, whatever its gradient. Only the used rows change.

    >>> table = torch.zeros(3, 2)
    >>> optimizer = Adagrad({"table": table}, lr=0.1)
    >>> optimizer.step_rows("table", torch.tensor([2, 0]),
    ...                     torch.tensor([[50.0, 50.0], [-2.0, 2.0]]))
    >>> table
    tensor([[ 0.1000, -0.1000],
            [ 0.0000,  0.0000],
            [-0.1000, -0.1000]])
    """

    def __init__(self, parameters, lr, momentum=0.0):
        self.parameters, self.lr, self.momentum = dict(parameters), lr, momentum
        self.acc = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.velocity = {name: torch.zeros_like(p) for name, p in self.parameters.items()} if momentum else {}
        self.slots = {name: torch.empty(len(p), dtype=torch.int64, device=p.device)
                      for name, p in self.parameters.items()}

    def tensors(self):
        """dict of str to Tensor: the optimiser's state. Writing into the tensors restores it."""
        return {f"{kind}.{name}": t for kind, tensors in (("acc", self.acc), ("velocity", self.velocity))
                for name, t in tensors.items()}

    @torch.no_grad()
    def step(self, name, grad):
        """Update a dense parameter in place; ``grad`` has its shape."""
        clear_rounded_weights()
        acc = self.acc[name].addcmul_(grad, grad)
        update = grad.div(acc.add(1e-6).sqrt_()).mul_(-self.lr)
        if self.momentum:
            update = self.velocity[name].mul_(self.momentum).add_(update)
        self.parameters[name].data.add_(update)

    @torch.no_grad()
    def step_rows(self, name, rows, grad):
        """Update rows of a table in place.

        Parameters
        ----------
        name : str
            The table, float [n_rows, ...].
        rows : Tensor, int64 [n]
            Row numbers; they may repeat.
        grad : Tensor, float [n, ...]
            The gradient of each entry. Gradients of the same row are summed.
        """
        clear_rounded_weights()
        table, slot = self.parameters[name].data, self.slots[name]
        # Every entry writes its position into the slot of its row. One of them remains; it represents all entries of
        # this row. (Sorting would also find one, but takes longer.)
        slot[rows] = torch.arange(len(rows), device=rows.device)
        winner = slot[rows]
        # Each entry then gets the summed gradient of its row, so all entries of a row write the same values below.
        grad = torch.zeros_like(grad).index_add_(0, winner, grad).index_select(0, winner)
        acc = self.acc[name].index_select(0, rows).addcmul_(grad, grad)
        self.acc[name].index_copy_(0, rows, acc)
        update = grad.div_(acc.add_(1e-6).sqrt_()).mul_(-self.lr)
        if self.momentum:
            update = update.add_(self.velocity[name].index_select(0, rows), alpha=self.momentum)
            self.velocity[name].index_copy_(0, rows, update)
        table.index_copy_(0, rows, update.add_(table.index_select(0, rows)))


class Adam:
    """Adam whose moments are created at the start, so that a checkpoint can save and restore them by name.

    Tables with sparse gradients are updated by `torch.optim.SparseAdam`, which changes only the rows of a step.

    Parameters
    ----------
    parameters : dict of str to Tensor
        All parameters by name, including the tables.
    lr : float
    tables : set of str
        The names of the parameters with sparse gradients.
    table_lr : float, optional
        The learning rate of the tables, by default ``lr``.

    Examples
    --------
    Three steps that minimise w². The moments have names.

    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam({"w": w}, lr=0.1)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     w.square().sum().backward()
    ...     optimizer.step()
    >>> round(w.item(), 1), sorted(optimizer.tensors())
    (0.7, ['exp_avg.w', 'exp_avg_sq.w', 'step.w'])
    """

    def __init__(self, parameters, lr, tables=frozenset(), table_lr=None):
        self.named, self.rates = dict(parameters), (lr, lr if table_lr is None else table_lr)
        dense = [p for name, p in self.named.items() if name not in tables]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, lr)]
        if tables:
            self.parts.append(torch.optim.SparseAdam([p for name, p in self.named.items() if name in tables],
                                                     self.rates[1]))
        self.state = {name: {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                      for name, p in self.named.items()}
        for name, p in self.named.items():
            self.parts[name in tables].state[p] = self.state[name]

    def zero_grad(self):
        """Set all gradients to None."""
        for part in self.parts:
            part.zero_grad()

    def step(self):
        """Update all parameters that have a gradient."""
        clear_rounded_weights()
        for part in self.parts:
            part.step()

    def slow_down(self, share):
        """Set the learning rates to ``share`` (float) times the initial ones."""
        for part, lr in zip(self.parts, self.rates):
            part.param_groups[0]["lr"] = share * lr

    def tensors(self):
        """dict of str to Tensor: the optimiser's state. Writing into the tensors restores it."""
        return {f"{kind}.{name}": t for name, state in self.state.items() for kind, t in state.items()}


class UsedRows:
    """The rows of the large tables that a step uses, gathered as leaves of the autograd graph.

    So the cost of the backward pass and of the optimiser depends on these rows, not on the size of the catalogue.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(table=torch.zeros(3, 4))
    >>> rows, optimizer = UsedRows(model), Adagrad({"table": model.table}, lr=0.1)
    >>> loss = rows.read("table", torch.tensor([2, 0])).sum()
    >>> rows.update(optimizer, torch.autograd.grad(loss, rows.leaves))
    >>> model.table[:, 0]
    tensor([-0.1000,  0.0000, -0.1000])
    """

    def __init__(self, model):
        self.model = model
        self.used: dict[str, list] = {}  # table -> [(row numbers, leaf with these rows), …]

    def read(self, table, rows):
        """The rows with these numbers, int64 [n], of a table (its name): a leaf, float [n, …]."""
        leaf = getattr(self.model, table).detach().index_select(0, rows).requires_grad_()
        self.used.setdefault(table, []).append((rows, leaf))
        return leaf

    @property
    def leaves(self):
        """list of Tensor: all leaves, table by table."""
        return [leaf for entries in self.used.values() for _, leaf in entries]

    def update(self, optimizer, gradients):
        """Update the rows with the gradients of the leaves (in their order). Gradients of the same row are summed."""
        of_leaves = iter(gradients)
        for table, entries in self.used.items():
            rows = torch.cat([rows for rows, _ in entries])
            optimizer.step_rows(table, rows, torch.cat([next(of_leaves) for _ in entries]))
