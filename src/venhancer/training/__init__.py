"""Training: clips to examples, examples to losses, losses to a model folder."""
