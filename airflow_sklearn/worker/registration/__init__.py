"""The register job: stores an estimator that was fitted elsewhere as one version of a model."""
