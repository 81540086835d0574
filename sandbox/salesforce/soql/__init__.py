"""SOQL: text to syntax tree, syntax tree to rows."""
