"""The Redshift Data API before the stand-in."""
