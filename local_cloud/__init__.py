"""A stand-in for AWS on this machine, for tests, benchmarks and ``make cloud``: see README.md."""
