cdef class TurnEnd:
    cdef list _calls
    cdef Py_ssize_t _depth

    cpdef atEnd(self, clock, call)
    cpdef begin(self)
    cpdef end(self)
    cpdef _finish(self)
