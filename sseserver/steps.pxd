cpdef step(steps, old, new)
cpdef findNext(states, old, taken)
