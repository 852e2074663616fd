cdef class MonotonicTime:
    cdef double _offset
