cdef class OpenCall:
    cdef public str id
    cdef public str name
    cdef public list pieces


cdef class PartWriter:
    cdef bytes _before
    cdef dict _calls
    cdef list _events
    cdef bint _isBegun
    cdef object _open
    cdef Py_ssize_t _part
    cdef object _usage

    cpdef copyTo(self, PartWriter other)
    cpdef list writeText(self, str text)
    cpdef bytes _makeDelta(self, str text)
    cpdef list _take(self)
