"""The train job: one table to one version of a model."""
