cimport cython


cdef class OpenCall:
    cdef public str id
    cdef public str name
    cdef public list pieces


cdef class PartWriter:
    cdef public bytes before
    cdef public list events

    cpdef bytes makeDelta(self, str text)


cdef class AnswerParts:
    cdef dict _calls
    cdef bint _isBegun
    cdef object _open
    cdef Py_ssize_t _part
    cdef object _usage
    cdef PartWriter _writer

    cpdef list writeText(self, str text)
    cpdef list writeTexts(self, list texts)
    @cython.locals(writer=PartWriter)
    cdef list _take(self)
