"""The common part of the AWS runtimes: options, tags, logs in CloudWatch, and the meaning of a container's end."""
