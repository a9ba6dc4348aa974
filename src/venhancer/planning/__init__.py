"""What a plan is made of: when frames are shown, how work is divided, what it costs and what it holds in memory."""
