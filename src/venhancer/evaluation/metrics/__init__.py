"""Measures of a clip, a module each: what `registry` finds here is a metric."""
