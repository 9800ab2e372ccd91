"""The predict job: predicts one chunk, and writes its receipt."""
