"""The local cloud, and the tests that run whole Airflows and containers in it."""
