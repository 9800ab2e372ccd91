"""The command ``airflow-sklearn``. Each module holds one subcommand, and imports what it needs when it runs.

``--help`` starts fast: modules here import the standard library and typer, and nothing heavy before a command runs.
"""
