"""The train job: fits an estimator on one table, and stores one version of a model."""
