"""A container of a pool: takes tasks from the queue, runs each in a process, and reports the results."""
