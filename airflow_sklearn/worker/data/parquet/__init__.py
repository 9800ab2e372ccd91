"""Parquet: whole row groups, and only the needed bytes."""
