"""The steps of a run as operators: each calls one function of the pipeline and adds nothing to it."""
