"""CSV: cut at the ends of records, types found from all values of a column, parsed block by block."""
