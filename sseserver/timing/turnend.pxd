cdef class TurnEnd:
    cdef list _calls
    cdef object _clock
    cdef Py_ssize_t _depth
    cdef public object hasEvents

    cpdef atEnd(self, call)
    cpdef begin(self)
    cpdef end(self)
    cpdef _finish(self)
