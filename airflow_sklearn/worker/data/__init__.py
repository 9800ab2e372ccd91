"""Reading sources and writing predictions in a worker: CSV and Parquet, a batch at a time."""
