"""Access to AWS: connections and sessions, errors and repeated calls, console pages, IAM policies."""
