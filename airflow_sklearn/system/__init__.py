"""This process and its machine: memory, cores, processes, threads, signals, software. Knows nothing of jobs or data."""
