"""What each setting does: the studies of the paper's appendix A, from one command."""
