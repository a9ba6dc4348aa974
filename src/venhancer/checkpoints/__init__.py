"""What other programs' weight files hold, and how ours are written."""
