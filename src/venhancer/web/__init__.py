"""What the page and the API have in common as servers: who may call, and which files of a job are handed out."""
