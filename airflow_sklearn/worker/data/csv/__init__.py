"""CSV: cut at record ends, typed by all values of a column, parsed block by block."""
