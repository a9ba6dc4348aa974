"""The commands of `venhancer`: each its flags, one call of the library, and a few lines of output."""
