"""The HTTP API: jobs in the shape that video servers have agreed on, over the same runner as the page."""
