"""Pure decisions between verdicts and effects: what to read, what is an echo, what to do, in which order."""
