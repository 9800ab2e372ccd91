"""The predict job: one chunk to one receipt."""
