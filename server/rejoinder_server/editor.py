"""Edits stored operations: locks a selection, applies a verb of the state machine to each, commits."""

from collections.abc import Callable, Sequence
from random import Random

from rejoinder_server.lifecycle import Edit, Rules
from rejoinder_server.operation import Operation
from rejoinder_server.store.port import Moment, Selection, Store, Writes


class Editor:
    """Joins the store with the state machine."""

    def __init__(self, *, store: Store, rules: Rules, random: Random) -> None:
        self.store = store
        self.rules = rules
        self._random = random

    def begin(self, operation: Operation, moment: Moment) -> Edit:
        """Begin to edit an operation that the running transaction has locked."""
        return Edit(operation, now=moment.now, rules=self.rules, random=self._random)

    async def each(self, selection: Selection, verb: Callable[[Edit, Moment], None]) -> Writes:
        """Apply a verb to each selected operation in one commit, and return what was written."""

        def decide(operations: Sequence[Operation], moment: Moment) -> Writes:
            edits = [self.begin(operation, moment) for operation in operations]
            for edit in edits:
                verb(edit, moment)
            return Writes(changes=[change for edit in edits if (change := edit.change())])

        return await self.store.transact(selection, decide)
