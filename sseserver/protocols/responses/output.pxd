cimport cython


cdef class SharedText:
    cdef object _account
    cdef Py_ssize_t _counted
    cdef public bytearray data

    @cython.locals(size=Py_ssize_t, room=Py_ssize_t)
    cpdef add(self, bytes piece)


cdef class GrowingText:
    cdef SharedText _shared
    cdef Py_ssize_t _size

    @cython.locals(size=Py_ssize_t, shared=SharedText, known=Py_ssize_t)
    cpdef add(self, bytes text)


cdef class OutputPart:
    cdef public object type
    cdef public GrowingText text
    cdef public list annotations


cdef class OutputItem:
    cdef public object type
    cdef public object id
    cdef public Py_ssize_t index
    cdef public object callID
    cdef public object name
    cdef public list parts
    cdef public object status


cdef class Output:
    cdef object _account
    cdef object _name
    cdef dict _texts
    cdef public list items
