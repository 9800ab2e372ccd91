"""Parquet: whole row groups, only the bytes that are needed."""
