"""One module a step, in data order: pull, evaluate, apply, lineage, commit. Operators and `pdsf` only call these."""
