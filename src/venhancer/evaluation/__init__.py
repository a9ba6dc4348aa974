"""How good a result is: metrics, degraded inputs, the programs it is compared with."""
