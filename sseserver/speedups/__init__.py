"""Fast paths beside the plain implementations. Everything here can be turned off."""
