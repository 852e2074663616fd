# No structures: compiled as it is.
