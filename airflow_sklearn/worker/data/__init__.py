"""How a worker reads sources and writes predictions: CSV and Parquet, a batch at a time."""
