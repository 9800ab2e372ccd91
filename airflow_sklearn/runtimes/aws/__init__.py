"""What the runtimes of AWS share: options, tags, logs in CloudWatch, and what the end of a container means."""
