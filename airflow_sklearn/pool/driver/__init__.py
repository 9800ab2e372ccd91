"""The driver's side of a pool: starts containers, sends tasks, collects results."""
