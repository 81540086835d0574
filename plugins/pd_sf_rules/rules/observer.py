"""Which conditions of a bucket's rules held for an event, and what they saw: all of them, also those of no consequence.

One bit stands for one condition, so that the tables that choose among rules choose among conditions here.
"""

from collections.abc import Sequence

from pd_sf_rules.model import Event
from pd_sf_rules.rules.compiled import PLACE, CompiledRule, Leaf, Subject
from pd_sf_rules.rules.sides import Places, Sides
from pd_sf_rules.rules.tables import Test
from pd_sf_rules.rules.transcript import Said, Script, field_of, script_of


class Observer:
    """The conditions of a bucket's rules. `objects` are those of the rules, in the order of the subjects."""

    def __init__(self, rules: Sequence[CompiledRule], objects: Sequence[str]) -> None:
        self.script: Script = script_of(
            (each.ruleset, each.rule, [leaf.kind for leaf in each.leaves]) for each in rules
        )
        self._place = {id(rule): at for at, rule in enumerate(rules)}
        tests: Places = {}
        reads: dict[tuple[str, str], tuple[int, Leaf]] = {}
        leaves = [(rule, leaf) for rule in rules for leaf in rule.leaves]
        for at, (rule, leaf) in enumerate(leaves):
            ref, about = leaf.condition.ref, objects.index(rule.rule.object)
            reads.setdefault(field_of(rule.rule, leaf.condition), (about, leaf))
            of_side = tests.setdefault((about, PLACE[ref.side]), {})
            of_side.setdefault(ref.path, []).append(Test(leaf, 1 << at, keeps=True))
        self._all = (1 << len(leaves)) - 1
        self._sides = Sides(tests, self._all)
        self._reads = [(about, leaf.read) for about, leaf in reads.values()]

    def said(
        self,
        events: Sequence[Event],
        subjects: Sequence[Sequence[Subject]],
        matched: Sequence[Sequence[CompiledRule]],
    ) -> list[Said]:
        """Return what came out for each event; `subjects` by object, `matched` the rules of each that matched."""
        held = self._sides.survivors(self._all, subjects, len(events))
        found = []
        for at, (event, bits) in enumerate(zip(events, held, strict=True)):
            seen = [read(subjects[about][at]) for about, read in self._reads]
            values, olds = zip(*seen, strict=True)
            places = frozenset([self._place[id(rule)] for rule in matched[at]])
            found.append(Said(bits, values, olds, places, event.linked_by))
        return found
