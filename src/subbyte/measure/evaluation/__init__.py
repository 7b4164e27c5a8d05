"""Quality on a task."""
