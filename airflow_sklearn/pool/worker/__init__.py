"""A container of a pool: takes tasks from the queue, runs each in a process, reports what became of it."""
