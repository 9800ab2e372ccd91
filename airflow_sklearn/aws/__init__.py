"""How AWS is reached: connections and sessions, errors and repeated calls, console pages, IAM policies."""
